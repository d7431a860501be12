// The official JavaScript client against the gateway. What arrived is asserted, never only that no error came.
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, test } from "node:test";
import { Backend } from "./backend.mjs";
import { client, closeAll, connected, next, WAYS } from "./client.mjs";
import { Gateway, namespace } from "./gateway.mjs";

const transportOf = { polling: "polling", websocket: "websocket", upgrade: "websocket" };

for (const way of Object.keys(WAYS)) {
  describe(`by ${way}`, { timeout: 60_000 }, () => {
    let backend;
    let gateway;

    beforeEach(async () => {
      backend = await Backend.start();
      gateway = await Gateway.start(backend.upstream + namespace("/") + namespace("/chat"));
    });
    afterEach(async () => {
      closeAll();
      await gateway.stop();
      await backend.stop();
    });

    test("connects, with an id of its own and the transport that was asked for", async () => {
      const socket = await connected(gateway, way, { auth: { token: "t" } });
      assert.match(socket.id, /^[A-Za-z0-9_-]{20}$/);
      assert.notEqual(socket.id, socket.io.engine.id);
      assert.equal(socket.io.engine.transport.name, transportOf[way]);
      const [{ request, socket: told }] = backend.requests;
      assert.deepEqual(request.auth, { token: "t" });
      assert.equal(told.id, socket.id);
    });

    test("sends and gets every kind of value", async () => {
      const socket = await connected(gateway, way);
      const values = [1, -0.5, "text é 😀 \u2028 \u001e", true, null, [], {}, { deep: [{ er: [1, [2]] }] }, ""];
      socket.emit("echo", ...values);
      assert.deepEqual(await next(socket, "echo"), values);
    });

    test("sends and gets bytes anywhere in the arguments", async () => {
      const socket = await connected(gateway, way);
      const bytes = Buffer.from(Array.from({ length: 256 }, (_, n) => n));
      socket.emit("echo", bytes, { deep: [bytes, { er: Buffer.alloc(0) }] }, "text");
      const [first, { deep }, text] = await next(socket, "echo");
      assert.deepEqual(Buffer.from(first), bytes);
      assert.deepEqual(Buffer.from(deep[0]), bytes);
      assert.equal(deep[1].er.length, 0);
      assert.equal(text, "text");
    });

    test("bytes go through the backend and back", async () => {
      backend.answer = ({ type, args, attachments }) => (type === "event" ? { ack: args, attachments } : {});
      const socket = await connected(gateway, way);
      const [name, bytes] = await new Promise((resolve, reject) => {
        const answered = (error, ...args) => (error ? reject(error) : resolve(args));
        socket.timeout(5000).emit("upload", "a.png", Buffer.from([1, 2, 3]), answered);
      });
      assert.equal(name, "a.png");
      assert.deepEqual(Buffer.from(bytes), Buffer.from([1, 2, 3]));
      assert.deepEqual(backend.requests.find(({ type }) => type === "event").attachments, ["AQID"]);
    });

    test("an acknowledgement of the backend reaches the callback", async () => {
      backend.answer = ({ type, args }) => (type === "event" ? { ack: [{ got: args }] } : {});
      const socket = await connected(gateway, way);
      assert.deepEqual(await socket.timeout(5000).emitWithAck("ask", 1, "two"), { got: [1, "two"] });
      assert.equal(await socket.timeout(5000).emitWithAck("echo", "edge"), "edge");
    });

    test("a failing backend is no acknowledgement: the client's own timeout fires, and it stays", async () => {
      backend.answer = ({ type }) => (type === "event" ? 500 : {});
      const socket = await connected(gateway, way);
      await assert.rejects(socket.timeout(300).emitWithAck("ask"), /timed out/);
      assert.equal(await socket.timeout(5000).emitWithAck("echo", "still here"), "still here");
    });

    test("a client acknowledges an emit of the backend", async () => {
      const socket = await connected(gateway, way);
      socket.on("confirm", (question, ack) => ack({ answer: question.toUpperCase() }, Buffer.from([7])));
      const { status, body } = await gateway.post("/emit", {
        event: "confirm",
        args: ["delete?"],
        to: { sockets: [socket.id] },
        ack: { timeout_ms: 5000 },
      });
      assert.equal(status, 200, JSON.stringify(body));
      assert.equal(body.complete, true);
      assert.deepEqual(body.acks[0].args[0], { answer: "DELETE?" });
      assert.deepEqual(body.attachments, ["Bw=="]);
    });

    test("an emit over REST reaches who it is for and nobody else", async () => {
      const a = await connected(gateway, way);
      const b = await connected(gateway, way);
      const heard = [];
      b.onAny((event) => heard.push(event));
      const news = next(a, "news");
      const { status } = await gateway.post("/emit", { event: "news", args: [{ id: 1 }], to: { sockets: [a.id] } });
      assert.equal(status, 202);
      assert.deepEqual(await news, [{ id: 1 }]);
      b.emit("echo");
      await next(b, "echo");
      assert.deepEqual(heard, ["echo"]);
    });

    test("two namespaces share one connection and are apart", async () => {
      const main = await connected(gateway, way, { forceNew: false, multiplex: true });
      const chat = await connected(gateway, way, { forceNew: false, multiplex: true }, "/chat");
      assert.equal(main.io, chat.io);
      const chatId = chat.id;
      assert.notEqual(main.id, chatId);
      chat.emit("echo", "in chat");
      assert.deepEqual(await next(chat, "echo"), ["in chat"]);
      chat.disconnect();
      main.emit("echo", "main goes on");
      assert.deepEqual(await next(main, "echo"), ["main goes on"]);
      const ours = backend.requests.filter(({ type, socket }) => type === "connect" && [main.id, chatId].includes(socket.id));
      assert.equal(ours.length, 2);
      assert.equal(ours[0].socket.connection, ours[1].socket.connection);
    });

    test("an unknown namespace is refused and not tried again", async () => {
      const socket = client(gateway, way, {}, "/nowhere");
      const [error] = await next(socket, "connect_error");
      assert.equal(error.message, "Invalid namespace");
      assert.equal(socket.active, false);
    });

    test("a refusal of the backend is told with its data, and a new token is let in", async () => {
      backend.answer = ({ type, request }) =>
        type === "connect" && request.auth.token !== "fresh"
          ? { reject: { message: "not authorized", data: { code: "TOKEN_EXPIRED" } } }
          : {};
      const socket = client(gateway, way, { auth: { token: "stale" } });
      const [error] = await next(socket, "connect_error");
      assert.equal(error.message, "not authorized");
      assert.deepEqual(error.data, { code: "TOKEN_EXPIRED" });
      assert.equal(socket.active, false);
      socket.auth = { token: "fresh" };
      socket.connect();
      await next(socket, "connect");
    });

    test("a relay reaches the others and not the sender", async () => {
      const a = await connected(gateway, way);
      const b = await connected(gateway, way);
      const heard = [];
      a.onAny((event) => heard.push(event));
      a.emit("say", "hi", Buffer.from([1]));
      const [text, bytes] = await next(b, "say");
      assert.equal(text, "hi");
      assert.deepEqual(Buffer.from(bytes), Buffer.from([1]));
      a.emit("echo");
      await next(a, "echo");
      assert.deepEqual(heard, ["echo"]);
    });

    test("a disconnect by the backend is final, one with reconnect is not", async () => {
      backend.answer = ({ type, args }) => (type === "event" ? { actions: [{ type: "disconnect", ...args[0] }] } : {});
      const final = await connected(gateway, way);
      final.emit("end", {});
      assert.equal((await next(final, "disconnect"))[0], "io server disconnect");
      assert.equal(final.active, false);
      const back = await connected(gateway, way);
      const before = back.id;
      back.emit("end", { reconnect: true });
      assert.equal((await next(back, "disconnect"))[0], "transport close");
      assert.equal(back.active, true);
      await next(back, "connect");
      assert.notEqual(back.id, before);
    });

    test("5,000 events arrive in order, there and back", { timeout: 50_000 }, async () => {
      const COUNT = 5000;
      const socket = await connected(gateway, way);
      const arrived = [];
      const all = new Promise((resolve) => {
        socket.on("echo", (n) => {
          arrived.push(n);
          if (arrived.length === COUNT) resolve();
        });
      });
      for (let n = 0; n < COUNT; n++) socket.emit("echo", n);
      await all;
      assert.deepEqual(arrived, Array.from({ length: COUNT }, (_, n) => n));
    });

    test("5,000 events reach the backend in order", { timeout: 50_000 }, async () => {
      const COUNT = 5000;
      const socket = await connected(gateway, way);
      for (let n = 0; n < COUNT; n++) socket.emit("count", n);
      await socket.timeout(45_000).emitWithAck("end");
      const counted = backend.requests.filter(({ event }) => event === "count").map(({ args }) => args[0]);
      assert.deepEqual(counted, Array.from({ length: COUNT }, (_, n) => n));
    });

    test("900 kB of text and of bytes arrive unchanged", async () => {
      const socket = await connected(gateway, way);
      const text = "é".repeat(450_000);
      socket.emit("echo", text);
      const [back] = await next(socket, "echo");
      assert.equal(back === text, true);
      // Base64 makes four bytes of three, so by polling less fits into a body.
      const bytes = Buffer.alloc(way === "polling" ? 700_000 : 900_000, 0xa5);
      socket.emit("echo", bytes);
      const [again] = await next(socket, "echo");
      assert.equal(Buffer.from(again).equals(bytes), true);
    });

    test("while the backend is away clients stay, and new ones are let in when it is back", async () => {
      const socket = await connected(gateway, way);
      let lost = 0;
      socket.on("disconnect", () => lost++);
      await backend.stop();
      const waiting = client(gateway, way);
      let refused = 0;
      waiting.on("connect_error", () => refused++);
      await assert.rejects(socket.timeout(500).emitWithAck("ask"), /timed out/);
      await backend.startAgain();
      await next(waiting, "connect");
      assert.equal(refused, 0);
      for (;;) {
        try {
          await socket.timeout(1000).emitWithAck("ask");
          break;
        } catch {
          // Until the gateway has found the backend again.
        }
      }
      assert.equal(lost, 0);
    });

    test("after a restart of the gateway every client comes back by itself, with what it had to say", async () => {
      const sockets = [await connected(gateway, way), await connected(gateway, way)];
      const ids = sockets.map(({ id }) => id);
      const gone = Promise.all(sockets.map((socket) => next(socket, "disconnect")));
      await gateway.end();
      for (const [reason] of await gone) assert.match(reason, /^transport (close|error)$/);
      sockets[0].emit("echo", "said while away");
      const heard = next(sockets[0], "echo");
      const back = Promise.all(sockets.map((socket) => next(socket, "connect")));
      await gateway.launch();
      await back;
      sockets.forEach(({ id }, n) => assert.notEqual(id, ids[n]));
      assert.deepEqual(await heard, ["said while away"]);
    });

    test("a drain lets clients come back, and the process ends well", async () => {
      const socket = await connected(gateway, way);
      const gone = next(socket, "disconnect");
      const exit = gateway.end("SIGINT");
      assert.equal((await gone)[0], "transport close");
      assert.equal(socket.active, true);
      assert.deepEqual(await exit, [0, null]);
      const back = next(socket, "connect");
      await gateway.launch();
      await back;
    });
  });
}
