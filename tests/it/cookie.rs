//! The cookie of sticky load balancers (protocol 1.12): off by default, and only on the polling handshake.

use crate::support::gateway::{ECHO, Gateway};
use crate::support::polling::Polling;
use crate::support::websocket::WebSocket;

#[tokio::test]
async fn there_is_no_cookie_by_default() {
    let gateway = Gateway::start(ECHO).await;
    gateway
        .get("EIO=4&transport=polling")
        .await
        .lacks("set-cookie");
}

#[tokio::test]
async fn a_polling_handshake_sets_the_cookie_and_nothing_else_does() {
    let gateway = Gateway::start(&format!("engine.cookie = {{ name = \"io\" }}\n{ECHO}")).await;
    let answer = gateway.get("EIO=4&transport=polling").await;
    let handshake: serde_json::Value = serde_json::from_str(&answer.text()[1..]).unwrap();
    let sid = handshake["sid"].as_str().unwrap();
    let expected = format!("io={sid}; Path=/; HttpOnly; SameSite=Lax");
    answer.has("set-cookie", &expected);

    let polling = Polling::open(&gateway).await;
    polling.post("40").await.lacks("set-cookie");
    polling.poll().await.lacks("set-cookie");
    let socket = WebSocket::open(&gateway).await;
    assert!(!socket.response.headers().contains_key("set-cookie"));
}

#[tokio::test]
async fn the_cookie_has_the_attributes_of_the_configuration() {
    let cookie =
        r#"{ name = "lb", path = "/live", http_only = false, same_site = "none", secure = true }"#;
    let gateway = Gateway::start(&format!("engine.cookie = {cookie}\n{ECHO}")).await;
    let answer = gateway.get("EIO=4&transport=polling").await;
    let set = answer.header("set-cookie").expect("a cookie");
    let (pair, attributes) = set.split_once("; ").expect("attributes");
    assert!(pair.starts_with("lb="), "{set}");
    let mut attributes: Vec<_> = attributes.split("; ").collect();
    attributes.sort_unstable();
    assert_eq!(
        attributes,
        ["Path=/live", "SameSite=None", "Secure"],
        "{set}"
    );
}

#[tokio::test]
async fn a_session_needs_no_cookie() {
    let gateway = Gateway::start(&format!("engine.cookie = {{ name = \"io\" }}\n{ECHO}")).await;
    let polling = Polling::open(&gateway).await;
    polling.send("40").await;
    assert!(polling.poll().await.text().starts_with("40{"));
}
