//! Who is a recipient (contract 7): only sockets whose CONNECT was sent, each once; and what `volatile` leaves out.

use serde_json::{Value, json};

use crate::support::backend::{Backend, Reply};
use crate::support::client::{Client, EVERY_KIND, Kind, Packet};
use crate::support::gateway::{ECHO, Gateway};
use crate::support::polling::packets;

async fn count(gateway: &Gateway, to: Value) -> Value {
    let body = json!({"event": "x", "args": [], "to": to, "report": true});
    let answer = gateway.api_post("/v1/emit", &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["sockets"].clone()
}

#[tokio::test]
async fn only_sockets_whose_connect_was_sent_are_recipients() {
    let mut backend = Backend::start().await;
    let gateway = Gateway::start(&backend.everything()).await;
    for kind in EVERY_KIND {
        let (release, reply) = Reply::held(json!({"rooms": ["r"]}));
        backend.push(reply);
        let mut client = Client::open(kind, &gateway).await;
        client.send("40").await;
        let id = backend.next_of("connect").await.socket().to_owned();
        for to in [
            json!({"all": true}),
            json!({"sockets": [id]}),
            json!({"rooms": ["r", id]}),
        ] {
            assert_eq!(count(&gateway, to).await, 0, "{kind:?}");
        }
        let read = gateway
            .api_get(&format!("/v1/sockets?namespace=/&id={id}"))
            .await;
        read.problem(404, "unknown_socket");
        release.go();
        assert_eq!(client.expect_connected("/").await, id, "and nothing before");
        assert_eq!(count(&gateway, json!({"rooms": ["r", id]})).await, 1);
        client.expect(r#"42["x"]"#).await;
        client.send("1").await;
        backend.next_of("disconnect").await;
        assert_eq!(count(&gateway, json!({"sockets": [id]})).await, 0);
    }
}

#[tokio::test]
async fn a_room_may_name_a_socket_and_reaches_it_alone() {
    let gateway = Gateway::start(ECHO).await;
    let (mut a, a_id) = Client::joined(&gateway).await;
    let (mut b, b_id) = Client::joined(&gateway).await;
    assert_eq!(count(&gateway, json!({"rooms": [a_id]})).await, 1);
    a.expect(r#"42["x"]"#).await;
    assert_eq!(
        count(&gateway, json!({"rooms": [a_id, b_id], "sockets": [a_id]})).await,
        2
    );
    for client in [&mut a, &mut b] {
        client.expect(r#"42["x"]"#).await;
        client.expect_quiet().await;
    }
    let except =
        json!({"event": "x", "args": [], "to": {"all": true}, "except": {"rooms": [a_id]}});
    assert_eq!(gateway.api_post("/v1/emit", &except).await.status, 202);
    b.expect(r#"42["x"]"#).await;
    a.expect_quiet().await;
}

fn volatile(n: u64, to: &Value) -> Value {
    json!({"type": "emit", "event": "v", "args": [n], "to": to, "volatile": true})
}

fn firm(n: u64, to: &Value) -> Value {
    json!({"type": "emit", "event": "f", "args": [n], "to": to})
}

#[tokio::test]
async fn what_a_list_has_queued_itself_does_not_make_its_volatile_emits_wait() {
    let gateway = Gateway::start(ECHO).await;
    for kind in EVERY_KIND {
        let mut client = Client::open(kind, &gateway).await;
        let id = client.connect("/", "").await;
        let to = json!({"sockets": [id]});
        let list = json!([
            firm(1, &to),
            volatile(2, &to),
            firm(3, &to),
            volatile(4, &to)
        ]);
        let expected = [
            r#"42["f",1]"#,
            r#"42["v",2]"#,
            r#"42["f",3]"#,
            r#"42["v",4]"#,
        ];
        let Client::Polling(polling) = &client else {
            gateway.actions(&list).await;
            for text in expected {
                client.expect(text).await;
            }
            continue;
        };
        let mut poll = polling.begin_poll().await;
        // The gateway holds it: it has taken it for the reason of a volatile emit that came through.
        let mut got = Vec::new();
        crate::support::wait::eventually("an open poll", async || {
            gateway.actions(&json!([volatile(0, &to)])).await;
            let answer = tokio::time::timeout(std::time::Duration::from_millis(50), poll.answer());
            let answer = answer.await.map_err(|_| "no answer yet".to_owned())?;
            got.extend(packets(answer.text()));
            Ok(())
        })
        .await;
        assert!(got.iter().all(|p| *p == Packet::text(r#"42["v",0]"#)));
        // Without an open poll the volatile ones are left out, wherever they stand in the list.
        gateway.actions(&list).await;
        for text in [r#"42["f",1]"#, r#"42["f",3]"#] {
            client.expect(text).await;
        }
        client.expect_quiet().await;
    }
}

#[tokio::test]
async fn a_volatile_emit_is_lost_where_the_client_does_not_poll_and_harms_nobody() {
    let gateway = Gateway::start(ECHO).await;
    let mut polling = Client::open(Kind::Polling, &gateway).await;
    let id = polling.connect("/", "").await;
    let to = json!({"sockets": [id]});
    for n in 0..2000 {
        gateway.actions(&json!([volatile(n, &to)])).await;
        if n == 1000 {
            gateway.actions(&json!([firm(1, &to)])).await;
        }
    }
    let read = gateway
        .api_get(&format!("/v1/sockets?namespace=/&id={id}"))
        .await;
    assert_eq!(read.json()["items"][0]["queue"]["messages"], 1, "{read:?}");
    polling.expect(r#"42["f",1]"#).await;
    polling.expect_quiet().await;
}
