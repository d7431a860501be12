//! Protection of the backend, and the way to it (contract 8, 10): concurrency, breaker, connections, headers, routes.

use serde_json::json;

use super::{joined, plain};
use crate::support::backend::{Backend, Keys, Reply};
use crate::support::client::{Client, Kind};
use crate::support::gateway::{Gateway, Setup};

#[tokio::test]
async fn an_upstream_is_never_asked_more_at_once_than_its_limit() {
    let mut backend = Backend::start().await;
    let config = backend.everything_with(&Keys {
        upstream: "concurrency = { max = 2, queue = 1000 }\n",
        ..Keys::default()
    });
    let gateway = Gateway::start(&config).await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(joined(&gateway, &mut backend).await);
    }
    backend.answer_events(|_| {
        Reply::Late(
            std::time::Duration::from_millis(20),
            Box::new(json!({}).into()),
        )
    });
    for client in &mut clients {
        client.send(r#"421["x"]"#).await;
    }
    for client in &mut clients {
        client.expect("431[]").await;
    }
    assert_eq!(backend.most_in_flight(), 2);
}

#[tokio::test]
async fn a_failing_upstream_is_left_alone_for_a_while_and_then_tried() {
    let mut backend = Backend::start().await;
    let breaker =
        "breaker = { window = \"10s\", min_requests = 4, failure_ratio = 0.5, open = \"2s\" }";
    let config = backend.everything_with(&Keys {
        upstream: breaker,
        ..Keys::default()
    });
    let gateway = Gateway::start(&config).await;
    let mut client = joined(&gateway, &mut backend).await;
    backend.answer_events(|_| Reply::status(500));
    let mut seen = 0;
    // Far more events than the breaker lets through: it must have opened by then.
    for _ in 0..40 {
        client.send(r#"42["x"]"#).await;
    }
    client.expect_quiet().await;
    while let Ok(request) =
        tokio::time::timeout(std::time::Duration::from_millis(200), backend.next()).await
    {
        assert_eq!(request.event(), "x");
        seen += 1;
    }
    assert!((3..40).contains(&seen), "{seen} requests came through");
    // It closes again by itself once the backend is well.
    backend.answer_events(|_| json!({"ack": ["well"]}));
    crate::support::wait::eventually("the breaker to close", async || {
        client.send(r#"421["x"]"#).await;
        client.send(r#"42["echo","no ack before this"]"#).await;
        match client.text().await.as_str() {
            r#"431["well"]"# => Ok(()),
            other => Err(other.to_owned()),
        }
    })
    .await;
}

#[tokio::test]
async fn connections_to_the_backend_are_reused() {
    let (gateway, mut backend) = plain().await;
    let mut client = joined(&gateway, &mut backend).await;
    let before = backend.connections();
    for _ in 0..20 {
        client.send(r#"421["x"]"#).await;
        client.expect("431[]").await;
    }
    assert!(
        backend.connections() <= before + 1,
        "{} then {}",
        before,
        backend.connections()
    );
}

#[tokio::test]
async fn the_headers_of_an_upstream_go_with_every_webhook() {
    let mut backend = Backend::start().await;
    let config = backend.everything_with(&Keys {
        upstream: "headers = { authorization = \"env:APP_BASIC\", x-team = \"chat\" }\n",
        ..Keys::default()
    });
    let gateway = Setup::new(&config)
        .env("APP_BASIC", "Basic YTpi")
        .start()
        .await;
    let (_client, _) = Client::joined(&gateway).await;
    let request = backend.next_of("connect").await;
    assert_eq!(request.must("authorization"), "Basic YTpi");
    assert_eq!(request.must("x-team"), "chat");
}

#[tokio::test]
async fn the_first_matching_route_decides() {
    let (mut a, mut b) = (Backend::start().await, Backend::start().await);
    let config = format!(
        "{}[[upstream]]\nname = \"other\"\nurl = \"{}\"\n[[namespace]]\nmatch = \"/\"\nauth = \"none\"\n\
         [[namespace.route]]\nevent = [\"msg:*\", \"exact\"]\nupstream = \"app\"\n\
         [[namespace.route]]\nevent = \"*\"\nupstream = \"other\"\n",
        a.upstream(),
        b.url()
    );
    let gateway = Gateway::start(&config).await;
    let mut client = Client::open(Kind::WebSocket, &gateway).await;
    client.connect("/", "").await;
    for (event, first) in [
        ("msg:1", true),
        ("exact", true),
        ("msg:", false),
        ("exactly", false),
        ("", false),
        ("xmsg:1", false),
    ] {
        client.send(&format!(r#"42["{event}"]"#)).await;
        let backend = if first { &mut a } else { &mut b };
        assert_eq!(backend.next_of("event").await.event(), event);
    }
}
