use super::*;

fn text(frame: &Frame) -> &str {
    let first = &frame.parts()[0];
    assert!(websocket::is_text(first));
    str::from_utf8(websocket::payload(first)).unwrap()
}

#[test]
fn connect_has_only_the_sid() {
    assert_eq!(text(&connect("/", "K")), r#"40{"sid":"K"}"#);
    assert_eq!(text(&connect("/admin", "K")), r#"40/admin,{"sid":"K"}"#);
}

#[test]
fn connect_error_with_and_without_data() {
    assert_eq!(
        text(&connect_error("/random", "Invalid namespace", None)),
        r#"44/random,{"message":"Invalid namespace"}"#
    );
    assert_eq!(
        text(&connect_error("/", "x", Some(r#"{"code":42}"#))),
        r#"44{"message":"x","data":{"code":42}}"#
    );
    assert_eq!(
        text(&connect_error("/", "a\"\n", None)),
        r#"44{"message":"a\"\n"}"#
    );
}

#[test]
fn disconnect_has_no_payload() {
    assert_eq!(text(&disconnect("/")), "41");
    assert_eq!(text(&disconnect("/admin")), "41/admin,");
}

#[test]
fn events() {
    assert_eq!(
        text(&event("/", "hello", r#"1,{"a":null}"#, None, &[])),
        r#"42["hello",1,{"a":null}]"#
    );
    assert_eq!(
        text(&event("/admin", "hello", "", None, &[])),
        r#"42/admin,["hello"]"#
    );
    assert_eq!(
        text(&event("/", "ask", "1", Some(12), &[])),
        r#"4212["ask",1]"#
    );
    assert_eq!(
        text(&event("/admin", "ask", "", Some(0), &[])),
        r#"42/admin,0["ask"]"#
    );
}

#[test]
fn acks() {
    assert_eq!(text(&ack("/", 12, "", &[])), "4312[]");
    assert_eq!(text(&ack("/admin", 12, "1", &[])), "43/admin,12[1]");
    assert_eq!(
        text(&ack("/", u64::MAX, "", &[])),
        "4318446744073709551615[]"
    );
}

#[test]
fn binary_types_exactly_with_attachments() {
    let attachments = [Bytes::from_static(&[1, 2, 3]), Bytes::new()];
    let args = r#"{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}"#;
    let frame = event("/admin", "up", args, Some(789), &attachments);
    assert_eq!(text(&frame), format!("452-/admin,789[\"up\",{args}]"));
    assert_eq!(
        frame.parts()[1..],
        [websocket::binary(&[1, 2, 3]), websocket::binary(&[])]
    );
    let frame = ack("/", 7, args, &attachments);
    assert_eq!(text(&frame), format!("462-7[{args}]"));
    assert_eq!(frame.parts().len(), 3);
}

/// The separator of polling payloads can never be inside a packet (protocol 1.5).
#[test]
fn names_are_escaped() {
    let frame = event("/", "a\"\\\u{1e}\u{8}é🦀", "", None, &[]);
    assert_eq!(text(&frame), r#"42["a\"\\\u001e\bé🦀"]"#);
}

#[test]
fn long_packets_have_long_headers() {
    let args = format!("\"{}\"", "x".repeat(70_000));
    let frame = event("/", "e", &args, None, &[]);
    assert_eq!(frame.parts()[0][..2], [0x81, 127]);
    assert_eq!(text(&frame), format!("42[\"e\",{args}]"));
}
