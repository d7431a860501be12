"""A chat behind Sockgate, with FastAPI: one endpoint, a question in, an answer out. Configuration: ../sockgate.toml."""
import json
import os
import re

import httpx
import uvicorn
from fastapi import FastAPI, HTTPException, Request
from standardwebhooks import Webhook, WebhookVerificationError

NAME = re.compile(r"\S(.{0,22}\S)?")
ROOMS = ["general", "random", "help"]
webhook = Webhook(os.environ["APP_WHSEC"])
key = {"authorization": f"Bearer {os.environ['SOCKGATE_API_KEY']}"}
api = httpx.AsyncClient(base_url=os.environ.get("SOCKGATE_API", "http://127.0.0.1:3001/v1"), headers=key)
people = {}  # socket id -> name and room; the gateway keeps the same as the socket's state
history = {room: [] for room in ROOMS}
app = FastAPI()

def scene(room):
    return {"room": room, "people": change("", room)["people"], "history": history[room]}

def change(name, room):
    return {"name": name, "people": sorted(each["name"] for each in people.values() if each["room"] == room)}

def to_room(event, room, arg):
    return {"event": event, "args": [arg], "to": {"rooms": [f"room:{room}"]}}

def to_others(event, room, arg):
    return {"type": "emit", **to_room(event, room, arg), "except": {"self": True}}

async def emit(body):
    """What happens without a question of the gateway goes through its REST API."""
    (await api.post("/emit", json=body)).raise_for_status()

async def answer(call, call_id):
    socket_id, me = call["socket"]["id"], call["socket"].get("state")
    if me:
        people[socket_id] = me  # after a restart of this process
    match call:
        case {"type": "connect", "request": {"auth": {"name": str(name), **auth}}} if NAME.fullmatch(name):
            room = auth["room"] if auth.get("room") in ROOMS else ROOMS[0]
            people[socket_id] = me = {"name": name, "room": room}
            welcome = {"type": "emit", "event": "welcome", "args": [scene(room)]}
            actions = [welcome, to_others("joined", room, change(name, room))]
            return {"user": name, "state": me, "rooms": [f"room:{room}"], "actions": actions}
        case {"type": "connect"}:
            return {"reject": {"message": "a name has 1 to 24 characters", "data": {"code": "NAME_INVALID"}}}
        case {"type": "disconnect"}:
            people.pop(socket_id, None)
            await emit(to_room("left", me["room"], change(**me)))
            return {}
        case {"event": "message", "args": [str(text), *_]} if text.strip() and len(text) <= 2000:
            message = {"id": call_id, "from": me["name"], "text": text, "at": call["timestamp"]}
            history[me["room"]] = [*history[me["room"]], message][-30:]
            return {"ack": [message], "actions": [to_others("message", me["room"], message)]}
        case {"event": "room", "args": [str(room), *_]} if room in ROOMS and room != me["room"]:
            people[socket_id] = now = {**me, "room": room}
            leave = [{"type": "leave", "rooms": [f"room:{me['room']}"]}, to_others("left", me["room"], change(**me))]
            join = [{"type": "join", "rooms": [f"room:{room}"]}, to_others("joined", room, change(**now))]
            return {"state": now, "ack": [scene(room)], "actions": leave + join}
    return {"ack": [{"error": "this cannot be done"}]}

@app.post("/sockgate")
async def sockgate(request: Request):
    body = await request.body()
    try:
        webhook.verify(body, dict(request.headers))  # the signature
    except (WebhookVerificationError, ValueError):
        raise HTTPException(400, "not signed by the gateway")
    return await answer(json.loads(body), request.headers["webhook-id"])

@app.post("/announce")
async def announce(body: dict):
    await emit({"event": "message", "args": [{"from": "announcement", **body}], "to": {"all": True}})

if __name__ == "__main__":
    uvicorn.run(app, host=os.environ.get("HOST", "127.0.0.1"), port=int(os.environ.get("PORT", "8000")))
