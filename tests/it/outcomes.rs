//! Outcomes of webhooks (contract 8): what counts against a backend, who waits for whom, when it is asked again, and what is told.

use serde_json::json;

use crate::support::backend::{Backend, Keys, Reply, Request};
use crate::support::client::{Client, Kind};
use crate::support::gateway::{Gateway, Setup};
use crate::support::wait::{eventually, within};

async fn with(keys: &Keys<'_>) -> (Gateway, Backend) {
    let backend = Backend::start().await;
    (
        Gateway::start(&backend.everything_with(keys)).await,
        backend,
    )
}

async fn joined(gateway: &Gateway, backend: &mut Backend) -> Client {
    let (client, _) = Client::joined(gateway).await;
    backend.next_of("connect").await;
    client
}

/// Opens after four failures, and stays open long.
const TOUCHY: &str =
    "breaker = { window = \"10s\", min_requests = 4, failure_ratio = 0.5, open = \"60s\" }\n";

#[tokio::test]
async fn a_backend_that_refuses_events_is_not_left_alone() {
    let (gateway, mut backend) = with(&Keys {
        upstream: TOUCHY,
        ..Keys::default()
    })
    .await;
    let mut client = joined(&gateway, &mut backend).await;
    for status in [400, 401, 403, 404, 409, 422, 429] {
        backend.answer_events(move |_| Reply::status(status));
        for _ in 0..5 {
            client.send(r#"421["x"]"#).await;
            backend.next_of("event").await;
        }
    }
    backend.answer_events(|_| json!({"ack": ["well"]}));
    client.send(r#"422["x"]"#).await;
    client.expect(r#"432["well"]"#).await;
    let refused = r#"sockgate_webhook_requests_total{route="/:*",code="4xx"}"#;
    gateway.metric_is(refused, 35.0).await;
    // All but the 429, which ask for patience.
    let dropped = r#"sockgate_dropped_packets_total{reason="refused"}"#;
    gateway.metric_is(dropped, 30.0).await;
}

#[tokio::test]
async fn an_open_breaker_fails_events_at_once_and_lets_notices_and_connects_wait() {
    let mut backend = Backend::start().await;
    let breaker =
        "breaker = { window = \"10s\", min_requests = 4, failure_ratio = 0.5, open = \"3s\" }";
    let config = backend.everything_with(&Keys {
        upstream: breaker,
        ..Keys::default()
    });
    let gateway = Gateway::start(&config).await;
    let mut stays = joined(&gateway, &mut backend).await;
    let mut leaves = joined(&gateway, &mut backend).await;
    let mut comes = Client::open(Kind::WebSocket, &gateway).await;
    backend.answer_events(|_| Reply::status(500));
    let open = r#"sockgate_webhook_circuit_open{upstream="app"}"#;
    eventually("an open breaker", async || {
        stays.send(r#"42["x"]"#).await;
        stays.expect_quiet().await;
        let value = gateway.metric(open).await;
        (value > 0.5).then_some(()).ok_or_else(|| value.to_string())
    })
    .await;
    backend.forget();
    leaves.send("41").await;
    comes.send("40").await;
    // All of these are over before the breaker lets anything through.
    for n in 0..10 {
        stays.send(&format!(r#"42{n}["lost"]"#)).await;
    }
    stays.expect_quiet().await;
    let mut kinds = [backend.next().await, backend.next().await];
    kinds.sort_by_key(|request| request.kind().to_owned());
    let kinds = kinds.each_ref().map(Request::kind);
    assert_eq!(kinds, ["connect", "disconnect"]);
    comes.expect_connected("/").await;
    backend.has_no_request();
    let failed = r#"sockgate_webhook_requests_total{route="/:*",code="breaker"}"#;
    assert!(gateway.metric(failed).await > 9.5, "ten events at least");
}

#[tokio::test]
async fn a_full_waiting_room_lets_events_wait_in_their_lanes() {
    let (gateway, mut backend) = with(&Keys {
        upstream: "concurrency = { max = 1, queue = 1 }\n",
        ..Keys::default()
    })
    .await;
    let mut clients = Vec::new();
    for _ in 0..6 {
        clients.push(joined(&gateway, &mut backend).await);
    }
    let (release, reply) = Reply::held(json!({}));
    backend.push(reply);
    for client in &mut clients {
        client.send(r#"421["x"]"#).await;
    }
    backend.next_of("event").await;
    backend.has_no_request();
    release.go();
    for client in &mut clients {
        client.expect("431[]").await;
    }
    assert_eq!(backend.most_in_flight(), 1);
}

#[tokio::test]
async fn the_deadline_includes_the_wait_for_the_upstream() {
    // The first route that matches counts: a patient one stands before the one for everything.
    let (gateway, mut backend) = with(&Keys {
        upstream: "concurrency = { max = 1, queue = 1000 }\ntimeout = \"30s\"\n",
        namespace: "[[namespace.route]]\nevent = \"patient\"\nupstream = \"app\"\ndeadline = \"30s\"\n",
        route: "deadline = \"300ms\"\n",
    })
    .await;
    let mut patient = joined(&gateway, &mut backend).await;
    let mut hasty = joined(&gateway, &mut backend).await;
    let (release, reply) = Reply::held(json!({"ack": ["at last"]}));
    backend.push(reply);
    patient.send(r#"421["patient"]"#).await;
    backend.next_of("event").await;
    hasty.send(r#"422["x"]"#).await;
    // Behind it in the lane: it has failed without having been asked, and its socket is there.
    hasty.expect_quiet().await;
    backend.has_no_request();
    release.go();
    patient.expect(r#"431["at last"]"#).await;
    backend.has_no_request();
    let shed = r#"sockgate_webhook_requests_total{route="/:*",code="shed"}"#;
    gateway.metric_is(shed, 1.0).await;
}

#[tokio::test]
async fn a_status_that_lets_nobody_in_and_refuses_nobody_is_logged_once() {
    let (gateway, mut backend) = with(&Keys::default()).await;
    for status in [404, 404, 429] {
        backend.push(Reply::status(status));
    }
    let mut client = Client::open(Kind::WebSocket, &gateway).await;
    client.send("40").await;
    client.expect_connected("/").await;
    for attempt in ["1", "2", "3", "4"] {
        let request = backend.next_of("connect").await;
        assert_eq!(request.must("sockgate-attempt"), attempt);
    }
    let line = gateway
        .log_line(&["WARN", "CONNECT undecided", "status=404"])
        .await;
    assert!(
        line.contains("/:connect") && line.contains("`url`"),
        "{line}"
    );
    // This one asks for patience: nothing is wrong with the address.
    let line = gateway
        .log_line(&["WARN", "CONNECT undecided", "status=429"])
        .await;
    assert!(!line.contains("hint"), "{line}");
    let logs = gateway.logs();
    let told = logs.iter().filter(|l| l.contains("CONNECT undecided"));
    assert_eq!(told.count(), 2, "{logs:#?}");
    // It is the backend's word: the upstream is not failing.
    let failing = logs.iter().filter(|l| l.contains("is failing"));
    assert_eq!(failing.count(), 0, "{logs:#?}");
}

/// Seconds between two attempts, as the backend is told.
fn apart(first: &Request, second: &Request) -> u64 {
    let second_at: u64 = second.must("webhook-timestamp").parse().unwrap();
    let first_at: u64 = first.must("webhook-timestamp").parse().unwrap();
    second_at - first_at
}

#[tokio::test]
async fn nobody_is_asked_again_before_the_time_that_the_backend_names() {
    let (gateway, mut backend) = with(&Keys::default()).await;
    let later = |status| {
        let headers = vec![("retry-after", "2".to_owned())];
        Reply::Raw(status, headers, Vec::new())
    };
    backend.push(later(503));
    let mut client = Client::open(Kind::WebSocket, &gateway).await;
    client.send("40").await;
    client.expect_connected("/").await;
    let attempts = [backend.next().await, backend.next().await];
    assert!(apart(&attempts[0], &attempts[1]) >= 2, "connect");
    backend.push(later(429));
    client.send(r#"421["x"]"#).await;
    client.expect("431[]").await;
    let attempts = [backend.next().await, backend.next().await];
    assert!(apart(&attempts[0], &attempts[1]) >= 2, "event");
    backend.push_for_notice(later(425));
    client.send("41").await;
    let attempts = [backend.next().await, backend.next().await];
    assert_eq!(attempts[1].kind(), "disconnect");
    assert!(apart(&attempts[0], &attempts[1]) >= 2, "notice");
}

#[tokio::test]
async fn a_notice_that_the_backend_refuses_is_dropped_counted_and_logged() {
    let (gateway, mut backend) = with(&Keys::default()).await;
    for _ in 0..3 {
        backend.push_for_notice(Reply::status(410));
        drop(joined(&gateway, &mut backend).await);
        backend.next_of("disconnect").await;
    }
    let dropped = r#"sockgate_webhook_notices_dropped_total{upstream="app",reason="refused"}"#;
    gateway.metric_is(dropped, 3.0).await;
    gateway
        .log_line(&["WARN", "notice refused", "status=410"])
        .await;
    let logs = gateway.logs();
    let told = logs.iter().filter(|l| l.contains("notice refused"));
    assert_eq!(told.count(), 1, "{logs:#?}");
}

#[tokio::test]
async fn proxies_of_the_environment_are_not_used() {
    let mut backend = Backend::start().await;
    let mut proxy = Backend::start().await;
    let address = format!("http://{}", proxy.address);
    let mut setup = Setup::new(&backend.everything());
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        setup = setup.env(name, &address);
    }
    let gateway = setup.env("NO_PROXY", "").start().await;
    joined(&gateway, &mut backend).await;
    proxy.has_no_request();
    assert_eq!(proxy.connections(), 0);
}

#[tokio::test]
async fn held_connects_never_ask_more_at_once_than_the_limit() {
    let (gateway, mut backend) = with(&Keys {
        upstream: "concurrency = { max = 2, queue = 1000 }\n",
        ..Keys::default()
    })
    .await;
    let late = |reply: Reply| Reply::Late(std::time::Duration::from_millis(20), Box::new(reply));
    backend.answer(move |_| late(Reply::status(503)));
    let mut clients = Vec::new();
    for _ in 0..12 {
        let mut client = Client::open(Kind::WebSocket, &gateway).await;
        client.send("40").await;
        clients.push(client);
    }
    // Each has been asked about at least twice on average.
    for _ in 0..24 {
        backend.next_of("connect").await;
    }
    backend.answer(move |_| late(json!({}).into()));
    for client in &mut clients {
        client.expect_connected("/").await;
    }
    assert_eq!(backend.most_in_flight(), 2);
}

#[tokio::test]
async fn a_notice_that_is_too_old_or_one_too_many_bytes_is_dropped_and_counted() {
    for (retention, reason) in [
        ("age = \"300ms\", items = 10, bytes = \"1MB\"", "expired"),
        // Not even one fits.
        ("age = \"5m\", items = 10, bytes = \"100\"", "full"),
    ] {
        let (gateway, mut backend) = with(&Keys {
            upstream: &format!("retention = {{ {retention} }}\n"),
            ..Keys::default()
        })
        .await;
        let client = joined(&gateway, &mut backend).await;
        backend.stop().await;
        drop(client);
        let labels = format!(r#"{{upstream="app",reason="{reason}"}}"#);
        let dropped = format!("sockgate_webhook_notices_dropped_total{labels}");
        gateway.metric_is(&dropped, 1.0).await;
        let pending = r#"sockgate_webhook_notices_pending{upstream="app"}"#;
        gateway.metric_is(pending, 0.0).await;
        backend.start_again();
        joined(&gateway, &mut backend).await;
    }
}

#[tokio::test]
async fn attempts_of_one_call_are_spans_of_one_trace() {
    let (gateway, mut backend) = with(&Keys {
        route: "idempotent = true\n",
        ..Keys::default()
    })
    .await;
    let mut client = joined(&gateway, &mut backend).await;
    let mut traces = Vec::new();
    for _ in 0..2 {
        backend.push(Reply::status(500));
        client.send(r#"421["x"]"#).await;
        client.expect("431[]").await;
        let attempts = [backend.next().await, backend.next().await];
        let parents = attempts
            .each_ref()
            .map(|r| r.must("traceparent").to_owned());
        let [first, second] = parents.each_ref().map(|p| p.split('-').collect::<Vec<_>>());
        assert_eq!(first[1], second[1], "the trace");
        assert_ne!(first[2], second[2], "the span");
        traces.push(first[1].to_owned());
    }
    assert_ne!(traces[0], traces[1], "each call has a trace of its own");
}

#[tokio::test]
async fn an_idle_connection_is_given_up_before_the_backend_does() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = format!(
        "[[upstream]]\nname = \"app\"\nurl = \"http://{address}/\"\nkeep_alive = \"200ms\"\n\
         [[namespace]]\nmatch = \"/\"\n[[namespace.route]]\non = \"connect\"\nupstream = \"app\"\n"
    );
    let gateway = Gateway::start(&config).await;
    let mut client = Client::open(Kind::WebSocket, &gateway).await;
    client.send("40").await;
    let (mut stream, _) = within("a connection", listener.accept()).await.unwrap();
    let mut head = Vec::new();
    within("a request", stream.read_buf(&mut head))
        .await
        .unwrap();
    stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        .await
        .unwrap();
    client.expect_connected("/").await;
    // Nothing but the gateway ends this connection.
    let mut rest = Vec::new();
    within("the end of it", stream.read_to_end(&mut rest))
        .await
        .ok();
}

#[tokio::test]
async fn at_debug_each_webhook_is_one_line_with_type_event_status_and_time() {
    let (gateway, mut backend) = with(&Keys::default()).await;
    let mut client = joined(&gateway, &mut backend).await;
    backend.push(Reply::status(418));
    client.send(r#"42["brew"]"#).await;
    client.expect_quiet().await;
    gateway
        .log_line(&["webhook", "type=\"connect\"", "status=200", "ms="])
        .await;
    let line = [
        "webhook",
        "type=\"event\"",
        "event=\"brew\"",
        "status=418",
        "ms=",
    ];
    gateway.log_line(&line).await;
}

#[tokio::test]
async fn a_connect_that_is_held_on_and_on_stays_one_call() {
    let mut backend = Backend::start().await;
    let config = format!(
        "{}[[namespace]]\nmatch = \"/\"\nauth = \"none\"\n\
         [[namespace]]\nmatch = \"/asked\"\nhold = \"300ms\"\n[[namespace.route]]\non = \"connect\"\nupstream = \"app\"\n",
        backend.upstream()
    );
    let gateway = Gateway::start(&config).await;
    backend.answer(|_| Reply::status(503));
    // Not closed for the undecided one, since it has another namespace.
    let (mut client, _) = Client::joined(&gateway).await;
    client.send("40/asked,").await;
    let first = backend.next_of("connect").await;
    let mut last = 1;
    let mut holds_over = 0;
    while holds_over < 2 {
        // The first attempt of a connection without another namespace; that one ends when its hold is over.
        let mut alone = Client::open(Kind::WebSocket, &gateway).await;
        alone.send("40/asked,").await;
        alone.expect_end().await;
        holds_over += 1;
        let again = loop {
            let request = backend.next_of("connect").await;
            if request.socket() == first.socket() {
                break request;
            }
        };
        assert_eq!(again.must("webhook-id"), first.must("webhook-id"));
        assert_eq!(again.raw, first.raw);
        let trace = |r: &Request| r.must("traceparent").split('-').nth(1).unwrap().to_owned();
        assert_eq!(trace(&again), trace(&first));
        let attempt: u32 = again.must("sockgate-attempt").parse().unwrap();
        assert!(attempt > last, "{attempt} after {last}");
        last = attempt;
    }
    backend.answer(|_| json!({}));
    client.expect_connected("/asked").await;
}
