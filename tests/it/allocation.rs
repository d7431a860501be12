//! What decoding costs: at most four times the input and 4 KiB at a time, however hostile the input is.
//!
//! The properties of the fuzz targets check it for their corpora too. Here are inputs that are nothing but what costs most, at sizes
//! that a fuzzer does not reach, and the cases that once cost too much, by name.

use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::{COOKIE, HeaderName, HeaderValue};
use proptest::prelude::*;
use sockgate::contract::call;
use sockgate::hub::id::{ConnectionId, Namespace};
use sockgate::protocol::engine_io::{decode_payload, decode_text};
use sockgate::protocol::socket_io::{self, Body, Packet, placeholders};
use sockgate::protocol::websocket;
use sockgate::session::backend::{Call, CallKind, ConnectInfo, SocketFacts};
use sockgate::session::settings::{Allow, Forward};
use sockgate::transport::address::client_address;
use sockgate::transport::request::{Query, joined, parameters};

use crate::properties::allocation::{SPARE, bounded, bounded_by};
use crate::properties::socket_io::socket;
use crate::properties::{contract, engine_io, handshake, json, placeholders as numbers, proxy};

/// Decodes one text with the limits of the defaults; it must be valid where it says so.
fn decode(text: &str, is_valid: bool) {
    let limits = socket_io::Limits::default();
    let decoded = bounded(text.len(), || {
        let mut decoder = socket_io::Decoder::default();
        decoder.text(text, &limits).map(|packet| packet.is_some())
    });
    assert_eq!(decoded.is_ok(), is_valid, "{text:.60}");
}

/// A list of `count` items around which there are a prefix and a suffix.
fn many(prefix: &str, item: &str, count: usize, suffix: &str) -> String {
    let items = vec![item; count].join(",");
    format!("{prefix}{items}{suffix}")
}

#[test]
fn the_bound_can_fail() {
    let held = std::panic::catch_unwind(|| bounded(100, || vec![0_u8; SPARE + 401]));
    assert!(held.is_err());
    assert_eq!(bounded(100, || vec![0_u8; SPARE + 400]).len(), SPARE + 400);
}

#[test]
fn websocket_lengths_are_claims() {
    let limits = websocket::Limits {
        message: 1_000_000,
        fragments: 1024,
        control_rate: 10,
    };
    let longest = [0xff; 8];
    for length in [
        &longest[..],
        &(1_u64 << 63).to_be_bytes(),
        &1_000_000_u64.to_be_bytes(),
    ] {
        for head in [0x81, 0x82, 0x01, 0x02] {
            let mut frame = [&[head, 0xff], length, &[0, 0, 0, 0], b"hello"].concat();
            bounded(frame.len(), || {
                let mut decoder = websocket::Decoder::default();
                let mut received = decoder.receive(&mut frame, &limits, Instant::now());
                while let Ok(Some(_)) = received.next_message() {}
            });
        }
    }
}

#[test]
fn websocket_fragments_of_one_byte() {
    let limits = websocket::Limits {
        message: 1_000_000,
        fragments: 1024,
        control_rate: 10,
    };
    let first = [0x02, 0x81, 0, 0, 0, 0, b'x'];
    let mut stream = first.to_vec();
    for _ in 0..1000 {
        stream.extend([0x00, 0x81, 0, 0, 0, 0, b'x']);
    }
    let size = stream.len();
    bounded(size, || {
        let mut decoder = websocket::Decoder::default();
        let mut received = decoder.receive(&mut stream, &limits, Instant::now());
        assert_eq!(received.next_message(), Ok(None));
    });
}

#[test]
fn a_thousand_packets_in_a_payload() {
    for packet in ["3", "4", "42[]", "b", "bAA=="] {
        let body = vec![packet; 1000].join("\u{1e}");
        let count = bounded(body.len(), || {
            decode_payload(body.as_bytes(), 65_536).flatten().count()
        });
        assert_eq!(count, 1000);
    }
}

#[test]
fn base64_in_lines_of_one_character() {
    let text = format!("b{}", "A\n".repeat(100_000));
    assert!(bounded(text.len(), || decode_text(&text).is_ok()));
    let broken = format!("{text}!");
    assert!(bounded(broken.len(), || decode_text(&broken).is_err()));
}

#[test]
fn many_tiny_elements() {
    decode(&many("2[\"a\",", "0", 400_000, "]"), true);
    decode(&many("2[\"a\",", "[]", 200_000, "]"), true);
    decode(&many("31[", "\"\"", 200_000, "]"), true);
    decode(&many("0{", "\"\":0", 100_000, "}"), true);
}

