//! WebSocket on the wire (RFC 6455): every form of a frame, every fault and its close code, and the limits.

use crate::support::frames::{Frame, Frames, Length, UPGRADE, frame, opcode};
use crate::support::gateway::{ECHO, Gateway};
use crate::support::http::{Exchange, request};
use crate::support::websocket::WebSocket;

const FIN: u8 = 0x80;

/// An `echo` packet of exactly so many bytes.
fn echo_of(length: usize) -> String {
    let text = "x".repeat(length - r#"42["echo",""]"#.len());
    format!(r#"42["echo","{text}"]"#)
}

async fn fails_with(gateway: &Gateway, bytes: &[u8], code: u16, what: &str) {
    let mut frames = Frames::joined(gateway).await;
    frames.write(bytes).await;
    let close = frames.next().await;
    let close = close.unwrap_or_else(|| panic!("{what}: the end without a close frame"));
    assert_eq!(close.first, FIN | opcode::CLOSE, "{what}: {close:?}");
    let got = close.payload.first_chunk().map(|b| u16::from_be_bytes(*b));
    assert_eq!(got, Some(code), "{what}");
}

#[tokio::test]
async fn the_101_has_the_right_accept_key_and_nothing_that_was_not_agreed() {
    let gateway = Gateway::start(ECHO).await;
    let mut headers = UPGRADE.to_vec();
    headers.push(("Sec-WebSocket-Extensions", "permessage-deflate"));
    let bytes = request(
        "GET",
        &gateway.target("EIO=4&transport=websocket"),
        &headers,
        b"",
    );
    let answer = Exchange::begin(gateway.clients, &bytes)
        .await
        .answer()
        .await;
    assert_eq!(answer.status, 101, "{answer:?}");
    answer.has("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    answer.lacks("sec-websocket-protocol");
    answer.lacks("sec-websocket-extensions");
    let upgrade = answer.header("upgrade").expect("an upgrade header");
    assert!(upgrade.eq_ignore_ascii_case("websocket"));
    let connection = answer.header("connection").expect("a connection header");
    assert!(connection.eq_ignore_ascii_case("upgrade"));
}

#[tokio::test]
async fn of_offered_subprotocols_the_first_is_taken_because_browsers_insist_on_an_answer() {
    let gateway = Gateway::start(ECHO).await;
    let mut headers = UPGRADE.to_vec();
    headers.push(("Sec-WebSocket-Protocol", "chat, superchat"));
    let target = gateway.target("EIO=4&transport=websocket");
    let bytes = request("GET", &target, &headers, b"");
    let answer = Exchange::begin(gateway.clients, &bytes)
        .await
        .answer()
        .await;
    assert_eq!(answer.status, 101, "{answer:?}");
    answer.has("sec-websocket-protocol", "chat");
}

#[tokio::test]
async fn header_names_and_values_of_the_handshake_are_read_in_any_case() {
    let gateway = Gateway::start(ECHO).await;
    let headers = [
        ("connection", "keep-alive, upgrade"),
        ("UPGRADE", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("Sec-Websocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let bytes = request(
        "GET",
        &gateway.target("EIO=4&transport=websocket"),
        &headers,
        b"",
    );
    let answer = Exchange::begin(gateway.clients, &bytes)
        .await
        .answer()
        .await;
    assert_eq!(answer.status, 101, "{answer:?}");
}

#[tokio::test]
async fn odd_extension_headers_are_survived() {
    let mut gateway = Gateway::start(ECHO).await;
    let semicolons = ";".repeat(4000);
    for offer in [
        "constructor",
        "__proto__",
        "\"",
        ",,,,",
        semicolons.as_str(),
    ] {
        let mut headers = UPGRADE.to_vec();
        headers.push(("Sec-WebSocket-Extensions", offer));
        let bytes = request(
            "GET",
            &gateway.target("EIO=4&transport=websocket"),
            &headers,
            b"",
        );
        let answer = Exchange::begin(gateway.clients, &bytes)
            .await
            .answer()
            .await;
        assert!(matches!(answer.status, 101 | 400), "{answer:?}");
    }
    gateway.is_well("odd extensions").await;
}

#[tokio::test]
async fn frames_of_every_length_form_come_back_in_the_shortest() {
    let gateway = Gateway::start(ECHO).await;
    let mut frames = Frames::joined(&gateway).await;
    for length in [
        20, 124, 125, 126, 127, 128, 65_534, 65_535, 65_536, 65_537, 900_000,
    ] {
        let text = echo_of(length);
        frames.text(&text).await;
        frames.expect(&text).await;
    }
}

#[tokio::test]
async fn binary_frames_of_every_length_form_come_back() {
    let gateway = Gateway::start(ECHO).await;
    let mut frames = Frames::joined(&gateway).await;
    let header = r#"451-["echo",{"_placeholder":true,"num":0}]"#;
    for length in [0, 1, 125, 126, 65_535, 65_536, 900_000] {
        let bytes: Vec<u8> = (0..length).map(|n: u32| n.to_le_bytes()[0]).collect();
        frames.text(header).await;
        frames.message(opcode::BINARY, &bytes).await;
        frames.expect(header).await;
        frames.expect_frame(FIN | opcode::BINARY, &bytes).await;
    }
}

#[tokio::test]
async fn a_message_may_come_in_fragments_with_control_frames_between() {
    let gateway = Gateway::start(ECHO).await;
    let mut frames = Frames::joined(&gateway).await;
    frames.fragment(opcode::TEXT, br#"42["ec"#).await;
    frames.message(opcode::PING, b"between").await;
    frames.fragment(opcode::CONTINUATION, br#"ho","#).await;
    frames.fragment(opcode::CONTINUATION, b"").await;
    frames.message(opcode::PONG, b"unasked").await;
    frames.message(opcode::CONTINUATION, br#""hello"]"#).await;
    frames.expect_frame(FIN | opcode::PONG, b"between").await;
    frames.expect(r#"42["echo","hello"]"#).await;
}

#[tokio::test]
async fn a_character_may_be_split_between_fragments() {
    let gateway = Gateway::start(ECHO).await;
    let mut frames = Frames::joined(&gateway).await;
    let text = r#"42["echo","κόσμε 😀"]"#;
    for split in 1..text.len() {
        let (first, second) = text.as_bytes().split_at(split);
        frames.fragment(opcode::TEXT, first).await;
        frames.message(opcode::CONTINUATION, second).await;
        frames.expect(text).await;
    }
}

#[tokio::test]
async fn a_message_may_come_byte_by_byte_and_several_in_one_segment() {
    let gateway = Gateway::start(ECHO).await;
    let mut frames = Frames::joined(&gateway).await;
    let text = r#"42["echo",1]"#;
    let bytes = frame(FIN | opcode::TEXT, Length::Shortest, text.as_bytes());
    for byte in &bytes {
        frames.write(&[*byte]).await;
    }
    frames.expect(text).await;
    frames.write(&bytes.repeat(100)).await;
    for _ in 0..100 {
        frames.expect(text).await;
    }
}

#[tokio::test]
async fn a_ping_of_any_size_is_answered_with_its_own_bytes() {
    let gateway = Gateway::start(ECHO).await;
    let mut frames = Frames::joined(&gateway).await;
    for length in [0, 1, 124, 125] {
        let payload = vec![0xa5; length];
        frames.message(opcode::PING, &payload).await;
        frames.expect_frame(FIN | opcode::PONG, &payload).await;
    }
}

#[tokio::test]
async fn each_fault_of_a_frame_closes_with_its_code() {
    let gateway = Gateway::start(ECHO).await;
    let short = |first: u8, payload: &[u8]| frame(first, Length::Shortest, payload);
    let unmasked = [&[FIN | opcode::TEXT, 1][..], b"3"].concat();
    let in_message = |next: Vec<u8>| [short(opcode::TEXT, b"42"), next].concat();
    for (what, bytes, code) in [
        ("not masked", unmasked, 1002),
        ("RSV1", short(FIN | 0x40 | opcode::TEXT, b"3"), 1002),
        ("RSV2", short(FIN | 0x20 | opcode::TEXT, b"3"), 1002),
        ("RSV3", short(FIN | 0x10 | opcode::TEXT, b"3"), 1002),
        ("opcode 3", short(FIN | 0x3, b"3"), 1002),
        ("opcode 7", short(FIN | 0x7, b"3"), 1002),
        ("opcode 11", short(FIN | 0xb, b"3"), 1002),
        ("opcode 15", short(FIN | 0xf, b"3"), 1002),
        ("a ping in fragments", short(opcode::PING, b"3"), 1002),
        (
            "a ping of 126 bytes",
            short(FIN | opcode::PING, &[0; 126]),
            1002,
        ),
        (
            "a continuation of nothing",
            short(FIN | opcode::CONTINUATION, b"3"),
            1002,
        ),
        (
            "text within a message",
            in_message(short(FIN | opcode::TEXT, b"3")),
            1002,
        ),
        (
            "binary within a message",
            in_message(short(FIN | opcode::BINARY, b"3")),
            1002,
        ),
        (
            "not UTF-8",
            short(FIN | opcode::TEXT, b"42[\"echo\",\"\xff\"]"),
            1007,
        ),
        (
            "half a character at the end",
            short(FIN | opcode::TEXT, b"42[\"echo\",\"\xe2\x82"),
            1007,
        ),
        (
            "a surrogate",
            short(FIN | opcode::TEXT, b"42[\"\xed\xa0\x80\"]"),
            1007,
        ),
    ] {
        fails_with(&gateway, &bytes, code, what).await;
    }
}

#[tokio::test]
async fn each_fault_of_a_close_frame_closes_with_its_code() {
    let gateway = Gateway::start(ECHO).await;
    let close = |payload: &[u8]| frame(FIN | opcode::CLOSE, Length::Shortest, payload);
    let code = |code: u16| close(&code.to_be_bytes());
    for (what, bytes, expected) in [
        ("one byte", close(b"x"), 1002),
        ("code 0", code(0), 1002),
        ("code 999", code(999), 1002),
        ("code 1004", code(1004), 1002),
        ("code 1005", code(1005), 1002),
        ("code 1006", code(1006), 1002),
        ("code 1015", code(1015), 1002),
        ("code 2999", code(2999), 1002),
        ("code 5000", code(5000), 1002),
        (
            "a reason that is not UTF-8",
            close(b"\x03\xe8\xff\xfe"),
            1007,
        ),
    ] {
        fails_with(&gateway, &bytes, expected, what).await;
    }
}

#[tokio::test]
async fn a_right_close_frame_is_answered_by_one_and_nothing_after_it_is_read() {
    let gateway = Gateway::start(ECHO).await;
    for payload in [
        &b""[..],
        b"\x03\xe8",
        b"\x03\xe9going away",
        b"\x0f\xa0own code",
    ] {
        let mut frames = Frames::joined(&gateway).await;
        let close = frame(FIN | opcode::CLOSE, Length::Shortest, payload);
        let after = frame(FIN | opcode::TEXT, Length::Shortest, br#"42["echo",1]"#);
        frames.write(&[close, after].concat()).await;
        let Frame {
            first,
            payload: answer,
        } = frames.next().await.expect("a close frame");
        assert_eq!(first, FIN | opcode::CLOSE);
        let code = &payload[..payload.len().min(2)];
        let echoes = answer.is_empty() || answer == code || answer == payload;
        assert!(echoes, "{answer:?}");
        frames.expect_end().await;
    }
}

#[tokio::test]
async fn a_message_of_the_limit_passes_and_one_byte_more_is_1009() {
    let gateway = Gateway::start(&format!("engine.max_payload = \"10kB\"\n{ECHO}")).await;
    let mut frames = Frames::joined(&gateway).await;
    let at_limit = echo_of(10_000);
    frames.text(&at_limit).await;
    frames.expect(&at_limit).await;
    let (first, second) = at_limit.as_bytes().split_at(6000);
    frames.fragment(opcode::TEXT, first).await;
    frames.message(opcode::CONTINUATION, second).await;
    frames.expect(&at_limit).await;

    let text = |length| {
        frame(
            FIN | opcode::TEXT,
            Length::Shortest,
            echo_of(length).as_bytes(),
        )
    };
    fails_with(&gateway, &text(10_001), 1009, "one frame").await;
    let binary = frame(FIN | opcode::BINARY, Length::Shortest, &[0; 10_001]);
    fails_with(&gateway, &binary, 1009, "one binary frame").await;
    let parts = [
        frame(opcode::TEXT, Length::Shortest, &[b'4'; 6000]),
        frame(opcode::CONTINUATION, Length::Shortest, &[b'4'; 4001]),
    ];
    fails_with(&gateway, &parts.concat(), 1009, "two fragments").await;
}

#[tokio::test]
async fn an_announced_length_is_refused_before_a_byte_of_it_has_come() {
    let gateway = Gateway::start(ECHO).await;
    for length in [1_000_001, 1 << 30, 1 << 32, (1 << 62), (1 << 63) - 1] {
        let bytes = frame(FIN | opcode::BINARY, Length::Announced(length), b"");
        fails_with(&gateway, &bytes, 1009, &length.to_string()).await;
        let parts = [
            frame(opcode::TEXT, Length::Shortest, b"42"),
            frame(opcode::CONTINUATION, Length::Announced(length), b""),
        ];
        fails_with(&gateway, &parts.concat(), 1009, &format!("2 + {length}")).await;
    }
}

#[tokio::test]
async fn a_length_with_its_top_bit_set_is_a_fault() {
    let gateway = Gateway::start(ECHO).await;
    for length in [1 << 63, u64::MAX] {
        let mut frames = Frames::joined(&gateway).await;
        frames
            .write(&frame(FIN | opcode::BINARY, Length::Announced(length), b""))
            .await;
        let close = frames.next().await.expect("a close frame");
        let code = close.payload.first_chunk().map(|b| u16::from_be_bytes(*b));
        assert!(matches!(code, Some(1002 | 1009)), "{code:?}");
    }
}

#[tokio::test]
async fn more_fragments_than_the_limit_are_1008() {
    let gateway = Gateway::start(&format!("limits.fragments = 8\n{ECHO}")).await;
    let mut frames = Frames::joined(&gateway).await;
    frames.fragment(opcode::TEXT, br#"42["echo","#).await;
    for _ in 0..6 {
        frames.fragment(opcode::CONTINUATION, b"1").await;
    }
    frames.message(opcode::CONTINUATION, b"]").await;
    frames.expect(r#"42["echo",111111]"#).await;

    let mut bytes = frame(opcode::TEXT, Length::Shortest, b"42");
    bytes.extend(frame(opcode::CONTINUATION, Length::Shortest, b"").repeat(8));
    fails_with(&gateway, &bytes, 1008, "nine fragments").await;
}

#[tokio::test]
async fn a_flood_of_control_frames_is_1008() {
    let gateway = Gateway::start(&format!("limits.control_frames = \"1/s\"\n{ECHO}")).await;
    let mut frames = Frames::joined(&gateway).await;
    let pings = frame(FIN | opcode::PING, Length::Shortest, b"").repeat(200);
    frames.write(&pings).await;
    loop {
        let frame = frames.next().await.expect("a close frame");
        if frame.first == FIN | opcode::CLOSE {
            let code = frame.payload.first_chunk().map(|b| u16::from_be_bytes(*b));
            assert_eq!(code, Some(1008));
            break;
        }
        assert_eq!(frame.first, FIN | opcode::PONG);
    }
}

#[tokio::test]
async fn a_fault_in_each_stage_of_an_upgrade_harms_only_that_websocket() {
    let mut gateway = Gateway::start(ECHO).await;
    let mut faults = vec![
        frame(FIN | 0x20 | opcode::TEXT, Length::Shortest, b"2probe"),
        frame(FIN | 0x3, Length::Shortest, b"2probe"),
        [&[FIN | opcode::TEXT, 6][..], b"2probe"].concat(),
        frame(
            FIN | opcode::CLOSE,
            Length::Shortest,
            &1005_u16.to_be_bytes(),
        ),
    ];
    faults.push(Vec::new());
    for probed in [false, true] {
        for fault in &faults {
            let polling = crate::support::polling::Polling::open(&gateway).await;
            let target = gateway.target(&format!("EIO=4&transport=websocket&sid={}", polling.sid));
            let bytes = request("GET", &target, &UPGRADE, b"");
            let mut exchange = Exchange::begin(gateway.clients, &bytes).await;
            assert_eq!(exchange.answer().await.status, 101);
            if probed {
                let probe = frame(FIN | opcode::TEXT, Length::Shortest, b"2probe");
                exchange.again(&probe).await;
                assert_eq!(exchange.take(8).await.unwrap(), b"\x81\x063probe");
            }
            exchange.again(fault).await;
            drop(exchange);
            polling.send("40").await;
            let answer = loop {
                let answer = polling.poll().await;
                if answer.text() != "6" {
                    break answer;
                }
            };
            assert!(answer.text().starts_with("40{"), "{answer:?}");
        }
    }
    gateway.is_well("faults in upgrades").await;
}

#[tokio::test]
async fn a_binary_message_may_come_as_base64_text() {
    let gateway = Gateway::start(ECHO).await;
    let mut frames = Frames::joined(&gateway).await;
    let header = r#"451-["echo",{"_placeholder":true,"num":0}]"#;
    frames.text(header).await;
    frames.text("bAQIDBA==").await;
    frames.expect(header).await;
    frames
        .expect_frame(FIN | opcode::BINARY, &[1, 2, 3, 4])
        .await;
}

#[tokio::test]
async fn each_kind_of_engine_packet_on_an_open_websocket_does_what_the_protocol_says() {
    let gateway = Gateway::start(ECHO).await;
    for ignored in ["0", "5", "6", "3", "0{}", "6noop"] {
        let mut frames = Frames::joined(&gateway).await;
        frames.text(ignored).await;
        frames.text(r#"42["echo",1]"#).await;
        frames.expect(r#"42["echo",1]"#).await;
    }
    for fatal in ["2", "7", "x", "", "1", "b*"] {
        let mut socket = WebSocket::open(&gateway).await;
        socket.send(fatal).await;
        socket.expect_end().await;
    }
}
