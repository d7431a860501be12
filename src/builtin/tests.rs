#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::{Value, json};

use super::chat::{Chat, Said};
use crate::contract::audience::{Closed, Namespaces};
use crate::contract::reply::{self, ReplyContext, ReplyKind};
use crate::contract::rest::{self, RestContext};
use crate::hub::action::UserRoom;
use crate::hub::id::{Namespace, NodeTag, ShardId, SocketId};

struct Everywhere(UserRoom);

impl Namespaces for Everywhere {
    fn user_room(&self, _: &Namespace) -> Result<&UserRoom, Closed> {
        Ok(&self.0)
    }
}

/// A chat whose every answer is held against the contract.
#[derive(Default)]
struct Table {
    chat: Chat,
    calls: u32,
}

impl Table {
    fn ask(&mut self, body: &Value) -> (Value, Vec<Value>) {
        self.calls += 1;
        let id = format!("evt_{}", self.calls);
        let Said { reply, emits } = self.chat.answer(&id, body.to_string().as_bytes());
        let namespaces = Everywhere(UserRoom::default());
        let namespace = Namespace::new("/").unwrap();
        let kind = match body["type"].as_str().unwrap() {
            "connect" => ReplyKind::Connect,
            _ => ReplyKind::Event,
        };
        let context = ReplyContext {
            socket: SocketId::random(NodeTag::random(), ShardId::new(0).unwrap()),
            namespace: &namespace,
            namespaces: &namespaces,
            max_emit: 0,
            max_rooms: 0,
            now: std::time::SystemTime::now(),
        };
        reply::parse(kind, reply.as_bytes(), &context).expect("a reply that keeps the contract");
        let context = RestContext {
            namespaces: &namespaces,
            max_emit: 0,
        };
        for emit in &emits {
            rest::emit(emit.as_bytes(), &context).expect("a request that keeps the contract");
        }
        let emits = emits.iter().map(|emit| serde_json::from_str(emit).unwrap());
        (serde_json::from_str(&reply).unwrap(), emits.collect())
    }

    fn connect(&mut self, socket: &str, name: &str, room: &str) -> Value {
        let body = json!({
            "type": "connect", "timestamp": "2026-11-24T22:00:00.123Z", "node": "n", "seq": 0,
            "socket": {"id": socket, "namespace": "/", "connection": "c.1"},
            "request": {"auth": {"name": name, "room": room}, "query": {}, "headers": {}, "transport": "polling", "protocol": 4, "recovered": false},
        });
        self.ask(&body).0
    }

    fn event(&mut self, state: &Value, event: &str, args: &Value, attachments: &Value) -> Value {
        let body = json!({
            "type": "event", "timestamp": "2026-11-24T22:00:01.000Z", "node": "n", "seq": 1,
            "socket": {"id": "ann", "namespace": "/", "connection": "c.1", "user": "Ann", "state": state},
            "event": event, "args": args, "attachments": attachments, "ack": true,
        });
        self.ask(&body).0
    }
}

#[test]
fn a_newcomer_is_told_the_scene_and_others_of_the_newcomer() {
    let mut table = Table::default();
    let reply = table.connect("ann", " Ann ", "random");
    assert_eq!(reply["user"], "Ann");
    assert_eq!(reply["state"], json!({"name": "Ann", "room": "random"}));
    assert_eq!(reply["rooms"], json!(["room:random"]));
    assert_eq!(reply["actions"][0]["event"], "welcome");
    assert_eq!(reply["actions"][0]["args"][0]["people"], json!(["Ann"]));
    let reply = table.connect("bob", "Bob", "elsewhere");
    assert_eq!(reply["rooms"], json!(["room:general"]));
    let joined = &reply["actions"][1];
    assert_eq!(joined["event"], "joined");
    assert_eq!(joined["to"], json!({"rooms": ["room:general"]}));
    assert_eq!(joined["except"], json!({"self": true}));
}

#[test]
fn names_can_be_refused() {
    let mut table = Table::default();
    for (name, code) in [
        ("", "NAME_INVALID"),
        ("0123456789012345678901234", "NAME_INVALID"),
        ("a\u{7}b", "NAME_INVALID"),
        ("Admin", "NAME_RESERVED"),
    ] {
        let reply = table.connect("ann", name, "");
        assert_eq!(reply["reject"]["data"]["code"], code, "{name}");
    }
}