#[test]
fn deep_json() {
    for (open, close) in [("[", "]"), ("{\"\":", "}")] {
        let deep = |levels: usize| format!("{}0{}", open.repeat(levels), close.repeat(levels));
        decode(&format!("2[\"a\",{}]", deep(63)), true);
        decode(&format!("2[\"a\",{}]", deep(64)), false);
        decode(&format!("2[\"a\",{}]", deep(100_000)), false);
        decode(&format!("2[\"a\",{}", open.repeat(300_000)), false);
    }
}

/// Each level that was open took 64 bytes, twice while the list of them grew: more than 4 KiB for a text of 150 bytes.
#[test]
fn deep_json_beside_an_attachment() {
    for (open, close) in [("[", "]"), ("{\"\":", "}")] {
        let (open, close) = (open.repeat(63), close.repeat(63));
        decode(&format!("51-[\"a\",{open}0{close}]"), true);
    }
}

#[test]
fn attachments_that_are_only_announced() {
    for text in ["510-[\"a\"]", "510-/n,9[\"a\"]", "610-9[]"] {
        decode(text, true);
    }
    decode("599999999999999999999-[\"a\"]", false);
}

#[test]
fn attachments_of_no_bytes() {
    let limits = socket_io::Limits::default();
    let complete = bounded(10, || {
        let mut decoder = socket_io::Decoder::default();
        decoder.text("510-[\"a\"]", &limits).unwrap();
        (0..10).any(|_| decoder.binary(Bytes::new(), &limits).unwrap().is_some())
    });
    assert!(complete);
}

#[test]
fn a_name_of_escapes() {
    decode(&format!("2[\"{}\"]", "\\u0041".repeat(50_000)), true);
    decode(&format!("2[\"{}\"]", "\\n".repeat(150_000)), true);
}

/// Each placeholder took 32 bytes until all were found, twice while the list of them grew, and the text was written beside that.
#[test]
fn placeholders_by_the_thousand() {
    let one = "{\"_placeholder\":true,\"num\":0}";
    let args = many("", one, 33_000, "");
    let list = [Bytes::from_static(b"x")];
    bounded(args.len(), || placeholders::renumber(&args, &list)).unwrap();
    let shifted = bounded(args.len(), || placeholders::shift(&args, 1_000));
    assert!(shifted.starts_with("{\"_placeholder\":true,\"num\":1000}"));
    decode(&format!("51-[\"a\",{args}]"), true);
}

/// Each member that a client sent with its CONNECT took 40 bytes and its name, for the five that it has at least.
#[test]
fn a_connect_of_many_members() {
    for (member, first) in [("\"\":0", ""), ("\"pid\":0", ""), ("\"\":0", "\"pid\":1,")] {
        let text = many(&format!("0{{{first}"), member, 50_000, "}");
        let mut decoder = socket_io::Decoder::default();
        let packet = decoder.text(&text, &socket_io::Limits::default());
        let Ok(Some(Packet {
            body: Body::Connect(Some(auth)),
            ..
        })) = packet
        else {
            panic!("a CONNECT");
        };
        let facts = SocketFacts {
            id: socket(),
            namespace: Namespace::new("/").unwrap(),
            connection: ConnectionId::random(),
            user: None,
            state: None,
        };
        let kind = CallKind::Connect {
            auth: auth.as_ref().into(),
            info: Rc::new(ConnectInfo::default()),
            transport: "polling",
            hold: Duration::from_secs(1),
        };
        let call = Call::new(SystemTime::UNIX_EPOCH, 0, facts, kind);
        bounded(auth.len(), || {
            call::body(&call, "gw-1", &Forward::default())
        });
    }
}

/// Each cookie took 16 bytes, for the two that it has at least, and each forwarded address for its comma.
#[test]
fn cookies_and_addresses_of_one_character() {
    let mut headers = HeaderMap::new();
    let value = |text: &str| HeaderValue::from_str(&text.repeat(8_000)).unwrap();
    headers.insert(COOKIE, value("a;"));
    headers.insert("x-forwarded-for", value(","));
    let cookies = bounded(16_000, || joined(&headers, &COOKIE, Some("io")));
    assert_eq!(cookies.map(|cookies| cookies.len()), Some(8_000 * 3 - 2));
    let peer = [10, 0, 0, 1].into();
    let trusted = ["10.0.0.0/8".parse().unwrap()];
    let address = bounded(8_000, || client_address(&headers, peer, &trusted));
    assert_eq!(address, peer);
    let other = HeaderName::from_static("x-a");
    for _ in 0..1_000 {
        headers.append(&other, HeaderValue::from_static(""));
    }
    assert!(bounded(4_000, || joined(&headers, &other, None)).is_some());
}

/// Each parameter took 48 bytes whether somebody wanted it or not, and was compared with all before it.
#[test]
fn parameters_that_nobody_wants() {
    let names: Vec<_> = (0..4_000).map(|index| format!("{index:x}")).collect();
    let query = names.join("&");
    let wanted = Allow::Only(vec!["7".into()]);
    let told = bounded(query.len(), || parameters(&query, &wanted));
    assert_eq!(told, [("7".into(), "".into())]);
    assert_eq!(
        bounded(query.len(), || Query::parse(&query)),
        Query::default()
    );
}

