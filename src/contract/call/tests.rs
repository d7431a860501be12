use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

use super::*;
use crate::contract::samples::{SOCKET, at, millis, namespace, rooms, socket};
use crate::hub::action::State;
use crate::hub::id::{ConnectionId, UserId};
use crate::hub::reason::{Initiator, Reason};

/// The line breaks that the examples of the contract have for the sake of paper.
fn one_line(example: &str) -> String {
    let lines = example.lines().map(str::trim_start);
    lines.collect()
}

fn written(call: &Call, forward: &Forward) -> String {
    let body = body(call, "gw-1", forward);
    String::from_utf8(body.to_vec()).expect("UTF-8")
}

/// A call of the examples, whose connection is called as it happens to be.
fn call(time: &str, seq: u64, kind: CallKind) -> Call {
    let facts = SocketFacts {
        id: socket(SOCKET),
        namespace: namespace("/chat"),
        connection: ConnectionId::random(),
        user: None,
        state: None,
    };
    Call::new(at(time), seq, facts, kind)
}

fn with_user(mut call: Call, user: &str, state: &str) -> Call {
    call.socket.user = Some(UserId::new(user).expect("a user"));
    call.socket.state = Some(State(state.into()));
    call
}

/// An example with the name of the call's connection.
fn example(text: &str, call: &Call) -> String {
    one_line(text).replace("c.8fJw2kQ0Rz7LmX4t", call.socket.connection.as_str())
}

fn pair(name: &str, value: &str) -> (Box<str>, Box<str>) {
    (name.into(), value.into())
}

fn only(names: &[&str]) -> Allow {
    Allow::Only(names.iter().map(|name| Box::from(*name)).collect())
}

fn connect(auth: &str, info: ConnectInfo) -> CallKind {
    CallKind::Connect {
        auth: auth.into(),
        info: Rc::new(info),
        transport: "websocket",
        hold: millis(20_000),
    }
}

fn info() -> ConnectInfo {
    ConnectInfo {
        ip: Some(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7))),
        headers: vec![
            pair("cookie", "sid=abc"),
            pair("origin", "https://app.example"),
            pair("x-secret", "s"),
        ],
        query: vec![pair("EIO", "4"), pair("v", "3")],
        protocol: 4,
        tls: false,
    }
}

fn event(name: &str, args: &str, attachments: &[&'static [u8]], ack: bool) -> CallKind {
    let attachments = attachments.iter().copied();
    CallKind::Event {
        name: name.into(),
        args: args.into(),
        attachments: attachments.map(Bytes::from_static).collect(),
        ack,
    }
}

#[test]
fn a_connect_is_written_as_in_the_contract() {
    let call = call(
        "2026-11-24T22:00:00.123Z",
        0,
        connect(r#"{"token":"eyJ…"}"#, info()),
    );
    let forward = Forward {
        headers: only(&["cookie", "origin"]),
        query: only(&["v"]),
        pass: vec!["x-secret".into()],
    };
    assert_eq!(
        written(&call, &forward),
        example(
            r#"{"type":"connect","timestamp":"2026-11-24T22:00:00.123Z","node":"gw-1","seq":0,
 "socket":{"id":"aB3xQ9Zk3q9sT0bXw7Kd","namespace":"/chat","connection":"c.8fJw2kQ0Rz7LmX4t"},
 "request":{"auth":{"token":"eyJ…"},"query":{"v":"3"},"headers":{"cookie":"sid=abc","origin":"https://app.example"},
            "ip":"203.0.113.7","transport":"websocket","protocol":4,"recovered":false}}"#,
            &call
        )
    );
}

#[test]
fn an_event_is_written_as_in_the_contract() {
    let call = with_user(
        call(
            "2026-11-24T22:00:05.001Z",
            7,
            event(
                "upload",
                r#""a.png",{"_placeholder":true,"num":0}"#,
                &[b"\x89PNG\r\n\x1a\n"],
                true,
            ),
        ),
        "42",
        r#"{"role":"editor","tenant":"acme"}"#,
    );
    assert_eq!(
        written(&call, &Forward::default()),
        example(
            r#"{"type":"event","timestamp":"2026-11-24T22:00:05.001Z","node":"gw-1","seq":7,
 "socket":{"id":"aB3xQ9Zk3q9sT0bXw7Kd","namespace":"/chat","connection":"c.8fJw2kQ0Rz7LmX4t","user":"42","state":{"role":"editor","tenant":"acme"}},
 "event":"upload","args":["a.png",{"_placeholder":true,"num":0}],"attachments":["iVBORw0KGgo="],"ack":true}"#,
            &call
        )
    );
}

