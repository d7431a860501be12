//! Edge rules: what the gateway answers by itself (contract 10, *Edge rules*).
//!
//! They are tried in place, in the turn of whoever reads. Where that is not possible (the lane is busy, an inbox is full) the
//! event enters the lane, and everything after it of this socket too.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;

use crate::hub::action::{Action, Audience, Names, Target as To};
use crate::hub::id::Room;
use crate::protocol::socket_io::{self, Event};
use crate::session::Session;
use crate::session::rate::Bucket;
use crate::session::routes::{Route, Target};
use crate::session::settings::{Relay, RelayTo};
use crate::session::socket::Socket;

/// An event as edge rules see it, whether it is read or was queued.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said<'a> {
    pub(crate) name: &'a str,
    pub(crate) args: &'a str,
    pub(crate) id: Option<u64>,
    pub(crate) attachments: &'a [Bytes],
}

/// What of the bytes the arguments really use, numbered in order: a client may send more than it names.
fn payload(said: Said<'_>) -> (Cow<'_, str>, Cow<'_, [Bytes]>) {
    if said.attachments.is_empty() {
        return (Cow::Borrowed(said.args), Cow::Borrowed(&[]));
    }
    match socket_io::placeholders::renumber(said.args, said.attachments) {
        Ok((args, attachments)) => (Cow::Owned(args.into()), Cow::Owned(attachments)),
        // The decoder has checked the same before.
        Err(_) => (Cow::Borrowed(said.args), Cow::Borrowed(said.attachments)),
    }
}

/// Tries the rule now; false where the event must enter the lane.
pub(crate) fn in_place(
    session: &Rc<Session>,
    socket: &Rc<Socket>,
    route: &Rc<Route>,
    event: &Event<'_>,
) -> bool {
    let said = Said {
        name: &event.name,
        args: &event.args,
        id: event.id,
        attachments: &event.attachments,
    };
    let Target::Relay(relay) = &route.target else {
        return answer(session, socket, &route.target, said);
    };
    match relay_action(session, socket, route, relay, said) {
        None => true,
        Some(action) => match session
            .shard
            .hub
            .switchboard()
            .try_emit(action, Instant::now())
        {
            Ok(()) => {
                session.performed();
                acknowledge(session, socket, said.id, "", &[]);
                true
            }
            Err(_full) => false,
        },
    }
}

/// The rules that need nothing but the own outbox; false for other targets.
pub(crate) fn answer(session: &Session, socket: &Socket, target: &Target, said: Said<'_>) -> bool {
    match target {
        Target::Echo => echo(session, socket, said),
        Target::Ok => acknowledge(session, socket, said.id, "", &[]),
        Target::Drop => session.shard.traffic.dropped.increment("rule"),
        Target::Backend { .. } | Target::Relay(_) => return false,
    }
    true
}

fn echo(session: &Session, socket: &Socket, said: Said<'_>) {
    let (args, attachments) = payload(said);
    if said.id.is_some() {
        acknowledge(session, socket, said.id, &args, &attachments);
    } else if socket.key.get().is_some() {
        let frame = socket_io::encode::event(
            socket.namespace.as_str(),
            said.name,
            &args,
            None,
            &attachments,
        );
        session.shard.count_encoding();
        session.push(&frame);
    }
}

/// Answers a request for an acknowledgement; nothing where there was none, or the socket has ended.
pub(crate) fn acknowledge(
    session: &Session,
    socket: &Socket,
    id: Option<u64>,
    args: &str,
    attachments: &[Bytes],
) {
    if let (Some(id), true) = (id, socket.key.get().is_some()) {
        let frame = socket_io::encode::ack(socket.namespace.as_str(), id, args, attachments);
        session.shard.count_encoding();
        session.push(&frame);
    }
}

