// The README's tutorial, as a reader would follow it: its blocks are written, run and started in their order, and its page is used
// in a real Chromium. Only ports differ, so that nothing else on the machine is in the way.
//
// A comment before a block says what is done with it:
//   <!-- file: NAME -->             it is the content of that file
//   <!-- run -->                    it is run, and must succeed
//   <!-- start: until "TEXT" -->    it is started, and runs on once it has printed TEXT
// `python` or `node` among the words: in the tutorial for that language alone. Blocks without a comment are not touched.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { launch, open } from "../browser/chromium.mjs";
import { freePort, Program } from "./program.mjs";

const LANGUAGES = ["python", "node"];
const readme = readFileSync(new URL("../../../README.md", import.meta.url), "utf8");

/** The blocks that have a comment, for one language. */
function blocks(language) {
  const found = readme.matchAll(/^<!-- (file|run|start)(?:: (.*?))? -->\n```\w+\n(.*?)^```$/gms);
  return Array.from(found, ([, kind, words = "", text]) => {
    const [, until] = words.match(/until "(.*)"/) ?? [];
    const parts = words.replace(/,? ?until ".*"/, "").split(/, */);
    const [name] = parts.filter((part) => part && !LANGUAGES.includes(part));
    return { kind, name, until, languages: parts.filter((part) => LANGUAGES.includes(part)), text };
  }).filter(({ languages }) => languages.length === 0 || languages.includes(language));
}

for (const language of LANGUAGES) {
  describe(`the tutorial in ${language}`, { timeout: 240_000 }, () => {
    const folder = mkdtempSync(join(tmpdir(), "sockgate-"));
    const chat = join(folder, "chat");
    const programs = [];
    const outputs = [];
    let [browser, client, later] = [];

    before(async () => {
      mkdirSync(chat);
      mkdirSync(join(folder, "bin"));
      symlinkSync(resolve(process.env.SOCKGATE_BIN ?? "../../target/ci/sockgate"), join(folder, "bin/sockgate"));
      const ports = { 8000: await freePort(), 3000: await freePort(), 3001: await freePort(), 3002: await freePort() };
      const listen = (table, port) => [`SOCKGATE__${table}__LISTEN`, `127.0.0.1:${ports[port]}`];
      const listeners = Object.fromEntries([listen("SERVER", 3000), listen("API", 3001), listen("ADMIN", 3002)]);
      const env = { ...process.env, ...listeners, PATH: `${join(folder, "bin")}:${process.env.PATH}` };
      client = `http://localhost:${ports[3000]}`;

      const steps = {
        file: ({ name, text }) => {
          mkdirSync(dirname(join(chat, name)), { recursive: true });
          writeFileSync(join(chat, name), text);
        },
        run: async ({ text }) => outputs.push(await promisify(execFile)("bash", ["-ec", text], { cwd: chat, env })),
        start: async ({ text, until }) => {
          const again = () => Program.start("bash", ["-ec", `exec ${text}`], { cwd: chat, env, ready: new RegExp(until) });
          programs.push({ again, program: await again() });
        },
      };
      const all = blocks(language).map((block) => {
        return { ...block, text: block.text.replace(/\b(8000|300[012])\b/g, (port) => ports[port]) };
      });
      // The last one speaks to people who are there.
      later = () => steps.run(all.at(-1));
      for (const block of all.slice(0, -1)) await steps[block.kind](block);
      browser = await launch();
    });
    const pages = [];
    const visit = async (path) => {
      const page = await open(browser, client + path);
      pages.push(page);
      return page;
    };
    const says = (page, text) => page.locator("li", { hasText: text }).first().waitFor();
    const write = async (page, text) => {
      await page.locator("input").fill(text);
      await page.locator("button").click();
    };
    afterEach(async () => {
      for (const page of pages.splice(0)) await page.context().close();
    });
    after(async () => {
      await browser?.close();
      for (const { program } of programs) await program.stop();
      rmSync(folder, { recursive: true });
    });

    test("two people write to each other, and somebody from outside to both", async () => {
      const [ann, bob] = [await visit("/?name=Ann"), await visit("/?name=Bob")];
      await write(ann, "hello, Bob");
      await says(ann, "me: hello, Bob (sent)");
      await says(bob, "Ann: hello, Bob");
      await write(bob, "hello, Ann");
      await says(ann, "Bob: hello, Ann");
      await later();
      await says(ann, "cron: tea is ready");
      await says(bob, "cron: tea is ready");
      assert.equal(JSON.parse(outputs.at(-1).stdout).sockets, 2);
      assert.deepEqual([ann.complaints, bob.complaints], [[], []]);
    });

    test("a stranger is told what is missing", async () => {
      await says(await visit("/"), "add ?name=… to the address");
    });

    test("a restart of the backend disconnects nobody", async () => {
      const [ann, bob] = [await visit("/?name=Ann"), await visit("/?name=Bob")];
      await write(ann, "before");
      await says(bob, "Ann: before");
      await programs[0].program.stop();
      programs[0].program = await programs[0].again();
      await write(ann, "after");
      await says(ann, "me: after (sent)");
      await says(bob, "Ann: after");
      assert.deepEqual([ann.complaints, bob.complaints], [[], []]);
    });
  });
}
