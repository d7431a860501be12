// Who gets what: rooms, users and volatile emits, with members that travel in every way.
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, test } from "node:test";
import { Backend } from "./backend.mjs";
import { closeAll, connected, next, WAYS } from "./client.mjs";
import { Gateway, namespace } from "./gateway.mjs";

const ways = Object.keys(WAYS);

describe("rooms", { timeout: 60_000 }, () => {
  let backend;
  let gateway;

  beforeEach(async () => {
    // `auth` of a client is the reply to its connect, the argument of `act` is that to the event.
    backend = await Backend.start(({ type, request, args }) => (type === "connect" ? request.auth : (args?.[0] ?? {})));
    const typing = '[[namespace.route]]\nevent = "typing"\nrelay = { to = "rooms", prefix = "doc:", stamp = true, volatile = true }\n';
    const main = namespace("/").replace("[[namespace.route]]", `${typing}[[namespace.route]]`);
    gateway = await Gateway.start(backend.upstream + main + namespace("/chat"));
  });
  afterEach(async () => {
    closeAll();
    await gateway.stop();
    await backend.stop();
  });

  /** What the client hears from now on: `[event, ...arguments]` of each. */
  const hears = (socket) => {
    const heard = [];
    socket.onAny((...what) => heard.push(what));
    return heard;
  };

  /** The backend's actions; done when all clients have got everything that was sent before. */
  const act = async (socket, actions, everybody, attachments) => {
    const reply = { ack: [], actions, ...(attachments && { attachments }) };
    await socket.timeout(5000).emitWithAck("act", reply);
    const fenced = everybody.map((one) => next(one, "fence"));
    const fence = { type: "emit", event: "fence", to: { all: true } };
    socket.emit("act", { actions: [fence, { ...fence, namespace: "/chat" }] });
    await Promise.all(fenced);
    return everybody.length;
  };

  const without = (heard, ...events) => heard.filter(([event]) => !["fence", ...events].includes(event));

  const members = (rooms, namespace = "") => ways.map((way) => connected(gateway, way, { auth: { rooms } }, namespace));

  test("an emit reaches every member once, whatever the transport, and nobody else", async () => {
    const a = await Promise.all(members(["a"]));
    const both = await Promise.all(members(["a", "b"]));
    const b = await Promise.all(members(["b"]));
    const outside = await Promise.all(members([]));
    const elsewhere = await Promise.all(members(["a", "b"], "/chat"));
    const everybody = [a, both, b, outside, elsewhere].flat();
    const heard = everybody.map(hears);
    const [sender] = both;
    const news = { type: "emit", event: "news", args: [{ n: 1 }, "é"], to: { rooms: ["a", "b"] }, except: { self: true } };
    await act(sender, [news], everybody);
    const inside = new Set([a, both, b].flat());
    inside.delete(sender);
    everybody.forEach((socket, n) => {
      assert.deepEqual(without(heard[n]), inside.has(socket) ? [["news", { n: 1 }, "é"]] : []);
    });
  });

  test("exceptions win over every other target", async () => {
    const [first, second, third] = await Promise.all(members(["a"]));
    const everybody = [first, second, third];
    const heard = everybody.map(hears);
    const to = { rooms: ["a"], sockets: [second.id] };
    await act(first, [{ type: "emit", event: "news", to, except: { sockets: [second.id] } }], everybody);
    assert.deepEqual(heard.map((one) => without(one)), [[["news"]], [], [["news"]]]);
  });

  test("bytes reach every member unchanged", async () => {
    const everybody = await Promise.all(members(["a"]));
    const bytes = Buffer.from(Array.from({ length: 1000 }, (_, n) => n & 255));
    const arrived = everybody.map((socket) => next(socket, "file"));
    const file = { _placeholder: true, num: 0 };
    const emit = { type: "emit", event: "file", args: ["a.bin", file, { again: file }], to: { rooms: ["a"] } };
    await act(everybody[0], [emit], everybody, [bytes.toString("base64")]);
    for (const [name, first, { again }] of await Promise.all(arrived)) {
      assert.equal(name, "a.bin");
      assert.deepEqual(Buffer.from(first), bytes);
      assert.deepEqual(Buffer.from(again), bytes);
    }
  });

  test("who joins hears from then on, who leaves hears no more", async () => {
    const everybody = await Promise.all(members([]));
    const [, , mover] = everybody;
    const heard = hears(mover);
    const emit = (n) => ({ type: "emit", event: "n", args: [n], to: { rooms: ["a"] } });
    const to = { sockets: [mover.id] };
    const join = { type: "join", rooms: ["a"], to };
    const leave = { type: "leave", rooms: ["a"], to };
    await act(everybody[0], [emit(1), join, emit(2), emit(3), leave, emit(4), join, emit(5)], everybody);
    assert.deepEqual(without(heard), [["n", 2], ["n", 3], ["n", 5]]);
  });

  test("a user is reached on every device", async () => {
    const devices = await Promise.all(ways.map((way) => connected(gateway, way, { auth: { user: "42" } })));
    const other = await connected(gateway, "websocket", { auth: { user: "7" } });
    const heard = [...devices, other].map(hears);
    await act(other, [{ type: "emit", event: "mail", args: [1], to: { users: ["42"] } }], [...devices, other]);
    assert.deepEqual(heard.map((one) => without(one)), [...devices.map(() => [["mail", 1]]), []]);
  });

  test("who logs in later is reached as that user", async () => {
    const guest = await connected(gateway, "upgrade");
    await guest.timeout(5000).emitWithAck("act", { user: 42, ack: [] });
    const other = await connected(gateway, "polling");
    const heard = hears(guest);
    await act(other, [{ type: "emit", event: "mail", to: { users: ["42"] } }], [guest, other]);
    assert.deepEqual(without(heard), [["mail"]]);
  });

  test("a relay to the rooms of the sender bears a stamp that no client can forge", async () => {
    const [writer, reader] = await Promise.all(ways.slice(1).map((way) => connected(gateway, way, { auth: { user: "u", rooms: ["doc:1", "x"] } })));
    const stranger = await connected(gateway, "websocket", { auth: { rooms: ["x"] } });
    const heard = [writer, reader, stranger].map(hears);
    writer.emit("typing", { socket: "forged" });
    await next(reader, "typing");
    await act(writer, [], [writer, reader, stranger]);
    const stamped = ["typing", { socket: "forged" }, { socket: writer.id, user: "u" }];
    assert.deepEqual(heard.map((one) => without(one)), [[], [stamped], []]);
  });

  test("what an ack and actions were written in is the order in which they arrive", async () => {
    for (const way of ways) {
      const socket = await connected(gateway, way);
      const order = [];
      const done = next(socket, "second");
      socket.onAny((event) => order.push(event));
      const emit = (event, volatile = false) => ({ type: "emit", event, volatile });
      const reply = { actions: [emit("first"), { type: "ack", args: ["ack"] }, emit("second")] };
      socket.emit("act", reply, (ack) => order.push(ack));
      await done;
      assert.deepEqual(order, ["first", "ack", "second"], way);
    }
  });

  test("a volatile emit reaches a WebSocket that takes what it is sent", async () => {
    for (const way of ["websocket", "upgrade"]) {
      const socket = await connected(gateway, way);
      const heard = hears(socket);
      const volatile = (n) => ({ type: "emit", event: "position", args: [n], volatile: true });
      await act(socket, [volatile(1), volatile(2)], [socket]);
      assert.deepEqual(without(heard), [["position", 1], ["position", 2]], way);
    }
  });
});
