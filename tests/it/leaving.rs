//! A client that leaves a namespace while calls of it are under way, and comes back (contract 6, protocol 3.3).

use serde_json::json;

use crate::support::backend::{Backend, Reply};
use crate::support::client::{Client, EVERY_KIND};
use crate::support::gateway::Gateway;

async fn with_backend() -> (Gateway, Backend) {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.everything()).await;
    (gateway, backend)
}

#[tokio::test]
async fn who_comes_back_while_a_call_is_under_way_hears_everything_once() {
    for kind in EVERY_KIND {
        let (gateway, mut backend) = with_backend().await;
        let mut client = Client::open(kind, &gateway).await;
        let old = client.connect("/", "").await;
        backend.next_of("connect").await;
        let (release, reply) = Reply::held(json!({}));
        backend.push(reply);
        client.send(r#"42["x"]"#).await;
        backend.next_of("event").await;
        client.send("41").await;
        let new = client.connect("/", "").await;
        assert_ne!(old, new);
        backend.next_of("connect").await;
        gateway.emit(&json!({"all": true}), "n", &json!([1])).await;
        gateway.emit(&json!({"all": true}), "n", &json!([2])).await;
        client.expect(r#"42["n",1]"#).await;
        client.expect(r#"42["n",2]"#).await;
        // Its end is told once, after its last call.
        backend.has_no_request();
        release.go();
        let notice = backend.next_of("disconnect").await;
        assert_eq!(notice.socket(), old);
        assert_eq!(notice.body["reason"], "client namespace disconnect");
        gateway
            .emit(&json!({"sockets": [new]}), "n", &json!([3]))
            .await;
        client.expect(r#"42["n",3]"#).await;
    }
}

#[tokio::test]
async fn the_notice_of_who_left_before_it_was_let_in_has_its_user_and_state() {
    let (gateway, mut backend) = with_backend().await;
    let (release, reply) = Reply::held(json!({"user": "42", "state": {"role": "editor"}}));
    backend.push(reply);
    let mut client = Client::open(EVERY_KIND[1], &gateway).await;
    client.send("40").await;
    backend.next_of("connect").await;
    client.send("41").await;
    // Once this is answered the DISCONNECT has been read.
    client.send("40/nowhere,").await;
    client
        .expect(r#"44/nowhere,{"message":"Invalid namespace"}"#)
        .await;
    release.go();
    let notice = backend.next_of("disconnect").await.body;
    assert_eq!(notice["reason"], "client namespace disconnect", "{notice}");
    assert_eq!(notice["socket"]["user"], "42", "{notice}");
    assert_eq!(
        notice["socket"]["state"],
        json!({"role": "editor"}),
        "{notice}"
    );
}
