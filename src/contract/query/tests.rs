use super::*;
use crate::contract::problem::Code;
use crate::contract::samples::{OTHER, Sites, namespace, written};

fn rooms_of(query: &str) -> Result<RoomsQuery, Problem> {
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
    let limit = |query: &str| namespaces(query).map(|paging| paging.limit);
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
    let query = rooms_of("namespace=/chat&prefix=doc:&cursor=.ZG9jOjk").expect("valid");
    assert_eq!(query.namespace, namespace("/chat"));
    assert_eq!(&*query.prefix, "doc:");
    assert_eq!(query.paging.after, Some(Cursor::after("doc:9")));

    let query = sockets_of("namespace=/chat&room=doc:9&user=42").expect("valid");
    assert_eq!(query.room, Some(Room::new("doc:9").expect("a room")));
    assert_eq!(query.user, Some(UserId::new("42").expect("a user")));
    assert_eq!((query.id, query.handshake), (None, false));

    let query = sockets_of(&format!("namespace=/chat&id={OTHER}&fields=handshake"));
    let query = query.expect("valid");
    assert_eq!(query.id, SocketId::parse(OTHER));
    assert!(query.handshake);
}

#[test]
fn names_are_decoded_as_forms_write_them() {
    let query = sockets_of("namespace=%2Fchat&room=a+b%2Bc%26d%C3%A9&&").expect("valid");
    assert_eq!(query.namespace, namespace("/chat"));
    assert_eq!(query.room, Some(Room::new("a b+c&dé").expect("a room")));
    assert_eq!(faults(sockets_of("room=%ff")), ["?room: is not UTF-8"]);
    assert_eq!(faults(sockets_of("%ff=1")), ["?%ff: is not UTF-8"]);
    let percent = sockets_of("room=100%").expect("valid");
    assert_eq!(percent.room, Some(Room::new("100%").expect("a room")));
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
            "?limit: must be a whole number from 1 to 1000",
            "?cursor: is not a cursor of an earlier answer"
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
    assert_eq!(rooms_of("").expect("valid").namespace, namespace("/"));
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
    let longest = "\u{10ffff}".repeat(50);
    for name in ["a", "doc:9", "é/&+", "/chat", OTHER, &longest] {
        let cursor = Cursor::after(name);
        let text = cursor.to_string();
        assert_eq!(Cursor::parse(&text), Some(cursor.clone()), "{text}");
        assert_eq!(cursor.as_bytes(), name.as_bytes());
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        assert!(
            text.chars().all(is_plain),
            "{text} needs no escapes in a query"
        );
    }
    // Whoever makes one up gets the place that it means; trailing bits mean nothing.
    assert!(Cursor::parse("._-9").is_some());
    let long = format!(".{}", "A".repeat(400));
    for bad in ["", "nonsense", ".a", ".a=", ".+/", ".é", &long] {
        assert_eq!(Cursor::parse(bad), None, "{bad}");
    }
}

#[test]
fn a_cursor_over_sockets_is_the_id_of_one() {
    let query = sockets_of(&format!("cursor={OTHER}")).expect("valid");
    assert_eq!(query.paging.after, Some(Cursor::after(OTHER)));
    for bad in ["nonsense", ".AAAA", ""] {
        let query = format!("cursor={bad}");
        assert_eq!(
            faults(sockets_of(&query)),
            ["?cursor: is not a cursor of an earlier answer"]
        );
    }
}
