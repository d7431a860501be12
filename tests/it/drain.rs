//! The end of the process (contract 10, operations d1): nothing that was acknowledged is lost, and clients come back elsewhere.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::json;
use tokio_tungstenite::tungstenite::Error;

use crate::support::backend::{Backend, Keys, Reply};
use crate::support::client::{Client, EVERY_KIND, Kind, Packet};
use crate::support::frames::Frames;
use crate::support::gateway::{ECHO, Gateway};
use crate::support::http::get;
use crate::support::polling::Polling;
use crate::support::wait::eventually;
use crate::support::websocket::WebSocket;

/// Nobody waits for load balancers, and sessions are retired at once.
const AT_ONCE: &str = "drain.delay = \"0s\"\ndrain.spread = \"0s\"\n";
/// Longer than a test.
const NEVER: &str = "drain.delay = \"1h\"\ndrain.hard_stop = \"2h\"\n";
/// Sessions stay, new ones are refused.
const SLOWLY: &str = "drain.delay = \"0s\"\ndrain.spread = \"1h\"\ndrain.hard_stop = \"2h\"\n";

async fn with_backend(drain: &str) -> (Gateway, Backend) {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&format!("{drain}{}", backend.everything())).await;
    (gateway, backend)
}

async fn ends_well(gateway: &mut Gateway) {
    let status = gateway.exit().await;
    assert_eq!(status.code(), Some(0), "{}", gateway.logs().join("\n"));
}

async fn is_draining(gateway: &Gateway) {
    eventually("the drain to begin", async || {
        let answer = get(gateway.admin, "/readyz").await;
        (answer.status == 503)
            .then_some(())
            .ok_or_else(|| format!("{answer:?}"))
    })
    .await;
}

/// Awaits that a handshake is refused, by both transports.
async fn refuses_handshakes(gateway: &Gateway) {
    let target = gateway.target("EIO=4&transport=websocket");
    let answer = eventually("handshakes to be refused", async || {
        match Box::pin(WebSocket::connect(gateway.clients, &target, &[])).await {
            Err(Error::Http(answer)) => Ok(answer),
            Err(error) => Err(error.to_string()),
            // It came in time: it leaves no session.
            Ok(socket) => {
                Box::pin(socket.close()).await;
                Err("a session".to_owned())
            }
        }
    })
    .await;
    assert_eq!(answer.status(), 503);
    let answer = gateway.get("EIO=4&transport=polling").await;
    assert_eq!(answer.status, 503, "{answer:?}");
    answer.has("retry-after", "5");
}

#[tokio::test]
async fn without_sessions_the_end_comes_at_once() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut gateway = Gateway::start(&format!("{NEVER}{ECHO}")).await;
        gateway.signal(signal);
        ends_well(&mut gateway).await;
    }
}

#[tokio::test]
async fn the_end_comes_when_the_last_session_has_left() {
    for drain in [NEVER, SLOWLY] {
        let mut gateway = Gateway::start(&format!("{drain}{ECHO}")).await;
        let mut clients = Vec::new();
        for kind in EVERY_KIND {
            let mut client = Client::open(kind, &gateway).await;
            client.connect("/", "").await;
            clients.push(client);
        }
        gateway.signal(Signal::TERM);
        is_draining(&gateway).await;
        gateway.metric_is("sockgate_draining", 1.0).await;
        for client in &mut clients {
            client.expect_quiet().await;
            client.send("1").await;
        }
        ends_well(&mut gateway).await;
    }
}

#[tokio::test]
async fn new_sessions_are_let_in_during_the_delay_and_refused_after_it() {
    let mut gateway = Gateway::start(&format!("{NEVER}{ECHO}")).await;
    let (_client, _) = Client::joined(&gateway).await;
    gateway.signal(Signal::TERM);
    is_draining(&gateway).await;
    let (mut late, _) = Client::joined(&gateway).await;
    late.expect_quiet().await;
    gateway.signal(Signal::TERM);
    ends_well(&mut gateway).await;

    let mut gateway = Gateway::start(&format!("{SLOWLY}{ECHO}")).await;
    let (mut early, _) = Client::joined(&gateway).await;
    gateway.signal(Signal::TERM);
    refuses_handshakes(&gateway).await;
    early.expect_quiet().await;
    gateway.signal(Signal::TERM);
    ends_well(&mut gateway).await;
}

