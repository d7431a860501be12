// `sockgate demo` as a child process, on free ports. `SOCKGATE_BIN` is the program.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { HOST } from "../gateway.mjs";

export class Demo {
  static async start() {
    const demo = new Demo();
    demo.listen = { SERVER: `${HOST}:0`, API: `${HOST}:0`, ADMIN: `${HOST}:0` };
    await demo.launch();
    return demo;
  }

  async launch() {
    const listen = Object.entries(this.listen).map(([table, at]) => [`SOCKGATE__${table}__LISTEN`, at]);
    const env = { ...process.env, ...Object.fromEntries(listen) };
    this.child = spawn(process.env.SOCKGATE_BIN, ["demo"], { env, stdio: ["ignore", "pipe", "pipe"] });
    this.log = [];
    createInterface({ input: this.child.stderr }).on("line", (line) => this.log.push(line));
    this.said = [];
    for await (const line of createInterface({ input: this.child.stdout })) {
      if (line === "ready") return this.read();
      this.said.push(line);
    }
    throw new Error(`the demo did not start:\n${this.log.join("\n")}`);
  }

  /** What a person would copy from the terminal. */
  read() {
    const lines = this.said.map((line) => line.trim());
    this.url = lines.find((line) => line.startsWith("http://"));
    this.commands = lines.filter((line) => line.startsWith("curl "));
    const api = /http:\/\/([^/]+)/.exec(this.commands[0])[1];
    this.listen = { ...this.listen, SERVER: new URL(this.url).host, API: api };
  }

  async kill() {
    const exit = once(this.child, "exit");
    this.child.kill("SIGKILL");
    await exit;
  }

  async stop() {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exit = once(this.child, "exit");
    this.child.kill("SIGINT");
    const [code] = await exit;
    if (code !== 0) throw new Error(`the demo ended with ${code}:\n${this.log.join("\n")}`);
  }
}
