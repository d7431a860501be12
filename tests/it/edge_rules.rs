//! Edge rules (contract 10): `relay`, `reply`, `drop`, answered by the gateway alone and in their place in the lane.

use serde_json::json;

use crate::support::backend::Backend;
use crate::support::client::{Client, EVERY_KIND, Kind};
use crate::support::gateway::Gateway;

async fn relaying(relay: &str) -> Gateway {
    Gateway::start(&format!(
        "[[namespace]]\nmatch = \"/\"\nauth = \"none\"\n[[namespace.route]]\nevent = \"echo\"\nreply = \"echo\"\n\
         [[namespace.route]]\nevent = \"say\"\nrelay = {{ {relay} }}\n"
    ))
    .await
}

/// Puts a socket into rooms.
async fn join(gateway: &Gateway, socket: &str, rooms: &[&str]) {
    gateway
        .actions(&json!([{"type": "join", "rooms": rooms, "to": {"sockets": [socket]}}]))
        .await;
}

#[tokio::test]
async fn a_relay_to_all_reaches_everybody_but_the_sender() {
    let gateway = relaying("to = \"all\"").await;
    for kind in EVERY_KIND {
        let (mut a, _) = Client::joined(&gateway).await;
        let mut b = Client::open(kind, &gateway).await;
        b.connect("/", "").await;
        let said = r#"["say",1.0,{"b":1,"a":2}]"#;
        a.send(&format!("42{said}")).await;
        b.expect(&format!("42{said}")).await;
        a.expect_quiet().await;
        let text = r#"451-["say",{"_placeholder":true,"num":0}]"#;
        a.send_binary(text, &[&[1, 2, 3]]).await;
        b.expect(text).await;
        b.expect_binary(&[1, 2, 3]).await;
        // An asked ack gets [], and is no part of what is relayed.
        a.send(r#"427["say","x"]"#).await;
        b.expect(r#"42["say","x"]"#).await;
        a.expect("437[]").await;
    }
}

#[tokio::test]
async fn the_sender_may_be_included() {
    let gateway = relaying("to = \"all\", except_self = false").await;
    let (mut a, _) = Client::joined(&gateway).await;
    a.send(r#"42["say",1]"#).await;
    a.expect(r#"42["say",1]"#).await;
}

#[tokio::test]
async fn a_relay_to_rooms_reaches_the_senders_rooms_with_that_prefix_and_each_once() {
    let gateway = relaying("to = \"rooms\", prefix = \"doc:\"").await;
    let (mut a, a_id) = Client::joined(&gateway).await;
    let (mut both, both_id) = Client::joined(&gateway).await;
    let (mut other, other_id) = Client::joined(&gateway).await;
    join(&gateway, &a_id, &["doc:1", "doc:2", "chat:1"]).await;
    join(&gateway, &both_id, &["doc:1", "doc:2"]).await;
    join(&gateway, &other_id, &["chat:1", "doc:3"]).await;
    a.send(r#"421["say","hi"]"#).await;
    a.expect("431[]").await;
    both.expect(r#"42["say","hi"]"#).await;
    both.expect_quiet().await;
    other.expect_quiet().await;
}

#[tokio::test]
async fn a_sender_without_rooms_reaches_nobody() {
    let gateway = relaying("to = \"rooms\", except_self = false").await;
    let (mut a, _) = Client::joined(&gateway).await;
    let (mut b, _) = Client::joined(&gateway).await;
    a.send(r#"421["say","hi"]"#).await;
    a.expect("431[]").await;
    a.expect_quiet().await;
    b.expect_quiet().await;
}

#[tokio::test]
async fn a_relay_to_arg_reaches_the_named_room_only_for_its_members() {
    let gateway = relaying("to = \"arg\", prefix = \"doc:\"").await;
    let (mut a, a_id) = Client::joined(&gateway).await;
    let (mut b, b_id) = Client::joined(&gateway).await;
    join(&gateway, &a_id, &["doc:1", "chat:1"]).await;
    join(&gateway, &b_id, &["doc:1", "doc:2", "chat:1"]).await;
    a.send(r#"421["say","doc:1","hi"]"#).await;
    a.expect("431[]").await;
    b.expect(r#"42["say","doc:1","hi"]"#).await;
    // Not a member, wrong prefix, no string, nothing at all: dropped without an ack.
    for arguments in [r#""doc:2""#, r#""chat:1""#, "1", "null", "[\"doc:1\"]"] {
        a.send(&format!(r#"422["say",{arguments}]"#)).await;
    }
    a.send(r#"423["say"]"#).await;
    a.expect_quiet().await;
    b.expect_quiet().await;
}

#[tokio::test]
async fn a_stamp_cannot_be_forged() {
    let backend = Backend::start().await;
    backend.answer(|_| json!({"user": "42"}));
    let config = format!(
        "{}[[namespace]]\nmatch = \"/\"\n[[namespace.route]]\non = \"connect\"\nupstream = \"app\"\n\
         [[namespace.route]]\nevent = \"say\"\nrelay = {{ to = \"all\", stamp = true }}\n",
        backend.upstream()
    );
    let gateway = Gateway::start(&config).await;
    let (mut a, id) = Client::joined(&gateway).await;
    let (mut b, _) = Client::joined(&gateway).await;
    let stamp = format!(r#"{{"socket":"{id}","user":"42"}}"#);
    a.send(r#"42["say","hi",{"socket":"forged"}]"#).await;
    b.expect(&format!(r#"42["say","hi",{{"socket":"forged"}},{stamp}]"#))
        .await;
    a.send(r#"42["say"]"#).await;
    b.expect(&format!(r#"42["say",{stamp}]"#)).await;
}

#[tokio::test]
async fn more_than_the_rate_is_dropped_without_an_ack_and_the_socket_stays() {
    let gateway = relaying("to = \"all\", rate = \"2/s\"").await;
    let (mut a, _) = Client::joined(&gateway).await;
    for n in 0..50 {
        a.send(&format!(r#"42{n}["say"]"#)).await;
    }
    a.send(r#"42["echo","end"]"#).await;
    let mut acks = 0;
    while a.text().await != r#"42["echo","end"]"# {
        acks += 1;
    }
    // The burst, and what a slow machine lets pass meanwhile; never all.
    assert!((2..25).contains(&acks), "{acks} of 50 passed");
    a.expect_quiet().await;
}

#[tokio::test]
async fn what_is_too_large_for_a_relay_is_dropped_without_an_ack() {
    let gateway = relaying("to = \"all\", max_bytes = 100").await;
    let (mut a, _) = Client::joined(&gateway).await;
    let (mut b, _) = Client::joined(&gateway).await;
    let long = "x".repeat(100);
    a.send(&format!(r#"421["say","{long}"]"#)).await;
    let binary = r#"451-2["say",{"_placeholder":true,"num":0}]"#;
    a.send_binary(binary, &[&[0; 100]]).await;
    a.expect_quiet().await;
    b.expect_quiet().await;
    a.send(r#"423["say","short"]"#).await;
    a.expect("433[]").await;
    b.expect(r#"42["say","short"]"#).await;
}

#[tokio::test]
async fn relayed_events_of_one_sender_keep_their_order_for_everybody() {
    const EVENTS: u32 = 300;
    let gateway = relaying("to = \"all\"").await;
    let mut listeners = Vec::new();
    for kind in EVERY_KIND.into_iter().cycle().take(9) {
        let mut client = Client::open(kind, &gateway).await;
        client.connect("/", "").await;
        listeners.push(client);
    }
    let (mut a, _) = Client::joined(&gateway).await;
    for n in 0..EVENTS {
        a.send(&format!(r#"42["say",{n}]"#)).await;
    }
    for client in &mut listeners {
        for n in 0..EVENTS {
            client.expect(&format!(r#"42["say",{n}]"#)).await;
        }
    }
}

#[tokio::test]
async fn everybody_sees_the_same_order_of_several_senders() {
    let gateway = relaying("to = \"all\", except_self = false").await;
    let mut senders = Vec::new();
    for _ in 0..4 {
        senders.push(Client::joined(&gateway).await.0);
    }
    for n in 0..50 {
        for (s, sender) in senders.iter_mut().enumerate() {
            sender.send(&format!(r#"42["say",{s},{n}]"#)).await;
        }
    }
    let mut seen: Vec<Vec<String>> = Vec::new();
    for sender in &mut senders {
        let mut texts = Vec::new();
        for _ in 0..200 {
            texts.push(sender.text().await);
        }
        seen.push(texts);
    }
    for other in &seen[1..] {
        assert_eq!(&seen[0], other);
    }
}

#[tokio::test]
async fn a_relay_never_goes_to_the_room_that_a_socket_is_by_itself() {
    let gateway = relaying("to = \"arg\", except_self = false").await;
    let (mut a, a_id) = Client::joined(&gateway).await;
    let (mut b, b_id) = Client::joined(&gateway).await;
    join(&gateway, &a_id, &["r"]).await;
    for id in [&a_id, &b_id] {
        a.send(&format!(r#"421["say","{id}"]"#)).await;
    }
    a.send(r#"422["say","r"]"#).await;
    a.expect(r#"42["say","r"]"#).await;
    a.expect("432[]").await;
    a.expect_quiet().await;
    b.expect_quiet().await;
    let dropped = r#"sockgate_dropped_packets_total{reason="relay_room"}"#;
    gateway.metric_is(dropped, 2.0).await;
}

#[tokio::test]
async fn a_volatile_relay_leaves_out_who_cannot_take_it_now() {
    let gateway = relaying("to = \"all\", volatile = true").await;
    let (mut a, _) = Client::joined(&gateway).await;
    let (mut b, _) = Client::joined(&gateway).await;
    let mut polling = Client::open(Kind::Polling, &gateway).await;
    polling.connect("/", "").await;
    a.send(r#"421["say",1]"#).await;
    a.expect("431[]").await;
    b.expect(r#"42["say",1]"#).await;
    // It had no open poll.
    polling.expect_quiet().await;
}

#[tokio::test]
async fn the_stamp_of_a_guest_says_that_there_is_no_user() {
    let gateway = relaying("to = \"all\", stamp = true").await;
    let (mut a, id) = Client::joined(&gateway).await;
    let (mut b, _) = Client::joined(&gateway).await;
    a.send(r#"42["say"]"#).await;
    b.expect(&format!(r#"42["say",{{"socket":"{id}","user":null}}]"#))
        .await;
}
