//! Limits of HTTP connections, beyond the table of [`crate::limits`]: what each deadline is for, and that it is for nothing else.

use rustix::process::Signal;
use serde_json::json;

use crate::support::client::{Client, Kind};
use crate::support::crowd::allow_files;
use crate::support::gateway::{ECHO, Gateway};
use crate::support::http::{Exchange, get, request};
use crate::support::polling::Polling;
use crate::support::wait::eventually;
use crate::support::websocket::WebSocket;

const HEAD: &str = r#"sockgate_http_limited_total{limit="header_timeout"}"#;

fn handshake(gateway: &Gateway) -> Vec<u8> {
    request("GET", &gateway.target("EIO=4&transport=polling"), &[], b"")
}

#[tokio::test]
async fn an_idle_connection_has_more_time_than_a_head() {
    let gateway = Gateway::start(&format!("limits.header_timeout = \"200ms\"\n{ECHO}")).await;
    for to in [gateway.clients, gateway.api, gateway.admin] {
        let ask = request("GET", "/livez", &[], b"");
        let mut idle = Exchange::begin(to, &ask).await;
        idle.answer().await;
        // A head that begins now and never ends is cut; by then the other has been idle for at least as long.
        let mut slow = Exchange::begin(to, b"GET /livez HTTP/1.1\r\nhost: ").await;
        assert_eq!(slow.until_end().await, b"");
        idle.again(&ask).await;
        idle.answer().await;
    }
    gateway.metric_is(HEAD, 3.0).await;
}

