//! Probes and metrics on the admin listener (contract 10, operations d2): what operators and orchestrators ask.

use rustix::process::Signal;
use serde_json::json;

use crate::support::backend::{Backend, Reply};
use crate::support::client::{Client, Kind};
use crate::support::gateway::{ECHO, Gateway};
use crate::support::http::{ask, get};
use crate::support::wait::eventually;

#[tokio::test]
async fn a_gateway_that_runs_is_alive_and_ready() {
    let gateway = Gateway::start(ECHO).await;
    for target in ["/livez", "/readyz"] {
        for method in ["GET", "HEAD"] {
            // The body of an answer to HEAD is announced and not sent.
            if method == "GET" {
                let answer = get(gateway.admin, target).await;
                assert_eq!(answer.status, 200, "{target}: {answer:?}");
            } else {
                let bytes =
                    crate::support::http::request(method, target, &[("connection", "close")], b"");
                let mut exchange =
                    crate::support::http::Exchange::begin(gateway.admin, &bytes).await;
                let answer = String::from_utf8(exchange.until_end().await).unwrap();
                assert!(answer.starts_with("HTTP/1.1 200 "), "{target}: {answer}");
                assert!(answer.ends_with("\r\n\r\n"), "{target}: {answer}");
            }
        }
    }
    let answer = get(gateway.admin, "/readyz?verbose").await;
    assert_eq!(answer.status, 200);
    assert!(answer.json().is_object(), "{answer:?}");
}

#[tokio::test]
async fn a_backend_that_is_away_changes_no_probe() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.everything()).await;
    let (mut client, _) = Client::joined(&gateway).await;
    backend.answer_events(|_| Reply::status(500));
    for _ in 0..50 {
        client.send(r#"42["x"]"#).await;
    }
    client.expect_quiet().await;
    for target in ["/livez", "/readyz"] {
        assert_eq!(get(gateway.admin, target).await.status, 200);
    }
    let verbose = get(gateway.admin, "/readyz?verbose").await;
    assert!(verbose.text().contains("\"app\""), "{verbose:?}");
}

#[tokio::test]
async fn a_gateway_that_drains_is_alive_and_not_ready() {
    let mut gateway = Gateway::start(&format!(
        "drain.delay = \"60s\"\ndrain.hard_stop = \"120s\"\n{ECHO}"
    ))
    .await;
    let (_client, _) = Client::joined(&gateway).await;
    gateway.signal(Signal::TERM);
    eventually("readyz to refuse", async || {
        let answer = get(gateway.admin, "/readyz").await;
        (answer.status == 503)
            .then_some(())
            .ok_or_else(|| format!("{answer:?}"))
    })
    .await;
    assert_eq!(get(gateway.admin, "/livez").await.status, 200);
    gateway.signal(Signal::TERM);
    gateway.exit().await;
}

#[tokio::test]
async fn other_paths_and_methods_of_the_admin_listener_are_refused() {
    let gateway = Gateway::start(ECHO).await;
    for target in [
        "/",
        "/v1/emit",
        "/socket.io/?EIO=4&transport=polling",
        "/reload",
        "/drain",
    ] {
        let answer = get(gateway.admin, target).await;
        assert_eq!(answer.status, 404, "{target}: {answer:?}");
    }
    for target in ["/livez", "/metrics"] {
        let answer = ask(gateway.admin, "POST", target, &[], "").await;
        assert!(matches!(answer.status, 404 | 405), "{target}: {answer:?}");
    }
}

