// A chat behind Sockgate, with Express: one endpoint, a question in, an answer out. Configuration: ../sockgate.toml.
import express from "express";
import { Webhook } from "standardwebhooks";

const { APP_WHSEC, SOCKGATE_API_KEY, SOCKGATE_API = "http://127.0.0.1:3001/v1" } = process.env;
const { HOST = "127.0.0.1", PORT = "8000" } = process.env;
const ROOMS = ["general", "random", "help"];
const webhook = new Webhook(APP_WHSEC);
const people = new Map(); // socket id -> { name, room }; the gateway keeps the same as the socket's state
const history = new Map(ROOMS.map((room) => [room, []]));

const refused = { ack: [{ error: "this cannot be done" }] };
const names = (room) => [...people.values()].filter((person) => person.room === room).map(({ name }) => name).sort();
const scene = (room) => ({ room, people: names(room), history: history.get(room) });
const change = ({ name, room }) => ({ name, people: names(room) });
const toRoom = (event, room, arg) => ({ event, args: [arg], to: { rooms: [`room:${room}`] } });
const toOthers = (...emit) => ({ type: "emit", ...toRoom(...emit), except: { self: true } });

/** What happens without a question of the gateway goes through its REST API. */
async function emit(body) {
  const headers = { "content-type": "application/json", authorization: `Bearer ${SOCKGATE_API_KEY}` };
  const answer = await fetch(`${SOCKGATE_API}/emit`, { method: "POST", headers, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(await answer.text());
}

const calls = {
  connect({ socket, request: { auth } }) {
    if (typeof auth.name !== "string" || !/^\S(.{0,22}\S)?$/u.test(auth.name)) {
      return { reject: { message: "a name has 1 to 24 characters", data: { code: "NAME_INVALID" } } };
    }
    const me = { name: auth.name, room: ROOMS.includes(auth.room) ? auth.room : ROOMS[0] };
    people.set(socket.id, me);
    const welcome = { type: "emit", event: "welcome", args: [scene(me.room)] };
    const actions = [welcome, toOthers("joined", me.room, change(me))];
    return { user: me.name, state: me, rooms: [`room:${me.room}`], actions };
  },
  async disconnect({ socket }) {
    people.delete(socket.id);
    await emit(toRoom("left", socket.state.room, change(socket.state)));
  },
  message({ socket: { state: me }, args: [text], timestamp }, id) {
    if (typeof text !== "string" || !text.trim() || text.length > 2000) return refused;
    const message = { id, from: me.name, text, at: timestamp };
    history.set(me.room, [...history.get(me.room), message].slice(-30));
    return { ack: [message], actions: [toOthers("message", me.room, message)] };
  },
  room({ socket: { id, state: me }, args: [room] }) {
    if (!ROOMS.includes(room) || room === me.room) return refused;
    const now = { ...me, room };
    people.set(id, now);
    const leave = [{ type: "leave", rooms: [`room:${me.room}`] }, toOthers("left", me.room, change(me))];
    const join = [{ type: "join", rooms: [`room:${room}`] }, toOthers("joined", room, change(now))];
    return { state: now, ack: [scene(room)], actions: [...leave, ...join] };
  },
};

const app = express();
app.post("/sockgate", express.raw({ type: () => true, limit: "2mb" }), async (request, response) => {
  try {
    webhook.verify(request.body, request.headers); // the signature
  } catch {
    return response.status(400).send("not signed by the gateway");
  }
  const call = JSON.parse(request.body);
  if (call.socket.state) people.set(call.socket.id, call.socket.state); // after a restart of this process
  response.json((await calls[call.event ?? call.type](call, request.get("webhook-id"))) ?? {});
});
app.post("/announce", express.json(), async ({ body }, response) => {
  await emit({ event: "message", args: [{ from: "announcement", ...body }], to: { all: true } });
  response.json(null);
});
app.listen(Number(PORT), HOST, () => console.log(`listening on http://${HOST}:${PORT}`));
