use super::*;
use crate::contract::problem::Code;
use crate::contract::samples::{OTHER, Sites, namespace, written};

fn rooms_of(query: &str) -> Result<Query, Problem> {
    rooms(query, &Sites::new())
}

fn sockets_of(query: &str) -> Result<SocketsQuery, Problem> {
    sockets(query, &Sites::new())
}

fn faults<T: fmt::Debug>(result: Result<T, Problem>) -> Vec<String> {
    let problem = result.expect_err("a problem");
    assert_eq!(problem.code, Code::InvalidRequest);
    written(&problem.errors)
}

#[test]
fn a_limit_is_100_unless_given_and_at_most_1000() {
    let limit = |query: &str| match namespaces(query)? {
        Query::Namespaces { limit, .. } => Ok(limit),
        other => panic!("not about namespaces: {other:?}"),
    };
    assert_eq!(limit("").expect("valid"), 100);
    assert_eq!(limit("limit=1").expect("valid"), 1);
    assert_eq!(limit("limit=1000").expect("valid"), 1000);
    for bad in [
        "0",
        "1001",
        "-1",
        "+5",
        "1.5",
        "",
        "x",
        "99999999999999999999999",
    ] {
        assert_eq!(
            faults(limit(&format!("limit={bad}"))),
            ["?limit: must be a whole number from 1 to 1000"]
        );
    }
}

#[test]
fn the_examples_of_the_contract_are_read() {
    assert_eq!(
        rooms_of("namespace=/chat&prefix=doc:&cursor=.ZG9jOjk").expect("valid"),
        Query::Rooms {
            namespace: namespace("/chat"),
            prefix: "doc:".into(),
            after: Some(room("doc:9")),
            limit: 100,
        }
    );
    assert_eq!(
        sockets_of("namespace=/chat&room=doc:9&user=42").expect("valid"),
        SocketsQuery {
            namespace: namespace("/chat"),
            rooms: vec![room("doc:9"), room("user:42")],
            id: None,
            after: None,
            limit: 100,
            handshake: false,
        }
    );
    let one = sockets_of(&format!(
        "namespace=/docs&id={OTHER}&user=7&fields=handshake"
    ));
    assert_eq!(
        one.expect("valid"),
        SocketsQuery {
            namespace: namespace("/docs"),
            rooms: vec![room("of 7 in docs")],
            id: SocketId::parse(OTHER),
            after: None,
            limit: 100,
            handshake: true,
        }
    );
}

#[test]
fn names_are_decoded_as_forms_write_them() {
    let query = sockets_of("namespace=%2Fchat&room=a+b%2Bc%26d%C3%A9&&").expect("valid");
    assert_eq!(query.namespace, namespace("/chat"));
    assert_eq!(query.rooms, [room("a b+c&dé")]);
    assert_eq!(faults(sockets_of("room=%ff")), ["?room: is not UTF-8"]);
    assert_eq!(faults(sockets_of("%ff=1")), ["?%ff: is not UTF-8"]);
    let percent = sockets_of("room=100%").expect("valid");
    assert_eq!(percent.rooms, [room("100%")]);
}

#[test]
fn everything_that_is_wrong_with_a_query_is_told_by_its_parameter() {
    assert_eq!(
        faults(sockets_of(
            "rom=a&user=&id=short&fields=all&limit=0&limit=5&cursor=!&namespace=chat"
        )),
        [
            "?rom: unknown parameter; did you mean 'room'?",
            "?limit: is there twice",
            "?namespace: must begin with '/'",
            "?user: must not be empty",
            "?id: is not a socket id: 20 characters of A-Z, a-z, 0-9, '-' and '_'",
            "?fields: can only be 'handshake'",
            "?cursor: is not a cursor of an earlier answer",
            "?limit: must be a whole number from 1 to 1000"
        ]
    );
    assert_eq!(
        faults(none("limit=1")),
        ["?limit: unknown parameter; there are none here"]
    );
    assert!(none("").is_ok());
}

#[test]
fn the_namespace_of_a_read_must_be_configured_and_open_to_the_key() {
    assert_eq!(sockets_of("").expect("valid").namespace, namespace("/"));
    for (query, code) in [
        ("namespace=/nowhere", Code::UnknownNamespace),
        ("namespace=/closed", Code::NamespaceForbidden),
    ] {
        assert_eq!(rooms_of(query).expect_err("closed").code, code);
        assert_eq!(sockets_of(query).expect_err("closed").code, code);
    }
}

#[test]
fn a_cursor_means_the_place_after_a_name() {
    let parsed = |name: &str| {
        let text = Cursor::after(name).to_string();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        assert!(
            text.chars().all(is_plain),
            "{text} needs no escapes in a query"
        );
        Cursor::parse(&text).expect("ours")
    };
    let longest = "\u{10ffff}".repeat(50);
    for name in ["a", "doc:9", "é/&+", OTHER, &longest] {
        assert_eq!(parsed(name).room(), Some(room(name)));
    }
    assert_eq!(parsed("/chat").namespace(), Some(namespace("/chat")));
}

#[test]
fn a_cursor_over_sockets_is_the_id_of_one() {
    let text = Cursor::after(OTHER).to_string();
    let query = sockets_of(&format!("cursor={text}")).expect("valid");
    assert_eq!(query.after, SocketId::parse(OTHER));
    for bad in ["nonsense", ".AAAA", ""] {
        assert_eq!(
            faults(sockets_of(&format!("cursor={bad}"))),
            ["?cursor: is not a cursor of an earlier answer"]
        );
    }
}

#[test]
fn a_cursor_that_somebody_made_up_in_the_right_form_is_somewhere_too() {
    let of = |bytes: &[u8]| {
        let text = format!(".{}", CURSOR.encode(bytes));
        Cursor::parse(&text).expect("a place")
    };
    assert_eq!(of(b"").room(), None);
    assert_eq!(of(b"a\xff\xffb").room(), Some(room("a")));
    assert_eq!(of(b"a\nb").room(), Some(room("a")));
    let long = "é".repeat(140);
    assert_eq!(of(long.as_bytes()).room(), Some(room(&"é".repeat(100))));
    assert_eq!(of(b"/a,b").namespace(), Some(namespace("/a")));
    assert_eq!(of(b"a").namespace(), None);
    // Trailing bits mean nothing.
    assert!(Cursor::parse("._-9").is_some());
    let long = format!(".{}", "A".repeat(400));
    for bad in ["", "nonsense", ".a", ".a=", ".+/", ".é", &long] {
        assert_eq!(Cursor::parse(bad), None, "{bad}");
    }
}

fn room(name: &str) -> Room {
    Room::new(name).expect("a room")
}