#[tokio::test]
async fn metrics_count_connections_and_sockets() {
    let gateway = Gateway::start(ECHO).await;
    let mut clients = Vec::new();
    for kind in [Kind::Polling, Kind::WebSocket, Kind::Upgraded] {
        let mut client = Client::open(kind, &gateway).await;
        client.connect("/", "").await;
        clients.push(client);
    }
    gateway
        .metric_is(r#"sockgate_connections{transport="polling"}"#, 1.0)
        .await;
    gateway
        .metric_is(r#"sockgate_connections{transport="websocket"}"#, 2.0)
        .await;
    gateway
        .metric_is(r#"sockgate_sockets{namespace="/"}"#, 3.0)
        .await;
    for client in &mut clients {
        client.send("1").await;
    }
    gateway
        .metric_is(r#"sockgate_connections{transport="polling"}"#, 0.0)
        .await;
    gateway
        .metric_is(r#"sockgate_connections{transport="websocket"}"#, 0.0)
        .await;
    gateway
        .metric_is(r#"sockgate_sockets{namespace="/"}"#, 0.0)
        .await;
}

#[tokio::test]
async fn metrics_have_bounded_labels_and_no_names_of_people_or_rooms() {
    let backend = Backend::start().await;
    backend.answer(|_| json!({"user": "user-canary", "rooms": ["room-canary"]}));
    let gateway = Gateway::start(&backend.everything()).await;
    let mut client = Client::open(Kind::WebSocket, &gateway).await;
    let id = client.connect("/", "").await;
    for n in 0..100 {
        client.send(&format!(r#"42["event-canary-{n}"]"#)).await;
    }
    client.expect_quiet().await;
    let metrics = gateway.metrics().await;
    assert!(metrics.len() < 1500, "{} series", metrics.len());
    for name in metrics.keys() {
        assert!(
            name.starts_with("sockgate_") || name.starts_with("process_"),
            "{name}"
        );
        assert!(!name.contains("canary") && !name.contains(&id), "{name}");
        assert!(!name.contains("127.0.0.1"), "{name}");
    }
    let build = metrics
        .keys()
        .find(|name| name.starts_with("sockgate_build_info{"));
    assert!(build.is_some(), "{metrics:#?}");
}

/// Labels that the configuration or a closed list bounds. Nothing that a client, a user or a room is called is among them.
const LABELS: [&str; 14] = [
    "transport",
    "reason",
    "result",
    "limit",
    "namespace",
    "dir",
    "layer",
    "route",
    "code",
    "upstream",
    "op",
    "le",
    "version",
    "revision",
];

/// Names of the labels of a series; their values may hold anything but a quote that is not escaped.
fn labels(series: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let Some((_, mut rest)) = series.split_once('{') else {
        return names;
    };
    while let Some((name, value)) = rest.split_once("=\"") {
        names.push(name.trim_start_matches(','));
        let end = value.replace("\\\\", "__").replace("\\\"", "__").find('"');
        rest = &value[end.expect("the end of a value") + 1..];
    }
    names
}

#[tokio::test]
async fn a_large_configuration_in_trouble_stays_within_the_budget_of_series() {
    use std::fmt::Write as _;
    let backend = Backend::start().await;
    let mut config = backend.everything();
    for n in 0..50 {
        write!(
            config,
            "[[namespace]]\nmatch = \"/n{n}-*\"\n[[namespace.route]]\non = [\"connect\", \"disconnect\"]\nupstream = \"app\"\n"
        )
        .unwrap();
    }
    let gateway = Gateway::start(&config).await;
    let moods: [fn() -> Reply; 5] = [
        || json!({}).into(),
        || Reply::status(500),
        || Reply::status(403),
        Reply::html,
        || Reply::Close,
    ];
    for (round, mood) in moods.into_iter().enumerate() {
        backend.answer(move |_| mood());
        for n in 0..50 {
            let mut client = Client::open(Kind::WebSocket, &gateway).await;
            client.send(&format!("40/n{n}-{round},")).await;
            client.send("40").await;
            client.send(r#"42["event"]"#).await;
            client.send("garbage").await;
        }
    }
    gateway.get("EIO=3&transport=x").await;
    let sessions = r#"sockgate_connections{transport="websocket"}"#;
    gateway.metric_is(sessions, 0.0).await;
    let metrics = gateway.metrics().await;
    assert!(metrics.len() < 1500, "{} series", metrics.len());
    for series in metrics.keys() {
        for label in labels(series) {
            assert!(LABELS.contains(&label), "{label} in {series}");
        }
    }
    assert_eq!(labels(r#"a{b="x\"y",user="}"}"#), ["b", "user"]);
}

#[tokio::test]
async fn metrics_are_open_metrics_and_each_family_is_described() {
    let gateway = Gateway::start(ECHO).await;
    let answer = get(gateway.admin, "/metrics").await;
    answer.has(
        "content-type",
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
    );
    let text = answer.text();
    assert!(text.ends_with("# EOF\n"), "{text}");
    let described: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next())
        .collect();
    for family in &described {
        let kinds = text.matches(&format!("# TYPE {family} ")).count();
        assert_eq!(kinds, 1, "{family}");
    }
    let unique: std::collections::BTreeSet<_> = described.iter().collect();
    assert_eq!(unique.len(), described.len(), "a family is there twice");
    for name in [
        "process_open_fds",
        "process_max_fds",
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
        "process_start_time_seconds",
        "sockgate_encodings_total",
        "sockgate_rooms",
        "sockgate_overload_level",
        "sockgate_memory_used_bytes",
        "sockgate_task_panics_total",
        "sockgate_runtime_lag_seconds_count",
        "sockgate_draining",
    ] {
        assert!(text.contains(&format!("\n{name} ")), "no {name} in {text}");
    }
}
