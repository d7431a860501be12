// The official client, in each way in which it can travel, and waits that fail.
import { once } from "node:events";
import { io } from "socket.io-client";

/** Options of each way: by polling alone, by WebSocket alone, and from one to the other. */
export const WAYS = {
  polling: { transports: ["polling"] },
  websocket: { transports: ["websocket"] },
  upgrade: { transports: ["polling", "websocket"] },
};

const open = new Set();

/** A client that is closed at the end of the test by `closeAll`. */
export function client(gateway, way, options = {}, namespace = "") {
  const quick = { reconnectionDelay: 100, reconnectionDelayMax: 500 };
  const socket = io(gateway.url + namespace, { forceNew: true, ...quick, ...WAYS[way], ...options });
  open.add(socket);
  return socket;
}

export function closeAll() {
  for (const socket of open) socket.disconnect();
  open.clear();
}

/** The arguments of an event that must come in time. */
export async function next(emitter, event, milliseconds = 10_000) {
  const signal = AbortSignal.timeout(milliseconds);
  try {
    return await once(emitter, event, { signal });
  } catch (error) {
    throw signal.aborted ? new Error(`"${event}" did not come within ${milliseconds} ms`) : error;
  }
}

/** The client once it is connected and, where it goes there, upgraded. */
export async function connected(gateway, way, options, namespace) {
  const socket = client(gateway, way, options, namespace);
  const refused = next(socket, "connect_error").then(([error]) => Promise.reject(error));
  refused.catch(() => {});
  await Promise.race([next(socket, "connect"), refused]);
  const { engine } = socket.io;
  if (way === "upgrade" && engine.transport.name !== "websocket") await next(engine, "upgrade");
  return socket;
}
