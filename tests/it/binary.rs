//! Binary (protocol 3.1): attachments in both directions, their limits, and that nothing comes between them.

use crate::support::client::{Client, EVERY_KIND, Kind, Packet};
use crate::support::gateway::{ECHO, Gateway};

fn placeholders(count: usize) -> String {
    let one = |num| format!(r#"{{"_placeholder":true,"num":{num}}}"#);
    (0..count).map(one).collect::<Vec<_>>().join(",")
}

fn header(count: usize) -> String {
    format!(r#"45{count}-["echo",{}]"#, placeholders(count))
}

async fn joined(kind: Kind, gateway: &Gateway) -> Client {
    let mut client = Client::open(kind, gateway).await;
    client.connect("/", "").await;
    client
}

#[tokio::test]
async fn ten_attachments_pass_and_eleven_close_the_connection() {
    let gateway = Gateway::start(ECHO).await;
    for kind in EVERY_KIND {
        let mut client = joined(kind, &gateway).await;
        let bytes: Vec<_> = (0..10_u8).map(|n| vec![n; 3]).collect();
        let attachments: Vec<_> = bytes.iter().map(Vec::as_slice).collect();
        client.send_binary(&header(10), &attachments).await;
        client.expect(&header(10)).await;
        for attachment in &attachments {
            client.expect_binary(attachment).await;
        }
        client.send(&header(11)).await;
        client.expect_end().await;
    }
}

#[tokio::test]
async fn a_wrong_count_closes_the_connection() {
    let gateway = Gateway::start(ECHO).await;
    for kind in EVERY_KIND {
        for wrong in [
            "450-[\"echo\"]",
            "45-[\"echo\"]",
            "45x-[\"echo\"]",
            "45[\"echo\"]",
            "4599999999999999999999-[\"echo\"]",
            "45-1-[\"echo\"]",
            "451.5-[\"echo\"]",
        ] {
            let mut client = joined(kind, &gateway).await;
            client.send(wrong).await;
            client.expect_end().await;
        }
    }
}

#[tokio::test]
async fn attachments_may_be_more_than_placeholders() {
    let gateway = Gateway::start(ECHO).await;
    let mut client = joined(Kind::WebSocket, &gateway).await;
    client
        .send_binary(r#"451-["echo","plain"]"#, &[b"unused"])
        .await;
    // What nobody refers to may be sent on or not.
    match client.text().await.as_str() {
        r#"451-["echo","plain"]"# => client.expect_binary(b"unused").await,
        text => assert_eq!(text, r#"42["echo","plain"]"#),
    }
    client.expect_quiet().await;
}

#[tokio::test]
async fn a_placeholder_without_its_attachment_closes_the_connection() {
    let gateway = Gateway::start(ECHO).await;
    for num in [
        "1",
        "-1",
        "1.5",
        "\"splice\"",
        "null",
        "99999999999999999999",
        "[0]",
    ] {
        let mut client = joined(Kind::WebSocket, &gateway).await;
        let text = format!(r#"451-["echo",{{"_placeholder":true,"num":{num}}}]"#);
        client.send_binary(&text, &[b"x"]).await;
        client.expect_end().await;
    }
}

#[tokio::test]
async fn a_placeholder_in_a_text_packet_is_plain_data() {
    let gateway = Gateway::start(ECHO).await;
    for kind in EVERY_KIND {
        let mut client = joined(kind, &gateway).await;
        let text = r#"42["echo",{"_placeholder":true,"num":7}]"#;
        client.send(text).await;
        client.expect(text).await;
    }
}

#[tokio::test]
async fn placeholders_may_stand_deep_inside_and_in_any_order() {
    let gateway = Gateway::start(ECHO).await;
    let mut client = joined(Kind::WebSocket, &gateway).await;
    let text = r#"452-["echo",{"a":[{"_placeholder":true,"num":0}],"b":{"c":{"_placeholder":true,"num":1}}}]"#;
    client.send_binary(text, &[b"first", b"second"]).await;
    client.expect(text).await;
    client.expect_binary(b"first").await;
    client.expect_binary(b"second").await;
}

#[tokio::test]
async fn text_while_attachments_are_due_closes_the_connection() {
    let gateway = Gateway::start(ECHO).await;
    for kind in EVERY_KIND {
        for text in [r#"42["echo",1]"#, "40/other", "41"] {
            let mut client = joined(kind, &gateway).await;
            client.send_binary(&header(2), &[b"one"]).await;
            client.send(text).await;
            client.expect_end().await;
        }
    }
}

#[tokio::test]
async fn a_binary_packet_that_is_not_due_closes_the_connection() {
    let gateway = Gateway::start(ECHO).await;
    let mut before = crate::support::websocket::WebSocket::open(&gateway).await;
    before.send_binary(b"x").await;
    before.expect_end().await;
    let mut client = joined(Kind::WebSocket, &gateway).await;
    client.send_binary(&header(1), &[b"due"]).await;
    client.expect(&header(1)).await;
    client.expect_binary(b"due").await;
    let Client::WebSocket(socket) = &mut client else {
        unreachable!("a WebSocket")
    };
    socket.send_binary(b"not due").await;
    client.expect_end().await;
}

#[tokio::test]
async fn pings_between_the_attachments_are_harmless() {
    let gateway = Gateway::start(ECHO).await;
    let mut client = joined(Kind::WebSocket, &gateway).await;
    client.send_binary(&header(2), &[b"one"]).await;
    client.send("3").await;
    let Client::WebSocket(socket) = &mut client else {
        unreachable!("a WebSocket")
    };
    socket.send_binary(b"two").await;
    client.expect(&header(2)).await;
    client.expect_binary(b"one").await;
    client.expect_binary(b"two").await;
}

#[tokio::test]
async fn attachments_that_never_come_end_the_connection() {
    let gateway = Gateway::start(&format!("limits.attachment_timeout = \"200ms\"\n{ECHO}")).await;
    for kind in EVERY_KIND {
        let mut client = joined(kind, &gateway).await;
        client.send_binary(&header(2), &[b"one"]).await;
        client.expect_end().await;
    }
}

#[tokio::test]
async fn text_and_attachments_together_keep_to_the_payload_limit() {
    let gateway = Gateway::start(&format!("engine.max_payload = \"10kB\"\n{ECHO}")).await;
    let mut client = joined(Kind::WebSocket, &gateway).await;
    let half = vec![7; 4_900];
    client.send_binary(&header(2), &[&half, &half]).await;
    client.expect(&header(2)).await;
    client.expect_binary(&half).await;
    client.expect_binary(&half).await;
    let more = vec![7; 5_000];
    client.send_binary(&header(2), &[&more, &more]).await;
    client.expect_end().await;
}

#[tokio::test]
async fn a_binary_packet_may_come_in_several_posts() {
    let gateway = Gateway::start(ECHO).await;
    let mut client = joined(Kind::Polling, &gateway).await;
    client.send(&header(2)).await;
    client.send("bb25l").await;
    client.send("bdHdv").await;
    client.expect(&header(2)).await;
    client.expect_binary(b"one").await;
    client.expect_binary(b"two").await;
}

const RELAY: &str = r#"
[[namespace]]
match = "/"
auth = "none"
[[namespace.route]]
event = "echo"
reply = "echo"
[[namespace.route]]
event = "share"
relay = { to = "all" }
[[namespace]]
match = "/other"
auth = "none"
[[namespace.route]]
event = "share"
relay = { to = "all" }
"#;

#[tokio::test]
async fn nothing_comes_between_a_header_and_its_attachments_however_many_send() {
    const SENDERS: u8 = 8;
    const EACH: usize = 50;
    let gateway = Gateway::start(RELAY).await;
    for kind in EVERY_KIND {
        let mut receiver = Client::open(kind, &gateway).await;
        receiver.connect("/", "").await;
        receiver.connect("/other", "").await;
        let sending = (0..SENDERS).map(|sender| {
            let gateway = &gateway;
            async move {
                let namespace = if sender % 2 == 0 { "/" } else { "/other" };
                let prefix = if sender % 2 == 0 { "" } else { "/other," };
                let mut client = Client::open(Kind::WebSocket, gateway).await;
                client.connect(namespace, "").await;
                for _ in 0..EACH {
                    let text = format!(r#"452-{prefix}["share",{sender},{}]"#, placeholders(2));
                    client
                        .send_binary(&text, &[&[sender, 0], &[sender, 1]])
                        .await;
                }
                client
            }
        });
        let senders = futures_util::future::join_all(sending).await;
        for _ in 0..usize::from(SENDERS) * EACH {
            let text = receiver.text().await;
            let (_, rest) = text.split_once(r#"["share","#).expect("a share");
            let sender: u8 = rest.split(',').next().unwrap().parse().unwrap();
            assert_eq!(receiver.next().await, Packet::Binary(vec![sender, 0]));
            assert_eq!(receiver.next().await, Packet::Binary(vec![sender, 1]));
        }
        receiver.expect_quiet().await;
        drop(senders);
    }
}
