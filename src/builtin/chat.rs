//! The chat of the demo: what a backend decides, from the body of a webhook to the body of its reply.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::words::{
    Action, Change, Code, Emit, Message, Myself, Person, Reject, Reply, Rooms, Scene, Webhook,
};

/// The rooms that there are; who asks for no other comes into the first.
const ROOMS: [&str; 3] = ["general", "random", "help"];
/// Names that nobody may take.
const RESERVED: [&str; 5] = ["admin", "root", "system", "sockgate", "curl"];
/// Longest name, in characters.
const MAX_NAME: usize = 24;
/// Longest line, in characters.
const MAX_TEXT: usize = 2_000;
/// Lines of a room that newcomers see.
const HISTORY: usize = 30;

/// Who is where, and what was said last.
#[derive(Debug, Default)]
pub(super) struct Chat {
    people: BTreeMap<String, Person>,
    history: BTreeMap<&'static str, VecDeque<Message>>,
}

/// What the backend says to a call.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// The body of its reply.
    pub(super) reply: String,
    /// What it sends to `POST /v1/emit` besides: a notice has no reply that anybody reads.
    pub(super) emits: Vec<String>,
}

impl Chat {
    /// Answers a webhook. A body that it does not understand has no effect.
    pub(super) fn answer(&mut self, webhook_id: &str, body: &[u8]) -> Said {
        let Ok(webhook) = serde_json::from_slice::<Webhook<'_>>(body) else {
            return Said {
                reply: "{}".to_owned(),
                ..Said::default()
            };
        };
        let (mut emits, mut reply) = (Vec::new(), Reply::default());
        match (&*webhook.kind, webhook.event.as_deref()) {
            ("connect", _) => reply = self.connect(&webhook),
            ("disconnect", _) => emits.extend(self.disconnect(&webhook)),
            (_, Some("message")) => reply = self.message(webhook_id, &webhook),
            (_, Some("image")) => reply = image(webhook_id, &webhook),
            (_, Some("room")) => reply = self.room(&webhook),
            _ => {}
        }
        Said {
            reply: json(&reply).get().to_owned(),
            emits: emits
                .iter()
                .map(|emit| json(emit).get().to_owned())
                .collect(),
        }
    }

    fn connect(&mut self, webhook: &Webhook<'_>) -> Reply<'static> {
        let auth = webhook.request.as_ref().map(|request| &request.auth);
        let name = auth.map(|auth| auth.name.trim()).unwrap_or_default();
        if let Err(reject) = check_name(name) {
            return Reply {
                reject: Some(reject),
                ..Reply::default()
            };
        }
        let room = auth.and_then(|auth| known(&auth.room)).unwrap_or(ROOMS[0]);
        let person = Person {
            name: name.to_owned(),
            room: room.to_owned(),
        };
        let id = webhook.socket.id.clone();
        self.people.insert(id, person.clone());
        let welcome = Emit {
            event: "welcome",
            args: vec![self.scene(room)],
            to: None,
            except: None,
        };
        Reply {
            user: Some(name.to_owned()),
            state: Some(person),
            rooms: vec![gateway_room(room)],
            actions: vec![
                Action::Emit(welcome),
                Action::Emit(others("joined", room, vec![self.change(name, room)])),
            ],
            ..Reply::default()
        }
    }

    fn disconnect(&mut self, webhook: &Webhook<'_>) -> Option<Emit> {
        let Person { name, room } = self.people.remove(&webhook.socket.id)?;
        Some(Emit {
            except: None,
            ..others("left", &room, vec![self.change(&name, &room)])
        })
    }

    fn message(&mut self, id: &str, webhook: &Webhook<'_>) -> Reply<'static> {
        let text = webhook.args.first().and_then(|arg| string(arg));
        let text = text.filter(|text| !text.trim().is_empty() && text.chars().count() <= MAX_TEXT);
        let (Some(person), Some(text)) = (&webhook.socket.state, text) else {
            return refused("a message has 1 to 2,000 characters");
        };
        let message = said(id, webhook, person, Some(text));
        let actions = vec![Action::Emit(others(
            "message",
            &person.room,
            vec![json(&message)],
        ))];
        let ack = Some([json(&message)]);
        self.remember(&person.room, message);
        Reply {
            ack,
            actions,
            ..Reply::default()
        }
    }

    fn room(&mut self, webhook: &Webhook<'_>) -> Reply<'static> {
        let room = webhook.args.first().and_then(|arg| string(arg));
        let room = room.as_deref().and_then(known);
        let (Some(person), Some(room)) = (&webhook.socket.state, room) else {
            return refused("there is no such room");
        };
        let Person { name, room: before } = person;
        let now = Person {
            name: name.clone(),
            room: room.to_owned(),
        };
        self.people.insert(webhook.socket.id.clone(), now.clone());
        let left = others("left", before, vec![self.change(name, before)]);
        let joined = others("joined", room, vec![self.change(name, room)]);
        let actions = if before == room {
            Vec::new()
        } else {
            vec![
                Action::Leave {
                    rooms: [gateway_room(before)],
                },
                Action::Emit(left),
                Action::Join {
                    rooms: [gateway_room(room)],
                },
                Action::Emit(joined),
            ]
        };
        Reply {
            state: Some(now),
            ack: Some([self.scene(room)]),
            actions,
            ..Reply::default()
        }
    }

    fn remember(&mut self, room: &str, message: Message) {
        let Some(room) = known(room) else { return };
        let history = self.history.entry(room).or_default();
        history.push_back(message);
        if history.len() > HISTORY {
            history.pop_front();
        }
    }

    fn people(&self, room: &str) -> Vec<&str> {
        let here = self.people.values().filter(|person| person.room == room);
        let mut names: Vec<&str> = here.map(|person| &*person.name).collect();
        names.sort_unstable();
        names
    }

    fn scene(&self, room: &str) -> Box<RawValue> {
        json(&Scene {
            room,
            people: self.people(room),
            history: self.history.get(room).into_iter().flatten().collect(),
        })
    }

    fn change(&self, name: &str, room: &str) -> Box<RawValue> {
        json(&Change {
            name,
            people: self.people(room),
        })
    }
}

fn check_name(name: &str) -> Result<(), Reject> {
    let reject = |message, code| {
        Err(Reject {
            message,
            data: Code { code },
        })
    };
    if name.is_empty() || name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
        return reject("a name has 1 to 24 characters", "NAME_INVALID");
    }
    if RESERVED.contains(&&*name.to_lowercase()) {
        return reject("this name is reserved", "NAME_RESERVED");
    }
    Ok(())
}

fn said(id: &str, webhook: &Webhook<'_>, person: &Person, text: Option<String>) -> Message {
    Message {
        id: id.to_owned(),
        from: person.name.clone(),
        text,
        at: webhook.timestamp.clone(),
    }
}

/// The bytes go on as they came, and are not remembered.
fn image<'a>(id: &str, webhook: &Webhook<'a>) -> Reply<'a> {
    let (Some(person), [kind, bytes]) = (&webhook.socket.state, &webhook.args[..]) else {
        return refused("a picture is a type and its bytes");
    };
    let is_image = string(kind).is_some_and(|kind| kind.starts_with("image/"));
    if !is_image || webhook.attachments.len() != 1 {
        return refused("a picture is a type and its bytes");
    }
    let message = json(&said(id, webhook, person, None));
    let args = vec![message.clone(), (*kind).to_owned(), (*bytes).to_owned()];
    Reply {
        ack: Some([message]),
        actions: vec![Action::Emit(others("image", &person.room, args))],
        attachments: webhook.attachments.clone(),
        ..Reply::default()
    }
}

/// An emit to a room, but not to the one who caused it.
fn others(event: &'static str, room: &str, args: Vec<Box<RawValue>>) -> Emit {
    Emit {
        event,
        args,
        to: Some(Rooms {
            rooms: [gateway_room(room)],
        }),
        except: Some(Myself { myself: true }),
    }
}

/// An answer to the one who asked, and to nobody else.
fn refused(error: &'static str) -> Reply<'static> {
    #[derive(Serialize)]
    struct Refused {
        error: &'static str,
    }
    Reply {
        ack: Some([json(&Refused { error })]),
        ..Reply::default()
    }
}

/// The name of a room in the gateway; the relay rule for `typing` goes by its prefix.
fn gateway_room(room: &str) -> String {
    format!("room:{room}")
}

fn known(room: &str) -> Option<&'static str> {
    ROOMS.into_iter().find(|known| *known == room)
}

fn string(arg: &RawValue) -> Option<String> {
    serde_json::from_str(arg.get()).ok()
}

fn json(value: &impl Serialize) -> Box<RawValue> {
    to_raw_value(value).expect("names, texts and lists are always JSON")
}