#[test]
fn a_proxy_header_that_claims_much() {
    let claim = b"\x07\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff";
    proxy::header(claim);
    proxy::header(&[&claim[..], &vec![0; 70_000]].concat());
}

/// Bodies of backends: a list is not kept while it is read, so that one that is too long costs nothing.
#[test]
fn lists_that_are_too_long() {
    for (first, last) in [
        ("\u{1}{\"rooms\":[", "],\"to\":{\"all\":true}}"),
        ("\u{0}{\"event\":\"e\",\"to\":{\"rooms\":[", "]}}"),
        ("\u{4}{\"actions\":[", "]}"),
        (
            "\u{0}{\"event\":\"e\",\"to\":{\"all\":true},\"attachments\":[",
            "]}",
        ),
    ] {
        let body = many(first, "\"\"", 200_000, last);
        let context = sockgate::contract::rest::RestContext {
            namespaces: &contract::Sites::default(),
            max_emit: 0,
        };
        let (endpoint, body) = body.as_bytes().split_first().unwrap();
        let refused = bounded_by(16 << 10, body.len(), || match endpoint {
            1 => sockgate::contract::rest::join(body, &context).is_err(),
            4 => sockgate::contract::rest::actions(body, &context).is_err(),
            _ => sockgate::contract::rest::emit(body, &context).is_err(),
        });
        assert!(refused);
    }
}

#[test]
fn lists_of_backends_as_long_as_they_may_be() {
    for (first, item, count, last) in [
        (
            "\u{1}{\"rooms\":[",
            "\"a\"",
            1_000,
            "],\"to\":{\"all\":true}}",
        ),
        ("\u{1}{\"rooms\":[", "0", 1_000, "],\"to\":{\"all\":true}}"),
        ("\u{4}{\"actions\":[", "0", 1_000, "]}"),
        ("\u{4}{\"actions\":[", "{}", 1_000, "]}"),
        (
            "\u{4}{\"actions\":[",
            "{\"type\":\"join\",\"rooms\":[],\"to\":{\"all\":true}}",
            1_000,
            "]}",
        ),
        (
            "\u{0}{\"event\":\"e\",\"to\":{\"all\":true},\"attachments\":[",
            "\"\"",
            10_000,
            "]}",
        ),
        ("\u{0}{", "\"a\":0", 10_000, "}"),
    ] {
        contract::rest_body(many(first, item, count, last).as_bytes());
    }
    contract::webhook_reply(many("\u{1}{\"actions\":[", "0", 1_000, "]}").as_bytes());
    contract::webhook_reply(many("\u{0}{\"rooms\":[", "\"a\"", 1_000, "]}").as_bytes());
    contract::rest_query(many("\u{1}a", "&a", 5_000, "").as_bytes());
}

/// Texts made of a few pieces, each many times.
fn repeated(pieces: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let piece = (proptest::sample::select(pieces), 1..60_usize);
    let pieces = proptest::collection::vec(piece, 0..12);
    pieces.prop_map(|pieces| {
        let pieces = pieces.into_iter();
        let text: String = pieces.map(|(piece, count)| piece.repeat(count)).collect();
        text.into_bytes()
    })
}

const JSON: &[&str] = &[
    "[",
    "]",
    "{",
    "}",
    ",",
    "0",
    "\"\"",
    "\"\":",
    "0,",
    "[],",
    "\"a\":0,",
    "1e9",
    "\\u0041",
    "\"",
    " ",
    "{\"_placeholder\":true,\"num\":0},",
    "\u{1}",
    "\u{0}",
    "\u{4}",
];

proptest! {
    #[test]
    fn of_json(text in repeated(JSON)) {
        json::text(&text);
        numbers::renumber(&text);
        contract::webhook_reply(&text);
        contract::rest_body(&text);
    }

    #[test]
    fn of_packets(text in repeated(&[
        "4", "3", "b", "b=", "AAAA", "\u{1e}", "\n", "2[\"a\"]", "51-[\"a\"]", "\u{0}", "/a,", "1", "[", "]", "{\"\":0}",
    ])) {
        engine_io::packet(&text);
        engine_io::payload(&text);
        crate::properties::socket_io::stream(&text);
        contract::webhook_body(&text);
        contract::ack_report(&text);
    }

    #[test]
    fn of_heads(text in repeated(&[
        "a=b&", "a&", "%41", "+", "\ncookie: a;", ";", "a=1; ", "\nx-forwarded-for: 10.0.0.1", ",", "\norigin: ", "https://",
        "\naccept-encoding: gzip;q=0.1,", "\nx-a: ",
    ])) {
        handshake::head(&text);
        contract::rest_query(&text);
    }
}
