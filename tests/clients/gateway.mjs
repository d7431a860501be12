// The real binary as a child process, on ports of its own. `SOCKGATE_BIN` is its path; default: where the test command builds it.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const program = process.env.SOCKGATE_BIN ?? "../../target/ci/sockgate";
const shards = process.env.SOCKGATE_TEST_SHARDS ?? "2";

export class Gateway {
  /** Starts one; `config` is TOML without listeners, which are added. */
  static async start(config, env = {}) {
    const gateway = new Gateway();
    gateway.folder = mkdtempSync(join(tmpdir(), "sockgate-"));
    gateway.config = config;
    gateway.env = env;
    gateway.listen = { server: "127.0.0.1:0", api: "127.0.0.1:0", admin: "127.0.0.1:0" };
    await gateway.launch();
    return gateway;
  }

  async launch() {
    const listeners = Object.entries(this.listen).map(([table, at]) => `${table}.listen = "${at}"\n`);
    const file = join(this.folder, "sockgate.toml");
    writeFileSync(file, `${listeners.join("")}server.shards = ${shards}\n${this.config}`);
    const options = { env: { ...process.env, ...this.env }, stdio: ["ignore", "pipe", "pipe"] };
    this.child = spawn(program, ["serve", "--config", file], options);
    this.log = [];
    createInterface({ input: this.child.stderr }).on("line", (line) => this.log.push(line));
    const said = {};
    for await (const line of createInterface({ input: this.child.stdout })) {
      const [name, url] = line.split(/\s+/);
      if (name === "ready") {
        this.url = new URL(said.clients).origin;
        this.api = said.api;
        this.listen = {
          server: new URL(said.clients).host,
          api: new URL(said.api).host,
          admin: new URL(said.admin).host,
        };
        return;
      }
      said[name] = url;
    }
    throw new Error(`the gateway did not start:\n${this.log.join("\n")}`);
  }

  /** Ends the process; its exit code and signal. */
  async end(signal = "SIGKILL") {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return undefined;
    const exit = once(this.child, "exit");
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
    const answer = await fetch(`${this.api}${path}`, { method: "POST", headers, body: JSON.stringify(body) });
    return { status: answer.status, body: await answer.json() };
  }
}
