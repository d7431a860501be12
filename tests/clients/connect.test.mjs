// What the backend answers to `connect`, and what the unmodified client then does (contract 3 and 13).
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, test } from "node:test";
import { Backend } from "./backend.mjs";
import { client, closeAll, connected, next, WAYS } from "./client.mjs";
import { Gateway, namespace } from "./gateway.mjs";

const respond = (status, headers, body) => (_, response) => response.writeHead(status, headers).end(body);
const json = { "content-type": "application/json" };
const html = { "content-type": "text/html" };
const refusal = JSON.stringify({ reject: { message: "no seat", data: { left: 0 } } });
const never = new Promise(() => {});

const ACCEPTS = {
  "200 with an empty object": () => ({}),
  "200 with nothing": respond(200),
  "204": respond(204),
  "201 with what the gateway does not know": respond(201, html, '{"sure":true}'),
};

const UNAUTHORIZED = { message: "unauthorized", data: undefined };
const REFUSES = {
  "401 with nothing": [respond(401), UNAUTHORIZED],
  "403 with a page": [respond(403, html, "<h1>Forbidden</h1>"), UNAUTHORIZED],
  "403 with a refusal": [respond(403, json, refusal), { message: "no seat", data: { left: 0 } }],
  "404 with a refusal": [respond(404, json, refusal), { message: "no seat", data: { left: 0 } }],
  "200 with a refusal": [respond(200, json, refusal), { message: "no seat", data: { left: 0 } }],
};

const NOT_DECISIONS = {
  "404 with a page": respond(404, html, "<h1>Not Found</h1>"),
  "408": respond(408),
  "429": respond(429),
  "429 with a time to wait": respond(429, { "retry-after": "1" }),
  "500": respond(500),
  "500 with a refusal": respond(500, json, refusal),
  "503 with a time to wait": respond(503, { "retry-after": "1" }),
  "a redirect": respond(302, { location: "/elsewhere" }),
  "200 with half an object": respond(200, json, '{"user":'),
  "200 with an unknown action": respond(200, json, '{"actions":[{"type":"shout"}]}'),
  "200 with too many bytes": respond(200, json, JSON.stringify({ padding: "x".repeat(3_000_000) })),
  "an answer cut off": (_, response) => response.writeHead(200, { "content-length": 100 }).write("{", () => response.destroy()),
  "a connection closed without an answer": (_, response) => void response.destroy(),
  "no answer": () => never,
};

