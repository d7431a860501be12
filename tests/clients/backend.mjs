// A webhook backend in the test's hand.
import { once } from "node:events";
import { createServer } from "node:http";

export class Backend {
  /** Starts one; `answer` gets each request's body and gives the reply, or an HTTP status. */
  static async start(answer = () => ({})) {
    const backend = new Backend();
    backend.answer = answer;
    backend.requests = [];
    await backend.listen(0);
    return backend;
  }

  async listen(port) {
    this.server = createServer(async (request, response) => {
      const chunks = [];
      for await (const chunk of request) chunks.push(chunk);
      const body = JSON.parse(Buffer.concat(chunks));
      this.requests.push(body);
      const reply = await this.answer(body);
      response.statusCode = typeof reply === "number" ? reply : 200;
      response.setHeader("content-type", "application/json");
      response.end(typeof reply === "number" ? "" : JSON.stringify(reply));
    });
    this.server.listen(port, "127.0.0.1");
    await once(this.server, "listening");
    this.port = this.server.address().port;
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
    return `[[upstream]]\nname = "app"\nurl = "http://127.0.0.1:${this.port}/"\n`;
  }
}
