//! The metrics (operations d2): what is counted, and that the number of series is bounded whatever happens.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::json;

use crate::support::backend::{Backend, Reply};
use crate::support::client::{Client, Kind};
use crate::support::gateway::{ECHO, Gateway};
use crate::support::http::get;
use crate::support::wait::eventually;

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
async fn every_metric_that_the_readme_names_is_there() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.everything()).await;
    // What is counted by words has no series before it happens.
    let (client, _) = Client::joined(&gateway).await;
    let scraped = get(gateway.admin, "/metrics").await;
    let readme = include_str!("../../README.md");
    let words = readme.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let named: BTreeSet<&str> = words.filter(|word| word.starts_with("sockgate_")).collect();
    assert!(named.len() > 10, "{named:?}");
    for name in named {
        let family = name.strip_suffix("_total").unwrap_or(name);
        let described = format!("# TYPE {family} ");
        assert!(scraped.text().contains(&described), "{name}");
    }
    drop(client);
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
const LABELS: [&str; 16] = [
    "queue",
    "transport",
    "stage",
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

fn are_bounded(metrics: &BTreeMap<String, f64>) {
    assert!(metrics.len() < 1500, "{} series", metrics.len());
    for series in metrics.keys() {
        for label in labels(series) {
            assert!(LABELS.contains(&label), "{label} in {series}");
        }
    }
}

#[tokio::test]
async fn sixty_four_busy_routes_stay_within_the_budget_of_series() {
    // As many as there may be, with that for the life of sockets.
    const ROUTES: u32 = 63;
    let backend = Backend::start().await;
    let fallback = "server.fallback = \"http://127.0.0.1:1\"\n";
    let mut config = format!("{fallback}{}", backend.upstream());
    config.push_str("[[namespace]]\nmatch = \"/\"\n");
    config
        .push_str("[[namespace.route]]\non = [\"connect\", \"disconnect\"]\nupstream = \"app\"\n");
    for n in 0..ROUTES {
        write!(
            config,
            "[[namespace.route]]\nname = \"route-{n}\"\nevent = \"e{n}\"\nupstream = \"app\"\n"
        )
        .unwrap();
    }
    let gateway = Gateway::start(&config).await;
    let (mut client, _) = Client::joined(&gateway).await;
    let moods: [fn() -> Reply; 6] = [
        || json!({}).into(),
        || Reply::status(501),
        || Reply::status(302),
        || Reply::status(422),
        Reply::html,
        || Reply::HalfBody,
    ];
    for (round, mood) in (1..).zip(moods) {
        backend.answer_events(move |_| mood());
        for n in 0..ROUTES {
            client.send(&format!(r#"42["e{n}"]"#)).await;
        }
        eventually("every route to have its answer", async || {
            let metrics = gateway.metrics().await;
            let behind = (0..ROUTES).find(|n| {
                let name =
                    format!("sockgate_webhook_duration_seconds_count{{route=\"route-{n}\"}}");
                metrics[&name] < f64::from(round)
            });
            behind.map_or(Ok(()), |n| Err(format!("not e{n}")))
        })
        .await;
    }
    for path in [
        "emit",
        "actions",
        "join",
        "leave",
        "disconnect",
        "namespaces",
        "rooms",
        "sockets",
        "nodes",
        "upstreams",
        "openapi.json",
        "other",
    ] {
        let path = format!("/v1/{path}");
        gateway.api_get(&path).await;
        gateway.api_post(&path, &json!({})).await;
    }
    get(gateway.clients, "/page").await;
    let metrics = gateway.metrics().await;
    println!("{} series", metrics.len());
    are_bounded(&metrics);
    let requests = metrics
        .iter()
        .filter(|(name, _)| name.starts_with("sockgate_webhook_requests_total{"));
    let requests: f64 = requests.map(|(_, count)| count).sum();
    // And the `connect`.
    let expected = f64::from(6 * ROUTES + 1);
    assert!((requests - expected).abs() < 0.5, "{requests} are counted");
}

#[tokio::test]
async fn lives_handshakes_and_broadcasts_are_measured() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.everything()).await;
    let mut clients = Vec::new();
    for kind in [Kind::Polling, Kind::WebSocket, Kind::WebSocket] {
        let mut client = Client::open(kind, &gateway).await;
        client.connect("/", "").await;
        clients.push(client);
    }
    for stage in ["http", "auth"] {
        let count = format!("sockgate_handshake_duration_seconds_count{{stage=\"{stage}\"}}");
        gateway.metric_is(&count, 3.0).await;
    }
    gateway.emit(&json!({"all": true}), "x", &json!([])).await;
    for client in &mut clients {
        client.expect(r#"42["x"]"#).await;
    }
    // One emit, on however many shards its recipients are.
    for (name, value) in [
        ("sockgate_broadcast_recipients_count", 1.0),
        ("sockgate_broadcast_recipients_sum", 3.0),
        (r#"sockgate_broadcast_recipients_bucket{le="1.0"}"#, 0.0),
        (r#"sockgate_broadcast_recipients_bucket{le="10.0"}"#, 1.0),
        ("sockgate_fanout_seconds_count", 1.0),
    ] {
        gateway.metric_is(name, value).await;
    }
    for client in &mut clients {
        client.send("1").await;
    }
    for (transport, count) in [("polling", 1.0), ("websocket", 2.0)] {
        let name =
            format!("sockgate_connection_duration_seconds_count{{transport=\"{transport}\"}}");
        gateway.metric_is(&name, count).await;
    }
}

#[tokio::test]
async fn each_acknowledgement_has_one_outcome() {
    let gateway = Gateway::start(ECHO).await;
    let (mut answers, first) = Client::joined(&gateway).await;
    let (mut leaves, second) = Client::joined(&gateway).await;
    let (_silent, third) = Client::joined(&gateway).await;
    let to = json!({"sockets": [first, second, third]});
    let body = json!({"event": "x", "args": [], "to": to, "ack": {"max": 1, "timeout_ms": 10_000}});
    let clients = async {
        leaves.text().await;
        leaves.send("1").await;
        gateway
            .metric_is(r#"sockgate_acks_total{result="gone"}"#, 1.0)
            .await;
        let asked = answers.text().await;
        let number = asked.trim_start_matches("42").trim_end_matches(r#"["x"]"#);
        answers.send(&format!("43{number}[]")).await;
    };
    let (answer, ()) = tokio::join!(gateway.api_post("/v1/emit", &body), clients);
    assert_eq!(answer.status, 200, "{answer:?}");
    for result in ["ok", "gone", "given_up"] {
        let name = format!("sockgate_acks_total{{result=\"{result}\"}}");
        gateway.metric_is(&name, 1.0).await;
    }
    gateway.metric_is("sockgate_acks_pending", 0.0).await;
}

#[tokio::test]
async fn lines_that_are_not_logged_again_are_counted() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.everything()).await;
    let (mut client, _) = Client::joined(&gateway).await;
    backend.answer_events(|_| json!({"actions": "none"}));
    for _ in 0..5 {
        client.send(r#"42["x"]"#).await;
    }
    client.expect_quiet().await;
    let suppressed = "sockgate_log_lines_suppressed_total";
    gateway.metric_is(suppressed, 4.0).await;
    let line = gateway.log_line(&["bad reply", "suppressed="]).await;
    assert!(line.contains("suppressed=0"), "{line}");
}

#[tokio::test]
async fn timers_do_not_grow_with_what_a_client_sends() {
    let backend = Backend::start().await;
    // Twenty ticks in the shorter time of the heartbeat.
    let config = "engine.ping_timeout = \"400ms\"\nlimits.lane_events = 1\n";
    let gateway = Gateway::start(&format!("{config}{}", backend.everything())).await;
    let (mut client, _) = Client::joined(&gateway).await;
    let packet = r#"451-["echo",{"_placeholder":true,"num":0}]"#;
    for _ in 0..2_000 {
        client.send_binary(packet, &[b"x"]).await;
        client.expect(packet).await;
        client.expect_binary(b"x").await;
    }
    for _ in 0..500 {
        client.send(r#"421["x"]"#).await;
        client.expect("431[]").await;
    }
    let full = gateway.metric("sockgate_lanes_full_total").await;
    assert!(full >= 500.0, "{full}");
    let ticks = "sockgate_runtime_lag_seconds_count";
    let before = gateway.metric(ticks).await;
    eventually("some ticks of all shards", async || {
        let now = gateway.metric(ticks).await;
        (now > before + 10.0)
            .then_some(())
            .ok_or_else(|| now.to_string())
    })
    .await;
    let timers = gateway.metric("sockgate_timers").await;
    assert!((1.0..10.0).contains(&timers), "{timers} timers");
}

#[tokio::test]
async fn what_the_api_refuses_is_counted_by_its_code() {
    let gateway = Gateway::start(ECHO).await;
    gateway.api_post("/v1/emit", &json!({})).await;
    let actions =
        json!({"actions": [{"type": "join", "rooms": [], "to": {"all": 1}}, {"type": "x"}]});
    gateway.api_post("/v1/actions", &actions).await;
    for (code, count) in [("invalid_request", 3.0), ("malformed_json", 0.0)] {
        let name = format!("sockgate_api_problems_total{{code=\"{code}\"}}");
        gateway.metric_is(&name, count).await;
    }
}

#[tokio::test]
async fn a_large_configuration_in_trouble_stays_within_the_budget_of_series() {
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
    are_bounded(&gateway.metrics().await);
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
    let unique: BTreeSet<_> = described.iter().collect();
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
        "sockgate_lanes",
        "sockgate_timers",
        "sockgate_inbox_places",
        "sockgate_inbox_waits_total",
        "sockgate_connections_opening",
        "sockgate_api_connections",
        "sockgate_admin_connections",
        "sockgate_api_suspects",
        "sockgate_log_lines_suppressed_total",
    ] {
        assert!(text.contains(&format!("\n{name} ")), "no {name} in {text}");
    }
}
