//! The API in one process, before hubs that a test turns by hand.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response};
use prometheus_client::registry::Registry;

use super::*;
use crate::hub::Hub;
use crate::hub::id::{NodeTag, ShardId};
use crate::hub::tests::{emit, to_all};

/// An API, and the hub of its only shard, whose inbox has so many places.
fn api(places: u32) -> (Api, Hub) {
    let limits = crate::hub::settings::Settings::default();
    let switchboard = Switchboard::with_places(NodeTag::random(), 1, &limits, places);
    let shard = ShardId::new(0).expect("there is a first");
    let hub = Hub::new(shard, Arc::clone(&switchboard), limits, Arc::default());
    let parts = Parts {
        settings: settings::Settings::default(),
        body_timeout: Duration::from_secs(10),
        max_emit: 1 << 20,
        namespaces: vec![NamespaceTable {
            pattern: Pattern::new("*"),
            user_room: UserRoom::default(),
        }],
        switchboard,
        node_name: "gw-1".into(),
        node: Box::new(|| panic!("a bug")),
        upstreams: Box::new(Vec::new),
        counters: Counters::new(&mut Registry::default()),
    };
    (Api::new(parts), hub)
}

async fn ask(api: &Api, method: &str, path: &str, body: &'static str) -> Response<Full<Bytes>> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from_static(body.as_bytes())))
        .expect("a request");
    api.answer(request, SocketAddr::from(([127, 0, 0, 1], 1)))
        .await
}

async fn json(response: Response<Full<Bytes>>) -> serde_json::Value {
    let body = response.into_body().collect().await.expect("it is there");
    serde_json::from_slice(&body.to_bytes()).expect("JSON")
}

/// Emits until there is no place any more.
fn fill(hub: &Hub) {
    let now = Instant::now();
    while hub.switchboard().try_emit(emit(to_all(), "x"), now).is_ok() {}
}

const NEWS: &str = r#"{"event":"x","args":[],"to":{"all":true}}"#;

#[tokio::test(start_paused = true)]
async fn a_node_with_too_much_to_do_refuses_and_has_done_nothing() {
    let (api, hub) = api(4);
    let (connection, _) = hub.client();
    fill(&hub);
    for (path, body) in [
        ("/v1/emit", NEWS),
        (
            "/v1/emit",
            r#"{"event":"x","to":{"all":true},"report":true}"#,
        ),
        ("/v1/emit", r#"{"event":"x","to":{"all":true},"ack":{}}"#),
        ("/v1/join", r#"{"rooms":["r"],"to":{"all":true}}"#),
    ] {
        let response = ask(&api, "POST", path, body).await;
        assert_eq!(response.status(), 503, "{path} {body}");
        assert_eq!(response.headers()["retry-after"], "1");
        assert_eq!(json(response).await["code"], "overloaded");
    }
    let response = ask(&api, "GET", "/v1/rooms", "").await;
    assert_eq!(response.status(), 503);
    drop(hub.turn());
    let filler = hub.received(connection);
    assert!(filler.iter().all(|packet| packet == "x"), "{filler:?}");
    let response = ask(&api, "POST", "/v1/emit", NEWS).await;
    assert_eq!(response.status(), 202);
    drop(hub.turn());
    let received = hub.received(connection);
    assert!(
        matches!(&received[..], [packet] if packet.ends_with(r#"42["x"]"#)),
        "{received:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn in_a_list_what_finds_no_place_is_refused_alone_and_the_list_waits_once() {
    let (api, hub) = api(4);
    hub.client();
    fill(&hub);
    let body = r#"{"actions":[
        {"type":"emit","event":"x","args":[],"to":{"all":true}},
        {"type":"join","rooms":["r"],"to":{"all":true}},
        {"type":"emit","event":"x","args":[],"to":{"all":true},"namespace":"/empty"}]}"#;
    let begun = tokio::time::Instant::now();
    let results = json(ask(&api, "POST", "/v1/actions", body).await).await;
    let status = |index: usize| results["results"][index]["status"].as_u64();
    assert_eq!(
        [status(0), status(1), status(2)],
        [Some(503), Some(503), Some(202)]
    );
    assert_eq!(results["results"][0]["problem"]["code"], "overloaded");
    assert!(begun.elapsed() <= PATIENCE * 2, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_does_not_answer_is_not_waited_for_for_ever() {
    let (api, hub) = api(100);
    let response = ask(&api, "GET", "/v1/rooms", "").await;
    assert_eq!(response.status(), 503);
    drop(hub);
}

#[tokio::test]
async fn a_bug_is_an_answer_too() {
    let (api, _hub) = api(100);
    let response = ask(&api, "GET", "/v1/nodes", "").await;
    assert_eq!(response.status(), 500);
    let id = response.headers()["x-request-id"].clone();
    let body = json(response).await;
    assert_eq!(body["code"], "internal");
    assert_eq!(body["request_id"], id.to_str().expect("ASCII"));
    let response = ask(&api, "GET", "/v1/upstreams", "").await;
    assert_eq!(response.status(), 200, "the next is served");
}
