// The example configurations of load balancers, with other ports, between the gateway and the official client over TLS.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { Backend } from "../backend.mjs";
import { closeAll, connected, next, WAYS } from "../client.mjs";
import { Gateway } from "../gateway.mjs";
import { freePort, Program } from "./program.mjs";

const balancers = {
  "nginx.conf": {
    command: "nginx",
    words: (folder, file) => ["-p", folder, "-c", file, "-g", "daemon off; pid nginx.pid; error_log stderr notice;"],
    ready: /start worker process /,
  },
  "haproxy.cfg": {
    command: "haproxy",
    words: (_folder, file) => ["-W", "-db", "-f", file],
    ready: /Loading success|Server sockgate\/gateway is UP/,
  },
};

/** A certificate for this machine, in the files that the configurations name. */
function certificate(folder) {
  const [key, crt] = [join(folder, "tls.key"), join(folder, "tls.crt")];
  const names = ["-subj", "/CN=gateway", "-addext", "subjectAltName=IP:127.0.0.1"];
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"];
  execFileSync("openssl", ["req", "-x509", ...kind, ...names, "-keyout", key, "-out", crt], { stdio: "pipe" });
  writeFileSync(join(folder, "tls.pem"), readFileSync(crt) + readFileSync(key));
  return readFileSync(crt, "utf8");
}

for (const [name, { command, words, ready }] of Object.entries(balancers)) {
  describe(name, { timeout: 60_000 }, () => {
    const folder = mkdtempSync(join(tmpdir(), "sockgate-"));
    const text = readFileSync(new URL(`../../../deploy/load-balancers/${name}`, import.meta.url), "utf8");
    let [backend, gateway, balancer, through, ca] = [];

    before(async () => {
      backend = await Backend.start();
      const routes = `[[namespace.route]]\non = ["connect"]\nupstream = "app"\n[[namespace.route]]\nevent = "echo"\nreply = "echo"\n`;
      const wanted = text.match(/server\.trusted_proxies = .*/)[0];
      gateway = await Gateway.start(`${wanted}\n${backend.upstream}[[namespace]]\nmatch = "/"\n${routes}`);
      ca = certificate(folder);
      const port = await freePort();
      const file = join(folder, name);
      const changed = text
        .replace(/(listen |bind :)443/, (_, before) => `${before.replace(":", "")}127.0.0.1:${port}`)
        .replaceAll("127.0.0.1:3000", gateway.listen.server)
        .replace("3002", new URL(`http://${gateway.listen.admin}`).port)
        .replaceAll(/tls\.(crt|key|pem)/g, (found) => join(folder, found));
      writeFileSync(file, changed);
      balancer = await Program.start(command, words(folder, file), { ready });
      through = { url: `https://127.0.0.1:${port}` };
    });
    afterEach(() => {
      closeAll();
      backend.requests.length = 0;
    });
    after(async () => {
      await balancer?.stop("SIGTERM");
      await gateway?.stop();
      await backend?.stop();
      rmSync(folder, { recursive: true });
    });

    for (const way of Object.keys(WAYS)) {
      test(`by ${way}: all comes through, and the client's address`, async () => {
        // From an address that is not the balancer's, and with a lie about it.
        const agent = new Agent({ ca, localAddress: "127.0.0.2" });
        const extraHeaders = { "X-Forwarded-For": "203.0.113.9" };
        const socket = await connected(through, way, { ca, agent, extraHeaders });
        assert.equal(socket.io.engine.transport.name, way === "polling" ? "polling" : "websocket");
        const sent = ["héllo", { bytes: Buffer.from([0, 255]) }, "x".repeat(900_000)];
        socket.emit("echo", ...sent);
        const [word, { bytes }, long] = await next(socket, "echo");
        assert.equal(word, sent[0]);
        assert.deepEqual(Buffer.from(bytes), sent[1].bytes);
        assert.equal(long === sent[2], true);
        assert.equal(backend.requests[0].request.ip, "127.0.0.2");
      });
    }

    test("a page of the same origin is let in, one of another is not", async () => {
      const handshake = (origin) =>
        new Promise((resolve, reject) => {
          const url = `${through.url}/socket.io/?EIO=4&transport=polling`;
          const sent = request(url, { ca, headers: { origin } }, (answer) => resolve(answer.resume().statusCode));
          sent.on("error", reject).end();
        });
      assert.equal(await handshake(through.url), 200);
      assert.equal(await handshake("https://elsewhere.example"), 403);
    });
  });
}
