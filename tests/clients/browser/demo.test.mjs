// The demo as two people see it, in the DOM of a real browser.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, describe, test } from "node:test";
import { deflateSync, crc32 } from "node:zlib";
import { launch, open, picture } from "./chromium.mjs";
import { Demo } from "./demo.mjs";

/** A valid PNG of this size with a pattern in it. */
function png(width, height) {
  const chunk = (type, data) => {
    const body = Buffer.concat([Buffer.from(type), data]);
    const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(data.length);
    sum.writeUInt32BE(checksum(body));
    return Buffer.concat([length, body, sum]);
  };
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([8, 2], 8);
  const rows = Buffer.alloc(height * (1 + width * 3));
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [u, v] = [x / width, y / height];
      const wave = Math.sin(u * 7 + v * 4) * 0.5 + 0.5;
      rows.set([40 + 190 * u * wave, 110 + 90 * v, 150 + 90 * (1 - wave)], y * (1 + width * 3) + 1 + x * 3);
    }
  }
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([signature, chunk("IHDR", head), chunk("IDAT", deflateSync(rows)), chunk("IEND", Buffer.alloc(0))]);
}

function checksum(bytes) {
  if (crc32) return crc32(bytes);
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

const message = (page, text) => page.locator(".message .bubble", { hasText: text });
const status = (page, state) => page.locator(`#status[data-state=${state}]`).waitFor();

async function say(page, text) {
  await page.locator("#text").fill(text);
  await page.locator("#text").press("Enter");
}

async function rename(page, name) {
  await page.locator("#me").click();
  await page.locator("#name").fill(name);
  await page.locator("#name").press("Enter");
}

describe("the demo", { timeout: 120_000 }, () => {
  let browser, demo, ann, bob;

  before(async () => {
    demo = await Demo.start();
    browser = await launch();
    [ann, bob] = [await open(browser, demo.url), await open(browser, demo.url)];
    await Promise.all([status(ann, "connected"), status(bob, "connected")]);
    await picture(ann, "first-look");
    await rename(ann, "Ann");
    await rename(bob, "Bob");
    await ann.locator("#people [title=Bob]").waitFor();
    await bob.locator("#people [title=Ann]").waitFor();
  });
  after(async () => {
    await browser?.close();
    await demo?.stop();
  });

  test("the transport goes from polling to websocket", async () => {
    for (const page of [ann, bob]) {
      await page.locator("#transport", { hasText: "websocket" }).waitFor();
      const shown = await page.evaluate(() => globalThis.shown("transport"));
      assert.deepEqual(shown.slice(-2), ["polling", "websocket"]);
      const line = page.locator("#line li");
      await line.filter({ hasText: "Went over to websocket" }).waitFor({ state: "attached" });
    }
  });

  test("what one types the other sees while it is typed, and no longer", async () => {
    await ann.locator("#text").pressSequentially("Is anybody");
    await bob.locator("#typing.on", { hasText: "Ann is typing" }).waitFor();
    await picture(bob, "typing");
    await ann.locator("#text").fill("");
    await bob.locator("#typing:not(.on)").waitFor({ state: "attached" });
    assert.equal(await ann.locator("#typing.on").count(), 0, "who types does not see it");
  });

  test("a message appears on the other side, and is ticked off on its own", async () => {
    await say(ann, "Hello <b>Bob</b> — ünïcödé 🚪");
    await message(bob, "Hello <b>Bob</b> — ünïcödé 🚪").waitFor();
    assert.equal(await bob.locator(".message[data-from=Ann]").count(), 1);
    await ann.locator(".message.mine[data-ack=done]", { hasText: "Hello" }).waitFor();
    await say(bob, "Hello Ann, I read you at once.");
    await message(ann, "Hello Ann, I read you at once.").waitFor();
    assert.equal(await ann.locator(".message.mine").count(), 1);
  });

  test("a picture that is pasted arrives byte for byte", async () => {
    const bytes = png(480, 260);
    await ann.evaluate((list) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([new Uint8Array(list)], "picture.png", { type: "image/png" }));
      document.getElementById("text").dispatchEvent(new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true, cancelable: true }));
    }, [...bytes]);
    const img = bob.locator(".message[data-from=Ann] .picture img");
    await img.waitFor();
    const arrived = await img.evaluate(async (img) => {
      await img.decode();
      const blob = await (await fetch(img.src)).blob();
      return { type: blob.type, width: img.naturalWidth, bytes: [...new Uint8Array(await blob.arrayBuffer())] };
    });
    assert.equal(arrived.type, "image/png");
    assert.equal(arrived.width, 480);
    assert.ok(Buffer.from(arrived.bytes).equals(bytes), `${arrived.bytes.length} of ${bytes.length} bytes, or others`);
    await ann.locator(".message.mine[data-ack=done] .picture").waitFor();
  });

  test("the panel shows each call and its reply as a backend would see them", async () => {
    const call = bob.locator("details.call[data-type=event]", { hasText: "Hello <b>Bob</b>" }).first();
    const [asked, answered] = await call.locator("pre").allTextContents();
    const [request, reply] = [JSON.parse(asked), JSON.parse(answered)];
    assert.equal(request.type, "event");
    assert.equal(request.event, "message");
    assert.deepEqual(request.args, ["Hello <b>Bob</b> — ünïcödé 🚪"]);
    assert.equal(request.ack, true);
    assert.equal(request.socket.user, "Ann");
    assert.deepEqual(request.socket.state, { name: "Ann", room: "general" });
    assert.equal(reply.ack[0].from, "Ann");
    assert.deepEqual(reply.actions[0].to, { rooms: ["room:general"] });
    assert.deepEqual(reply.actions[0].except, { self: true });
    const connect = bob.locator("details.call[data-type=connect]", { hasText: "Bob" }).first();
    const joined = JSON.parse((await connect.locator("pre").allTextContents())[0]);
    assert.equal(joined.request.auth.name, "Bob");
    const sent = bob.locator("details.call[data-type=event]", { hasText: "image" }).first();
    assert.match(await sent.textContent(), /"attachments": \[\s*"iVBORw0KGgo[^"]+… and \d+ characters more"/);
    assert.equal(await bob.locator("details.call", { hasText: "typing" }).count(), 0, "typing is asked of nobody");
  });

  test("rooms are apart, and remember what was said", async () => {
    await ann.locator("[data-room=random]").click();
    await bob.locator(".system", { hasText: "Ann has left" }).waitFor();
    await say(ann, "Nobody hears me in here");
    await ann.locator(".message.mine[data-ack=done]", { hasText: "Nobody hears me" }).waitFor();
    // Bob's own words come after Ann's, so whatever was to reach him has.
    await say(bob, "Still here");
    await bob.locator(".message.mine[data-ack=done]", { hasText: "Still here" }).waitFor();
    assert.equal(await message(bob, "Nobody hears me").count(), 0);
    await bob.locator("[data-room=random]").click();
    await message(bob, "Nobody hears me in here").waitFor();
    for (const page of [ann, bob]) await page.locator("[data-room=general]").click();
    await message(ann, "Still here").waitFor();
    await bob.locator("#people [title=Ann]").waitFor();
  });

  test("the lines that were printed, run as printed, appear", async () => {
    assert.equal(demo.commands.length, 3);
    const [everybody, room, read] = demo.commands.map((command) => JSON.parse(execFileSync("sh", ["-c", command])));
    assert.match(everybody.id, /^em_/);
    assert.equal(room.sockets, 2);
    assert.ok(read.items.some(({ name, sockets }) => name === "room:general" && sockets === 2), JSON.stringify(read));
    for (const page of [ann, bob]) {
      await message(page, "Hello from the terminal").waitFor();
      await message(page, "Only for this room").waitFor();
      const shown = await page.locator("#commands pre").allTextContents();
      assert.deepEqual(shown, demo.commands);
    }
    await picture(bob, "light");
  });

  test("the backend may refuse a name", async () => {
    await rename(ann, "admin");
    await ann.locator("#name-error", { hasText: "this name is reserved" }).waitFor();
    await status(ann, "offline");
    await picture(ann, "refused");
    // Who gives up is who they were; who tries another name is that.
    await ann.locator("#rename-cancel").click();
    await status(ann, "connected");
    await bob.locator("#people [title=Ann]").waitFor();
    await rename(ann, "Zoe");
    await bob.locator("#people [title=Zoe]").waitFor();
    await rename(ann, "Ann");
    await bob.locator("#people [title=Ann]").waitFor();
  });

  test("who cuts the connection is back by itself", async () => {
    await bob.locator("[data-open=link]").click();
    const before = await bob.locator("#line li", { hasText: "Joined as Bob" }).count();
    await bob.locator("#cut").click();
    await bob.locator("#line li", { hasText: "Cut by you" }).waitFor();
    await bob.locator("#line li", { hasText: "Joined as Bob" }).nth(before).waitFor();
    await picture(bob, "connection");
    await status(bob, "connected");
    await bob.locator("#transport", { hasText: "websocket" }).waitFor();
  });

  test("after a kill and a restart both are back, and what was written meanwhile arrives", async () => {
    for (const page of [ann, bob]) page.outage = true;
    await demo.kill();
    await Promise.all([ann, bob].map((page) => page.locator(".system", { hasText: "Connection lost" }).last().waitFor()));
    await status(ann, "reconnecting");
    await picture(bob, "reconnecting");
    await say(ann, "Written while the gateway was away");
    assert.equal(await ann.locator(".message[data-ack=sending]").count(), 1);
    await demo.launch();
    await Promise.all([status(ann, "connected"), status(bob, "connected")]);
    await message(bob, "Written while the gateway was away").waitFor();
    await ann.locator(".message.mine[data-ack=done]", { hasText: "Written while" }).waitFor();
    for (const page of [ann, bob]) {
      await page.locator("#transport", { hasText: "websocket" }).waitFor();
      page.outage = false;
    }
    await picture(bob, "recovered");
  });

  test("everything is there in Russian", async () => {
    await bob.locator("#lang").click();
    await bob.locator("#state", { hasText: "на связи" }).waitFor();
    assert.equal(await bob.evaluate(() => document.documentElement.lang), "ru");
    assert.match(await bob.locator("#people").textContent(), /2 человека/);
    const words = await bob.evaluate(() => {
      const [en, ru] = ["en", "ru"].map((lang) => Object.keys(WORDS[lang]).sort().join());
      return { same: en === ru, empty: document.querySelectorAll("[data-t]:empty").length };
    });
    assert.deepEqual(words, { same: true, empty: 0 });
    for (const pane of ["config", "terminal", "link", "calls"]) {
      await bob.locator(`[data-open=${pane}]`).click();
      await picture(bob, `russian-${pane}`);
    }
    await bob.locator("#lang").click();
    await bob.locator("#state", { hasText: "connected" }).waitFor();
  });

  test("the configuration is shown as it is", async () => {
    await bob.locator("[data-open=config]").click();
    const shown = await bob.locator("#toml").textContent();
    assert.equal(shown, await (await fetch(new URL("/sockgate.toml", demo.url))).text());
    assert.match(shown, /relay = \{ to = "rooms", prefix = "room:"/);
    await picture(bob, "configuration");
    await bob.locator("[data-open=calls]").click();
  });

  test("it is dark where the system is, and fits a phone", async () => {
    const phone = { viewport: { width: 375, height: 720 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
    const cleo = await open(browser, demo.url, { ...phone, colorScheme: "dark" });
    await status(cleo, "connected");
    await rename(cleo, "Cleo");
    await bob.locator("#people [title=Cleo]").waitFor();
    await say(cleo, "From my phone, in the dark");
    await message(bob, "From my phone, in the dark").waitFor();
    for (const [view, name] of [["chat", "phone-chat"], ["panel", "phone-panel"]]) {
      await cleo.locator(`[data-show=${view}]`).click();
      assert.equal(await cleo.evaluate(() => document.scrollingElement.scrollWidth), 375);
      await picture(cleo, name);
    }
    const background = await cleo.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const brightness = background.match(/\d+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0);
    assert.ok(brightness < 150, background);
    await bob.locator("#theme").click();
    await picture(bob, "dark");
    assert.deepEqual(cleo.complaints, []);
    await cleo.context().close();
    await bob.locator(".system", { hasText: "Cleo has left" }).waitFor();
  });

  test("no page has complained", () => {
    assert.deepEqual(ann.complaints, []);
    assert.deepEqual(bob.complaints, []);
    assert.deepEqual(demo.log, []);
  });
});
