// A webhook backend in the test's hand.
import { EventEmitter, once } from "node:events";
import { createServer } from "node:http";
import { HOST } from "./gateway.mjs";

/** Emits `request` with the body of each. */
export class Backend extends EventEmitter {
  /** The bodies that came, oldest first. */
  requests = [];

  /**
   * Starts one. `answer` gets each request's body and gives the reply, or an HTTP status, or a promise of either; or it writes
   * to the response, its second argument, by itself.
   */
  static async start(answer = () => ({})) {
    const backend = new Backend();
    backend.setMaxListeners(0);
    backend.answer = answer;
    await backend.listen(0);
    return backend;
  }

  async listen(port) {
    this.server = createServer((request, response) => this.handle(request, response).catch(() => response.destroy()));
    this.server.listen(port, HOST, 4096);
    await once(this.server, "listening");
    this.port = this.server.address().port;
  }

  async handle(request, response) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = JSON.parse(Buffer.concat(chunks));
    this.requests.push(body);
    this.emit("request", body);
    const reply = await this.answer(body, response);
    if (response.headersSent || response.destroyed) return;
    response.statusCode = typeof reply === "number" ? reply : 200;
    response.setHeader("content-type", "application/json");
    response.end(typeof reply === "number" ? "" : JSON.stringify(reply));
  }

  /** The first request that `matches`, of those that came or that come within ten seconds. */
  async seen(matches) {
    const signal = AbortSignal.timeout(10_000);
    for (;;) {
      const found = this.requests.find(matches);
      if (found) return found;
      await once(this, "request", { signal });
    }
  }

  /** Closes the port and every connection. */
  async stop() {
    const closed = once(this.server, "close");
    this.server.close();
    this.server.closeAllConnections();
    await closed;
  }

  /** Listens again on the same port. */
  async startAgain() {
    await this.listen(this.port);
  }

  /** TOML of an upstream `app` that is this backend. */
  get upstream() {
    return `[[upstream]]\nname = "app"\nurl = "http://${HOST}:${this.port}/"\n`;
  }
}
