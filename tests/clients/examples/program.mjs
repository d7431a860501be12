// Any program as a child process, from its first sign of readiness to its end.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { createInterface } from "node:readline";

export class Program {
  /** Starts one and waits for a line of its output that matches `ready`. */
  static async start(command, words, { ready, ...options }) {
    const program = new Program();
    program.child = spawn(command, words, { ...options, stdio: ["ignore", "pipe", "pipe"] });
    program.exit = new Promise((resolve, reject) => program.child.once("error", reject).once("exit", resolve));
    program.output = [];
    const seen = new Promise((resolve) => {
      for (const stream of [program.child.stdout, program.child.stderr]) {
        createInterface({ input: stream }).on("line", (line) => {
          program.output.push(line);
          if (ready.test(line)) resolve(true);
        });
      }
    });
    if ((await Promise.race([seen, program.exit])) !== true) {
      throw new Error(`${command} ${words.join(" ")} ended:\n${program.output.join("\n")}`);
    }
    return program;
  }

  /** Ends it, at once unless another signal is named. */
  async stop(signal = "SIGKILL") {
    this.child.kill(signal);
    return this.exit;
  }
}

/** A port that nobody uses now. */
export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}
