//! Ten thousand clients at once: a packet for all of them is encoded once.

use serde_json::json;

use crate::support::crowd::Crowd;
use crate::support::gateway::{ECHO, Gateway};

const CLIENTS: usize = 10_000;

const ENCODINGS: &str = "sockgate_encodings_total";

#[tokio::test]
async fn a_packet_for_ten_thousand_is_encoded_once_also_with_an_ack() {
    // Nobody is pinged meanwhile, and none is closed for being slow to send its CONNECT.
    let config =
        "server.max_connections = 10_100\nlimits.opening = 0\nengine.ping_interval = \"10m\"\n";
    let gateway = Gateway::start(&format!("{config}{ECHO}")).await;
    let mut crowd = Crowd::joined(&gateway, CLIENTS).await;
    let everybody = json!({"all": true});
    let before = gateway.metric(ENCODINGS).await;

    gateway.emit(&everybody, "news", &json!([1])).await;
    assert_eq!(crowd.text().await, r#"42["news",1]"#);
    gateway.metric_is(ENCODINGS, before + 1.0).await;

    let question =
        json!({"event": "sure?", "args": [], "to": everybody, "ack": {"timeout_ms": 30_000}});
    let answers = async {
        // The number of the acknowledgement is the same for all, too.
        let asked = crowd.text().await;
        let number = asked
            .strip_prefix("42")
            .and_then(|rest| rest.strip_suffix(r#"["sure?"]"#));
        let number = number.unwrap_or_else(|| panic!("{asked} is not what was sent"));
        crowd.send(&format!("43{number}[true]")).await;
    };
    let (answer, ()) = tokio::join!(gateway.api_post("/v1/emit", &question), answers);
    assert_eq!(answer.status, 200, "{answer:?}");
    let report = answer.json();
    assert_eq!(report["sockets"], CLIENTS);
    assert_eq!(report["complete"], true);
    assert_eq!(report["missing_count"], 0);
    assert_eq!(report["acks"].as_array().map(Vec::len), Some(1_000));
    gateway.metric_is(ENCODINGS, before + 2.0).await;
    gateway
        .metric_is(r#"sockgate_acks_total{result="ok"}"#, 10_000.0)
        .await;
}