for (const way of Object.keys(WAYS)) {
  describe(`connect by ${way}`, { timeout: 60_000 }, () => {
    let backend;
    let gateway;

    beforeEach(async () => {
      backend = await Backend.start();
      const upstream = `${backend.upstream}timeout = "500ms"\nbreaker = { min_requests = 1000 }\n`;
      const closing = namespace("/closing", 'hold = "300ms"');
      const rejecting = namespace("/rejecting", 'hold = "300ms"\non_unavailable = "reject"');
      const forwarding = namespace("/forwarding", 'forward = { headers = ["x-device"], query = ["v"] }');
      gateway = await Gateway.start(upstream + namespace("/") + closing + rejecting + forwarding);
    });
    afterEach(async () => {
      closeAll();
      await gateway.stop();
      await backend.stop();
    });

    for (const [name, answer] of Object.entries(ACCEPTS)) {
      test(`${name} accepts`, async () => {
        backend.answer = answer;
        const socket = await connected(gateway, way);
        assert.equal(socket.active, true);
        assert.equal(backend.requests.length, 1);
      });
    }

    for (const [name, [answer, told]] of Object.entries(REFUSES)) {
      test(`${name} refuses, and the client stays away until the application calls connect`, async () => {
        backend.answer = answer;
        const socket = client(gateway, way);
        const [{ message, data }] = await next(socket, "connect_error");
        assert.deepEqual({ message, data }, told);
        assert.equal(socket.active, false);
        assert.equal(backend.requests.length, 1);
        backend.answer = () => ({});
        socket.connect();
        await next(socket, "connect");
        assert.equal(backend.requests.length, 2);
      });
    }

    test("whatever is no decision is asked again, and the client never learns of it", async () => {
      const asked = {};
      backend.answer = (body, response) => {
        const { name } = body.request?.auth ?? {};
        if (body.type !== "connect") return {};
        asked[name] = [...(asked[name] ?? []), body.socket.id];
        return asked[name].length < 3 ? NOT_DECISIONS[name](body, response) : {};
      };
      const outcomes = Object.keys(NOT_DECISIONS).map(async (name) => {
        const heard = [];
        const socket = client(gateway, way, { auth: { name }, timeout: 60_000 });
        for (const event of ["connect_error", "disconnect"]) socket.on(event, (what) => heard.push(`${event}: ${what}`));
        await next(socket, "connect", 30_000);
        assert.deepEqual(heard, [], name);
        assert.equal(socket.active, true, name);
        assert.deepEqual(asked[name], Array(3).fill(socket.id), name);
      });
      await Promise.all(outcomes);
    });

    test("a backend that stays away closes the transport, so that the client returns by itself", async () => {
      backend.answer = () => 500;
      const socket = client(gateway, way, {}, "/closing");
      const refused = [];
      socket.on("connect_error", ({ message }) => refused.push(message));
      const [reason] = await next(socket, "disconnect");
      assert.equal(reason, "transport close");
      assert.equal(socket.active, true);
      backend.answer = () => ({});
      await next(socket, "connect");
      assert.deepEqual(refused, []);
    });

    test("where the operator wants it, a backend that stays away is told, and when to try again", async () => {
      backend.answer = () => 500;
      const socket = client(gateway, way, {}, "/rejecting");
      const [{ message, data }] = await next(socket, "connect_error");
      assert.equal(message, "unavailable");
      assert.equal(data.code, "unavailable");
      assert.equal(data.retry_after_ms > 0, true, JSON.stringify(data));
      assert.equal(socket.active, false);
      backend.answer = () => ({});
      socket.connect();
      await next(socket, "connect");
    });

    test("a namespace that is refused leaves the others of the connection alone", async () => {
      backend.answer = ({ type, socket }) => (type === "connect" && socket.namespace === "/closing" ? 403 : {});
      const main = await connected(gateway, way, { forceNew: false, multiplex: true });
      const refused = client(gateway, way, { forceNew: false, multiplex: true }, "/closing");
      assert.equal(refused.io, main.io);
      assert.equal((await next(refused, "connect_error"))[0].message, "unauthorized");
      assert.equal(await main.timeout(5000).emitWithAck("echo", "still here"), "still here");
      assert.equal(main.active, true);
      assert.equal(refused.active, false);
    });

    test("an event emitted before the connection is allowed is asked after `connect`", async () => {
      const socket = client(gateway, way);
      const acked = socket.timeout(5000).emitWithAck("early");
      await acked;
      assert.deepEqual(backend.requests.map(({ type }) => type), ["connect", "event"]);
    });

    test("auth is what the function gives at each connection", async () => {
      let calls = 0;
      const auth = (give) => give({ call: ++calls });
      backend.answer = ({ type }) => (type === "event" ? { actions: [{ type: "disconnect", reconnect: true }] } : {});
      const socket = await connected(gateway, way, { auth });
      socket.emit("go and return");
      await next(socket, "connect");
      const given = backend.requests.filter(({ type }) => type === "connect").map(({ request }) => request.auth);
      assert.deepEqual(given, [{ call: 1 }, { call: 2 }]);
    });

    test("a socket ends when its time is over, and comes back with a fresh token", async () => {
      let calls = 0;
      const auth = (give) => give({ call: ++calls });
      backend.answer = ({ request }) =>
        request?.auth.call === 1 ? { expires_at: new Date(Date.now() + 1000).toISOString() } : {};
      const socket = await connected(gateway, way, { auth });
      const [reason] = await next(socket, "disconnect");
      assert.equal(reason, "transport close");
      await next(socket, "connect");
      assert.equal(calls, 2);
      const notice = await backend.seen(({ type }) => type === "disconnect");
      assert.deepEqual([notice.reason, notice.initiator], ["expired", "server"]);
    });

    test("the backend is told the query and the headers that are forwarded, and no others", async () => {
      const options = { query: { v: "3", w: "4" }, extraHeaders: { "X-Device": "d7", "X-Secret": "s" } };
      await connected(gateway, way, options, "/forwarding");
      const [{ request }] = backend.requests;
      assert.deepEqual(request.query, { v: "3" });
      assert.deepEqual(request.headers, { "x-device": "d7" });
      assert.equal(request.ip, "127.0.0.1");
      assert.equal(request.protocol, 4);
      assert.equal(request.transport, way === "websocket" ? "websocket" : "polling");
    });
  });
}
