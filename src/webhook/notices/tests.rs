#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::HashSet;
use std::time::Duration;

use super::super::scripted::{Act, Bench, Scripted, closed_port, disconnect, impatient, settings};
use super::super::settings::Settings;
use super::*;
use crate::session::backend::Backend as _;

const LATER: Duration = Duration::from_mins(1);

async fn scripted(script: impl IntoIterator<Item = Act>) -> (Scripted, Bench) {
    scripted_with(script, Act::status(204), impatient).await
}

async fn scripted_with(
    script: impl IntoIterator<Item = Act>,
    after: Act,
    change: impl FnOnce(&mut Settings),
) -> (Scripted, Bench) {
    let backend = Scripted::start(script, after).await;
    let mut settings = settings(&backend.url());
    change(&mut settings);
    (backend, Bench::new(settings))
}

/// Some sockets end.
async fn hand_over(bench: &Bench, notices: usize) {
    let webhook = bench.webhook(false);
    for _ in 0..notices {
        webhook.call(disconnect()).await.unwrap();
    }
}

/// Delivers until nothing is left; returns how many are left after [`LATER`].
async fn deliver_all(bench: &Bench) -> usize {
    tokio::select! {
        () = deliver(bench.endpoint()) => unreachable!("it never ends"),
        left = bench.upstream.notices().drain(Instant::now() + LATER) => left,
    }
}

fn dropped(bench: &Bench, reason: &str) -> u64 {
    let series =
        format!(r#"sockgate_webhook_notices_dropped_total{{upstream="app",reason="{reason}"}}"#);
    bench.scrape(&series).unwrap_or_default()
}

#[tokio::test]
async fn a_notice_is_delivered_and_its_reply_not_read() {
    let (backend, bench) = scripted([Act::ok("<html>")]).await;
    hand_over(&bench, 1).await;
    assert_eq!(
        bench.scrape(r#"sockgate_webhook_notices_pending{upstream="app"}"#),
        Some(1)
    );
    assert_eq!(deliver_all(&bench).await, 0);
    let seen = backend.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].header("sockgate-type"), "disconnect");
    assert_eq!(bench.requests("2xx"), 1);
    assert_eq!(bench.upstream.status().last_error, None);
}

#[tokio::test]
async fn a_notice_is_repeated_until_the_backend_takes_it() {
    let script = [
        Act::status(500),
        Act::status(401),
        Act::status(408),
        Act::close(),
        Act::hang(),
        Act::Answer(302, &[("location", "/")], String::new()),
        Act::Answer(429, &[("retry-after", "0")], String::new()),
    ];
    let (backend, bench) = scripted(script).await;
    hand_over(&bench, 1).await;
    assert_eq!(deliver_all(&bench).await, 0);
    let seen = backend.seen();
    assert_eq!(seen.len(), 8);
    let same: HashSet<_> = seen
        .iter()
        .map(|seen| (seen.header("webhook-id"), &seen.body))
        .collect();
    assert_eq!(same.len(), 1);
    for (n, seen) in (1..).zip(&seen) {
        assert_eq!(seen.header("sockgate-attempt"), n.to_string());
    }
}

#[tokio::test]
async fn a_notice_that_the_backend_refuses_is_dropped_and_counted() {
    let (backend, bench) = scripted([Act::status(404), Act::status(422)]).await;
    hand_over(&bench, 3).await;
    assert_eq!(deliver_all(&bench).await, 0);
    assert_eq!(backend.seen().len(), 3);
    assert_eq!(dropped(&bench, "refused"), 2);
}

#[tokio::test]
async fn the_oldest_is_dropped_when_there_are_too_many() {
    let (_backend, bench) = scripted_with([], Act::status(204), |settings| {
        settings.retention.items = 3;
    })
    .await;
    hand_over(&bench, 5).await;
    assert_eq!(bench.upstream.notices().pending(), 3);
    assert_eq!(dropped(&bench, "full"), 2);
    assert_eq!(deliver_all(&bench).await, 0);
}

