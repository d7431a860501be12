//! What holds for every input.

use proptest::prelude::*;
use serde_json::value::RawValue;

use super::audience::Namespaces;
use super::reply::{ReplyContext, ReplyKind};
use super::rest::RestContext;
use super::samples::{OTHER, SOCKET, Sites, at, namespace, sent, socket};
use super::{query, reply, rest, trim};
use crate::hub::action::Action;
use crate::session::backend::Step;

/// Words that readers look for, and a few that they do not.
const WORDS: &[&str] = &[
    "type",
    "emit",
    "join",
    "leave",
    "disconnect",
    "state",
    "expire",
    "ack",
    "event",
    "args",
    "to",
    "except",
    "namespace",
    "volatile",
    "rooms",
    "users",
    "sockets",
    "self",
    "all",
    "set",
    "at",
    "reconnect",
    "close",
    "reason",
    "user",
    "expires_at",
    "cache_ttl",
    "reject",
    "message",
    "data",
    "actions",
    "attachments",
    "report",
    "timeout_ms",
    "max",
    "first",
    "stop_on_error",
    "ttl_ms",
    "conflate",
    "_placeholder",
    "num",
    "/",
    "/chat",
    "/docs",
    "/nowhere",
    "*",
    "AA==",
    "2026-11-24T23:00:00Z",
    SOCKET,
    OTHER,
    "x",
    "",
    "é\\u0000",
];

/// JSON text that looks like what backends write, white space and odd numbers included.
fn json() -> impl Strategy<Value = String> {
    let word = || proptest::sample::select(WORDS).prop_map(|word| format!("\"{word}\""));
    let scalar = proptest::sample::select(
        &[
            "null",
            "true",
            "false",
            "0",
            "1",
            "-0",
            "1.50e+1",
            "1e999",
            "\"\\ud800\"",
            "[]",
            "{}",
        ][..],
    );
    let leaf = prop_oneof![word(), scalar.prop_map(str::to_owned)];
    leaf.prop_recursive(5, 60, 8, move |inner| {
        let list = proptest::collection::vec(inner.clone(), 0..8);
        let member = (word(), inner).prop_map(|(name, value)| format!("{name} :{value}"));
        let object = proptest::collection::vec(member, 0..8);
        prop_oneof![
            list.prop_map(|entries| format!("[ {} ]", entries.join(" ,"))),
            object.prop_map(|members| format!("{{{}\n}}", members.join(","))),
        ]
    })
}

/// An object of these members.
fn object(names: &'static [&'static str]) -> impl Strategy<Value = String> {
    let member = (proptest::sample::select(names), json());
    let members = proptest::collection::vec(member, 0..6);
    members.prop_map(|members| {
        let members = members.into_iter();
        let members: Vec<_> = members
            .map(|(name, value)| format!("\"{name}\":{value}"))
            .collect();
        format!("{{{}}}", members.join(","))
    })
}

/// Gives a body to every reader; each must give a value or a reason.
fn read_everything(body: &[u8]) -> Result<(), TestCaseError> {
    let sites = Sites::new();
    let chat = namespace("/chat");
    let context = ReplyContext {
        socket: socket(SOCKET),
        namespace: &chat,
        namespaces: &sites,
        max_emit: 1000,
        max_rooms: 3,
        now: at("2026-11-24T22:00:00Z"),
    };
    for kind in [ReplyKind::Connect, ReplyKind::Event] {
        match reply::parse(kind, body, &context) {
            Ok(parsed) => {
                let acks = parsed.reply.steps.iter();
                let acks = acks.filter(|step| matches!(step, Step::Ack(_))).count();
                prop_assert!(acks <= usize::from(kind == ReplyKind::Event));
            }
            Err(bad) => {
                prop_assert!(!bad.0.faults.is_empty() && bad.0.faults.len() <= bad.0.count);
            }
        }
    }
    for status in [200, 400, 401, 404] {
        let refusal = reply::reject_body(status, body);
        prop_assert!(status != 401 || refusal.is_some());
    }
    let context = RestContext {
        namespaces: &sites,
        max_emit: 1000,
    };
    let problems = [
        rest::emit(body, &context).err(),
        rest::join(body, &context).err(),
        rest::leave(body, &context).err(),
        rest::disconnect(body, &context).err(),
        rest::actions(body, &context).err(),
    ];
    for problem in problems.into_iter().flatten() {
        prop_assert!(problem.code.status() < 500);
        let json: serde_json::Value =
            serde_json::from_slice(&problem.to_json()).expect("a problem is JSON");
        prop_assert_eq!(&json["status"], problem.code.status());
    }
    Ok(())
}