#[test]
fn a_message_is_acknowledged_told_to_others_and_remembered() {
    let mut table = Table::default();
    let state = table.connect("ann", "Ann", "")["state"].clone();
    let reply = table.event(&state, "message", &json!(["héllo"]), &json!([]));
    assert_eq!(reply["ack"][0]["id"], "evt_2");
    let emit = &reply["actions"][0];
    assert_eq!(
        emit["args"],
        json!([{"id": "evt_2", "from": "Ann", "text": "héllo", "at": "2026-11-24T22:00:01.000Z"}])
    );
    let reply = table.connect("bob", "Bob", "");
    let history = &reply["actions"][0]["args"][0]["history"];
    assert_eq!(history[0]["text"], "héllo");
    for nothing in [
        json!([]),
        json!([7]),
        json!(["  "]),
        json!(["x".repeat(2001)]),
    ] {
        let reply = table.event(&state, "message", &nothing, &json!([]));
        assert!(reply["ack"][0]["error"].is_string(), "{nothing}");
        assert_eq!(reply["actions"], Value::Null);
    }
}

#[test]
fn a_picture_passes_with_its_bytes() {
    let mut table = Table::default();
    let state = table.connect("ann", "Ann", "")["state"].clone();
    let bytes = json!({"_placeholder": true, "num": 0});
    let args = json!(["image/png", bytes]);
    let reply = table.event(&state, "image", &args, &json!(["iVBORw0KGgo="]));
    assert_eq!(reply["attachments"], json!(["iVBORw0KGgo="]));
    assert_eq!(reply["actions"][0]["args"][1], "image/png");
    assert_eq!(reply["actions"][0]["args"][2], bytes);
    for (args, attachments) in [
        (json!(["text/html", bytes]), json!(["iVBORw0KGgo="])),
        (json!(["image/png"]), json!([])),
        (json!(["image/png", "plain"]), json!([])),
    ] {
        let reply = table.event(&state, "image", &args, &attachments);
        assert!(reply["ack"][0]["error"].is_string(), "{args}");
    }
}

#[test]
fn a_change_of_rooms_is_a_list_of_actions_in_order() {
    let mut table = Table::default();
    let state = table.connect("ann", "Ann", "")["state"].clone();
    let reply = table.event(&state, "room", &json!(["help"]), &json!([]));
    assert_eq!(reply["state"]["room"], "help");
    assert_eq!(reply["ack"][0]["people"], json!(["Ann"]));
    let actions = reply["actions"].as_array().unwrap();
    let kinds: Vec<&str> = actions
        .iter()
        .map(|a| a["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["leave", "emit", "join", "emit"]);
    let reply = table.event(&reply["state"], "room", &json!(["help"]), &json!([]));
    assert_eq!(reply["actions"], Value::Null);
    let reply = table.event(&state, "room", &json!(["nowhere"]), &json!([]));
    assert!(reply["ack"][0]["error"].is_string());
}

#[test]
fn who_leaves_is_told_over_rest() {
    let mut table = Table::default();
    table.connect("ann", "Ann", "");
    table.connect("bob", "Bob", "");
    let notice = json!({
        "type": "disconnect", "timestamp": "2026-11-24T22:00:09.000Z", "node": "n", "seq": 1,
        "socket": {"id": "ann", "namespace": "/", "connection": "c.1", "user": "Ann"},
        "reason": "transport close", "initiator": "client", "duration_ms": 1, "rooms": [], "undelivered": 0, "synthesized": false,
    });
    let (reply, emits) = table.ask(&notice);
    assert_eq!(reply, json!({}));
    assert_eq!(emits.len(), 1);
    assert_eq!(emits[0]["event"], "left");
    assert_eq!(
        emits[0]["args"],
        json!([{"name": "Ann", "people": ["Bob"]}])
    );
    let (_, emits) = table.ask(&notice);
    assert!(emits.is_empty(), "it is told once");
}

#[test]
fn what_it_does_not_know_has_no_effect() {
    let mut table = Table::default();
    let state = table.connect("ann", "Ann", "")["state"].clone();
    assert_eq!(
        table.event(&state, "other", &json!([]), &json!([])),
        json!({})
    );
    assert_eq!(table.chat.answer("evt_9", b"no json").reply, "{}");
}