/// What a relay rule does with an event; `None` where it is dropped (and counted).
pub(crate) fn relay_action(
    session: &Session,
    socket: &Socket,
    route: &Rc<Route>,
    relay: &Relay,
    said: Said<'_>,
) -> Option<Action> {
    let dropped = &session.shard.traffic.dropped;
    let bytes = said.args.len() + said.attachments.iter().map(Bytes::len).sum::<usize>();
    if bytes > relay.max_bytes {
        dropped.increment("relay_bytes");
        return None;
    }
    if !within_rate(session, socket, route, relay) {
        dropped.increment("relay_rate");
        return None;
    }
    let Some(to) = recipients(session, socket, relay, said.args) else {
        dropped.increment("relay_room");
        return None;
    };
    let except = if relay.except_self {
        vec![socket.id]
    } else {
        Vec::new()
    };
    let to = Audience {
        namespace: socket.namespace.clone(),
        to,
        except: Names {
            rooms: Vec::new(),
            sockets: except,
        },
    };
    let (args, attachments) = payload(said);
    let args = if relay.stamp {
        Cow::Owned(stamp(session, socket, &args))
    } else {
        args
    };
    let frame = socket_io::encode::event(
        socket.namespace.as_str(),
        said.name,
        &args,
        None,
        &attachments,
    );
    session.shard.count_encoding();
    Some(Action::Emit {
        to,
        frame,
        volatile: relay.volatile,
    })
}

fn within_rate(session: &Session, socket: &Socket, route: &Rc<Route>, relay: &Relay) -> bool {
    let Some(limit) = relay.rate else { return true };
    let (now, per_second) = (session.shard.now(), session.shard.ticks_per_second());
    let rule = Rc::as_ptr(route).addr();
    let mut rates = socket.rates.borrow_mut();
    let position = rates
        .relays
        .iter()
        .position(|(r, _)| *r == rule)
        .unwrap_or_else(|| {
            rates.relays.push((rule, Bucket::new(limit, now)));
            rates.relays.len() - 1
        });
    rates.relays[position].1.take(limit, now, per_second)
}

/// `None` where `to = "arg"` names no room that the sender is in.
fn recipients(session: &Session, socket: &Socket, relay: &Relay, args: &str) -> Option<To> {
    let rooms = match relay.to {
        RelayTo::All => return Some(To::All),
        RelayTo::Rooms => own_rooms(session, socket, relay),
        RelayTo::Arg => {
            let named = first_string(args)?;
            own_rooms(session, socket, relay)
                .into_iter()
                .filter(|r| r.as_str() == named)
                .collect()
        }
    };
    if relay.to == RelayTo::Arg && rooms.is_empty() {
        return None;
    }
    Some(To::Names(Names {
        rooms,
        sockets: Vec::new(),
    }))
}

/// The sender's rooms that have the rule's prefix, as they are after everything the sender has caused so far.
fn own_rooms(session: &Session, socket: &Socket, relay: &Relay) -> Vec<Room> {
    session.settle_inbox();
    let Some(key) = socket.key.get() else {
        return Vec::new();
    };
    let own = |r: &&Room| r.as_str().starts_with(&*relay.prefix);
    session
        .shard
        .hub
        .socket(key, |view| view.rooms().filter(own).cloned().collect())
        .unwrap_or_default()
}

/// The first argument, where it is a string.
fn first_string(args: &str) -> Option<String> {
    let mut values = serde_json::Deserializer::from_str(args).into_iter::<String>();
    values.next()?.ok()
}

/// The arguments with `{"socket":…,"user":…}` appended; clients cannot forge it, since it is always the last.
fn stamp(session: &Session, socket: &Socket, args: &str) -> String {
    let user = socket.key.get().and_then(|key| {
        session
            .shard
            .hub
            .socket(key, |view| view.user.cloned())
            .flatten()
    });
    let mut text = String::with_capacity(args.len() + 64);
    text.push_str(args);
    if !args.is_empty() {
        text.push(',');
    }
    let stamp = serde_json::json!({ "socket": socket.id.as_str(), "user": user.as_ref().map(super::super::hub::id::UserId::as_str) });
    text.push_str(&stamp.to_string());
    text
}