proptest! {
    #[test]
    fn no_bytes_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        read_everything(&body)?;
    }

    #[test]
    fn no_json_panics(body in prop_oneof![
        json(),
        object(&["user", "state", "expires_at", "rooms", "cache_ttl", "reject", "ack", "actions", "attachments"]),
        object(&["namespace", "event", "args", "to", "except", "volatile", "report", "ack", "attachments"]),
        object(&["namespace", "actions", "attachments", "stop_on_error"]),
        object(&["namespace", "rooms", "to", "report", "reconnect", "close", "reason"]),
    ]) {
        read_everything(body.as_bytes())?;
    }

    #[test]
    fn no_query_panics(text in "([a-z%+=&/:0-9]|namespace=|room=|limit=|cursor=|%c3%a9|\\PC){0,20}") {
        let sites: &dyn Namespaces = &Sites::new();
        for problem in [
            query::namespaces(&text).err(),
            query::rooms(&text, sites).err(),
            query::sockets(&text, sites).err(),
            query::none(&text).err(),
        ].into_iter().flatten() {
            prop_assert!(!problem.errors.is_empty());
        }
    }

    #[test]
    fn every_cursor_of_the_documents_patterns_is_taken(
        name in "\\.([A-Za-z0-9_-]{4}){0,99}([A-Za-z0-9_-]{2,3})?|[A-Za-z0-9_-]{20}",
        id in "[A-Za-z0-9_-]{20}",
    ) {
        let sites: &dyn Namespaces = &Sites::new();
        let (name, id) = (format!("cursor={name}"), format!("cursor={id}"));
        prop_assert!(query::namespaces(&name).is_ok());
        prop_assert!(query::rooms(&name, sites).is_ok());
        prop_assert!(query::sockets(&id, sites).is_ok());
    }

    #[test]
    fn the_arguments_of_a_valid_emit_come_out_verbatim(args in proptest::collection::vec(json(), 0..5)) {
        let args = args.join(" , ");
        let body = format!(r#"{{"event":"e","args":[ {args} ],"to":{{"all":true}}}}"#);
        let sites = Sites::new();
        let context = RestContext { namespaces: &sites, max_emit: 0 };
        let request = rest::emit(body.as_bytes(), &context);
        let action: Action = request.expect("valid").emit.into_action(None);
        let comma = if args.is_empty() { "" } else { "," };
        prop_assert_eq!(sent(&action), format!(r#"42["e"{comma}{args}]"#));
    }

    #[test]
    fn trimming_takes_exactly_the_unwanted_members(members in proptest::collection::vec(
        (proptest::sample::select(&["pid", "offset", "p\\u0069d", "a", "é", "x\\ud800"][..]), json()), 0..6,
    )) {
        let write = |members: &[&(&str, String)]| {
            let members = members.iter();
            let members: Vec<_> = members.map(|(name, value)| format!(" \"{name}\" : {value} ")).collect();
            format!("{{{}}}", members.join(","))
        };
        let wanted = |(name, _): &&(&str, String)| !matches!(*name, "pid" | "offset" | "p\\u0069d");
        let all: Vec<_> = members.iter().collect();
        let kept: Vec<_> = members.iter().filter(wanted).collect();
        let object = write(&all);
        let trimmed = trim::without_members(&object, &["pid", "offset"]);
        prop_assert_eq!(&*trimmed, write(&kept));
        prop_assert!(serde_json::from_str::<&RawValue>(&trimmed).is_ok());
    }
}
