use proptest::prelude::*;

use super::*;
use crate::protocol::frame::Frame;
use crate::protocol::socket_io::encode;
use crate::protocol::websocket;

const LIMITS: Limits = Limits {
    attachments: 10,
    bytes: 1_000_000,
    depth: 64,
};

/// Decodes text that needs no attachments, as the Engine.IO layer hands it over: without the `4`.
fn decode_text(text: &str) -> Result<Packet<'_>, DecodeError> {
    let mut decoder = Decoder::default();
    decoder
        .text(text, &LIMITS)
        .map(|packet| packet.expect("no attachments are due"))
}

fn refused(text: &str) -> DecodeError {
    let mut decoder = Decoder::default();
    let error = decoder.text(text, &LIMITS).expect_err(text);
    assert_eq!(decoder.pending(), None, "{text}");
    error
}

fn packet<'a>(namespace: &'a str, body: Body<'a>) -> Packet<'a> {
    Packet {
        namespace: namespace.into(),
        body,
    }
}

fn event<'a>(name: &'a str, args: &'a str, id: Option<u64>) -> Body<'a> {
    Body::Event(Event {
        name: name.into(),
        args: args.into(),
        id,
        attachments: Vec::new(),
    })
}

fn ack(id: u64, args: &str) -> Body<'_> {
    Body::Ack(Ack {
        id,
        args: args.into(),
        attachments: Vec::new(),
    })
}

#[track_caller]
fn assert_decodes(text: &str, namespace: &str, body: Body<'_>) {
    assert_eq!(decode_text(text), Ok(packet(namespace, body)), "{text}");
}

/// Feeds a binary packet and its attachments.
fn assemble(
    header: &str,
    attachments: &[&[u8]],
    limits: &Limits,
) -> Result<Packet<'static>, DecodeError> {
    let mut decoder = Decoder::default();
    assert_eq!(decoder.text(header, limits)?, None);
    for (index, bytes) in attachments.iter().enumerate() {
        assert!(decoder.pending().is_some());
        let packet = decoder.binary(Bytes::copy_from_slice(bytes), limits)?;
        assert_eq!(packet.is_some(), index + 1 == attachments.len());
        if let Some(packet) = packet {
            assert_eq!(decoder.pending(), None);
            return Ok(packet);
        }
    }
    panic!("attachments are still due: {decoder:?}");
}

mod text_format {
    //! Protocol 3.1.
    use super::*;