#[test]
fn a_disconnect_is_written_as_in_the_contract() {
    let call = with_user(
        call(
            "2026-11-24T22:10:00Z",
            12,
            CallKind::Disconnect {
                reason: Reason::TransportClose,
                initiator: Initiator::Client,
                duration: millis(600_123),
                rooms: rooms(&["doc:9", "user:42"]),
                undelivered: 0,
                asked_at: at("2026-11-24T22:00:00.123Z"),
            },
        ),
        "42",
        r#"{"role":"editor"}"#,
    );
    assert_eq!(
        written(&call, &Forward::default()),
        example(
            r#"{"type":"disconnect","timestamp":"2026-11-24T22:10:00.000Z","node":"gw-1","seq":12,
 "socket":{"id":"aB3xQ9Zk3q9sT0bXw7Kd","namespace":"/chat","connection":"c.8fJw2kQ0Rz7LmX4t","user":"42","state":{"role":"editor"}},
 "reason":"transport close","initiator":"client","duration_ms":600123,"rooms":["doc:9","user:42"],"undelivered":0,"synthesized":false}"#,
            &call
        )
    );
}

#[test]
fn nothing_is_forwarded_unless_it_is_listed_and_a_star_is_all() {
    let call = call("2026-11-24T22:00:00Z", 0, connect("{}", info()));
    let nothing = written(&call, &Forward::default());
    assert!(nothing.contains(r#""auth":{},"query":{},"headers":{},"#));
    let all = Forward {
        headers: Allow::All,
        query: Allow::All,
        pass: Vec::new(),
    };
    assert!(written(&call, &all).contains(
        r#""query":{"EIO":"4","v":"3"},"headers":{"cookie":"sid=abc","origin":"https://app.example","x-secret":"s"},"#
    ));
}

#[test]
fn tls_is_told_only_where_there_is_some() {
    let secret = ConnectInfo {
        tls: true,
        ip: None,
        ..info()
    };
    let call = call("2026-11-24T22:00:00Z", 0, connect("{}", secret));
    assert!(written(&call, &Forward::default()).ends_with(
        r#""headers":{},"transport":"websocket","protocol":4,"recovered":false,"tls":true}}"#
    ));
}

#[test]
fn auth_is_verbatim_but_for_the_members_of_recovery() {
    let auth = r#"{"pid":"p", "n" : 1.50 ,"offset":"o","pid2":[{"pid":1}]}"#;
    let call = call("2026-11-24T22:00:00Z", 0, connect(auth, info()));
    let body = written(&call, &Forward::default());
    assert!(
        body.contains(r#""auth":{ "n" : 1.50 ,"pid2":[{"pid":1}]},"query""#),
        "{body}"
    );
}

#[test]
fn what_a_client_wrote_is_copied_verbatim() {
    let args = r#"1.50e+1 , {"b":1,"a":2,"b":3},"\u00e9\/""#;
    let call = call(
        "2026-11-24T22:00:00Z",
        1,
        event("\"q\"\u{1}é", args, &[], false),
    );
    assert!(written(&call, &Forward::default()).ends_with(&format!(
        r#","event":"\"q\"\u0001é","args":[{args}],"ack":false}}"#
    )));
}

#[test]
fn attachments_stand_in_order() {
    let kind = event("e", "", &[b"\0", b"", b"\x01\x02\x03"], false);
    let call = call("2026-11-24T22:00:00Z", 1, kind);
    assert!(
        written(&call, &Forward::default())
            .ends_with(r#""args":[],"attachments":["AA==","","AQID"],"ack":false}"#)
    );
}

#[test]
fn names_of_all_kinds_are_escaped() {
    let mut call = call("2026-11-24T22:00:00Z", 1, event("e", "", &[], false));
    call.socket.namespace = namespace("/\"\\");
    call.socket.user = Some(UserId::new("\"u\"").expect("a user"));
    let body = body(&call, "no\"de\n", &Forward::default());
    let value: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(value["node"], "no\"de\n");
    assert_eq!(value["socket"]["namespace"], "/\"\\");
    assert_eq!(value["socket"]["user"], "\"u\"");
}

#[test]
fn a_call_has_an_id_of_its_own_in_upper_case() {
    let call = call("2026-11-24T22:00:00Z", 1, event("e", "", &[], false));
    let id = id(&call);
    assert_eq!(id, format!("evt_{}", call.id));
    assert_eq!(id.len(), 30);
    assert_eq!(id[4..], id[4..].to_uppercase());
}

#[test]
fn the_id_of_a_disconnect_follows_from_the_connect() {
    let disconnect = |asked_at: &str, ended: &str| {
        let kind = CallKind::Disconnect {
            reason: Reason::PingTimeout,
            initiator: Initiator::Client,
            duration: millis(1),
            rooms: Vec::new(),
            undelivered: 0,
            asked_at: at(asked_at),
        };
        id(&call(ended, 9, kind))
    };
    let first = disconnect("2026-11-24T22:00:00.123Z", "2026-11-24T22:10:00Z");
    assert_eq!(
        first,
        disconnect("2026-11-24T22:00:00.123Z", "2026-11-24T23:10:00Z")
    );
    let ulid = Ulid::from_string(&first[4..]).expect("a ULID");
    assert_eq!(ulid.timestamp_ms(), 1_795_557_600_123);
    // printf aB3xQ9Zk3q9sT0bXw7Kd | sha256sum | cut -c1-20
    assert_eq!(format!("{:020x}", ulid.random()), "50ba3d56d39ae7ca4839");
}
