// The example backends, as they are, behind the gateway and before the official client.
import assert from "node:assert/strict";
import { createHmac, randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { client, closeAll, next } from "../client.mjs";
import { Gateway } from "../gateway.mjs";
import { freePort, Program } from "./program.mjs";

const examples = fileURLToPath(new URL("../../../deploy/backends/", import.meta.url));
const config = readFileSync(join(examples, "sockgate.toml"), "utf8");
const secret = randomBytes(32);
const secrets = { APP_WHSEC: `whsec_${secret.toString("base64")}`, SOCKGATE_API_KEY: `sgk_${secret.toString("hex")}` };

const backends = {
  node: { command: process.execPath, file: join(examples, "node/chat.mjs"), ready: /listening on/ },
  python: { command: process.env.PYTHON ?? "python3", file: join(examples, "python/chat.py"), ready: /running on/ },
};

const start = ({ command, file, ready }, port, api) => {
  const env = { ...process.env, ...secrets, PORT: port, SOCKGATE_API: api };
  return Program.start(command, [file], { env, ready });
};

const signature = (id, timestamp, body) =>
  `v1,${createHmac("sha256", secret).update(`${id}.${timestamp}.${body}`).digest("base64")}`;

/** A request that only the gateway may send; `change` makes it a forgery. The status that it gets. */
async function send(port, change = (request) => request) {
  const socket = { id: "aB3xQ9Zk3q9sT0bXw7Kd", namespace: "/", connection: "c.8fJw2kQ0Rz7LmX4t" };
  const body = JSON.stringify({ type: "connect", seq: 0, socket, request: { auth: { name: "Mallory", room: "help" } } });
  const timestamp = Math.floor(Date.now() / 1000);
  const sent = change({ id: "evt_1", timestamp, signature: signature("evt_1", timestamp, body), body });
  const headers = { "content-type": "application/json", "webhook-id": sent.id, "webhook-timestamp": String(sent.timestamp) };
  if (sent.signature) headers["webhook-signature"] = sent.signature;
  const answer = await fetch(`http://127.0.0.1:${port}/sockgate`, { method: "POST", headers, body: sent.body });
  await answer.text();
  return answer.status;
}

const forgeries = {
  "without a signature": (request) => ({ ...request, signature: undefined }),
  "with a signature that is none": (request) => ({ ...request, signature: "v1,x y" }),
  "with another body": (request) => ({ ...request, body: request.body.replace("Mallory", "Malfoy") }),
  "with another id": (request) => ({ ...request, id: "evt_2" }),
  "of an hour ago": ({ id, timestamp, body }) =>
    ({ id, timestamp: timestamp - 3600, signature: signature(id, timestamp - 3600, body), body }),
};

async function refusesForgeries(port) {
  assert.equal(await send(port), 200, "a request that is signed is answered");
  for (const [name, forge] of Object.entries(forgeries)) assert.equal(await send(port, forge), 400, name);
}

for (const [language, backend] of Object.entries(backends)) {
  describe(`the backend in ${language}`, { timeout: 60_000 }, () => {
    let port;
    let gateway;
    let program;

    before(async () => {
      port = await freePort();
      gateway = await Gateway.start(config, { ...secrets, SOCKGATE__UPSTREAM__APP__URL: `http://127.0.0.1:${port}/sockgate` });
      program = await start(backend, port, gateway.api);
    });
    afterEach(closeAll);
    after(async () => {
      await gateway?.stop();
      await program?.stop();
    });

    /** Somebody who has joined and is upgraded; `welcome` is what they saw first. */
    async function person(name, room) {
      const socket = client(gateway, "upgrade", { auth: { name, room } });
      const [welcome] = await next(socket, "welcome");
      const { engine } = socket.io;
      if (engine.transport.name !== "websocket") await next(engine, "upgrade");
      return { socket, welcome };
    }
    const ask = (socket, ...words) => socket.timeout(5000).emitWithAck(...words);

    test("people meet, speak, change rooms, hear an announcement and leave", async () => {
      const { socket: ann, welcome } = await person("Ann");
      assert.deepEqual(welcome, { room: "general", people: ["Ann"], history: [] });
      const joined = next(ann, "joined");
      const { socket: bob, welcome: seen } = await person("Bob");
      assert.deepEqual(seen.people, ["Ann", "Bob"]);
      assert.deepEqual(await joined, [{ name: "Bob", people: ["Ann", "Bob"] }]);

      const heard = [];
      bob.on("message", (message) => heard.push(message));
      const arrives = next(bob, "message");
      const acknowledged = await ask(ann, "message", "héllo 😀");
      assert.equal(acknowledged.from, "Ann");
      assert.equal(acknowledged.text, "héllo 😀");
      assert.match(acknowledged.id, /^evt_/);
      assert.deepEqual(await arrives, [acknowledged]);

      const left = next(ann, "left");
      assert.deepEqual(await ask(bob, "room", "random"), { room: "random", people: ["Bob"], history: [] });
      assert.deepEqual(await left, [{ name: "Bob", people: ["Ann"] }]);
      await ask(ann, "message", "only here");

      const both = [next(ann, "message"), next(bob, "message")];
      const headers = { "content-type": "application/json" };
      const posted = { method: "POST", headers, body: JSON.stringify({ text: "tea is ready" }) };
      assert.equal((await fetch(`http://127.0.0.1:${port}/announce`, posted)).status, 200);
      const announcement = { from: "announcement", text: "tea is ready" };
      assert.deepEqual(await Promise.all(both), [[announcement], [announcement]]);
      assert.deepEqual(heard, [acknowledged, announcement]);

      const back = next(ann, "joined");
      assert.deepEqual((await ask(bob, "room", "general")).history.map(({ text }) => text), ["héllo 😀", "only here"]);
      assert.deepEqual(await back, [{ name: "Bob", people: ["Ann", "Bob"] }]);
      const gone = next(ann, "left");
      bob.disconnect();
      assert.deepEqual(await gone, [{ name: "Bob", people: ["Ann"] }]);
    });

    test("who is typing is passed on without a question", async () => {
      const [{ socket: ann }, { socket: bob }] = [await person("Ann", "help"), await person("Bob", "help")];
      const typing = next(bob, "typing");
      ann.emit("typing", true);
      assert.deepEqual(await typing, [true, { socket: ann.id, user: "Ann" }]);
    });

    test("what cannot be done is refused", async () => {
      for (const auth of [undefined, { name: 7 }, { name: "" }, { name: "x".repeat(25) }]) {
        const socket = client(gateway, "websocket", { auth });
        const [error] = await next(socket, "connect_error");
        assert.equal(error.message, "a name has 1 to 24 characters");
        assert.deepEqual(error.data, { code: "NAME_INVALID" });
      }
      const { socket } = await person("Ann", "help");
      for (const words of [["message"], ["message", " "], ["message", {}], ["room", "cellar"], ["room"]]) {
        assert.deepEqual(await ask(socket, ...words), { error: "this cannot be done" });
      }
    });

    test("a restart of the backend loses nobody", async () => {
      const { socket: ann } = await person("Ann", "random");
      const { socket: bob } = await person("Bob", "random");
      const { id } = ann;
      await program.stop();
      program = await start(backend, port, gateway.api);
      const arrives = next(bob, "message");
      const message = await ask(ann, "message", "still here");
      assert.equal(message.from, "Ann");
      assert.deepEqual(await arrives, [message]);
      assert.equal(ann.id, id);
    });

    test("what the gateway did not sign is refused, and only the check refuses it", async () => {
      await refusesForgeries(port);
      const folder = mkdtempSync(join(tmpdir(), "sockgate-"));
      const file = join(folder, backend.file.split("/").at(-1));
      const text = readFileSync(backend.file, "utf8");
      const unchecked = text.replace(/webhook\.verify\(.*\)/, "0");
      assert.notEqual(unchecked, text);
      writeFileSync(file, unchecked);
      if (language === "node") symlinkSync(join(dirname(backend.file), "node_modules"), join(folder, "node_modules"));
      const other = await freePort();
      const open = await start({ ...backend, file }, other, gateway.api);
      try {
        await assert.rejects(refusesForgeries(other), assert.AssertionError);
        for (const [name, forge] of Object.entries(forgeries)) assert.equal(await send(other, forge), 200, name);
      } finally {
        await open.stop();
        rmSync(folder, { recursive: true });
      }
    });
  });
}
