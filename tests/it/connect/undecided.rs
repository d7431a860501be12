//! What is no decision about a CONNECT (contract 3): it is held and asked again, within limits.

use serde_json::{Value, json};

use super::{open, plain, with};
use crate::support::backend::{Backend, Keys, Reply};
use crate::support::client::{Client, EVERY_KIND};
use crate::support::gateway::Gateway;
use crate::support::wait::eventually;

#[tokio::test]
async fn what_is_no_decision_is_asked_again_until_there_is_one() {
    let backend = Backend::start().await;
    let config = backend.everything_with(&Keys {
        upstream: "timeout = \"300ms\"\n",
        ..Keys::default()
    });
    let gateway = Gateway::start(&config).await;
    let mut backend = backend;
    for bad in [
        Reply::status(404),
        Reply::status(400),
        Reply::status(408),
        Reply::status(425),
        Reply::status(429),
        Reply::status(500),
        Reply::status(503),
        Reply::Raw(302, vec![("location", "/elsewhere".to_owned())], Vec::new()),
        Reply::html(),
        Reply::Raw(200, Vec::new(), b"{\"user\":".to_vec()),
        Reply::Raw(404, Vec::new(), b"<html>no such page</html>".to_vec()),
        Reply::Hang,
        Reply::Drip,
        Reply::HalfBody,
        Reply::Reset,
        Reply::Close,
        json!({"user": []}).into(),
        json!({"expires_at": "2001-01-01T00:00:00Z"}).into(),
        json!({"rooms": (0..513).map(|n| n.to_string()).collect::<Vec<_>>()}).into(),
        json!({"reject": {"text": "no message"}}).into(),
        json!({"cache_ttl": 30}).into(),
        json!({"actions": [{"type": "unknown"}]}).into(),
    ] {
        backend.push(bad);
        let mut client = open(&gateway).await;
        client.connect("/", "").await;
        let (first, second) = (
            backend.next_of("connect").await,
            backend.next_of("connect").await,
        );
        assert_eq!(first.must("webhook-id"), second.must("webhook-id"));
        assert_eq!(first.raw, second.raw);
        drop(client);
        backend.next_of("disconnect").await;
    }
}

#[tokio::test]
async fn a_backend_that_is_away_holds_the_connect_and_nobody_is_lost() {
    let (gateway, mut backend) = plain().await;
    backend.stop().await;
    let mut clients = Vec::new();
    for kind in EVERY_KIND {
        let mut client = Client::open(kind, &gateway).await;
        client.send("40").await;
        clients.push(client);
    }
    backend.start_again();
    for client in &mut clients {
        client.expect_connected("/").await;
    }
}

#[tokio::test]
async fn after_hold_the_transport_is_closed_so_that_the_client_comes_back() {
    let (gateway, backend) = with("hold = \"400ms\"\n").await;
    backend.answer(|_| Reply::status(503));
    for kind in EVERY_KIND {
        let mut client = Client::open(kind, &gateway).await;
        client.send("40").await;
        client.expect_end().await;
    }
}

#[tokio::test]
async fn after_hold_the_client_is_told_unavailable_where_the_operator_says_so() {
    let (gateway, backend) = with("hold = \"400ms\"\non_unavailable = \"reject\"\n").await;
    backend.answer(|_| Reply::status(503));
    let mut client = open(&gateway).await;
    client.send("40").await;
    let text = client.text().await;
    let error: Value =
        serde_json::from_str(text.strip_prefix("44").expect("a CONNECT_ERROR")).unwrap();
    assert_eq!(error["message"], "unavailable");
    assert_eq!(error["data"]["code"], "unavailable");
    assert!(error["data"]["retry_after_ms"].is_u64(), "{error}");
    backend.answer(|_| json!({}));
    client.connect("/", "").await;
}

#[tokio::test]
async fn a_connection_with_another_live_namespace_is_not_closed_for_an_undecided_one() {
    let backend = Backend::start().await;
    let config = format!(
        "{}[[namespace]]\nmatch = \"/\"\nauth = \"none\"\n[[namespace.route]]\nevent = \"echo\"\nreply = \"echo\"\n\
         [[namespace]]\nmatch = \"/asked\"\nhold = \"300ms\"\n[[namespace.route]]\non = \"connect\"\nupstream = \"app\"\n",
        backend.upstream()
    );
    let gateway = Gateway::start(&config).await;
    backend.answer(|_| Reply::status(503));
    let (mut client, _) = Client::joined(&gateway).await;
    let mut alone = open(&gateway).await;
    client.send("40/asked,").await;
    alone.send("40/asked,").await;
    // The hold is over where the other connection is closed.
    alone.expect_end().await;
    client.expect_quiet().await;
    backend.answer(|_| json!({}));
    client.expect_connected("/asked").await;
}

#[tokio::test]
async fn a_waiting_connect_does_not_run_into_the_connect_timeout() {
    let backend = Backend::start().await;
    let config = format!(
        "socket.connect_timeout = \"200ms\"\n{}",
        backend.everything()
    );
    let gateway = Gateway::start(&config).await;
    let (release, reply) = Reply::held(json!({}));
    backend.push(reply);
    let mut slow = open(&gateway).await;
    slow.send("40").await;
    // A connection without CONNECT, opened later, is closed meanwhile.
    let mut silent = open(&gateway).await;
    silent.expect_end().await;
    release.go();
    slow.expect_connected("/").await;
}

#[tokio::test]
async fn no_more_connects_are_held_than_the_limit() {
    let backend = Backend::start().await;
    let config = format!("limits.held = 2\n{}", backend.everything());
    let gateway = Gateway::start(&config).await;
    let mut backend = backend;
    backend.answer(|_| Reply::Hang);
    let mut waiting = Vec::new();
    let mut late = open(&gateway).await;
    for _ in 0..2 {
        let mut client = open(&gateway).await;
        client.send("40").await;
        backend.next_of("connect").await;
        waiting.push(client);
    }
    late.send("40").await;
    late.expect_end().await;
    // And new handshakes are told to come later.
    let answer = gateway.get("EIO=4&transport=polling").await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
}

#[tokio::test]
async fn handshakes_are_refused_while_no_namespace_could_be_decided() {
    let backend = Backend::start().await;
    let breaker =
        "breaker = { window = \"10s\", min_requests = 4, failure_ratio = 0.5, open = \"60s\" }";
    let config = backend.everything_with(&Keys {
        upstream: breaker,
        ..Keys::default()
    });
    let gateway = Gateway::start(&config).await;
    backend.answer(|_| Reply::status(500));
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(open(&gateway).await);
    }
    for client in &mut clients {
        client.send("40").await;
    }
    eventually("handshakes to be refused", async || {
        let answer = gateway.get("EIO=4&transport=polling").await;
        (answer.status == 503)
            .then_some(())
            .ok_or_else(|| format!("{answer:?}"))
    })
    .await;
}
