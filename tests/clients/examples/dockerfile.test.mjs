// The Dockerfile, followed step by step in clean folders, for there is not always an engine: a stage is a folder, what it copies
// and runs happens there. Only the profile differs, so that the libraries are those which the other tests have built.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { freePort, Program } from "./program.mjs";

const context = fileURLToPath(new URL("../../..", import.meta.url));
const target = resolve(process.env.CARGO_TARGET_DIR ?? join(context, "target"));
const root = mkdtempSync(join(tmpdir(), "sockgate-image-"));
after(() => rmSync(root, { recursive: true, force: true }));

/** Instruction and operand, without comments, with continued lines joined. */
function steps(text) {
  const lines = text.replace(/^#.*\n/gm, "").replace(/\\\n/g, " ").split("\n").filter((line) => line.trim());
  return lines.map((line) => line.match(/^(\w+)\s+(.*)$/).slice(1));
}

class Stage {
  constructor(from, name) {
    this.from = from;
    this.name = name;
    this.root = join(root, name);
    this.env = {};
    this.settings = {};
    this.workdir = "/";
    mkdirSync(this.root);
  }

  /** A path of the image in the folder of the stage. */
  at(path) {
    const inside = resolve(this.workdir, path);
    return inside.startsWith("/src/target/release/") ? join(target, "ci", basename(inside)) : join(this.root, inside);
  }

  copy(operands, stages) {
    const words = operands.split(/\s+/);
    const from = words[0].startsWith("--from=") ? stages.get(words.shift().slice("--from=".length)) : undefined;
    const to = words.pop();
    for (const word of words) {
      const source = from ? from.at(word) : join(context, word);
      // Into a folder by its name, or a folder's content into the folder.
      const place = to.endsWith("/") ? join(this.at(to), basename(word)) : this.at(to);
      mkdirSync(dirname(place), { recursive: true });
      cpSync(source, place, { recursive: true });
    }
  }

  run(command) {
    const paths = Object.entries(this.env).map(([name, value]) => [name, value.startsWith("/") ? this.at(value) : value]);
    const env = { ...process.env, ...Object.fromEntries(paths), CARGO_TARGET_DIR: target };
    execFileSync("bash", ["-ec", command.replace("--release", "--profile ci")], { cwd: this.at("."), env, stdio: "inherit" });
  }

  step(instruction, operands, stages) {
    if (instruction === "WORKDIR") {
      this.workdir = resolve(this.workdir, operands);
      mkdirSync(this.at("."), { recursive: true });
    } else if (instruction === "COPY") this.copy(operands, stages);
    else if (instruction === "ENV") this.env[operands.split("=")[0]] = operands.split("=")[1];
    // The packages of the last image are Debian's, not ours to try.
    else if (instruction === "RUN" && !operands.startsWith("apt-get")) this.run(operands);
    else this.settings[instruction] = operands;
  }
}

function build() {
  const stages = new Map();
  let stage;
  for (const [instruction, operands] of steps(readFileSync(join(context, "Dockerfile"), "utf8"))) {
    if (instruction === "FROM") {
      const [from, name = "image"] = operands.split(/ AS /i);
      stage = new Stage(from, name);
      stages.set(name, stage);
    } else stage.step(instruction, operands, stages);
  }
  return stages;
}

test("what the steps build answers to its own health check, serves the client's files, and needs no file", { timeout: 600_000 }, async () => {
  const stages = build();
  const { root: image, settings, env, from } = stages.get("image");
  const program = join(image, "usr/local/bin/sockgate");
  assert.ok(existsSync(program));

  assert.match(settings.USER, /^[1-9]\d*:[1-9]\d*$/, "a number: Kubernetes cannot tell by a name that it is not root");
  assert.deepEqual([settings.ENTRYPOINT, settings.CMD], [`["sockgate"]`, `["serve"]`]);
  const check = JSON.parse(settings.HEALTHCHECK.match(/CMD (\[.*\])$/)[1]);
  assert.deepEqual(check, ["sockgate", "healthcheck"]);

  // The C library of the last image is that of the build.
  const debian = (image) => image.match(/bookworm|trixie/)?.[0];
  assert.equal(debian(from), debian(stages.get("build").from));
  const rust = readFileSync(join(context, "Cargo.toml"), "utf8").match(/rust-version = "([\d.]+)"/)[1];
  assert.ok(stages.get("build").from.startsWith(`rust:${rust}-`), `Rust ${rust}`);

  const [clients, api, admin] = await Promise.all([freePort(), freePort(), freePort()]);
  const options = {
    SOCKGATE__SERVER__LISTEN: `127.0.0.1:${clients}`,
    SOCKGATE__API__LISTEN: `127.0.0.1:${api}`,
    SOCKGATE__ADMIN__LISTEN: env.SOCKGATE__ADMIN__LISTEN.replace("3002", admin),
    SOCKGATE_BACKEND: "http://127.0.0.1:9/sockgate",
  };
  const running = await Program.start(program, ["serve"], { cwd: image, env: options, ready: /^ready/ });
  try {
    execFileSync(program, check.slice(1), { env: options });
    const script = await fetch(`http://127.0.0.1:${clients}/socket.io/socket.io.js`, { redirect: "manual" });
    assert.equal(script.status, 200, "from the program, not from the CDN");
  } finally {
    await running.stop();
  }
});
