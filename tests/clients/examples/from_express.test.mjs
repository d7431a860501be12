// What the README's table "From Express" says to write is taken by the gateway, in an answer or over REST.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { Backend } from "../backend.mjs";
import { closeAll, connected } from "../client.mjs";
import { Gateway } from "../gateway.mjs";

const readme = readFileSync(new URL("../../../README.md", import.meta.url), "utf8");
const table = readme.match(/^\| with `socket\.io` \| here \|\n.*?\n\n/ms)[0];
const code = Array.from(table.matchAll(/`([^`]*)`/g), ([, text]) => text);

const actions = code.filter((text) => text.startsWith('{"type"')).map((text) => JSON.parse(text));
const fields = (pattern) => code.filter((text) => pattern.test(text)).map((text) => JSON.parse(`{${text}}`));
const emits = fields(/^"(to|volatile)":/).map((rest) => ({ type: "emit", event: "news", args: ["x"], ...rest }));

describe("from Express", { timeout: 60_000 }, () => {
  let [backend, gateway] = [];

  before(async () => {
    backend = await Backend.start();
    const routes = `[[namespace.route]]\non = ["connect"]\nupstream = "app"\n[[namespace.route]]\nevent = "*"\nupstream = "app"\n`;
    gateway = await Gateway.start(`${backend.upstream}[[namespace]]\nmatch = "/"\n${routes}`);
  });
  after(async () => {
    closeAll();
    await gateway?.stop();
    await backend?.stop();
  });

  test("actions in answers", async () => {
    assert.equal(actions.length, 4);
    assert.equal(emits.length, 7);
    for (const action of [...emits, ...actions]) {
      backend.answer = ({ type }) => (type === "event" ? { ack: ["done"], actions: [action] } : {});
      const socket = await connected(gateway, "websocket");
      // An answer with anything wrong in it has no effect at all, and gives no acknowledgement.
      const answer = await socket.timeout(2000).emitWithAck("go").catch((error) => error.message);
      assert.equal(answer, "done", JSON.stringify(action));
    }
    backend.answer = ({ type }) => (type === "event" ? { ack: ["done"], actions: [{ type: "jion" }] } : {});
    const socket = await connected(gateway, "websocket");
    await assert.rejects(socket.timeout(300).emitWithAck("go"), "and so it is seen when one is wrong");
  });

  test("requests over REST", async () => {
    const [ack] = fields(/^"ack":\{"timeout_ms"/);
    const news = { event: "news", args: ["x"], to: { all: true } };
    assert.equal((await gateway.post("/emit", { ...news, ...ack, to: { rooms: ["nobody's"] } })).status, 200);
    for (const { type, ...emit } of emits) {
      if (emit.except) continue; // `self` is for answers
      assert.equal((await gateway.post(`/${type}`, { to: { all: true }, ...emit })).status, 202, JSON.stringify(emit));
    }
    const [join] = fields(/^"rooms":\["x"\],"to"/);
    assert.equal((await gateway.post("/join", join)).status, 202);
    for (const text of code.filter((text) => text.startsWith("GET /v1"))) {
      assert.equal((await fetch(new URL(text.slice(4), gateway.api))).status, 200, text);
    }
  });
});
