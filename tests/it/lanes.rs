//! The lane of a socket (contract 4a): order, overlap, back-pressure, stalls, and what happens after the socket's end.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::backend::{Backend, Keys, Reply, Request};
use crate::support::client::{Client, EVERY_KIND, Kind, Packet};
use crate::support::gateway::Gateway;

async fn with_route(route: &str, top: &str) -> (Gateway, Backend) {
    let backend = Backend::start().await;
    let config = backend.everything_with(&Keys {
        route,
        ..Keys::default()
    });
    (Gateway::start(&format!("{top}{config}")).await, backend)
}

async fn joined(kind: Kind, gateway: &Gateway, backend: &mut Backend) -> Client {
    let mut client = Client::open(kind, gateway).await;
    client.connect("/", "").await;
    backend.next_of("connect").await;
    client
}

/// A delay that looks random and is the same in each run.
fn shuffled(request: &Request) -> Duration {
    let n = request.body["args"][0].as_u64().unwrap_or(0);
    Duration::from_micros(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 53)
}

fn number(request: &Request) -> u64 {
    request.body["args"][0].as_u64().expect("a number")
}

#[tokio::test]
async fn a_thousand_events_reach_the_backend_in_order_whatever_its_delays() {
    const EVENTS: u64 = 1000;
    let (gateway, mut backend) = with_route("", "").await;
    backend.answer_events(|r| Reply::Late(shuffled(r), Box::new(json!({}).into())));
    for kind in EVERY_KIND {
        let mut client = joined(kind, &gateway, &mut backend).await;
        let (sender, receiver) = (
            async {
                for n in 0..EVENTS {
                    client.send(&format!(r#"42["n",{n}]"#)).await;
                }
            },
            async {
                for n in 0..EVENTS {
                    let request = backend.next_of("event").await;
                    assert_eq!(number(&request), n, "{kind:?}");
                    assert_eq!(request.body["seq"], n + 1, "{kind:?}");
                }
            },
        );
        tokio::join!(sender, receiver);
        client.send("41").await;
        backend.next_of("disconnect").await;
    }
    assert_eq!(backend.most_in_flight(), 1);
}

#[tokio::test]
async fn overlapping_calls_still_take_effect_in_order() {
    const EVENTS: u64 = 300;
    let (gateway, mut backend) = with_route("max_in_flight = 4\n", "").await;
    backend.answer_events(|r| {
        let n = r.body["args"][0].clone();
        let reply = json!({"ack": [n], "actions": [{"type": "emit", "event": "did", "args": [n]}]});
        Reply::Late(shuffled(r), Box::new(reply.into()))
    });
    let mut client = joined(Kind::WebSocket, &gateway, &mut backend).await;
    for n in 0..EVENTS {
        client.send(&format!(r#"42{n}["n",{n}]"#)).await;
        if n >= 20 {
            let done = n - 20;
            client.expect(&format!("43{done}[{done}]")).await;
            client.expect(&format!(r#"42["did",{done}]"#)).await;
        }
    }
    for done in EVENTS - 20..EVENTS {
        client.expect(&format!("43{done}[{done}]")).await;
        client.expect(&format!(r#"42["did",{done}]"#)).await;
    }
    assert!(
        (2..=4).contains(&backend.most_in_flight()),
        "{}",
        backend.most_in_flight()
    );
}

#[tokio::test]
async fn without_overlap_one_call_of_a_lane_is_under_way_at_a_time() {
    let (gateway, mut backend) = with_route("", "").await;
    let mut client = joined(Kind::WebSocket, &gateway, &mut backend).await;
    let (release, reply) = Reply::held(json!({"ack": ["first"]}));
    backend.push(reply);
    client.send(r#"421["a"]"#).await;
    client.send(r#"422["b"]"#).await;
    assert_eq!(backend.next_of("event").await.event(), "a");
    // Another socket goes on meanwhile.
    let mut other = joined(Kind::WebSocket, &gateway, &mut backend).await;
    other.send(r#"423["c"]"#).await;
    other.expect("433[]").await;
    assert_eq!(backend.next_of("event").await.event(), "c");
    backend.has_no_request();
    release.go();
    client.expect(r#"431["first"]"#).await;
    client.expect("432[]").await;
    assert_eq!(backend.next_of("event").await.event(), "b");
}

#[tokio::test]
async fn edge_rules_keep_their_place_in_the_lane() {
    let (gateway, mut backend) = with_route("", "").await;
    let mut client = joined(Kind::WebSocket, &gateway, &mut backend).await;
    let (release, reply) = Reply::held(json!({"ack": ["slow"]}));
    backend.push(reply);
    client.send(r#"421["slow"]"#).await;
    backend.next_of("event").await;
    client.send(r#"422["echo","behind"]"#).await;
    client.send(r#"423["after"]"#).await;
    release.go();
    client.expect(r#"431["slow"]"#).await;
    client.expect(r#"432["behind"]"#).await;
    client.expect("433[]").await;
}

const TWO: &str = r#"
[[namespace]]
match = "/fast"
auth = "none"
[[namespace.route]]
event = "echo"
reply = "echo"
"#;

#[tokio::test]
async fn a_slow_namespace_does_not_delay_its_neighbour() {
    let mut backend = Backend::start().await;
    let gateway = Gateway::start(&format!("{}{TWO}", backend.everything())).await;
    for kind in EVERY_KIND {
        let mut client = joined(kind, &gateway, &mut backend).await;
        client.connect("/fast", "").await;
        let (release, reply) = Reply::held(json!({}));
        backend.push(reply);
        client.send(r#"421["slow"]"#).await;
        backend.next_of("event").await;
        client.send(r#"42/fast,2["echo",1]"#).await;
        client.expect("43/fast,2[1]").await;
        release.go();
        client.expect("431[]").await;
        client.send("41").await;
        backend.next_of("disconnect").await;
    }
}

#[tokio::test]
async fn a_full_lane_stops_reading_and_loses_nothing() {
    const EVENTS: u64 = 200;
    let (gateway, mut backend) = with_route("", "limits.lane_events = 4\n").await;
    for kind in EVERY_KIND {
        let mut client = joined(kind, &gateway, &mut backend).await;
        let (release, reply) = Reply::held(json!({}));
        backend.push(reply);
        let sending = async {
            for n in 0..EVENTS {
                client.send(&format!(r#"42["n",{n}]"#)).await;
            }
        };
        let receiving = async {
            assert_eq!(number(&backend.next_of("event").await), 0);
            release.go();
            for n in 1..EVENTS {
                assert_eq!(number(&backend.next_of("event").await), n, "{kind:?}");
            }
        };
        tokio::join!(sending, receiving);
        client.send("41").await;
        backend.next_of("disconnect").await;
    }
}

#[tokio::test]
async fn a_stalled_backend_costs_the_connection_after_its_time() {
    let top = "limits.lane_events = 1\nlimits.stall_timeout = \"300ms\"\n";
    let (gateway, mut backend) = with_route("deadline = \"60s\"\n", top).await;
    for kind in [Kind::WebSocket, Kind::Upgraded] {
        let mut client = joined(kind, &gateway, &mut backend).await;
        backend.push(Reply::Hang);
        for _ in 0..4 {
            client.send(r#"42["x"]"#).await;
        }
        client.expect_end().await;
        backend.next_of("event").await;
    }
}

#[tokio::test]
async fn a_stalled_lane_ends_as_backend_stalled() {
    let top = "limits.lane_events = 1\nlimits.stall_timeout = \"300ms\"\n";
    let (gateway, mut backend) = with_route("deadline = \"1s\"\n", top).await;
    let mut client = joined(Kind::WebSocket, &gateway, &mut backend).await;
    backend.push(Reply::Hang);
    for _ in 0..4 {
        client.send(r#"42["x"]"#).await;
    }
    client.expect_end().await;
    let notice = loop {
        let request = backend.next().await;
        if request.kind() == "disconnect" {
            break request.body;
        }
    };
    assert_eq!(notice["reason"], "backend stalled", "{notice}");
    assert_eq!(notice["initiator"], "gateway", "{notice}");
}

#[tokio::test]
async fn events_in_the_lane_are_asked_after_the_end_and_disconnect_is_last() {
    let (gateway, mut backend) = with_route("", "").await;
    let mut witness = joined(Kind::WebSocket, &gateway, &mut backend).await;
    for kind in EVERY_KIND {
        let mut client = joined(kind, &gateway, &mut backend).await;
        let (release, reply) = Reply::held(json!({
            "ack": ["too late"], "state": {"n": 1},
            "actions": [{"type": "emit", "event": "for others", "args": [], "to": {"all": true}}],
        }));
        backend.push(reply);
        for n in 0..4 {
            client.send(&format!(r#"42{n}["n",{n}]"#)).await;
        }
        let first = backend.next_of("event").await;
        client.send("1").await;
        // Now the gateway knows: the session is over.
        client.expect_end().await;
        release.go();
        witness.expect(r#"42["for others"]"#).await;
        for n in 1..4 {
            assert_eq!(number(&backend.next_of("event").await), n, "{kind:?}");
        }
        let notice = backend.next_of("disconnect").await;
        assert_eq!(notice.socket(), first.socket());
        assert_eq!(notice.body["seq"], 5);
        assert_eq!(notice.body["reason"], "transport close");
        // What concerned the socket itself did nothing.
        assert_eq!(notice.body["socket"].get("state"), None);
    }
}

#[tokio::test]
async fn a_client_that_leaves_is_told_last_and_its_events_before() {
    let (gateway, mut backend) = with_route("", "").await;
    for kind in EVERY_KIND {
        let mut client = joined(kind, &gateway, &mut backend).await;
        let (release, reply) = Reply::held(json!({}));
        backend.push(reply);
        for n in 0..4 {
            client.send(&format!(r#"42["n",{n}]"#)).await;
        }
        backend.next_of("event").await;
        client.send("41").await;
        release.go();
        for n in 1..4 {
            assert_eq!(number(&backend.next_of("event").await), n, "{kind:?}");
        }
        let notice = backend.next_of("disconnect").await;
        assert_eq!(notice.body["reason"], "client namespace disconnect");
    }
}

#[tokio::test]
async fn a_disconnect_by_a_reply_ends_the_socket_and_what_was_behind_it_is_still_asked() {
    let (gateway, mut backend) = with_route("", "").await;
    let mut client = joined(Kind::WebSocket, &gateway, &mut backend).await;
    let (release, reply) = Reply::held(json!({"actions": [{"type": "disconnect"}]}));
    backend.push(reply);
    client.send(r#"42["n",0]"#).await;
    backend.next_of("event").await;
    client.send(r#"427["n",1]"#).await;
    client.send(r#"42["echo","never"]"#).await;
    // Both are in the lane once the gateway has answered a ping of its WebSocket; the release comes after.
    release.go();
    client.expect("41").await;
    let rest = backend.next().await;
    let notice = match rest.kind() {
        "event" => backend.next_of("disconnect").await,
        _ => rest,
    };
    assert_eq!(notice.body["reason"], "server namespace disconnect");
    client.connect("/", "").await;
}

#[tokio::test]
async fn the_lane_keeps_order_for_many_sockets_at_once() {
    const SOCKETS: usize = 20;
    const EVENTS: u64 = 50;
    let (gateway, mut backend) = with_route("", "").await;
    backend.answer_events(|r| {
        Reply::Late(
            shuffled(r),
            Box::new(json!({"ack": [r.body["args"][0]]}).into()),
        )
    });
    let mut clients = Vec::new();
    for n in 0..SOCKETS {
        clients.push(joined(EVERY_KIND[n % 3], &gateway, &mut backend).await);
    }
    let talking = clients.iter_mut().map(|client| async move {
        for n in 0..EVENTS {
            client.send(&format!(r#"42{n}["n",{n}]"#)).await;
        }
        for n in 0..EVENTS {
            assert_eq!(client.next().await, Packet::Text(format!("43{n}[{n}]")));
        }
    });
    futures_util::future::join_all(talking).await;
    let mut last = std::collections::HashMap::<String, Value>::new();
    for _ in 0..SOCKETS as u64 * EVENTS {
        let request = backend.next_of("event").await;
        let seq = request.body["seq"].clone();
        if let Some(before) = last.insert(request.socket().to_owned(), seq.clone()) {
            assert_eq!(before.as_u64().unwrap() + 1, seq.as_u64().unwrap());
        }
    }
}

#[tokio::test]
async fn a_full_lane_stops_acks_and_other_namespaces_while_pings_go_on() {
    let top = "limits.lane_events = 1\nengine.ping_interval = \"300ms\"\nengine.ping_timeout = \"200ms\"\n";
    let mut backend = Backend::start().await;
    let gateway = Gateway::start(&format!("{top}{}{TWO}", backend.everything())).await;
    let mut client = Client::open(Kind::WebSocket, &gateway).await;
    let id = client.connect("/", "").await;
    client.connect("/fast", "").await;
    backend.next_of("connect").await;
    let (release, reply) = Reply::held(json!({"ack": ["slow"]}));
    backend.push(reply);
    client.send(r#"421["slow"]"#).await;
    backend.next_of("event").await;
    // From here on nothing is read: neither the other namespace nor acknowledgements.
    client.send(r#"42/fast,2["echo",1]"#).await;
    let body =
        json!({"event": "ask", "args": [], "to": {"sockets": [id]}, "ack": {"timeout_ms": 300}});
    let (answer, ()) = tokio::join!(gateway.api_post("/v1/emit", &body), async {
        let text = client.text().await;
        let ack = text
            .strip_prefix("42")
            .and_then(|t| t.strip_suffix(r#"["ask"]"#));
        let ack = ack.unwrap_or_else(|| panic!("{text} asks for nothing"));
        client.send(&format!("43{ack}[]")).await;
    });
    assert_eq!(answer.json()["complete"], false, "{answer:?}");
    // Far more pings than a client that is given up would get, and no pong of it is read.
    let Client::WebSocket(socket) = &mut client else {
        unreachable!("opened so")
    };
    for _ in 0..5 {
        socket.expect("2").await;
    }
    release.go();
    client.expect(r#"431["slow"]"#).await;
    client.expect("43/fast,2[1]").await;
    client.expect_quiet().await;
}

#[tokio::test]
async fn a_lane_behind_a_held_connect_does_not_stall() {
    let top = "limits.lane_events = 1\nlimits.stall_timeout = \"300ms\"\n";
    let (gateway, mut backend) = with_route("deadline = \"30s\"\n", top).await;
    let (release, reply) = Reply::held(json!({}));
    backend.push(reply);
    let mut waits = Client::open(Kind::WebSocket, &gateway).await;
    waits.send("40").await;
    for n in 0..3 {
        waits.send(&format!(r#"42{n}["n",{n}]"#)).await;
    }
    backend.next_of("connect").await;
    // A lane that stalls later is given up: the time is over for the first one as well.
    let mut stalls = joined(Kind::WebSocket, &gateway, &mut backend).await;
    backend.push(Reply::Hang);
    for _ in 0..3 {
        stalls.send(r#"42["x"]"#).await;
    }
    stalls.expect_end().await;
    release.go();
    waits.expect_connected("/").await;
    for n in 0..3 {
        waits.expect(&format!("43{n}[]")).await;
    }
}

#[tokio::test]
async fn sockets_that_are_settling_count_for_the_limit_of_namespaces() {
    let (gateway, mut backend) = with_route("", "limits.namespaces_per_connection = 1\n").await;
    let mut client = joined(Kind::WebSocket, &gateway, &mut backend).await;
    let (release, reply) = Reply::held(json!({}));
    backend.push(reply);
    client.send(r#"42["slow"]"#).await;
    backend.next_of("event").await;
    client.send("41").await;
    client.send("40").await;
    client
        .expect(r#"44{"message":"Too many namespaces"}"#)
        .await;
    release.go();
    backend.next_of("disconnect").await;
    crate::support::wait::eventually("a free place", async || {
        client.send("40").await;
        let text = client.text().await;
        text.starts_with("40{").then_some(()).ok_or(text)
    })
    .await;
}
