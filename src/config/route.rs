//! The tables `namespace.route`.

use std::time::Duration;

use ::config::Value;

use super::name::{events, room_prefix, route_name};
use super::problem::{Place, nearest};
use super::raw::Table;
use super::upstream::Named;
use super::value::{Reading, flag, integer, quote, size, some_rate, some_time, text, word};
use crate::hub::pattern::Pattern;
use crate::session::settings::{
    Life, Relay, RelayTo, RouteSettings, TargetSettings, Trigger, UpstreamRoute,
};

/// How long a CONNECT waits for a decision unless the namespace says else.
pub(super) const HOLD: Duration = Duration::from_secs(20);
/// Time for an answer unless the route says else.
const DEADLINE: Duration = Duration::from_secs(5);
/// More calls of one socket are never under way.
const MAX_IN_FLIGHT: i64 = 1000;

/// What a route can do; it must be exactly one.
const TARGETS: [&str; 4] = ["upstream", "relay", "reply", "drop"];
/// What only a route to a backend has.
const OF_UPSTREAM: [&str; 4] = ["deadline", "idempotent", "max_in_flight", "auto_ack"];
/// What only a route for events has.
const OF_EVENTS: [&str; 3] = ["idempotent", "max_in_flight", "auto_ack"];

const LIVES: [(&str, Life); 2] = [("connect", Life::Connect), ("disconnect", Life::Disconnect)];
const LATER_LIVES: [&str; 7] = [
    "connected",
    "suspended",
    "refresh",
    "user.online",
    "user.offline",
    "room.occupied",
    "room.vacated",
];

/// A route as far as it was understood.
#[derive(Debug)]
pub(super) struct Draft {
    /// Its name, written or made.
    pub(super) name: Option<Box<str>>,
    /// Where it begins.
    pub(super) place: Place,
    /// Path of its table.
    pub(super) path: String,
    /// Steps of life it is for, each with its place.
    pub(super) lives: Vec<(Life, Place)>,
    /// Events it is for, each with its place.
    pub(super) events: Vec<(Pattern, Place)>,
    /// Whether what it is for was written, but not understood.
    pub(super) is_trigger_unknown: bool,
    target: Option<TargetSettings>,
}

impl Draft {
    /// The word that a made name ends with.
    pub(super) fn first_word(&self) -> Option<&str> {
        let life = self.lives.first().map(|(life, _)| word_of(*life));
        life.or_else(|| self.events.first().map(|(pattern, _)| pattern.as_str()))
    }

    /// The settings, if they are complete.
    pub(super) fn finish(self) -> Option<RouteSettings> {
        let on = if self.lives.is_empty() {
            Trigger::Event(
                self.events
                    .into_iter()
                    .map(|(pattern, _)| pattern)
                    .collect(),
            )
        } else {
            Trigger::Life(self.lives.into_iter().map(|(life, _)| life).collect())
        };
        Some(RouteSettings {
            name: self.name?,
            on,
            target: self.target?,
        })
    }
}

/// The word for a step of life.
pub(super) fn word_of(life: Life) -> &'static str {
    match life {
        Life::Connect => "connect",
        Life::Disconnect => "disconnect",
    }
}

/// `[[namespace.route]]`.
pub(super) fn route(table: &mut Table<'_>, upstreams: &mut [Named], max_payload: usize) -> Draft {
    let name = table.get("name", route_name);
    let on = table.one_or_many("on", word(&LIVES, &LATER_LIVES));
    let events = table.one_or_many("event", events);
    match (table.has("on"), table.has("event")) {
        (true, true) => table.wrong("event", "contradicts `on`: a route is for one of the two"),
        (false, false) => table.wrong_here("needs `on` or `event`"),
        _ => {}
    }
    let is_trigger_unknown =
        table.has("on") && on.is_none() || table.has("event") && events.is_none();
    let target = target(table, upstreams, max_payload);
    later(table);
    Draft {
        name,
        place: table.place(),
        path: table.path().to_owned(),
        lives: on.unwrap_or_default(),
        events: events.unwrap_or_default(),
        is_trigger_unknown,
        target,
    }
}

/// What is to come.
fn later(table: &mut Table<'_>) {
    table.later_but("ack_on_failure", "none");
    table.later_but("encoding", "json");
    table.later_but("stream", false);
    table.table("batch", |table| {
        table.later_but("max", 1);
        table.later_but("always", false);
        table.later_time("max_wait");
    });
    table.later("mirror");
    table.later("upstreams");
}

