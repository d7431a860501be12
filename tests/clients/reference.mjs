#!/usr/bin/env node
// The official Node server behind the gateway's own command line and configuration file: `reference.mjs serve --config FILE`.
//
// It proves the black-box tests: what they promise about Engine.IO and Socket.IO must hold for the server that defines them.
// It knows the engine, cors and socket tables, namespaces with `auth = "none"`, the edge rules `echo`, `ok`, `drop`, and enough
// of the webhooks (connect, event; ack and emits to oneself) for the conformance cases. Everything else is the gateway's own.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { parse } from "smol-toml";
import { Server } from "socket.io";

const config = parse(readFileSync(process.argv[process.argv.indexOf("--config") + 1], "utf8"));
const { engine = {}, cors = {}, socket: life = {}, server = {} } = config;

const units = { ms: 1, s: 1000, m: 60_000 };
const time = (text, otherwise) => {
  const [, number, unit] = /^(\d+)(ms|s|m)$/.exec(text ?? "") ?? [];
  return number ? Number(number) * units[unit] : otherwise;
};
const sizes = { "": 1, kB: 1e3, MB: 1e6, KiB: 1024, MiB: 1 << 20 };
const size = (value, otherwise) => {
  const [, number, unit] = /^(\d+)\s*(\w*)$/.exec(value ?? "") ?? [];
  return number ? Number(number) * sizes[unit] : otherwise;
};

const http = createServer((request, response) => response.writeHead(404).end());
const io = new Server(http, {
  path: server.path?.replace(/\/$/, ""),
  addTrailingSlash: false,
  pingInterval: time(engine.ping_interval, 25_000),
  pingTimeout: time(engine.ping_timeout, 20_000),
  upgradeTimeout: time(engine.upgrade_timeout, 10_000),
  maxHttpBufferSize: size(engine.max_payload, 1e6),
  transports: engine.transports ?? ["polling", "websocket"],
  allowUpgrades: engine.allow_upgrades ?? true,
  connectTimeout: time(life.connect_timeout, 45_000),
  httpCompression: engine.http_compression?.enabled === false ? false : { threshold: size(engine.http_compression?.threshold, 1024) },
  cookie: engine.cookie && {
    name: engine.cookie.name ?? "io",
    path: engine.cookie.path ?? "/",
    httpOnly: engine.cookie.http_only ?? true,
    sameSite: engine.cookie.same_site ?? "lax",
    secure: engine.cookie.secure ?? false,
  },
  cors: cors.insecure_any_origin
    ? { origin: true }
    : cors.origins?.length && {
        origin: cors.origins,
        credentials: cors.credentials ?? false,
        methods: cors.methods ?? ["GET", "POST"],
        allowedHeaders: cors.headers?.length ? cors.headers : undefined,
        maxAge: time(cors.max_age, 600_000) / 1000,
      },
});

const matches = (pattern, name) =>
  new RegExp(`^${pattern.split("*").map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&")).join(".+")}$`, "s").test(name);
const upstream = (name) => config.upstream.find((one) => one.name === name).url;

async function ask(url, body) {
  const response = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  return response.json();
}

// Placeholders and attachments of the contract, from and to buffers.
const packed = (value, attachments) => {
  if (Buffer.isBuffer(value)) return { _placeholder: true, num: attachments.push(value.toString("base64")) - 1 };
  if (Array.isArray(value)) return value.map((item) => packed(item, attachments));
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, packed(v, attachments)]));
  return value;
};
const unpacked = (value, attachments) => {
  if (!attachments) return value;
  if (value?._placeholder) return Buffer.from(attachments[value.num], "base64");
  if (Array.isArray(value)) return value.map((item) => unpacked(item, attachments));
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, unpacked(v, attachments)]));
  return value;
};

function run(socket, reply, ack) {
  if (ack) ack(...unpacked(reply.ack ?? [], reply.attachments));
  for (const action of reply.actions ?? []) {
    if (action.type === "emit") socket.emit(action.event, ...unpacked(action.args, reply.attachments));
    if (action.type === "disconnect") action.reconnect ? socket.conn.close() : socket.disconnect(action.close ?? false);
  }
}

for (const namespace of config.namespace ?? []) {
  const { match, auth = "webhook", route: routes = [] } = namespace;
  const name = match.includes("*") ? (given, _, next) => next(null, matches(match, given)) : match;
  const of = io.of(name);
  const entry = routes.find((route) => route.on?.includes("connect"));
  if (auth === "webhook") {
    of.use(async (socket, next) => {
      const body = { type: "connect", socket: { id: socket.id, namespace: socket.nsp.name }, request: { auth: socket.handshake.auth } };
      socket.data.reply = await ask(upstream(entry.upstream), body);
      const { reject } = socket.data.reply;
      next(reject && Object.assign(new Error(reject.message), { data: reject.data }));
    });
  }
  of.on("connection", (socket) => {
    run(socket, socket.data.reply ?? {});
    socket.onAny(async (event, ...args) => {
      const ack = typeof args.at(-1) === "function" ? args.pop() : undefined;
      const route = routes.find((one) => one.event && [one.event].flat().some((pattern) => matches(pattern, event)));
      if (route?.reply === "echo") return ack ? ack(...args) : socket.emit(event, ...args);
      if (route?.reply === "ok") return ack?.();
      if (!route?.upstream) return;
      const attachments = [];
      const body = { type: "event", socket: { id: socket.id, namespace: socket.nsp.name }, event, args: packed(args, attachments), ack: !!ack };
      if (attachments.length) body.attachments = attachments;
      run(socket, await ask(upstream(route.upstream), body), ack);
    });
  });
}

http.listen(0, "127.0.0.1", () => {
  const at = `http://127.0.0.1:${http.address().port}`;
  console.log(`clients  ${at}/socket.io/\napi      ${at}/v1\nadmin    ${at}\nready`);
});
