// How conversations end, as the client, the backend and the other namespaces of the connection see it (contract 6).
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, test } from "node:test";
import { Backend } from "./backend.mjs";
import { closeAll, connected, next, WAYS } from "./client.mjs";
import { Gateway, namespace } from "./gateway.mjs";

for (const way of Object.keys(WAYS)) {
  describe(`disconnect by ${way}`, { timeout: 60_000 }, () => {
    let backend;
    let gateway;

    beforeEach(async () => {
      // The argument of an event is the reply to it.
      backend = await Backend.start(({ type, args }) => (type === "event" ? (args[0] ?? {}) : {}));
      gateway = await Gateway.start(backend.upstream + namespace("/") + namespace("/chat"));
    });
    afterEach(async () => {
      closeAll();
      await gateway.stop();
      await backend.stop();
    });

    /** Sockets of `/` and `/chat` on one connection. */
    const two = async () => {
      const shared = { forceNew: false, multiplex: true };
      const main = await connected(gateway, way, shared);
      const chat = await connected(gateway, way, shared, "/chat");
      assert.equal(main.io, chat.io);
      return [main, chat];
    };

    /** What the backend is told about the end of the socket with this id. */
    const notice = async (id) => {
      const { reason, initiator, seq } = await backend.seen(({ type, socket }) => type === "disconnect" && socket.id === id);
      return { reason, initiator, seq };
    };

    const alive = async (socket) => assert.equal(await socket.timeout(5000).emitWithAck("echo", "alive"), "alive");

    test("a client leaves one namespace and keeps the other", async () => {
      const [main, chat] = await two();
      const { id } = chat;
      await chat.timeout(5000).emitWithAck("ask");
      const gone = next(chat, "disconnect");
      chat.disconnect();
      assert.equal((await gone)[0], "io client disconnect");
      assert.equal(chat.active, false);
      assert.deepEqual(await notice(id), { reason: "client namespace disconnect", initiator: "client", seq: 2 });
      await alive(main);
      chat.connect();
      await next(chat, "connect");
      assert.notEqual(chat.id, id);
      await alive(chat);
    });

    test("what a client said before it left is asked before its end is told", async () => {
      const socket = await connected(gateway, way);
      const { id } = socket;
      for (let n = 0; n < 50; n++) socket.emit("count", {}, n);
      socket.disconnect();
      assert.deepEqual(await notice(id), { reason: "client namespace disconnect", initiator: "client", seq: 51 });
      const told = backend.requests.map(({ type, args }) => (type === "event" ? args[1] : type));
      assert.deepEqual(told, ["connect", ...Array.from({ length: 50 }, (_, n) => n), "disconnect"]);
    });

    test("a client whose transport closes comes back by itself", async () => {
      const [main, chat] = await two();
      const ids = [main.id, chat.id];
      const gone = [main, chat].map((socket) => next(socket, "disconnect"));
      main.io.engine.close();
      for (const [reason] of await Promise.all(gone)) assert.equal(reason, "forced close");
      for (const id of ids) assert.deepEqual(await notice(id), { reason: "transport close", initiator: "client", seq: 1 });
      for (const socket of [main, chat]) {
        if (!socket.connected) await next(socket, "connect");
        await alive(socket);
      }
    });

    test("a disconnect by the backend is final, until the application calls connect", async () => {
      const [main, chat] = await two();
      const { id } = chat;
      const gone = next(chat, "disconnect");
      chat.emit("end", { actions: [{ type: "disconnect", reason: "banned" }] });
      assert.equal((await gone)[0], "io server disconnect");
      assert.equal(chat.active, false);
      assert.deepEqual(await notice(id), { reason: "server namespace disconnect", initiator: "server", seq: 2 });
      await alive(main);
      chat.connect();
      await next(chat, "connect");
      await alive(chat);
    });

    test("the backend closes every namespace of a connection", async () => {
      const [main, chat] = await two();
      const ids = [main.id, chat.id];
      const gone = [main, chat].map((socket) => next(socket, "disconnect"));
      chat.emit("end", { actions: [{ type: "disconnect", close: true }] });
      for (const [reason] of await Promise.all(gone)) assert.equal(reason, "io server disconnect");
      assert.deepEqual([main.active, chat.active], [false, false]);
      for (const id of ids) {
        const { reason, initiator } = await notice(id);
        assert.deepEqual([reason, initiator], ["server namespace disconnect", "server"]);
      }
    });

    test("the backend sends a connection away to come back, with all its namespaces", async () => {
      const [main, chat] = await two();
      const ids = [main.id, chat.id];
      const gone = [main, chat].map((socket) => next(socket, "disconnect"));
      chat.emit("end", { actions: [{ type: "disconnect", reconnect: true }] });
      for (const [reason] of await Promise.all(gone)) assert.equal(reason, "transport close");
      assert.deepEqual([main.active, chat.active], [true, true]);
      for (const id of ids) {
        const { reason, initiator } = await notice(id);
        assert.deepEqual([reason, initiator], ["forced server close", "server"]);
      }
      for (const socket of [main, chat]) {
        if (!socket.connected) await next(socket, "connect");
        await alive(socket);
      }
    });

    test("a goodbye arrives before the end", async () => {
      const socket = await connected(gateway, way);
      const heard = [];
      const gone = next(socket, "disconnect");
      socket.on("bye", (...args) => heard.push(args));
      const bye = { type: "emit", event: "bye", args: ["see you"] };
      socket.emit("end", { ack: ["acked"], actions: [bye, { type: "disconnect" }] }, (ack) => heard.push(ack));
      await gone;
      assert.deepEqual(heard, ["acked", ["see you"]]);
    });

    test("each accepted socket has exactly one notice, whoever ended it", async () => {
      const ids = [];
      const ends = [
        (socket) => socket.disconnect(),
        (socket) => socket.io.engine.close(),
        (socket) => socket.emit("end", { actions: [{ type: "disconnect" }] }),
        (socket) => socket.emit("end", { actions: [{ type: "disconnect", close: true }] }),
        (socket) => socket.emit("end", { actions: [{ type: "disconnect", reconnect: true }] }),
      ];
      for (const end of ends) {
        const socket = await connected(gateway, way, { reconnection: false });
        ids.push(socket.id);
        const gone = next(socket, "disconnect");
        end(socket);
        await gone;
      }
      for (const id of ids) await notice(id);
      const told = backend.requests.filter(({ type }) => type === "disconnect").map(({ socket }) => socket.id);
      assert.deepEqual(told.toSorted(), ids.toSorted());
    });
  });
}
