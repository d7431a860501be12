// The classic tutorial behind the gateway: an Express application serves a chat page that knows nothing of it.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import express from "express";
import { Gateway } from "../gateway.mjs";
import { launch, open } from "./chromium.mjs";

// As it would be with Socket.IO's own server: its client from the usual place, `io()` without options.
const PAGE = `<!DOCTYPE html>
<title>Chat</title>
<link rel="icon" href="data:,">
<ul id="messages"></ul>
<form id="form"><input id="input" autocomplete="off"><button>Send</button></form>
<script src="/socket.io/socket.io.js"></script>
<script>
  const socket = io();
  const [messages, form, input] = ["messages", "form", "input"].map((id) => document.getElementById(id));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    socket.emit("chat message", input.value);
    input.value = "";
  });
  socket.on("chat message", (text) => messages.append(Object.assign(document.createElement("li"), { textContent: text })));
</script>`;

/** The application: pages and a session cookie as ever; the webhook stands where `io.on("connection", …)` stood. */
function application() {
  const app = express();
  const sessions = new Map();
  app.calls = [];
  app.session = (request) => sessions.get(/(?:^|;\s*)session=(\w+)/.exec(request.headers.cookie ?? "")?.[1]);

  app.get("/", (request, response) => {
    if (!app.session(request)) {
      const id = randomBytes(16).toString("hex");
      sessions.set(id, `guest ${sessions.size + 1}`);
      response.cookie("session", id, { httpOnly: true, sameSite: "lax" });
    }
    response.type("html").send(PAGE);
  });
  app.get("/whoami", (request, response) => response.json({ name: app.session(request) ?? null, ip: request.headers["x-forwarded-for"] }));
  app.post("/upload", (request, response) => {
    let bytes = 0;
    request.on("data", (chunk) => (bytes += chunk.length)).on("end", () => response.json({ bytes }));
  });

  app.post("/sockgate", express.json(), (request, response) => {
    const { type, event, args, socket } = request.body;
    app.calls.push(request.body);
    if (type === "connect") {
      const user = app.session(request);
      return user ? response.json({ user }) : response.json({ reject: { message: "no session" } });
    }
    if (event !== "chat message") return response.json({});
    response.json({ actions: [{ type: "emit", event, args: [`${socket.user}: ${args[0]}`], to: { all: true } }] });
  });
  return app;
}

describe("the tutorial behind the gateway", { timeout: 60_000 }, () => {
  let app, server, gateway, browser, first, second;

  before(async () => {
    app = application();
    server = app.listen(0, "127.0.0.1");
    await once(server, "listening");
    const origin = `http://127.0.0.1:${server.address().port}`;
    gateway = await Gateway.start(`
server.fallback = "${origin}"
[[upstream]]
name = "app"
url = "${origin}/sockgate"
[[namespace]]
match = "/"
forward = { pass = ["cookie"] }
[[namespace.route]]
on = ["connect", "disconnect"]
upstream = "app"
[[namespace.route]]
event = "*"
upstream = "app"
`);
    browser = await launch();
    [first, second] = [await open(browser, gateway.url), await open(browser, gateway.url)];
    for (const page of [first, second]) await page.waitForFunction(() => socket.connected && socket.io.engine.transport.name === "websocket");
  });
  after(async () => {
    await browser?.close();
    await gateway?.stop();
    server?.close();
    server?.closeAllConnections();
  });

  test("everybody sees what anybody writes, under the name of their session", async () => {
    await first.locator("#input").fill("hello");
    await first.locator("button").click();
    await second.locator("#input").fill("hello yourself");
    for (const page of [first, second]) await page.locator("li", { hasText: /^guest 1: hello$/ }).waitFor();
    await second.locator("button").click();
    for (const page of [first, second]) await page.locator("li", { hasText: /^guest 2: hello yourself$/ }).waitFor();
    for (const page of [first, second]) assert.equal(await page.locator("li").count(), 2);
  });

  test("pages and sockets have one origin and the same cookie", async () => {
    const [page, socket] = await first.evaluate(async () => {
      const answer = await fetch("/whoami");
      return [await answer.json(), socket.io.uri];
    });
    assert.deepEqual(page, { name: "guest 1", ip: "127.0.0.1" });
    assert.equal(socket, gateway.url);
    const cookies = await first.context().cookies();
    assert.deepEqual(cookies.map(({ name, domain, httpOnly }) => [name, domain, httpOnly]), [["session", new URL(gateway.url).hostname, true]]);
  });

  test("a visitor without a session is refused by the application itself", async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(`${gateway.url}/whoami`);
    await page.addScriptTag({ url: "/socket.io/socket.io.js" });
    const message = await page.evaluate(() => new Promise((done) => io().on("connect_error", (error) => done(error.message))));
    assert.equal(message, "no session");
    await context.close();
  });

  test("large bodies pass, and what is not there is the application's own 404", async () => {
    const [sent, missing] = await first.evaluate(async () => {
      const body = new Uint8Array(5_000_000);
      const answer = await fetch("/upload", { method: "POST", body });
      return [await answer.json(), (await fetch("/nothing-here")).status];
    });
    assert.deepEqual(sent, { bytes: 5_000_000 });
    assert.equal(missing, 404);
  });

  test("no page has complained, but for the 404 that was asked for", () => {
    assert.deepEqual(first.complaints.filter((text) => !text.includes("/nothing-here")), []);
    assert.deepEqual(second.complaints, []);
  });
});