fn target(
    table: &mut Table<'_>,
    upstreams: &mut [Named],
    max_payload: usize,
) -> Option<TargetSettings> {
    let written: Vec<_> = TARGETS.into_iter().filter(|key| table.has(key)).collect();
    match written.as_slice() {
        [] if table.has("upstreams") => {}
        [] => table.wrong_here("needs one of `upstream`, `relay`, `reply` and `drop`"),
        [_] => {}
        [first, others @ ..] => {
            for other in others {
                table.wrong(
                    other,
                    format!("contradicts `{first}`: a route does one thing"),
                );
            }
        }
    }
    let to_upstream = upstream(table, upstreams);
    let relay = table.table("relay", |table| relay(table, max_payload));
    let is_echo = table.get("reply", word(&[("echo", true), ("ok", false)], &[]));
    let reply = is_echo.map(|is_echo| {
        if is_echo {
            TargetSettings::Echo
        } else {
            TargetSettings::Ok
        }
    });
    let drop = table.get("drop", drop);
    misplaced(table, &written);
    to_upstream
        .map(TargetSettings::Upstream)
        .or(relay.flatten().map(TargetSettings::Relay))
        .or(reply)
        .or(drop)
}

/// Keys that have no meaning for what the route does.
fn misplaced(table: &Table<'_>, targets: &[&str]) {
    if table.has("on") {
        for key in targets.iter().filter(|key| **key != "upstream") {
            table.wrong(key, "is for events only: `on` needs an upstream");
        }
        for key in OF_EVENTS.into_iter().filter(|key| table.has(key)) {
            table.wrong(key, "is for events only");
        }
    }
    if !targets.is_empty() && !targets.contains(&"upstream") {
        for key in OF_UPSTREAM.into_iter().filter(|key| table.has(key)) {
            table.wrong(key, "has a meaning only for a route with `upstream`");
        }
    }
}

fn upstream(table: &mut Table<'_>, upstreams: &mut [Named]) -> Option<UpstreamRoute> {
    let name = table.get("upstream", text);
    if let Some(name) = name {
        if let Some(upstream) = upstreams
            .iter_mut()
            .find(|upstream| &*upstream.name == name)
        {
            upstream.is_used = true;
        } else {
            let known = upstreams.iter().map(|upstream| &*upstream.name);
            let nearest = nearest(name, known).map_or_else(
                || "add an [[upstream]]".to_owned(),
                |nearest| format!("the nearest is {}", quote(nearest)),
            );
            let message = format!("there is no upstream named {}; {nearest}", quote(name));
            table.wrong("upstream", message);
        }
    }
    let deadline = table.get("deadline", some_time);
    let idempotent = table.get("idempotent", flag);
    let max_in_flight = table.get("max_in_flight", integer(1..=MAX_IN_FLIGHT));
    let auto_ack = table.get("auto_ack", flag);
    Some(UpstreamRoute {
        upstream: name?.into(),
        deadline: deadline.unwrap_or(DEADLINE),
        idempotent: idempotent.unwrap_or(false),
        max_in_flight: max_in_flight.unwrap_or(1),
        auto_ack: auto_ack.unwrap_or(true),
    })
}

fn relay(table: &mut Table<'_>, max_payload: usize) -> Option<Relay> {
    let recipients = [
        ("all", RelayTo::All),
        ("rooms", RelayTo::Rooms),
        ("arg", RelayTo::Arg),
    ];
    let to = table.require("to", word(&recipients, &[]));
    let prefix = table.get("prefix", room_prefix);
    let except_self = table.get("except_self", flag);
    let volatile = table.get("volatile", flag);
    let stamp = table.get("stamp", flag);
    let rate = table.get("rate", some_rate);
    let max_bytes = table.get("max_bytes", size).unwrap_or(max_payload);
    if to == Some(RelayTo::All) && table.has("prefix") {
        table.wrong(
            "prefix",
            "has no meaning with `to = \"all\"`, which is the whole namespace",
        );
    }
    if max_bytes > max_payload {
        let message = format!("is more than `engine.max_payload` lets in ({max_payload} bytes)");
        table.wrong("max_bytes", message);
    }
    Some(Relay {
        to: to?,
        prefix: prefix.unwrap_or_default(),
        except_self: except_self.unwrap_or(true),
        volatile: volatile.unwrap_or(false),
        stamp: stamp.unwrap_or(false),
        rate,
        max_bytes,
    })
}

fn drop(value: &Value) -> Reading<TargetSettings> {
    if flag(value)? {
        Ok(TargetSettings::Drop)
    } else {
        Err("can only be `true`; leave it out otherwise".to_owned())
    }
}