    #[test]
    fn connect() {
        let object = |text: &'static str| Body::Connect(Some(text.into()));
        assert_decodes("0", "/", Body::Connect(None));
        assert_decodes(r#"0{"token":"123"}"#, "/", object(r#"{"token":"123"}"#));
        assert_decodes("0/admin,", "/admin", Body::Connect(None));
        assert_decodes(
            r#"0/admin,{"token":"1"}"#,
            "/admin",
            object(r#"{"token":"1"}"#),
        );
        assert_decodes("0{}", "/", object("{}"));
    }

    #[test]
    fn disconnect() {
        assert_decodes("1", "/", Body::Disconnect);
        assert_decodes("1/admin,", "/admin", Body::Disconnect);
    }

    #[test]
    fn events() {
        assert_decodes(
            r#"2["hello",1,{"a":null}]"#,
            "/",
            event("hello", r#"1,{"a":null}"#, None),
        );
        assert_decodes(r#"2/admin,["hello"]"#, "/admin", event("hello", "", None));
        assert_decodes(r#"212["ask",1]"#, "/", event("ask", "1", Some(12)));
        assert_decodes(r#"2/admin,12["ask"]"#, "/admin", event("ask", "", Some(12)));
        assert_decodes(r#"2[""]"#, "/", event("", "", None));
    }

    #[test]
    fn acks() {
        assert_decodes(r#"312["ok"]"#, "/", ack(12, r#""ok""#));
        assert_decodes("312[]", "/", ack(12, ""));
        assert_decodes("3/admin,12[1,[2],3]", "/admin", ack(12, "1,[2],3"));
    }

    #[test]
    fn binary_event() {
        let packet = assemble(
            r#"52-/admin,789["up",{"_placeholder":true,"num":0},{"f":{"_placeholder":true,"num":1}}]"#,
            &[&[1], &[2, 3]],
            &LIMITS,
        );
        let body = Body::Event(Event {
            name: "up".into(),
            args: r#"{"_placeholder":true,"num":0},{"f":{"_placeholder":true,"num":1}}"#.into(),
            id: Some(789),
            attachments: vec![Bytes::from_static(&[1]), Bytes::from_static(&[2, 3])],
        });
        assert_eq!(packet, Ok(super::packet("/admin", body)));
    }

    #[test]
    fn binary_ack() {
        let packet = assemble(r#"61-7[{"_placeholder":true,"num":0}]"#, &[b"x"], &LIMITS);
        let body = Body::Ack(Ack {
            id: 7,
            args: r#"{"_placeholder":true,"num":0}"#.into(),
            attachments: vec![Bytes::from_static(b"x")],
        });
        assert_eq!(packet, Ok(super::packet("/", body)));
    }

    #[test]
    fn namespace_without_comma_at_the_end() {
        assert_decodes("0/custom", "/custom", Body::Connect(None));
        assert_decodes("1/custom", "/custom", Body::Disconnect);
    }

    #[test]
    fn explicit_main_namespace() {
        assert_decodes("0/,", "/", Body::Connect(None));
        assert_decodes("0/", "/", Body::Connect(None));
        assert_decodes(r#"2/,["a"]"#, "/", event("a", "", None));
        assert_decodes("0/,{}", "/", Body::Connect(Some("{}".into())));
    }

    #[test]
    fn query_of_a_namespace_stays() {
        assert_decodes("0/dyn-12?x=1,", "/dyn-12?x=1", Body::Connect(None));
    }

    #[test]
    fn white_space_after_the_json() {
        assert_decodes("2[\"a\",1] \r\n\t", "/", event("a", "1", None));
        assert_decodes("31[1]\n", "/", ack(1, "1"));
        assert_decodes("0{} ", "/", Body::Connect(Some("{}".into())));
    }

    #[test]
    fn white_space_around_elements_goes_but_stays_between_them() {
        assert_decodes(
            "2[ \"a\" , 1 , {\"b\" : 2} ]",
            "/",
            event("a", "1 , {\"b\" : 2}", None),
        );
        assert_decodes("31[ ]", "/", ack(1, ""));
    }

    #[test]
    fn packets_without_attachments_borrow() {
        let text = r#"2/admin,12["hello",{"a":[1]}]"#;
        let decoded = decode_text(text).unwrap();
        let Body::Event(event) = decoded.body else {
            panic!()
        };
        for text in [decoded.namespace, event.name, event.args] {
            assert!(matches!(text, Cow::Borrowed(_)), "{text}");
        }
    }

    /// Protocol 10, 16.
    #[test]
    fn json_stays_as_it_was_written() {
        for args in [
            r#"{"z":1,"a":2,"m":3}"#,
            "12345678901234567890123,1.0,1e2,-0,1E+400",
            r#"{"a":1,"a":2}"#,
            r#""\u00e9\/\ud83e\udd80é🦀""#,
            r#""\ud800","\udc00\ud800",{"\udfff":0}"#,
            r#"{ "a" :[ ] }"#,
        ] {
            let text = format!(r#"2["e",{args}]"#);
            assert_decodes(&text, "/", event("e", args, None));
            let text = format!("35[{args}]");
            assert_decodes(&text, "/", ack(5, args));
        }
    }

    #[test]
    fn event_names_are_unescaped() {
        assert_decodes(
            r#"2["\u0061\"\\\n\ud83e\udd80",1]"#,
            "/",
            event("a\"\\\n🦀", "1", None),
        );
        assert_eq!(refused(r#"2["\ud800"]"#), DecodeError::EventName);
    }
}

mod invalid {
    //! Protocol 3.3, one test for each row that concerns decoding.
    use super::*;

    #[test]
    fn unknown_type_or_empty_message() {
        for text in ["7[\"a\"]", "abc", "", "8", "9", "-1", " 2[\"a\"]", "é", "b"] {
            assert_eq!(refused(text), DecodeError::Type, "{text}");
        }
    }

    #[test]
    fn connect_payload_must_be_an_object() {
        for text in [
            "0[]", "0\"x\"", "0null", "0{bad", "0{", "00{}", "01", "0 {}", "0{}{}", "0/a,1{}",
        ] {
            assert_eq!(refused(text), DecodeError::Payload, "{text}");
        }
    }

    #[test]
    fn disconnect_has_no_payload() {
        for text in ["1{}", "1[]", "1 ", "15", "1/a,{}"] {
            assert_eq!(refused(text), DecodeError::Payload, "{text}");
        }
    }

    #[test]
    fn event_payload_must_be_a_named_array() {
        for text in [
            "2{}",
            "2[\"a\"",
            "2\"a\"",
            "2null",
            "2[\"a\",]",
            "2[\"a\"]x",
            "2[\"a\" 1]",
        ] {
            assert_eq!(refused(text), DecodeError::Payload, "{text}");
        }
        for text in [
            "2[]",
            "2[ ]",
            "2[null]",
            "2[{}]",
            "2[[\"a\"]]",
            "2[true]",
            "2[false,\"a\"]",
        ] {
            assert_eq!(refused(text), DecodeError::EventName, "{text}");
        }
    }

    #[test]
    fn event_with_nothing_after_it() {
        for text in ["2", "2/a,", "2/a", "212", "2/a,12"] {
            assert_eq!(refused(text), DecodeError::Payload, "{text}");
        }
    }

    #[test]
    fn numeric_event_name_is_accepted() {
        assert_decodes("2[1,2]", "/", event("1", "2", None));
        assert_decodes("2[-1.50e2]", "/", event("-1.50e2", "", None));
    }

    /// The session refuses these, with all other rules about names; the decoder hands them on.
    #[test]
    fn reserved_event_names_are_not_decided_here() {
        for name in ["connect", "disconnect", "newListener", "error", "message"] {
            let text = format!("2[\"{name}\"]");
            assert_decodes(&text, "/", event(name, "", None));
        }
    }

    #[test]
    fn ack_id_must_be_digits() {
        for text in [
            "2abc[\"x\"]",
            "2-1[\"x\"]",
            "21.5[\"x\"]",
            "21e1[\"x\"]",
            "2+1[\"x\"]",
            "20x1[\"x\"]",
        ] {
            assert_eq!(refused(text), DecodeError::Payload, "{text}");
        }
    }

    #[test]
    fn space_is_no_ack_id() {
        for text in [
            "2 [\"x\"]",
            "2/a, [\"x\"]",
            "21 [\"x\"]",
            "2\n[\"x\"]",
            "3 [1]",
        ] {
            assert!(
                matches!(refused(text), DecodeError::Payload | DecodeError::AckId),
                "{text}"
            );
        }
    }

    #[test]
    fn ack_id_fits_a_double() {
        assert_decodes(
            "29007199254740991[\"x\"]",
            "/",
            event("x", "", Some(MAX_ACK_ID)),
        );
        assert_decodes("39007199254740991[]", "/", ack(MAX_ACK_ID, ""));
        for text in [
            "29007199254740992[\"x\"]",
            "39007199254740992[]",
            "299999999999999999999[\"x\"]",
        ] {
            assert_eq!(refused(text), DecodeError::AckId, "{text}");
        }
    }

    #[test]
    fn ack_needs_an_id_and_an_array() {
        for text in ["3", "3[]", "3/a,[1]"] {
            assert_eq!(refused(text), DecodeError::AckId, "{text}");
        }
        for text in ["312", "312{}", "312\"x\"", "312[", "312null"] {
            assert_eq!(refused(text), DecodeError::Payload, "{text}");
        }
    }

    #[test]
    fn attachment_count_must_be_a_number_from_one() {
        for text in [
            "50-[\"a\"]",
            "5-[\"a\"]",
            "5x-[\"a\"]",
            "5[\"a\"]",
            "5",
            "51",
            "51[\"a\"]",
            "5-1-[\"a\"]",
            "51.0-[\"a\"]",
            "5 1-[\"a\"]",
            "500-[\"a\"]",
            "60-1[]",
        ] {
            assert_eq!(refused(text), DecodeError::AttachmentCount, "{text}");
        }
    }

    #[test]
    fn at_most_ten_attachments() {
        assert_eq!(Decoder::default().text("510-[\"a\"]", &LIMITS), Ok(None));
        assert_eq!(refused("511-[\"a\"]"), DecodeError::TooManyAttachments);
        assert_eq!(refused("611-1[]"), DecodeError::TooManyAttachments);
    }

    #[test]
    fn text_while_attachments_are_due() {
        let mut decoder = Decoder::default();
        assert_eq!(decoder.text("51-/a,[\"x\"]", &LIMITS), Ok(None));
        assert_eq!(decoder.pending(), Some("/a"));
        assert_eq!(
            decoder.text("2[\"y\"]", &LIMITS),
            Err(DecodeError::Interrupted)
        );
        assert_eq!(decoder.pending(), None);
    }

    #[test]
    fn bytes_while_no_attachment_is_due() {
        let mut decoder = Decoder::default();
        assert_eq!(
            decoder.binary(Bytes::new(), &LIMITS),
            Err(DecodeError::Orphan)
        );
        assert_eq!(
            decoder.text("2[\"y\"]", &LIMITS),
            Ok(Some(packet("/", event("y", "", None))))
        );
        assert_eq!(
            decoder.binary(Bytes::new(), &LIMITS),
            Err(DecodeError::Orphan)
        );
    }

    #[test]
    fn comma_missing_before_the_json() {
        assert_eq!(refused("2/custom[\"a\"]"), DecodeError::Payload);
        assert_decodes("0/custom{}", "/custom{}", Body::Connect(None));
    }

    #[test]
    fn connect_error_is_for_servers() {
        for text in ["4", "4{\"message\":\"x\"}", "4/a,{}", "4\"x\""] {
            assert_eq!(refused(text), DecodeError::Type, "{text}");
        }
    }

    #[test]
    fn glued_packets_are_invalid_json() {
        assert_eq!(refused("2[\"a\"]\u{1e}42[\"b\"]"), DecodeError::Payload);
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |levels: usize| format!("2{}\"a\"{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(refused(&nested(65)), DecodeError::TooDeep);
        let deep = format!("2[\"a\",{}{}]", "[".repeat(63), "]".repeat(63));
        assert!(decode_text(&deep).is_ok());
        let deeper = format!("0{}1{}", "{\"a\":".repeat(65), "}".repeat(65));
        assert_eq!(refused(&deeper), DecodeError::TooDeep);
        let wide = format!("2[\"a\"{}]", ",[]".repeat(1000));
        assert!(decode_text(&wide).is_ok());
    }
}

mod binary {
    //! Attachments (protocol 3.1, 3.3, 3.5; checklist 17, 18).
    use super::*;

    #[test]
    fn placeholders_may_be_fewer_than_attachments() {
        let packet = assemble("51-[\"a\"]", &[&[1]], &LIMITS).unwrap();
        let Body::Event(event) = packet.body else {
            panic!()
        };
        assert_eq!(event.args, "");
        assert_eq!(event.attachments, [Bytes::from_static(&[1])]);
    }

    #[test]
    fn placeholders_may_repeat() {
        let args = r#"{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}"#;
        let packet = assemble(&format!("51-[\"a\",{args}]"), &[&[1]], &LIMITS).unwrap();
        assert_eq!(packet.body.args(), args);
    }

    #[test]
    fn attachments_may_be_empty() {
        let packet = assemble("52-[\"a\"]", &[&[], &[]], &LIMITS).unwrap();
        let Body::Event(event) = packet.body else {
            panic!()
        };
        assert_eq!(event.attachments, [Bytes::new(), Bytes::new()]);
    }

    #[test]
    fn a_number_outside_the_attachments_is_refused_with_the_header() {
        assert_eq!(
            refused(r#"51-["a",{"_placeholder":true,"num":1}]"#),
            DecodeError::Placeholder
        );
        assert_eq!(
            refused(r#"62-1[{"_placeholder":true,"num":2}]"#),
            DecodeError::Placeholder
        );
    }

    #[test]
    fn placeholders_without_attachments_are_plain_data() {
        let args = r#"{"_placeholder":true,"num":7}"#;
        assert_decodes(&format!("2[\"a\",{args}]"), "/", event("a", args, None));
    }

    #[test]
    fn text_and_attachments_share_one_limit() {
        let header = "52-[\"a\"]";
        let limits = Limits {
            bytes: header.len() + 4,
            ..LIMITS
        };
        assert!(assemble(header, &[&[0; 2], &[0; 2]], &limits).is_ok());
        assert_eq!(
            assemble(header, &[&[0; 2], &[0; 3]], &limits),
            Err(DecodeError::TooLarge)
        );
        let limits = Limits {
            bytes: header.len() - 1,
            ..LIMITS
        };
        assert_eq!(
            Decoder::default().text(header, &limits),
            Err(DecodeError::TooLarge)
        );
    }

    #[test]
    fn the_decoder_goes_on_after_a_binary_packet() {
        let mut decoder = Decoder::default();
        for _ in 0..3 {
            assert_eq!(decoder.text("51-[\"a\"]", &LIMITS), Ok(None));
            assert!(
                decoder
                    .binary(Bytes::from_static(b"x"), &LIMITS)
                    .unwrap()
                    .is_some()
            );
            assert!(decoder.text("2[\"b\"]", &LIMITS).unwrap().is_some());
        }
    }

    #[test]
    fn an_idle_decoder_is_a_pointer() {
        assert_eq!(size_of::<Decoder>(), size_of::<usize>());
    }
}

mod cve {
    //! What went wrong in other implementations (operations b1).
    use super::*;

    #[test]
    fn cve_2020_36049_a_megabyte_of_digits() {
        let digits = "1".repeat(1_000_000);
        assert_eq!(refused(&format!("2{digits}")), DecodeError::AckId);
        assert_eq!(refused(&format!("3{digits}[]")), DecodeError::AckId);
        assert_eq!(
            refused(&format!("2{}[\"a\"]", "0".repeat(1_000_000))),
            DecodeError::Payload
        );
        assert_eq!(
            refused(&format!("5{digits}-[\"a\"]")),
            DecodeError::AttachmentCount
        );
        // What is looked at does not grow with the text.
        assert_eq!(split_digits(&digits).0.len(), 17);
    }

    #[test]
    fn cve_2022_2421_numbers_of_placeholders() {
        for num in [
            "-1",
            "-0",
            "1.5",
            "1.0",
            "1e0",
            "\"splice\"",
            "\"0\"",
            "null",
            "true",
            "[0]",
            "{}",
            "2",
            "99999999999999999999999",
        ] {
            let header = format!(r#"52-["a",{{"_placeholder":true,"num":{num}}}]"#);
            assert_eq!(refused(&header), DecodeError::Placeholder, "{num}");
        }
        assert_eq!(
            refused(r#"51-["a",{"_placeholder":true}]"#),
            DecodeError::Placeholder
        );
        let nested = format!("51-[\"a\",{}{}]", "[".repeat(1000), "]".repeat(1000));
        assert_eq!(refused(&nested), DecodeError::TooDeep);
    }

    #[test]
    fn cve_2023_32695_event_names_that_are_no_text() {
        for first in [
            "null",
            "{}",
            "{\"toString\":1}",
            "[]",
            "[\"a\"]",
            "true",
            "false",
        ] {
            assert_eq!(refused(&format!("2[{first},1]")), DecodeError::EventName);
        }
        assert_eq!(refused("2[]"), DecodeError::EventName);
    }

    #[test]
    fn cve_2026_33151_unlimited_attachments() {
        for header in [
            "599999-[\"a\"]",
            "518446744073709551616-[\"a\"]",
            "599999999999999999-[\"a\"]",
        ] {
            assert!(matches!(
                refused(header),
                DecodeError::TooManyAttachments | DecodeError::AttachmentCount
            ));
        }
        let mut decoder = Decoder::default();
        let limits = Limits {
            bytes: 1000,
            ..LIMITS
        };
        assert_eq!(decoder.text("510-[\"a\"]", &limits), Ok(None));
        assert_eq!(decoder.binary(Bytes::from(vec![0; 900]), &limits), Ok(None));
        assert_eq!(
            decoder.binary(Bytes::from(vec![0; 900]), &limits),
            Err(DecodeError::TooLarge)
        );
        assert_eq!(decoder.pending(), None);
    }

    /// A count without bound allocates nothing in advance.
    #[test]
    fn cve_2026_33151_without_a_limit() {
        let limits = Limits {
            attachments: usize::MAX,
            ..LIMITS
        };
        let mut decoder = Decoder::default();
        assert_eq!(decoder.text("59999999999999999-[\"a\"]", &limits), Ok(None));
        assert_eq!(decoder.binary(Bytes::new(), &limits), Ok(None));
    }

    #[test]
    fn cve_2026_69185_zero_attachments() {
        assert_eq!(refused("50-[\"x\"]"), DecodeError::AttachmentCount);
        let mut decoder = Decoder::default();
        assert!(decoder.text("50-[\"x\"]", &LIMITS).is_err());
        for _ in 0..10_000 {
            assert_eq!(
                decoder.binary(Bytes::from_static(b"x"), &LIMITS),
                Err(DecodeError::Orphan)
            );
        }
        assert!(decoder.pending.is_none());
    }

    /// What is half sent is kept until the decoder is dropped; its owner sees it and knows for which namespace it would be.
    #[test]
    fn cve_2026_48804_half_sent_packets_are_visible() {
        let mut decoder = Decoder::default();
        assert_eq!(decoder.text("52-/other,[\"x\"]", &LIMITS), Ok(None));
        assert_eq!(decoder.binary(Bytes::from_static(b"x"), &LIMITS), Ok(None));
        assert_eq!(decoder.pending(), Some("/other"));
    }
}

mod conformance {
    //! The messages of the official suite (protocol 8.3), each sent back by the encoder.
    use super::*;

    fn echo(message: &str) -> String {
        let text = message.strip_prefix('4').unwrap();
        let packet = decode_text(text).unwrap();
        let namespace = &packet.namespace;
        let frame = match packet.body {
            Body::Event(Event {
                id: Some(id), args, ..
            }) => encode::ack(namespace, id, &args, &[]),
            Body::Event(Event { args, .. }) => {
                encode::event(namespace, "message-back", &args, None, &[])
            }
            Body::Connect(object) => encode::event(
                namespace,
                "auth",
                object.as_deref().unwrap_or("{}"),
                None,
                &[],
            ),
            other => panic!("{other:?}"),
        };
        let text = websocket::payload(&frame.parts()[0]);
        String::from_utf8(text.to_vec()).unwrap()
    }

    #[test]
    fn connect() {
        assert_eq!(echo("40"), r#"42["auth",{}]"#);
        assert_eq!(
            echo(r#"40{"token":"123"}"#),
            r#"42["auth",{"token":"123"}]"#
        );
        assert_eq!(echo("40/custom,"), r#"42/custom,["auth",{}]"#);
        assert_eq!(
            echo(r#"40/custom,{"token":"abc"}"#),
            r#"42/custom,["auth",{"token":"abc"}]"#
        );
        assert_decodes("0/random", "/random", Body::Connect(None));
        assert_decodes("1/custom", "/custom", Body::Disconnect);
    }

    #[test]
    fn text() {
        assert_eq!(
            echo(r#"42["message","message to main namespace"]"#),
            r#"42["message-back","message to main namespace"]"#
        );
        assert_eq!(
            echo(r#"42["message",1,"2",{"3":[true]}]"#),
            r#"42["message-back",1,"2",{"3":[true]}]"#
        );
    }

    #[test]
    fn ack() {
        assert_eq!(
            echo(r#"42456["message-with-ack",1,"2",{"3":[false]}]"#),
            r#"43456[1,"2",{"3":[false]}]"#
        );
    }

    #[test]
    fn binary() {
        let args = r#"{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}"#;
        let attachments: [&[u8]; 2] = [&[1, 2, 3], &[4, 5, 6]];
        let packet = assemble(
            &format!(r#"52-789["message-with-ack",{args}]"#),
            &attachments,
            &LIMITS,
        )
        .unwrap();
        let Body::Event(event) = packet.body else {
            panic!()
        };
        let frame = encode::ack("/", event.id.unwrap(), &event.args, &event.attachments);
        let expected = format!("462-789[{args}]");
        assert_eq!(frame.parts()[0], websocket::text(&expected));
        assert_eq!(frame.parts()[1], websocket::binary(&[1, 2, 3]));
        assert_eq!(frame.parts()[2], websocket::binary(&[4, 5, 6]));
    }

    #[test]
    fn closes() {
        assert_eq!(refused("abc"), DecodeError::Type);
        assert_eq!(refused("2{}"), DecodeError::Payload);
        assert_eq!(
            refused(r#"2abc["message-with-ack",1,"2",{"3":[false]}]"#),
            DecodeError::Payload
        );
    }
}

/// JSON values as clients write them, one line, no spaces.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|b| b.to_string()),
        any::<i64>().prop_map(|n| n.to_string()),
        "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,9})?([eE][+-]?[0-9]{1,3})?",
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        "\"(\\\\u[0-9a-f]{4}|[a-z]){0,4}\"",
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(("[a-z]{0,3}", inner), 0..4).prop_map(|fields| {
                let fields: Vec<_> = fields
                    .iter()
                    .map(|(key, value)| format!("\"{key}\":{value}"))
                    .collect();
                format!("{{{}}}", fields.join(","))
            }),
        ]
    })
}

fn namespace() -> impl Strategy<Value = String> {
    prop_oneof![Just("/".to_owned()), "/[^,\\p{Cc}]{1,12}"]
}

fn attachments() -> impl Strategy<Value = Vec<Bytes>> {
    let bytes = prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from);
    prop_oneof![Just(Vec::new()), prop::collection::vec(bytes, 1..=10)]
}

/// Plays a server's frame to a decoder as a client's messages.
fn replay(frame: &Frame) -> Packet<'static> {
    let mut decoder = Decoder::default();
    let mut packet = None;
    for part in frame.parts() {
        assert_eq!(packet, None, "only the last part completes a packet");
        let payload = websocket::payload(part);
        packet = if websocket::is_text(part) {
            let text = str::from_utf8(payload).unwrap().strip_prefix('4').unwrap();
            let packet = decoder.text(text, &LIMITS).unwrap();
            packet.map(Packet::into_owned)
        } else {
            let bytes = Bytes::copy_from_slice(payload);
            decoder.binary(bytes, &LIMITS).unwrap()
        };
    }
    packet.expect("the last part completes the packet")
}

proptest! {
    #[test]
    fn events_make_the_round_trip(
        namespace in namespace(),
        name in any::<String>(),
        args in prop::collection::vec(json(), 0..4),
        id in prop::option::of(0..=MAX_ACK_ID),
        attachments in attachments(),
    ) {
        let args = args.join(",");
        let frame = encode::event(&namespace, &name, &args, id, &attachments);
        let body = Body::Event(Event { name: name.into(), args: args.into(), id, attachments });
        prop_assert_eq!(replay(&frame), Packet { namespace: namespace.into(), body });
    }

    #[test]
    fn acks_make_the_round_trip(
        namespace in namespace(),
        args in prop::collection::vec(json(), 0..4),
        id in 0..=MAX_ACK_ID,
        attachments in attachments(),
    ) {
        let args = args.join(",");
        let frame = encode::ack(&namespace, id, &args, &attachments);
        let body = Body::Ack(Ack { id, args: args.into(), attachments });
        prop_assert_eq!(replay(&frame), Packet { namespace: namespace.into(), body });
    }

    /// Whatever comes, nothing panics, nothing is kept after an error, and what is kept is within the limits.
    #[test]
    fn any_messages_are_harmless(messages in prop::collection::vec(
        prop_oneof![
            "[0-9]{0,2}-?(/[a-z]{0,3},?)?[0-9]{0,3}[\\[{\"][\\[\\]{}\",:a0\\\\é ]{0,20}".prop_map(Ok),
            "5[0-3]-\\[\"a\"(,\\{\"_placeholder\":true,\"num\":[0-2]\\})?\\]".prop_map(Ok),
            any::<String>().prop_map(Ok),
            prop::collection::vec(any::<u8>(), 0..50).prop_map(Err),
        ],
        0..12,
    )) {
        let limits = Limits { attachments: 2, bytes: 100, depth: 4 };
        let mut decoder = Decoder::default();
        for message in messages {
            let failed = match message {
                Ok(text) => decoder.text(&text, &limits).is_err(),
                Err(bytes) => decoder.binary(bytes.into(), &limits).is_err(),
            };
            prop_assert!(!failed || decoder.pending.is_none());
            if let Some(pending) = &decoder.pending {
                prop_assert!(pending.bytes <= limits.bytes);
                prop_assert!(pending.attachments.len() < pending.due);
                prop_assert!(pending.due <= limits.attachments);
            }
        }
    }
}
