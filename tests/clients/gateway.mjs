// The real binary as a child process, on ports of its own. `SOCKGATE_BIN` is its path.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const shards = process.env.SOCKGATE_TEST_SHARDS ?? "2";

/** How long a gateway may take to start or to end. */
const DEADLINE = 20_000;

/**
 * A loopback address of this process alone. Connections to it start from 127.0.0.1, so between the end of a listener and its
 * restart nobody can have taken its port: not another test, and not a client that tries to come back.
 */
export const HOST = `127.${1 + (process.pid >> 16)}.${(process.pid >> 8) & 255}.${process.pid & 255}`;

/**
 * TOML of a namespace of the upstream `app`: `echo` comes back from the gateway itself, `say` is relayed to everybody else, all
 * else is asked. `keys` are more lines for it.
 */
export const namespace = (name, keys = "") => `
[[namespace]]
match = "${name}"
${keys}
[[namespace.route]]
on = ["connect", "disconnect"]
upstream = "app"
[[namespace.route]]
event = "echo"
reply = "echo"
[[namespace.route]]
event = "say"
relay = { to = "all" }
[[namespace.route]]
event = "*"
upstream = "app"
`;

// Whoever runs the tests may end them early.
const running = new Set();
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));

export class Gateway {
  /** Starts one; `config` is TOML without listeners, which are added. */
  static async start(config, env = {}) {
    const gateway = new Gateway();
    gateway.folder = mkdtempSync(join(tmpdir(), "sockgate-"));
    gateway.config = config;
    gateway.env = env;
    gateway.listen = { server: `${HOST}:0`, api: `${HOST}:0`, admin: `${HOST}:0` };
    await gateway.launch();
    return gateway;
  }

  async launch() {
    const listeners = Object.entries(this.listen).map(([table, at]) => `${table}.listen = "${at}"\n`);
    const file = join(this.folder, "sockgate.toml");
    writeFileSync(file, `${listeners.join("")}server.shards = ${shards}\n${this.config}`);
    const options = { env: { ...process.env, ...this.env }, stdio: ["ignore", "pipe", "pipe"] };
    const child = spawn(process.env.SOCKGATE_BIN, ["serve", "--config", file], options);
    this.child = child;
    running.add(child);
    child.once("exit", () => running.delete(child));
    this.log = [];
    createInterface({ input: child.stderr }).on("line", (line) => this.log.push(line));
    const late = setTimeout(() => child.kill("SIGKILL"), DEADLINE);
    const said = {};
    for await (const line of createInterface({ input: child.stdout })) {
      const [name, url] = line.split(/\s+/);
      if (name === "ready") break;
      said[name] = url;
    }
    clearTimeout(late);
    if (!said.admin) throw new Error(`the gateway did not start:\n${this.log.join("\n")}`);
    this.url = new URL(said.clients).origin;
    this.api = said.api;
    this.listen = {
      server: new URL(said.clients).host,
      api: new URL(said.api).host,
      admin: new URL(said.admin).host,
    };
  }

  /** Ends the process; its exit code and signal. */
  async end(signal = "SIGKILL") {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return undefined;
    const exit = once(this.child, "exit", { signal: AbortSignal.timeout(DEADLINE) });
    this.child.kill(signal);
    return exit;
  }

  /** Kills it and starts anew on the same ports. */
  async restart() {
    await this.end();
    await this.launch();
  }

  /** Ends the process and removes its files. */
  async stop() {
    await this.end();
    rmSync(this.folder, { recursive: true });
  }

  /** A POST to the REST API; the parsed answer. */
  async post(path, body) {
    const headers = { "content-type": "application/json" };
    const signal = AbortSignal.timeout(DEADLINE);
    const answer = await fetch(`${this.api}${path}`, { method: "POST", headers, body: JSON.stringify(body), signal });
    return { status: answer.status, body: await answer.json() };
  }
}