#[tokio::test]
async fn a_notice_that_is_too_old_is_dropped_and_counted() {
    let port = closed_port().await;
    let mut settings = settings(&format!("http://127.0.0.1:{port}/"));
    settings.retention.age = Duration::from_millis(200);
    let bench = Bench::new(settings);
    hand_over(&bench, 2).await;
    assert_eq!(deliver_all(&bench).await, 0);
    assert_eq!(dropped(&bench, "expired"), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_too_old_makes_room_before_what_is_young() {
    let mut settings = settings("http://127.0.0.1:1/");
    settings.retention.items = 2;
    let bench = Bench::new(settings);
    hand_over(&bench, 1).await;
    tokio::time::advance(Duration::from_mins(5)).await;
    hand_over(&bench, 2).await;
    assert_eq!(bench.upstream.notices().pending(), 2);
    assert_eq!(
        (dropped(&bench, "expired"), dropped(&bench, "full")),
        (1, 0)
    );
}

#[tokio::test]
async fn a_notice_expires_while_the_breaker_is_open() {
    let (backend, bench) = scripted_with([], Act::status(500), |settings| {
        settings.concurrency = 2;
        settings.breaker.min_requests = 1;
        settings.breaker.open = Duration::from_hours(1);
        settings.retention.age = Duration::from_millis(200);
    })
    .await;
    hand_over(&bench, 5).await;
    assert_eq!(deliver_all(&bench).await, 0);
    assert_eq!(dropped(&bench, "expired"), 5);
    assert!(backend.seen().len() < 5, "the breaker forbade the others");
}

#[tokio::test]
async fn drain_tells_what_is_left() {
    let (_backend, bench) = scripted_with([], Act::status(503), |_| {}).await;
    hand_over(&bench, 4).await;
    let soon = Instant::now() + Duration::from_millis(100);
    let left = tokio::select! {
        () = deliver(bench.endpoint()) => unreachable!("it never ends"),
        left = bench.upstream.notices().drain(soon) => left,
    };
    assert_eq!(left, 4);
    assert_eq!(dropped(&bench, "shutdown"), 4);
}

#[tokio::test]
async fn drain_of_nothing_is_done_at_once() {
    let (_backend, bench) = scripted([]).await;
    assert_eq!(bench.upstream.notices().drain(Instant::now()).await, 0);
}

#[tokio::test]
async fn half_of_the_attempts_stay_free_for_questions() {
    let (backend, bench) = scripted_with([], Act::hang(), |settings| {
        settings.concurrency = 4;
        settings.timeout = Duration::from_mins(1);
    })
    .await;
    hand_over(&bench, 10).await;
    tokio::select! {
        () = deliver(bench.endpoint()) => unreachable!("it never ends"),
        _ = backend.saw(2) => {}
    }
    assert_eq!(
        bench.upstream.status().in_flight,
        0,
        "given up with the task"
    );
    assert_eq!(backend.seen().len(), 2);
    assert_eq!(bench.upstream.notices().pending(), 10);
}

#[tokio::test]
async fn notices_reach_a_backend_that_comes_back() {
    let port = closed_port().await;
    let mut settings = settings(&format!("http://127.0.0.1:{port}/hook"));
    settings.breaker.open = Duration::from_millis(100);
    let bench = Bench::new(settings);
    hand_over(&bench, 20).await;
    let come_back = async {
        // Nobody listens: the first attempts fail.
        while bench.upstream.status().last_error.is_none() {
            tokio::task::yield_now().await;
        }
        Scripted::start_on(port, [], Act::status(204)).await
    };
    let (left, backend) = tokio::join!(deliver_all(&bench), come_back);
    assert_eq!(left, 0);
    let ids: HashSet<_> = backend
        .seen()
        .iter()
        .map(|seen| seen.header("webhook-id").to_owned())
        .collect();
    assert_eq!(ids.len(), 20);
}

#[test]
fn the_delivery_runs_on_any_thread() {
    let _: fn(Endpoint) -> futures_util::future::BoxFuture<'static, ()> =
        |endpoint| Box::pin(deliver(endpoint));
}
