//! Probes on the admin listener (contract 10): what operators and orchestrators ask.

use rustix::process::Signal;

use crate::support::backend::{Backend, Reply};
use crate::support::client::Client;
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
