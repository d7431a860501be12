#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::HashSet;

use futures_util::future::join_all;

use super::super::breaker::Phase;
use super::super::scripted::{
    Act, Bench, Lines, Scripted, Seen, closed_port, connect, disconnect, event, impatient, settings,
};
use super::super::settings::Settings;
use super::*;
use crate::session::backend::Step;

const HOLD: Duration = Duration::from_secs(10);

fn unavailable() -> BackendError {
    BackendError::Unavailable { retry_after: None }
}

/// A backend that follows the script, and the way to it.
async fn scripted(
    script: impl IntoIterator<Item = Act>,
    idempotent: bool,
) -> (Scripted, Bench, Webhook) {
    scripted_with(script, idempotent, |_| {}).await
}

async fn scripted_with(
    script: impl IntoIterator<Item = Act>,
    idempotent: bool,
    change: impl FnOnce(&mut Settings),
) -> (Scripted, Bench, Webhook) {
    let backend = Scripted::start(script, Act::ok(r#"{"ack":["last"]}"#)).await;
    let mut settings = settings(&backend.url());
    change(&mut settings);
    let bench = Bench::new(settings);
    let webhook = bench.webhook(idempotent);
    (backend, bench, webhook)
}

fn ack(reply: &Reply) -> &str {
    match &reply.steps[..] {
        [Step::Ack(payload)] => &payload.args,
        other => panic!("no ack: {other:?}"),
    }
}

/// All attempts of one call: the same id, bytes and trace; rising numbers.
fn assert_one_call(seen: &[Seen]) {
    let distinct = |name: &str| {
        let values: HashSet<_> = seen.iter().map(|seen| seen.header(name)).collect();
        values.len()
    };
    assert_eq!(distinct("webhook-id"), 1);
    assert_eq!(distinct("traceparent"), seen.len(), "a span each");
    let bodies: HashSet<_> = seen.iter().map(|seen| &seen.body).collect();
    assert_eq!(bodies.len(), 1);
    for (n, seen) in (1..).zip(seen) {
        assert_eq!(seen.header("sockgate-attempt"), n.to_string());
    }
}

#[tokio::test]
async fn an_event_is_asked_and_answered() {
    let (backend, bench, webhook) = scripted([Act::ok(r#"{"ack":["yes",1]}"#)], false).await;
    let reply = webhook.call(event()).await.unwrap();
    assert_eq!(ack(&reply), r#""yes",1"#);
    let seen = backend.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].line, "POST /hook HTTP/1.1");
    let body: serde_json::Value = serde_json::from_slice(&seen[0].body).unwrap();
    assert_eq!(body["type"], "event");
    assert_eq!(body["args"], serde_json::json!(["hi"]));
    assert_eq!(seen[0].header("sockgate-type"), "event");
    assert_eq!(seen[0].header("sockgate-attempt"), "1");
    let left: u64 = seen[0].header("sockgate-timeout-ms").parse().unwrap();
    assert!(
        (1..=5000).contains(&left),
        "the upstream's time, not the route's"
    );
    assert!(!seen[0].headers.iter().any(|(name, _)| name == "cookie"));
    assert_eq!(bench.requests("2xx"), 1);
    assert_eq!(
        bench.scrape(r#"sockgate_webhook_duration_seconds_count{route="messages"}"#),
        Some(1)
    );
}

#[tokio::test]
async fn connections_are_kept() {
    let (backend, _bench, webhook) = scripted([], false).await;
    for _ in 0..3 {
        webhook.call(event()).await.unwrap();
    }
    let connections: Vec<_> = backend.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [0, 0, 0]);
}

#[tokio::test]
async fn an_empty_reply_is_a_success() {
    for act in [Act::status(200), Act::status(204)] {
        let (_backend, _bench, webhook) = scripted([act], false).await;
        assert!(webhook.call(event()).await.unwrap().steps.is_empty());
    }
}

/// One act fails one event, which is asked once, with this error and this code; the next event is served.
async fn fails(act: Act, error: BackendError, code: &str) {
    let name = format!("{act:.100?}");
    let patience = |settings: &mut Settings| {
        if code == "timeout" {
            impatient(settings);
        }
    };
    let (backend, bench, webhook) = scripted_with([act], false, patience).await;
    let result = webhook.call(event()).await;
    assert_eq!(result.unwrap_err(), error, "{name}");
    assert_eq!(backend.seen().len(), 1, "{name}: asked once");
    assert_eq!(bench.requests(code), 1, "{name}");
    let faulty = bench.upstream.status().last_error.is_some();
    assert_eq!(faulty, code != "4xx", "{name}");
    let reply = webhook.call(event()).await.unwrap();
    assert_eq!(ack(&reply), r#""last""#, "{name}: the next event is served");
    assert_eq!(bench.upstream.status().in_flight, 0);
}

fn half_an_answer() -> Vec<u8> {
    b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"ack\":".to_vec()
}

#[tokio::test]
async fn a_backend_that_stops_answering_fails_the_event_and_nothing_else() {
    fails(Act::hang(), unavailable(), "timeout").await;
    fails(
        Act::BytesThenHang(half_an_answer()),
        unavailable(),
        "timeout",
    )
    .await;
    let drops = b"HTTP/1.1 200 OK\r\nx: ".to_vec();
    fails(Act::Drip(drops), unavailable(), "timeout").await;
}

#[tokio::test]
async fn a_connection_that_breaks_fails_the_event_and_nothing_else() {
    for act in [
        Act::close(),
        Act::Reset,
        Act::BytesThenClose(b"HTTP/1.1 20".to_vec()),
        Act::BytesThenClose(half_an_answer()),
        Act::BytesThenClose(b"SSH-2.0-x\r\n\r\n".to_vec()),
    ] {
        fails(act, unavailable(), "network").await;
    }
}

#[tokio::test]
async fn a_status_fails_the_event_and_nothing_else() {
    for (code, error, counted) in [
        (307, unavailable(), "3xx"),
        (400, BackendError::Refused, "4xx"),
        (401, BackendError::Refused, "4xx"),
        (404, BackendError::Refused, "4xx"),
        (429, unavailable(), "4xx"),
        (500, unavailable(), "5xx"),
        (503, unavailable(), "5xx"),
    ] {
        fails(Act::status(code), error, counted).await;
    }
    let rejects = Act::Answer(401, &[], r#"{"reject":{"message":"no"}}"#.into());
    fails(rejects, BackendError::Refused, "4xx").await;
    let redirects = Act::Answer(307, &[("location", "/other")], String::new());
    fails(redirects, unavailable(), "3xx").await;
}

#[tokio::test]
async fn a_backend_that_names_too_late_a_time_is_not_asked_again() {
    for (code, counted) in [(429, "4xx"), (503, "5xx")] {
        let retry_after = Some(Duration::from_secs(100));
        let error = BackendError::Unavailable { retry_after };
        let act = Act::Answer(code, &[("retry-after", "100")], String::new());
        fails(act, error, counted).await;
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_used_fails_the_event_and_nothing_else() {
    let huge = 10 << 20;
    let announced = format!("HTTP/1.1 200 OK\r\ncontent-length: {huge}\r\n\r\n{{");
    let chunked = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{huge:x}\r\n{}\r\n0\r\n\r\n",
        " ".repeat(huge)
    );
    for act in [
        Act::ok("<html>It works!</html>"),
        Act::ok("[1,2]"),
        Act::BytesThenHang(announced.into()),
        Act::BytesThenHang(chunked.into()),
    ] {
        fails(act, BackendError::BadReply, "bad_reply").await;
    }
}

#[tokio::test]
async fn a_content_length_that_lies_never_mixes_answers() {
    // Two answers on the wire where one was asked for: the second belongs to nobody.
    let twice = "HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n{\"ack\":[\"1\"]}HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n{\"ack\":[\"bad\"]}";
    let (_backend, _bench, webhook) = scripted([Act::BytesThenHang(twice.into())], false).await;
    assert_eq!(ack(&webhook.call(event()).await.unwrap()), r#""1""#);
    assert_eq!(ack(&webhook.call(event()).await.unwrap()), r#""last""#);
}

#[tokio::test]
async fn a_refused_connection_is_tried_again_within_the_deadline() {
    let port = closed_port().await;
    let bench = Bench::new(settings(&format!("http://127.0.0.1:{port}/")));
    let webhook = bench.webhook(false);
    assert_eq!(webhook.call(event()).await.unwrap_err(), unavailable());
    assert_eq!(bench.requests("connect"), 3);
    assert_eq!(
        bench.scrape(r#"sockgate_webhook_retries_total{route="messages"}"#),
        Some(2)
    );
    let (fault, _) = bench.upstream.status().last_error.unwrap();
    assert!(fault.to_string().contains("refused"), "{fault}");
}

#[tokio::test]
async fn a_backend_that_names_a_time_is_asked_again() {
    let busy = Act::Answer(503, &[("retry-after", "0")], String::new());
    let limit = Act::Answer(429, &[("retry-after", "0")], String::new());
    let (backend, bench, webhook) = scripted([busy, limit], false).await;
    webhook.call(event()).await.unwrap();
    let seen = backend.seen();
    assert_eq!(seen.len(), 3);
    assert_one_call(&seen);
    assert_eq!((bench.requests("5xx"), bench.requests("4xx")), (1, 1));
}

#[tokio::test]
async fn an_idempotent_event_is_asked_three_times_at_most() {
    let bad = [Act::status(500), Act::hang(), Act::status(502)];
    let (backend, _bench, webhook) = scripted_with(bad, true, impatient).await;
    assert_eq!(webhook.call(event()).await.unwrap_err(), unavailable());
    assert_eq!(backend.seen().len(), 3);
    assert_one_call(&backend.seen());
}

#[tokio::test]
async fn a_kept_connection_that_died_is_forgiven_once_on_a_fresh_one() {
    for death in [Act::close(), Act::Reset] {
        let (backend, bench, webhook) = scripted([Act::status(200), death], false).await;
        webhook.call(event()).await.unwrap();
        webhook.call(event()).await.unwrap();
        let seen = backend.seen();
        let connections: Vec<_> = seen.iter().map(|seen| seen.connection).collect();
        assert_eq!(connections, [0, 0, 1]);
        assert_one_call(&seen[1..]);
        assert_eq!(
            bench.upstream.status().last_error,
            None,
            "no fault of the backend"
        );
    }
}

#[tokio::test]
async fn a_fresh_connection_that_dies_too_is_a_failure() {
    let script = [Act::status(200), Act::close(), Act::close()];
    let (backend, bench, webhook) = scripted(script, false).await;
    webhook.call(event()).await.unwrap();
    assert_eq!(webhook.call(event()).await.unwrap_err(), unavailable());
    assert_eq!(backend.seen().len(), 3);
    assert!(bench.upstream.status().last_error.is_some());
}

#[tokio::test]
async fn a_second_dead_connection_of_the_same_call_is_not_forgiven() {
    let warm = Act::status(200);
    let busy = Act::Answer(503, &[("retry-after", "0")], String::new());
    let script = [warm.clone(), warm, Act::close(), busy, Act::close()];
    let (backend, _bench, webhook) = scripted(script, false).await;
    let (first, second) = tokio::join!(webhook.call(event()), webhook.call(event()));
    assert!(first.is_ok() && second.is_ok());
    assert_eq!(webhook.call(event()).await.unwrap_err(), unavailable());
    let connections: Vec<_> = backend.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections[3], 2, "the fresh one");
    assert_eq!(connections[2] + connections[4], 1, "both of the kept ones");
}

#[tokio::test]
async fn a_connection_closed_after_its_answer_is_not_missed() {
    let last = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let (backend, bench, webhook) = scripted([Act::BytesThenClose(last.into())], false).await;
    webhook.call(event()).await.unwrap();
    webhook.call(event()).await.unwrap();
    assert!(backend.seen().len() >= 2);
    assert_eq!(bench.upstream.status().last_error, None);
}

#[tokio::test]
async fn a_connect_is_accepted_with_the_headers_that_are_passed() {
    let (backend, _bench, webhook) = scripted([Act::ok("{}")], false).await;
    let reply = webhook.call(connect(HOLD)).await.unwrap();
    assert_eq!(reply.reject, None);
    let seen = &backend.seen()[0];
    assert_eq!(seen.header("sockgate-type"), "connect");
    assert_eq!(seen.header("cookie"), "sid=abc");
    assert!(!seen.headers.iter().any(|(name, _)| name == "origin"));
}

#[tokio::test]
async fn a_connect_is_rejected_by_body_or_by_401_and_403() {
    let body = r#"{"reject":{"message":"not today"}}"#;
    let reworded = r#"sockgate_webhook_rejects_reworded_total{reason="missing"}"#;
    for (act, message, bare) in [
        (Act::Answer(401, &[], body.into()), "not today", None),
        (Act::Answer(422, &[], body.into()), "not today", None),
        (Act::status(401), "unauthorized", Some(1)),
        (
            Act::Answer(403, &[], "<html>".into()),
            "unauthorized",
            Some(1),
        ),
    ] {
        let (backend, bench, webhook) = scripted([act], false).await;
        let reply = webhook.call(connect(HOLD)).await.unwrap();
        assert_eq!(&*reply.reject.unwrap().message, message);
        assert_eq!(backend.seen().len(), 1);
        assert_eq!(bench.scrape(reworded), bare);
    }
}

#[tokio::test]
async fn a_rejection_whose_body_does_not_come_is_one_by_its_status() {
    let head = b"HTTP/1.1 403 No\r\ncontent-length: 100\r\n\r\n{\"reject\":";
    for act in [
        Act::BytesThenHang(head.to_vec()),
        Act::BytesThenClose(head.to_vec()),
    ] {
        let (_backend, _bench, webhook) = scripted_with([act], false, impatient).await;
        let reply = webhook.call(connect(HOLD)).await.unwrap();
        assert_eq!(&*reply.reject.unwrap().message, "unauthorized");
    }
}

#[tokio::test]
async fn a_connect_is_held_until_it_is_decided() {
    let script = [
        Act::status(404),
        Act::status(500),
        Act::hang(),
        Act::close(),
        Act::ok("<html>"),
        Act::Answer(302, &[("location", "/login")], String::new()),
        Act::Answer(429, &[("retry-after", "0")], String::new()),
    ];
    let (backend, _bench, webhook) = scripted_with(script, false, impatient).await;
    webhook.call(connect(HOLD)).await.unwrap();
    assert_eq!(backend.seen().len(), 8);
    assert_one_call(&backend.seen());
}

#[tokio::test]
async fn an_attempt_of_a_connect_lasts_no_longer_than_its_route_allows() {
    let backend = Scripted::start([Act::hang()], Act::status(200)).await;
    let mut settings = settings(&backend.url());
    settings.timeout = Duration::from_mins(1);
    let mut bench = Bench::new(settings);
    bench.deadline = Duration::from_millis(200);
    bench.webhook(false).call(connect(HOLD)).await.unwrap();
    assert_eq!(backend.seen().len(), 2);
}

#[tokio::test]
async fn a_connect_without_decision_is_unavailable_in_the_end() {
    let backend = Scripted::start([], Act::status(503)).await;
    let bench = Bench::new(settings(&backend.url()));
    let webhook = bench.webhook(false);
    let hold = Duration::from_millis(300);
    assert_eq!(
        webhook.call(connect(hold)).await.unwrap_err(),
        unavailable()
    );
    assert!(backend.seen().len() > 1, "asked more than once");
}

#[tokio::test]
async fn a_connect_honours_the_time_that_the_backend_names() {
    let later = Act::Answer(503, &[("retry-after", "100")], String::new());
    let (backend, _bench, webhook) = scripted([later], false).await;
    let hold = Duration::from_millis(300);
    let error = webhook.call(connect(hold)).await.unwrap_err();
    let retry_after = Some(Duration::from_secs(100));
    assert_eq!(error, BackendError::Unavailable { retry_after });
    assert_eq!(backend.seen().len(), 1);
}

#[tokio::test]
async fn a_connect_whose_client_left_is_not_asked_again() {
    let backend = Scripted::start([], Act::status(500)).await;
    let bench = Bench::new(settings(&backend.url()));
    let webhook = bench.webhook(false);
    let call = connect(HOLD);
    let leave = async {
        backend.saw(2).await;
        call.abandoned.set(true);
        backend.seen().len()
    };
    let (result, before) = tokio::join!(webhook.call(call.clone()), leave);
    assert_eq!(result.unwrap_err(), unavailable());
    assert_eq!(backend.seen().len(), before);
}

#[tokio::test]
async fn an_open_breaker_fails_events_at_once_and_holds_connects() {
    let failures = vec![Act::status(500); 20];
    let (backend, bench, webhook) = scripted_with(failures, false, |settings| {
        settings.breaker.open = Duration::from_millis(200);
    })
    .await;
    for _ in 0..20 {
        webhook.call(event()).await.unwrap_err();
    }
    assert!(bench.upstream.is_open() && !webhook.is_reachable());
    assert_eq!(webhook.call(event()).await.unwrap_err(), unavailable());
    assert_eq!(bench.requests("breaker"), 1);
    assert_eq!(
        backend.seen().len(),
        20,
        "what the breaker forbids is no attempt"
    );
    assert_eq!(
        bench.scrape(r#"sockgate_webhook_circuit_open{upstream="app"}"#),
        Some(1)
    );
    let connects = join_all((0..7).map(|_| webhook.call(connect(HOLD)))).await;
    assert!(connects.iter().all(Result::is_ok));
    assert_eq!(bench.upstream.status().phase, Phase::Closed);
    assert!(webhook.is_reachable());
    webhook.call(event()).await.unwrap();
}

#[tokio::test]
async fn attempts_at_once_are_bounded_and_the_rest_waits() {
    let backend = Scripted::start([], Act::hang()).await;
    let mut settings = settings(&backend.url());
    settings.concurrency = 2;
    settings.queue = 2;
    let bench = Bench::new(settings);
    let webhook = bench.webhook(false);
    let mut calls = join_all((0..6).map(|_| webhook.call(event())));
    tokio::select! {
        _ = &mut calls => panic!("they hang"),
        _ = backend.saw(2) => {}
    }
    let status = bench.upstream.status();
    assert_eq!((status.in_flight, status.waiting), (2, 2));
    let inflight = r#"sockgate_webhook_inflight{upstream="app"}"#;
    assert_eq!(bench.scrape(inflight), Some(2));
    let hold = Duration::from_millis(100);
    let refused = webhook.call(connect(hold)).await;
    assert_eq!(refused.unwrap_err(), unavailable());
    assert!(bench.requests("shed") > 0);
    drop(calls);
    let status = bench.upstream.status();
    assert_eq!((status.in_flight, status.waiting), (0, 0));
}

#[tokio::test]
async fn an_event_without_a_place_in_time_was_not_attempted() {
    let backend = Scripted::start([], Act::hang()).await;
    let mut settings = settings(&backend.url());
    settings.concurrency = 1;
    let mut bench = Bench::new(settings);
    let (patient, hasty) = (bench.webhook(false), {
        bench.deadline = Duration::from_millis(200);
        bench.webhook(false)
    });
    let hasty = async {
        backend.saw(1).await;
        hasty.call(event()).await
    };
    let result = tokio::select! {
        _ = patient.call(event()) => panic!("it hangs"),
        result = hasty => result,
    };
    assert_eq!(result.unwrap_err(), unavailable());
    assert_eq!(bench.requests("shed"), 1);
    assert_eq!(backend.seen().len(), 1);
}

#[tokio::test]
async fn a_name_is_resolved() {
    let (backend, _bench, _webhook) = scripted([], false).await;
    let named = backend.url().replace("127.0.0.1", "localhost");
    let bench = Bench::new(settings(&named));
    bench.webhook(false).call(event()).await.unwrap();
}

#[tokio::test]
async fn a_notice_is_handed_over_at_once() {
    let port = closed_port().await;
    let bench = Bench::new(settings(&format!("http://127.0.0.1:{port}/")));
    let webhook = bench.webhook(false);
    let reply = webhook.call(disconnect()).await.unwrap();
    assert!(reply.steps.is_empty() && reply.reject.is_none());
    assert_eq!(bench.upstream.notices().pending(), 1);
}

#[tokio::test]
async fn failures_and_bad_replies_do_not_fill_the_log() {
    let lines = Lines::default();
    let guard = lines.capture();
    let (_backend, _bench, webhook) =
        scripted_with(vec![Act::ok("secret"); 30], false, |settings| {
            settings.breaker.min_requests = 10;
            settings.breaker.open = Duration::from_millis(50);
        })
        .await;
    for _ in 0..100 {
        webhook.call(event()).await.ok();
    }
    for _ in 0..5 {
        webhook.call(connect(HOLD)).await.unwrap();
    }
    drop(guard);
    let text = lines.text();
    let count = |what| text.lines().filter(|line| line.contains(what)).count();
    assert_eq!(count("upstream is failing"), 1, "{text}");
    assert_eq!(count("upstream is well again"), 1, "{text}");
    assert_eq!(count("bad reply route="), 1, "{text}");
    assert!(count("webhook type=") > 10, "one line for each at debug");
    assert!(!text.contains("secret"), "never a payload");
}