#[tokio::test]
async fn the_next_head_has_its_own_time_from_its_first_byte() {
    let config = "limits.header_timeout = \"200ms\"\nlimits.keep_alive = \"1h\"\n";
    let gateway = Gateway::start(&format!("{config}{ECHO}")).await;
    let mut exchange = Exchange::begin(gateway.clients, &handshake(&gateway)).await;
    exchange.answer().await;
    exchange.again(b"GET / HT").await;
    assert_eq!(exchange.until_end().await, b"");
    gateway.metric_is(HEAD, 1.0).await;
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed_after_the_time_for_a_head() {
    let config = "limits.header_timeout = \"200ms\"\nlimits.keep_alive = \"1h\"\n";
    let gateway = Gateway::start(&format!("{config}{ECHO}")).await;
    let mut exchange = Exchange::begin(gateway.clients, b"").await;
    assert_eq!(exchange.until_end().await, b"");
    gateway.metric_is(HEAD, 1.0).await;
}

#[tokio::test]
async fn a_poll_outlasts_every_deadline_of_http() {
    let config = "limits.header_timeout = \"100ms\"\nlimits.keep_alive = \"100ms\"\nlimits.write_stall = \"100ms\"\n";
    let gateway = Gateway::start(&format!("{config}{ECHO}")).await;
    let polling = Polling::open(&gateway).await;
    polling.send("40").await;
    polling.poll().await;
    let mut pending = polling.begin_poll().await;
    for _ in 0..3 {
        let mut idle = Exchange::begin(gateway.clients, &handshake(&gateway)).await;
        idle.answer().await;
        assert_eq!(idle.until_end().await, b"");
    }
    polling.send(r#"42["echo"]"#).await;
    pending.answer().await.is(200, r#"42["echo"]"#);
}

#[tokio::test]
async fn requests_of_one_connection_may_come_at_once() {
    let gateway = Gateway::start(ECHO).await;
    let two = handshake(&gateway).repeat(2);
    let mut exchange = Exchange::begin(gateway.clients, &two).await;
    for _ in 0..2 {
        assert_eq!(exchange.answer().await.status, 200);
    }
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answer_is_cut() {
    let config = "limits.write_stall = \"200ms\"\nlimits.outbox = \"64MiB\"\nlimits.emit = \"16MiB\"\nlimits.api_body = \"32MiB\"\n";
    let gateway = Gateway::start(&format!("{config}{ECHO}")).await;
    let mut client = Client::open(Kind::Polling, &gateway).await;
    let id = client.connect("/", "").await;
    let Client::Polling(polling) = &client else {
        unreachable!("opened by polling");
    };
    // More than the buffers of a connection hold.
    let text = json!(["x".repeat(15_000_000)]);
    gateway.emit(&json!({"sockets": [id]}), "x", &text).await;
    let _never_read = polling.begin_poll().await;
    gateway
        .metric_is(r#"sockgate_http_limited_total{limit="write_stall"}"#, 1.0)
        .await;
}

#[tokio::test]
async fn a_refusal_arrives_though_the_client_goes_on_sending() {
    let gateway = Gateway::start(ECHO).await;
    let target = gateway.target("EIO=4&transport=polling");
    let long = "v".repeat(200_000);
    let bytes = request("GET", &target, &[("x-long", &long)], b"");
    let mut exchange = Exchange::begin(gateway.clients, &bytes).await;
    assert_eq!(exchange.answer().await.status, 431);
    let polling = Polling::open(&gateway).await;
    let answer = polling.post("4".repeat(5_000_000)).await;
    assert_eq!(answer.status, 413);
    gateway
        .metric_is(r#"sockgate_http_limited_total{limit="max_payload"}"#, 1.0)
        .await;
}

#[tokio::test]
async fn connections_end_at_their_maximum_and_come_back() {
    let gateway = Gateway::start(&format!("server.max_connections = 3\n{ECHO}")).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(WebSocket::open(&gateway).await);
    }
    let mut fourth = Exchange::begin(gateway.clients, &handshake(&gateway)).await;
    assert!(fourth.answer_or_end().await.is_err());
    let rejected = r#"sockgate_connections_rejected_total{reason="limit"}"#;
    gateway.metric_is(rejected, 1.0).await;
    gateway
        .metric_is("sockgate_listener_connections", 3.0)
        .await;
    gateway.metric_is("sockgate_connections_max", 3.0).await;
    clients.pop().unwrap().close().await;
    eventually("a place", async || {
        let mut next = Exchange::begin(gateway.clients, &handshake(&gateway)).await;
        let answer = next.answer_or_end().await?;
        (answer.status == 200).then_some(()).ok_or(answer.head)
    })
    .await;
}

#[tokio::test]
async fn backends_and_operators_have_a_limit_of_their_own() {
    // Connections that say nothing stay.
    let gateway = Gateway::start(&format!("limits.header_timeout = \"1h\"\n{ECHO}")).await;
    let (mut client, _) = Client::joined(&gateway).await;
    allow_files(1_000);
    let ask = request("GET", "/v1/nodes", &[], b"");
    let mut backends = Vec::new();
    for _ in 0..1_000 {
        backends.push(Exchange::begin(gateway.api, b"").await);
    }
    gateway.metric_is("sockgate_api_connections", 1_000.0).await;
    let mut refused = Exchange::begin(gateway.api, &ask).await;
    assert!(refused.answer_or_end().await.is_err());
    let rejected = r#"sockgate_connections_rejected_total{reason="api_limit"}"#;
    gateway.metric_is(rejected, 1.0).await;
    // Nobody else is harmed: neither those who are in, nor clients, nor operators.
    backends[999].again(&ask).await;
    assert_eq!(backends[999].answer().await.status, 200);
    client.expect_quiet().await;
    backends.pop();
    is_let_in(gateway.api, &ask).await;

    let ask = request("GET", "/readyz", &[], b"");
    let mut operators = Vec::new();
    for _ in 0..100 {
        operators.push(Exchange::begin(gateway.admin, b"").await);
    }
    let mut refused = Exchange::begin(gateway.admin, &ask).await;
    assert!(refused.answer_or_end().await.is_err());
    operators[99].again(&ask).await;
    assert_eq!(operators[99].answer().await.status, 200);
    client.expect_quiet().await;
    drop(operators);
    is_let_in(gateway.admin, &ask).await;
    let rejected = r#"sockgate_connections_rejected_total{reason="admin_limit"}"#;
    assert!(gateway.metric(rejected).await >= 1.0);
    gateway.metric_is("sockgate_admin_connections", 1.0).await;
}

async fn is_let_in(to: std::net::SocketAddr, ask: &[u8]) {
    eventually("a place", async || {
        let mut next = Exchange::begin(to, ask).await;
        let answer = next.answer_or_end().await?;
        (answer.status == 200).then_some(()).ok_or(answer.head)
    })
    .await;
}

#[tokio::test]
async fn polling_sessions_are_as_many_as_connections_may_be() {
    let gateway = Gateway::start(&format!(
        "server.max_connections = 10\nlimits.opening = 0\n{ECHO}"
    ))
    .await;
    for _ in 0..10 {
        Polling::open(&gateway).await;
    }
    let refused = gateway.get("EIO=4&transport=polling").await;
    assert_eq!(refused.status, 503, "{refused:?}");
    refused.has("retry-after", "5");
}

#[tokio::test]
async fn without_files_nothing_spins_and_operators_are_still_served() {
    let mut gateway = Gateway::start(ECHO).await;
    let (mut client, _) = Client::joined(&gateway).await;
    let open = gateway.metrics().await["process_open_fds"];
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a few dozen"
    )]
    let limit = gateway.limit_files(open as u64);
    let mut dials = Vec::new();
    for _ in 0..50 {
        dials.push(Exchange::begin(gateway.clients, b"").await);
    }
    let errors = eventually("errors of accepting", async || {
        let errors = gateway.metrics().await["sockgate_accept_errors_total"];
        (errors >= 3.0)
            .then_some(errors)
            .ok_or_else(|| errors.to_string())
    })
    .await;
    // In the same time a loop without rests would have made thousands.
    assert!(errors < 500.0, "{errors}");
    for _ in 0..20 {
        for target in ["/livez", "/readyz", "/metrics"] {
            assert_eq!(get(gateway.admin, target).await.status, 200);
        }
    }
    client.expect_quiet().await;
    let told = gateway
        .logs()
        .iter()
        .filter(|line| line.contains("cannot be accepted"))
        .count();
    assert_eq!(told, 1, "{}", gateway.logs().join("\n"));
    gateway.limit_files(limit);
    drop(dials);
    gateway.is_well("too many open files").await;
    gateway.signal(Signal::INT);
    client.expect_end().await;
}
