// Nobody is lost when a backend or a gateway goes away and comes back.
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, test } from "node:test";
import { Backend } from "./backend.mjs";
import { client, closeAll, connected, next, WAYS } from "./client.mjs";
import { Gateway, namespace } from "./gateway.mjs";

const ways = Object.keys(WAYS);

/** So many clients, each way taking its turn, connected thirty at a time. */
async function crowd(gateway, size, options) {
  const sockets = [];
  while (sockets.length < size) {
    const some = Array.from({ length: Math.min(30, size - sockets.length) }, (_, n) => ways[n % ways.length]);
    sockets.push(...(await Promise.all(some.map((way) => connected(gateway, way, options)))));
  }
  return sockets;
}

/** Everything that a client could take for a failure. */
function troubles(sockets) {
  const heard = [];
  for (const socket of sockets) {
    socket.on("disconnect", (reason) => heard.push(reason));
    socket.on("connect_error", ({ message }) => heard.push(message));
  }
  return heard;
}

describe("restarts", { timeout: 120_000 }, () => {
  let backend;
  let gateway;

  const start = async (keys = "") => {
    gateway = await Gateway.start(`${keys}\n${backend.upstream}connect_timeout = "1s"\n${namespace("/")}`);
  };
  beforeEach(async () => {
    backend = await Backend.start();
  });
  afterEach(async () => {
    closeAll();
    await gateway.stop();
    await backend.stop();
  });

  test("a backend is killed under two thousand clients, and none is lost", async () => {
    await start();
    const sockets = await crowd(gateway, 2000);
    const heard = troubles(sockets);
    await backend.stop();
    // They speak into the void, and are still served by the gateway itself.
    for (const socket of sockets) socket.emit("unheard");
    const echoes = sockets.map((socket, n) => next(socket, "echo", 30_000).then(([m]) => assert.equal(m, n)));
    sockets.forEach((socket, n) => socket.emit("echo", n));
    await Promise.all(echoes);
    const waiting = client(gateway, "websocket");
    const refused = troubles([waiting]);
    backend.answer = ({ type }) =>
      type === "connect" ? { actions: [{ type: "emit", event: "news", args: ["back"], to: { all: true } }] } : {};
    const news = sockets.map((socket) => next(socket, "news", 60_000));
    await backend.startAgain();
    await next(waiting, "connect", 60_000);
    for (const [text] of await Promise.all(news)) assert.equal(text, "back");
    // While it is known that no namespace can be decided, handshakes are refused: newcomers try again.
    for (const message of refused) assert.equal(message, "websocket error");
    assert.deepEqual(heard, []);
    assert.equal(backend.requests.filter(({ type }) => type === "disconnect").length, 0);
  });

  test("a gateway is killed under three hundred clients, and all come back", async () => {
    await start();
    const sockets = await crowd(gateway, 300);
    const before = new Set(sockets.map(({ id }) => id));
    const gone = sockets.map((socket) => next(socket, "disconnect"));
    const back = sockets.map((socket) => next(socket, "connect", 60_000));
    await gateway.end();
    for (const [reason] of await Promise.all(gone)) assert.match(reason, /^transport (close|error)$/);
    await gateway.launch();
    await Promise.all(back);
    const answers = await Promise.all(sockets.map((socket, n) => socket.timeout(30_000).emitWithAck("echo", n)));
    assert.deepEqual(answers, sockets.map((_, n) => n));
    const after = new Set(sockets.map(({ id }) => id));
    assert.equal(after.size, 300);
    assert.equal(after.isDisjointFrom?.(before) ?? [...after].every((id) => !before.has(id)), true);
  });

  test("a gateway is drained, another takes its place, and everything that was said is heard", async () => {
    const COUNT = 200;
    const heard = new Map();
    backend.answer = ({ type, args }) => {
      if (type !== "event") return {};
      const [who, n] = args;
      heard.set(who, [...(heard.get(who) ?? []), n]);
      return { ack: [n] };
    };
    await start('drain = { delay = "200ms", spread = "1s", hard_stop = "20s" }');
    // `retries`: the client itself sends again what was not acknowledged, in order, one at a time.
    const sockets = await crowd(gateway, 30, { retries: 1000, ackTimeout: 5000 });
    const gone = sockets.map((socket) => next(socket, "disconnect"));
    const acked = sockets.map((socket, who) =>
      Promise.all(Array.from({ length: COUNT }, (_, n) => socket.emitWithAck("say to the backend", who, n))),
    );
    await backend.seen(({ args }) => args?.[1] === 20);
    const exit = gateway.end("SIGTERM");
    // A POST that is under way when its session ends is an error to the client.
    for (const [reason] of await Promise.all(gone)) assert.match(reason, /^transport (close|error)$/);
    assert.deepEqual(await exit, [0, null]);
    const notices = backend.requests.filter(({ type }) => type === "disconnect");
    assert.equal(notices.length, sockets.length);
    for (const { reason, initiator } of notices) assert.deepEqual([reason, initiator], ["server shutting down", "gateway"]);
    await gateway.launch();
    const all = Array.from({ length: COUNT }, (_, n) => n);
    for (const acks of await Promise.all(acked)) assert.deepEqual(acks, all);
    // At least once, and in order.
    for (const [who, said] of heard) {
      assert.deepEqual([...new Set(said)], all, `client ${who}`);
      assert.deepEqual(said, said.toSorted((a, b) => a - b), `client ${who}`);
    }
    assert.equal(heard.size, sockets.length);
  });

  test("a gateway that drains turns newcomers away for now, not for good", async () => {
    await start('drain = { delay = "0s", spread = "20s", hard_stop = "60s" }');
    const sockets = await crowd(gateway, 30);
    const first = Promise.race(sockets.map((socket) => next(socket, "disconnect", 60_000)));
    const exit = gateway.end("SIGTERM");
    await first;
    const newcomers = ways.map((way) => client(gateway, way));
    for (const [error] of await Promise.all(newcomers.map((one) => next(one, "connect_error")))) {
      assert.match(error.message, /^(xhr poll|websocket) error$/);
    }
    assert.deepEqual(newcomers.map(({ active }) => active), [true, true, true]);
    gateway.child.kill("SIGTERM");
    await exit;
    const back = [...sockets, ...newcomers].map((socket) => socket.connected || next(socket, "connect", 60_000));
    await gateway.launch();
    await Promise.all(back);
    for (const one of newcomers) assert.equal(await one.timeout(5000).emitWithAck("echo", "in"), "in");
  });

  test("what clients say while the gateway is away is heard when it is back", async () => {
    await start();
    for (const way of ways) {
      const socket = await connected(gateway, way);
      const gone = next(socket, "disconnect");
      await gateway.end();
      await gone;
      const acked = [1, 2].map((n) => socket.timeout(30_000).emitWithAck("said", way, n));
      await gateway.launch();
      await Promise.all(acked);
      const said = backend.requests.filter(({ args }) => args?.[0] === way).map(({ args }) => args[1]);
      assert.deepEqual(said, [1, 2]);
      closeAll();
    }
  });
});