#[tokio::test]
async fn a_session_ends_by_its_transport_and_never_by_a_disconnect_packet() {
    let mut gateway = Gateway::start(&format!("{AT_ONCE}{ECHO}")).await;
    let mut frames = Frames::joined(&gateway).await;
    let mut polling = Polling::open(&gateway).await;
    polling.send("40").await;
    assert!(matches!(polling.receive().await, Packet::Text(text) if text.starts_with("40{")));
    let mut pending = polling.begin_poll().await;
    // The poll is there when an answer comes by it.
    polling.send(r#"42["echo",1]"#).await;
    pending.answer().await.is(200, r#"42["echo",1]"#);
    let mut pending = polling.begin_poll().await;
    gateway.signal(Signal::TERM);
    frames.expect_close(None).await;
    let last = pending.answer().await;
    assert!(matches!(last.text(), "1" | "6\x1e1"), "{last:?}");
    ends_well(&mut gateway).await;
}

#[tokio::test]
async fn what_is_under_way_is_answered_before_the_session_ends() {
    for kind in EVERY_KIND {
        let (mut gateway, mut backend) = with_backend(AT_ONCE).await;
        let mut client = Client::open(kind, &gateway).await;
        client.connect("/", "").await;
        backend.next_of("connect").await;
        let (release, reply) = Reply::held(json!({
            "ack": ["done"],
            "actions": [{"type": "emit", "event": "behind", "args": []}],
        }));
        backend.push(reply);
        client.send(r#"421["x"]"#).await;
        backend.next_of("event").await;
        gateway.signal(Signal::TERM);
        refuses_handshakes(&gateway).await;
        release.go();
        client.expect(r#"431["done"]"#).await;
        client.expect(r#"42["behind"]"#).await;
        client.expect_end().await;
        let notice = backend.next_of("disconnect").await.body;
        assert_eq!(notice["reason"], "server shutting down", "{notice}");
        assert_eq!(notice["initiator"], "gateway", "{notice}");
        ends_well(&mut gateway).await;
    }
}

#[tokio::test]
async fn a_backend_may_still_ask_the_client_while_its_answer_is_awaited() {
    for kind in EVERY_KIND {
        let (mut gateway, mut backend) = with_backend(AT_ONCE).await;
        let mut client = Client::open(kind, &gateway).await;
        let id = client.connect("/", "").await;
        backend.next_of("connect").await;
        let (release, reply) = Reply::held(json!({"ack": []}));
        backend.push(reply);
        client.send(r#"421["x"]"#).await;
        backend.next_of("event").await;
        gateway.signal(Signal::TERM);
        refuses_handshakes(&gateway).await;
        let body = json!({"event": "sure?", "args": [], "to": {"sockets": [id]}, "ack": {}});
        let asking = gateway.api_post("/v1/emit", &body);
        let answering = async {
            let question = client.text().await;
            let number = question
                .strip_prefix("42")
                .and_then(|rest| rest.strip_suffix(r#"["sure?"]"#));
            let number = number.unwrap_or_else(|| panic!("{question}"));
            client.send(&format!(r#"43{number}["yes"]"#)).await;
        };
        let (answer, ()) = tokio::join!(asking, answering);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.text().contains("yes"), "{answer:?}");
        release.go();
        client.expect("431[]").await;
        client.expect_end().await;
        ends_well(&mut gateway).await;
    }
}

#[tokio::test]
async fn what_was_queued_for_a_client_arrives_before_the_end() {
    const EMITS: usize = 200;
    for kind in EVERY_KIND {
        let mut gateway = Gateway::start(&format!("{AT_ONCE}{ECHO}")).await;
        let mut client = Client::open(kind, &gateway).await;
        let id = client.connect("/", "").await;
        let to = json!({"sockets": [id]});
        let text = "x".repeat(4000);
        for n in 0..EMITS {
            gateway.emit(&to, "n", &json!([n, text])).await;
        }
        gateway.signal(Signal::TERM);
        // By the log: a socket that took everything at once may leave nothing to ask.
        gateway.log_line(&["draining"]).await;
        for n in 0..EMITS {
            client.expect(&format!(r#"42["n",{n},"{text}"]"#)).await;
        }
        client.expect_end().await;
        ends_well(&mut gateway).await;
    }
}

#[tokio::test]
async fn every_event_that_the_backend_answered_is_acknowledged() {
    const CLIENTS: usize = 24;
    let (mut gateway, backend) =
        with_backend("drain.delay = \"0s\"\ndrain.spread = \"500ms\"\n").await;
    let answered = Arc::new(Mutex::new(BTreeSet::new()));
    let seen = Arc::clone(&answered);
    backend.answer_events(move |request| {
        let args = request.body["args"].clone();
        seen.lock().unwrap().insert(args.to_string());
        json!({"ack": args})
    });
    let mut clients = Vec::new();
    for n in 0..CLIENTS {
        let mut client = Client::open(EVERY_KIND[n % 3], &gateway).await;
        client.connect("/", "").await;
        clients.push(client);
    }
    let talking = clients
        .into_iter()
        .enumerate()
        .map(|(c, mut client)| async move {
            let mut acknowledged = Vec::new();
            for n in 0.. {
                // A session that is over by now is found by whoever reads.
                match &mut client {
                    Client::Polling(polling) => {
                        drop(polling.post(format!(r#"42{n}["n",{c},{n}]"#)).await);
                    }
                    Client::WebSocket(socket) => {
                        socket.send(&format!(r#"42{n}["n",{c},{n}]"#)).await;
                    }
                }
                match client.next().await {
                    Packet::Text(text) => {
                        assert_eq!(text, format!("43{n}[{c},{n}]"));
                        acknowledged.push(format!("[{c},{n}]"));
                    }
                    Packet::End => break,
                    other @ Packet::Binary(_) => panic!("{other:?}"),
                }
            }
            acknowledged
        });
    let ending = async {
        eventually("some traffic", async || {
            let seen = answered.lock().unwrap().len();
            (seen > CLIENTS * 5)
                .then_some(())
                .ok_or_else(|| seen.to_string())
        })
        .await;
        gateway.signal(Signal::TERM);
    };
    let (acknowledged, ()) = tokio::join!(join_all(talking), ending);
    let acknowledged: BTreeSet<_> = acknowledged.into_iter().flatten().collect();
    assert_eq!(acknowledged, *answered.lock().unwrap());
    ends_well(&mut gateway).await;
}

#[tokio::test]
async fn sessions_leave_one_after_the_other() {
    let drain = "drain.delay = \"0s\"\ndrain.spread = \"2s\"\n";
    let mut gateway = Gateway::start(&format!("{drain}{ECHO}")).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(Client::joined(&gateway).await.0);
    }
    gateway.signal(Signal::TERM);
    // When the first has left, others are still served.
    let ends = clients
        .iter_mut()
        .map(|client| Box::pin(client.expect_end()));
    let ((), first, _) = futures_util::future::select_all(ends).await;
    clients.remove(first);
    let mut served = 0;
    for client in &mut clients {
        client.send(r#"42["echo",1]"#).await;
        served += usize::from(client.next().await != Packet::End);
    }
    assert!(served > 0, "all left at once");
    ends_well(&mut gateway).await;
}

#[tokio::test]
async fn actions_of_the_api_reach_those_who_are_still_there() {
    let mut gateway = Gateway::start(&format!("{SLOWLY}{ECHO}")).await;
    let (mut client, id) = Client::joined(&gateway).await;
    gateway.signal(Signal::TERM);
    refuses_handshakes(&gateway).await;
    gateway
        .emit(&json!({"sockets": [id]}), "late", &json!([]))
        .await;
    client.expect(r#"42["late"]"#).await;
    client.send("1").await;
    ends_well(&mut gateway).await;
}

#[tokio::test]
async fn at_the_hard_stop_the_rest_is_cut_and_said() {
    let drain = "drain.delay = \"0s\"\ndrain.spread = \"0s\"\ndrain.hard_stop = \"300ms\"\n";
    let (mut gateway, mut backend) = with_backend(drain).await;
    let (mut client, _) = Client::joined(&gateway).await;
    backend.push(Reply::Hang);
    backend.next_of("connect").await;
    client.send(r#"421["x"]"#).await;
    backend.next_of("event").await;
    gateway.signal(Signal::TERM);
    client.expect_end().await;
    ends_well(&mut gateway).await;
    gateway
        .log_line(&["hard stop", "sessions=1", "calls=1"])
        .await;
}

#[tokio::test]
async fn a_second_signal_stops_at_once() {
    for (first, second) in [(Signal::TERM, Signal::TERM), (Signal::TERM, Signal::INT)] {
        let mut gateway = Gateway::start(&format!("{NEVER}{ECHO}")).await;
        let (mut client, _) = Client::joined(&gateway).await;
        gateway.signal(first);
        is_draining(&gateway).await;
        gateway.signal(second);
        client.expect_end().await;
        ends_well(&mut gateway).await;
    }
}

#[tokio::test]
async fn an_interrupt_waits_for_nobody() {
    let drain = "drain.delay = \"1h\"\ndrain.spread = \"1h\"\ndrain.hard_stop = \"3h\"\n";
    let (mut gateway, mut backend) = with_backend(drain).await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(Client::joined(&gateway).await.0);
        backend.next_of("connect").await;
    }
    gateway.signal(Signal::INT);
    for client in &mut clients {
        client.expect_end().await;
        backend.next_of("disconnect").await;
    }
    ends_well(&mut gateway).await;
}

#[tokio::test]
async fn a_notice_that_fails_is_tried_again_before_the_end() {
    let (mut gateway, mut backend) = with_backend(AT_ONCE).await;
    let (mut client, id) = Client::joined(&gateway).await;
    backend.next_of("connect").await;
    backend.push_for_notice(Reply::status(500));
    gateway.signal(Signal::TERM);
    client.expect_end().await;
    for attempt in ["1", "2"] {
        let notice = backend.next_of("disconnect").await;
        assert_eq!(notice.socket(), id);
        assert_eq!(notice.must("sockgate-attempt"), attempt);
    }
    ends_well(&mut gateway).await;
}

#[tokio::test]
async fn notices_that_are_lost_are_counted_in_the_log() {
    let backend = Backend::start().await;
    let config = backend.everything_with(&Keys {
        upstream: "timeout = \"100ms\"",
        ..Keys::default()
    });
    let drain = "drain.delay = \"0s\"\ndrain.spread = \"0s\"\ndrain.hard_stop = \"2s\"\n";
    let mut gateway = Gateway::start(&format!("{drain}{config}")).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(Client::joined(&gateway).await.0);
    }
    backend.answer(|_| Reply::status(500));
    gateway.signal(Signal::TERM);
    for client in &mut clients {
        client.expect_end().await;
    }
    ends_well(&mut gateway).await;
    let words = ["notices are lost", "upstream=\"app\"", "left=3"];
    gateway.log_line(&words).await;
}

#[tokio::test]
async fn a_polling_client_that_went_away_is_not_waited_for_long() {
    let mut gateway = Gateway::start(&format!("{AT_ONCE}{ECHO}")).await;
    let polling = Client::open(Kind::Polling, &gateway).await;
    drop(polling);
    gateway.signal(Signal::TERM);
    // Within the deadline of `exit`, and so before the time that a client has for its next poll otherwise.
    ends_well(&mut gateway).await;
}
