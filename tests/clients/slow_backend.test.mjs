// A backend that is slower than its clients: what they send waits, and nobody takes the silence for an end.
import assert from "node:assert/strict";
import { setTimeout as wait } from "node:timers/promises";
import { describe, test } from "node:test";
import { Backend } from "./backend.mjs";
import { closeAll, connected, WAYS } from "./client.mjs";
import { Gateway, namespace } from "./gateway.mjs";

const EVENTS = 16;

/** Two events fill a lane, and a client that is not pinged for 0.8 s gives the connection up. */
const QUICK = `
limits.lane_events = 2
engine.ping_interval = "500ms"
engine.ping_timeout = "300ms"
`;

describe("a slow backend", { timeout: 60_000 }, () => {
  for (const way of Object.keys(WAYS)) {
    test(`takes its time, and a client by ${way} stays and is answered in order`, async () => {
      const backend = await Backend.start(async ({ type, args }) => {
        if (type !== "event") return {};
        await wait(200);
        return { ack: args };
      });
      const gateway = await Gateway.start(QUICK + backend.upstream + namespace("/"));
      const socket = await connected(gateway, way);
      const { id } = socket;
      const ends = [];
      socket.on("disconnect", (reason) => ends.push(reason));
      const answers = Array.from({ length: EVENTS }, (_, n) => socket.timeout(20_000).emitWithAck("n", n));
      assert.deepEqual(await Promise.all(answers), [...Array(EVENTS).keys()]);
      assert.equal(await socket.timeout(5000).emitWithAck("echo", "still here"), "still here");
      assert.deepEqual(ends, []);
      assert.equal(socket.id, id);
      const asked = backend.requests.filter(({ type }) => type === "event").map(({ args }) => args[0]);
      assert.deepEqual(asked, [...Array(EVENTS).keys()]);
      closeAll();
      await gateway.stop();
      await backend.stop();
    });
  }
});
