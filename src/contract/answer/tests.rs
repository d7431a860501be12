use super::*;
use crate::contract::fault::{Cause, Fault, Faulty, Place};
use crate::contract::samples::{SOCKET, at, namespace, rooms, socket};
use crate::hub::reads::SessionRecord;

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("serialises")
}

#[test]
fn ids_are_a_prefix_and_a_ulid_in_upper_case() {
    for (id, prefix) in [(effect_id(), "em_"), (request_id(), "req_")] {
        let ulid = id.strip_prefix(prefix).expect("the prefix");
        assert_eq!(ulid, ulid.to_uppercase());
        assert!(Ulid::from_string(ulid).is_ok());
    }
}

#[test]
fn reports_are_written_as_in_the_contract() {
    let id = "em_01JDH4V8Q7C8M5X2R9W4T6Y0ZA";
    assert_eq!(
        json(&Accepted { id: id.into() }),
        format!(r#"{{"id":"{id}"}}"#)
    );
    let report = Report {
        id: id.into(),
        sockets: 17,
        nodes: Nodes::ALONE,
    };
    assert_eq!(
        json(&report),
        format!(r#"{{"id":"{id}","sockets":17,"nodes":{{"expected":1,"answered":1}}}}"#)
    );
}

#[test]
fn results_are_written_as_in_the_contract() {
    let faulty = Faulty {
        faults: vec![Fault {
            place: Place::Pointer("/actions/2/to".into()),
            cause: Cause::Invalid,
            detail: "…".into(),
        }],
        count: 1,
    };
    let refused = Problem {
        detail: "…".into(),
        ..Problem::from(faulty)
    };
    let results = Results {
        results: vec![
            Outcome::Accepted,
            Outcome::Accepted,
            Outcome::Refused(refused),
        ],
    };
    assert_eq!(
        json(&results),
        r#"{"results":[{"status":202},{"status":202},{"status":422,"problem":{"type":"urn:sockgate:problem:invalid-request","title":"Invalid request","status":422,"code":"invalid_request","detail":"…","errors":[{"pointer":"/actions/2/to","detail":"…"}]}}]}"#
    );
}

fn page<T>(items: Vec<T>) -> Page<T> {
    Page {
        items,
        next: None,
        nodes: Nodes::ALONE,
    }
}

#[test]
fn pages_are_written_as_in_the_contract() {
    let namespaces = page(vec![NamespaceItem {
        name: namespace("/chat"),
        pattern: "/chat".into(),
        sockets: 17,
    }]);
    assert_eq!(
        json(&namespaces),
        r#"{"items":[{"name":"/chat","match":"/chat","sockets":17}],"next":null,"nodes":{"expected":1,"answered":1}}"#
    );
    let rooms = Page {
        next: Some(Cursor::after("doc:9")),
        ..page(vec![RoomItem::from(Counted {
            name: rooms(&["doc:9"]).remove(0),
            sockets: 3,
        })])
    };
    assert_eq!(
        json(&rooms),
        r#"{"items":[{"name":"doc:9","sockets":3}],"next":".ZG9jOjk","nodes":{"expected":1,"answered":1}}"#
    );
    let upstreams = page(vec![UpstreamItem {
        name: "app".into(),
        state: UpstreamState::Up,
        in_flight: 3,
        waiting: 0,
        last_error: None,
    }]);
    assert!(json(&upstreams).starts_with(
        r#"{"items":[{"name":"app","state":"up","in_flight":3,"waiting":0,"last_error":null}]"#
    ));
    let tag = NodeTag::random();
    let nodes = page(vec![NodeItem {
        name: "gw-1".into(),
        tag,
        version: "0.1.0",
        started_at: at("2026-11-24T22:00:00.123Z"),
        connections: 17,
        shards: 2,
        state: NodeState::Ready,
    }]);
    assert!(json(&nodes).starts_with(&format!(
        r#"{{"items":[{{"name":"gw-1","tag":"{tag}","version":"0.1.0","started_at":"2026-11-24T22:00:00.123Z","connections":17,"shards":2,"state":"ready"}}]"#
    )));
}

fn record() -> SocketRecord {
    SocketRecord {
        id: socket(SOCKET),
        namespace: namespace("/chat"),
        connection: ConnectionId::random(),
        user: Some(UserId::new("42").expect("a user")),
        state: Some(State(r#"{"role":"editor"}"#.into())),
        rooms: rooms(&["doc:9", "user:42"]),
        connected_at: at("2026-11-24T22:00:00.123Z"),
        expires_at: None,
        version: 3,
        queue_frames: 0,
        queue_bytes: 0,
        session: Some(SessionRecord {
            transport: "websocket",
            last_seen: at("2026-11-24T22:09:58Z"),
            handshake: None,
        }),
    }
}

fn item(record: SocketRecord) -> String {
    json(&SocketItem::new(record, "gw-1").expect("it has a session"))
}

#[test]
fn a_socket_is_written_as_in_the_contract() {
    let record = record();
    let example = r#"{"id":"aB3xQ9Zk3q9sT0bXw7Kd","namespace":"/chat","connection":"c.8fJw2kQ0Rz7LmX4t","user":"42","node":"gw-1","transport":"websocket","connected_at":"2026-11-24T22:00:00.123Z","last_seen":"2026-11-24T22:09:58.000Z","expires_at":null,"rooms":["doc:9","user:42"],"state":{"role":"editor"},"queue":{"messages":0,"bytes":0},"version":3}"#;
    let example = example.replace("c.8fJw2kQ0Rz7LmX4t", record.connection.as_str());
    assert_eq!(item(record), example);
}

#[test]
fn a_guest_has_null_for_what_he_lacks_and_a_state_stays_verbatim() {
    let guest = item(SocketRecord {
        user: None,
        state: None,
        expires_at: Some(at("2026-11-24T23:00:00Z")),
        ..record()
    });
    assert!(guest.contains(r#""user":null"#) && guest.contains(r#""state":null"#));
    assert!(guest.contains(r#""expires_at":"2026-11-24T23:00:00.000Z""#));
    let odd = r#"{ "a" : 1.50e+1, "a":2 }"#;
    let noted = item(SocketRecord {
        state: Some(State(odd.into())),
        queue_frames: 2,
        queue_bytes: 100,
        ..record()
    });
    let rest = r#""queue":{"messages":2,"bytes":100}"#;
    assert!(noted.contains(&format!(r#""state":{odd},{rest}"#)));
}

#[test]
fn a_socket_whose_session_has_ended_is_no_item() {
    let ended = SocketRecord {
        session: None,
        ..record()
    };
    assert!(SocketItem::new(ended, "gw-1").is_none());
}

#[test]
fn a_handshake_never_shows_credentials() {
    let pair = |name: &str, value: &str| (Box::from(name), Box::from(value));
    let handshake = HandshakeRecord {
        ip: Some([203, 0, 113, 7].into()),
        headers: vec![
            pair("cookie", "sid=abc"),
            pair("authorization", "Bearer x"),
            pair("origin", "https://app.example"),
        ],
        query: vec![pair("v", "3")],
    };
    let shown = SocketRecord {
        session: Some(SessionRecord {
            transport: "polling",
            last_seen: at("2026-11-24T22:09:58Z"),
            handshake: Some(handshake),
        }),
        ..record()
    };
    assert!(item(shown).ends_with(
        r#","handshake":{"ip":"203.0.113.7","headers":{"origin":"https://app.example"},"query":{"v":"3"}}}"#
    ));
}
