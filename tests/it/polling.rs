//! Polling (protocol 1.5, 1.6, 1.7): overlap, aborts, limits, and what stays open.

use std::fmt::Write;

use crate::support::client::{Client, Kind, Packet};
use crate::support::gateway::{ECHO, Gateway};
use crate::support::http::{Exchange, ask, request};
use crate::support::polling::{Polling, SEPARATOR, UNKNOWN_SESSION, packets};

async fn joined(gateway: &Gateway) -> Polling {
    let mut client = Client::open(Kind::Polling, gateway).await;
    client.connect("/", "").await;
    match client {
        Client::Polling(polling) => polling,
        Client::WebSocket(_) => unreachable!("opened by polling"),
    }
}

fn echo(argument: &str) -> String {
    format!(r#"42["echo",{argument}]"#)
}

#[tokio::test]
async fn answers_have_the_protocols_headers() {
    let gateway = Gateway::start(ECHO).await;
    let opened = gateway.get("EIO=4&transport=polling").await;
    let polling = joined(&gateway).await;
    polling.send(echo("1")).await;
    for answer in [opened, polling.poll().await] {
        answer.has("content-type", "text/plain; charset=UTF-8");
        answer.has("cache-control", "no-store");
        answer.has("content-length", &answer.body.len().to_string());
        answer.lacks("x-xss-protection");
    }
    let answer = polling.post(echo("2")).await;
    answer.has("content-type", "text/html");
    answer.has("content-length", "2");
    answer.has("cache-control", "no-store");
    answer.is(200, "ok");
}

#[tokio::test]
async fn a_poll_is_held_until_there_is_something() {
    let gateway = Gateway::start(ECHO).await;
    let polling = joined(&gateway).await;
    let mut pending = polling.begin_poll().await;
    polling.send(echo("1")).await;
    pending.answer().await.is(200, &echo("1"));
}

#[tokio::test]
async fn sixteen_packets_at_most_come_in_one_answer_and_the_rest_in_the_next() {
    let gateway = Gateway::start(ECHO).await;
    let polling = joined(&gateway).await;
    let sent: Vec<_> = (0..40).map(|n| echo(&n.to_string())).collect();
    polling.send(sent.join(SEPARATOR)).await;
    for part in sent.chunks(16) {
        polling.poll().await.is(200, &part.join(SEPARATOR));
    }
}

#[tokio::test]
async fn a_binary_packet_may_be_split_between_two_answers() {
    let gateway = Gateway::start(&format!("engine.polling_packets = 2\n{ECHO}")).await;
    let polling = joined(&gateway).await;
    let header = r#"452-["echo",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;
    let sent = [header, "bAQID", "bBAUG", &echo("1")];
    polling.send(sent.join(SEPARATOR)).await;
    polling.poll().await.is(200, &sent[..2].join(SEPARATOR));
    polling.poll().await.is(200, &sent[2..].join(SEPARATOR));
}

#[tokio::test]
async fn get_and_post_overlap_freely() {
    let gateway = Gateway::start(ECHO).await;
    let polling = joined(&gateway).await;
    for n in 0..50 {
        let mut pending = polling.begin_poll().await;
        polling.send(echo(&n.to_string())).await;
        pending.answer().await.is(200, &echo(&n.to_string()));
    }
}

#[tokio::test]
async fn of_two_polls_one_gets_the_close_the_other_is_refused_and_the_session_is_gone() {
    let gateway = Gateway::start(ECHO).await;
    for _ in 0..20 {
        let polling = joined(&gateway).await;
        let (mut first, mut second) = (polling.begin_poll().await, polling.begin_poll().await);
        let answers = tokio::join!(first.answer(), second.answer());
        let (held, refused) = match answers {
            (a, b) if a.status == 200 => (a, b),
            (a, b) => (b, a),
        };
        held.is(200, "1");
        refused.is(400, "");
        polling.expect_gone().await;
    }
}

#[tokio::test]
async fn an_aborted_poll_ends_the_session_at_once() {
    let gateway = Gateway::start(ECHO).await;
    for reset in [false, true] {
        let polling = joined(&gateway).await;
        let pending = polling.begin_poll().await;
        if reset {
            pending.reset();
        } else {
            drop(pending);
        }
        // Long before the ping interval of 25 s.
        polling.expect_gone().await;
    }
}

#[tokio::test]
async fn a_second_post_during_the_first_ends_the_session() {
    let gateway = Gateway::start(ECHO).await;
    let polling = joined(&gateway).await;
    let mut pending = polling.begin_poll().await;
    // The first POST is under way once the gateway has asked for its body.
    let headers = [("content-length", "100"), ("expect", "100-continue")];
    let head = request("POST", &polling.target, &headers, b"");
    let mut first = Exchange::begin(gateway.clients, &head).await;
    assert_eq!(first.take(9).await.unwrap(), b"HTTP/1.1 ");
    polling.post(echo("2")).await.is(400, "");
    // The second where the poll has come too late to be held.
    let poll = pending.answer().await;
    let told = (poll.status, poll.text());
    assert!(
        matches!(told, (200, "1") | (400, UNKNOWN_SESSION)),
        "{poll:?}"
    );
    let rest = first.until_end().await;
    let rest = String::from_utf8_lossy(&rest);
    assert!(!rest.contains("200"), "the first POST was answered: {rest}");
    polling.expect_gone().await;
}

#[tokio::test]
async fn an_aborted_post_ends_the_session() {
    let gateway = Gateway::start(ECHO).await;
    let polling = joined(&gateway).await;
    drop(polling.begin_post(100, b"42[\"echo\",").await);
    polling.expect_gone().await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_and_the_session_stays() {
    let gateway = Gateway::start(&format!("engine.max_payload = \"10kB\"\n{ECHO}")).await;
    let polling = joined(&gateway).await;
    assert_eq!(polling.handshake["maxPayload"], 10_000);
    let at_limit = echo(&format!("{:?}", "x".repeat(10_000 - echo("\"\"").len())));
    assert_eq!(at_limit.len(), 10_000);
    polling.send(&at_limit).await;
    polling.poll().await.is(200, &at_limit);
    polling.post("x".repeat(10_001)).await.is(413, "");
    polling.send(echo("1")).await;
    polling.poll().await.is(200, &echo("1"));
}

#[tokio::test]
async fn a_chunked_body_is_counted_as_it_arrives() {
    let gateway = Gateway::start(&format!("engine.max_payload = \"10kB\"\n{ECHO}")).await;
    let polling = joined(&gateway).await;
    let chunked = [
        ("transfer-encoding", "chunked"),
        ("content-length-not", "0"),
    ];
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: localhost\r\n{}: {}\r\n\r\n",
        polling.target, chunked[0].0, chunked[0].1
    );
    let body = echo("1");
    let small = format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let answer = Exchange::begin(gateway.clients, small.as_bytes())
        .await
        .answer()
        .await;
    answer.is(200, "ok");
    polling.poll().await.is(200, &body);
    let large = format!("{head}2711\r\n{}\r\n0\r\n\r\n", "x".repeat(10_001));
    let answer = Exchange::begin(gateway.clients, large.as_bytes())
        .await
        .answer()
        .await;
    answer.is(413, "");
    polling.send(&body).await;
    polling.poll().await.is(200, &body);
}

#[tokio::test]
async fn an_octet_stream_is_refused_and_ends_the_session() {
    let gateway = Gateway::start(ECHO).await;
    let polling = joined(&gateway).await;
    let headers = [("content-type", "application/octet-stream")];
    let answer = ask(
        gateway.clients,
        "POST",
        &polling.target,
        &headers,
        echo("1"),
    )
    .await;
    answer.is(400, "");
    polling.expect_gone().await;
}

#[tokio::test]
async fn any_other_content_type_is_taken_as_text() {
    let gateway = Gateway::start(ECHO).await;
    let polling = joined(&gateway).await;
    for kind in [
        "text/plain",
        "application/json",
        "application/octet-stream; x=1",
        "nonsense",
    ] {
        let headers = [("content-type", kind)];
        let answer = ask(
            gateway.clients,
            "POST",
            &polling.target,
            &headers,
            echo("1"),
        )
        .await;
        answer.is(200, "ok");
        polling.poll().await.is(200, &echo("1"));
    }
}

#[tokio::test]
async fn a_bad_packet_ends_the_session_after_the_good_ones_before_it() {
    let gateway = Gateway::start(ECHO).await;
    for bad in ["", "x", "7", "bAQI*", "9abc"] {
        let mut polling = joined(&gateway).await;
        let status = polling.post([&echo("1"), bad].join(SEPARATOR)).await.status;
        assert!(matches!(status, 200 | 400), "{bad:?}: {status}");
        // What was before it has been dealt with; whether its echo still gets out is the gateway's choice.
        match polling.receive().await {
            Packet::Text(text) => assert_eq!(text, echo("1"), "{bad:?}"),
            Packet::End => {}
            binary @ Packet::Binary(_) => panic!("{bad:?}: {binary:?}"),
        }
        polling.expect_gone().await;
    }
}

#[tokio::test]
async fn an_empty_body_is_a_parse_error() {
    let gateway = Gateway::start(ECHO).await;
    let polling = joined(&gateway).await;
    let status = polling.post("").await.status;
    assert!(matches!(status, 200 | 400), "{status}");
    polling.expect_gone().await;
}

#[tokio::test]
async fn a_body_that_is_not_utf8_ends_the_session() {
    let mut gateway = Gateway::start(ECHO).await;
    let polling = joined(&gateway).await;
    let status = polling.post(b"42[\"echo\",\"\xff\xfe\"]").await.status;
    assert!(matches!(status, 200 | 400), "{status}");
    polling.expect_gone().await;
    gateway.is_well("bytes that are not UTF-8").await;
}

#[tokio::test]
async fn packets_that_mean_nothing_are_ignored() {
    let gateway = Gateway::start(ECHO).await;
    let polling = joined(&gateway).await;
    polling
        .send(["0", "6", "3", "3anything"].join(SEPARATOR))
        .await;
    polling.send(echo("1")).await;
    polling.poll().await.is(200, &echo("1"));
}

#[tokio::test]
async fn thousands_of_packets_in_one_body_all_arrive_in_order() {
    let gateway = Gateway::start(ECHO).await;
    let mut polling = joined(&gateway).await;
    let mut payload = echo("0");
    for n in 1..6000 {
        write!(payload, "{SEPARATOR}{}", echo(&n.to_string())).unwrap();
    }
    // A client that sends so much reads meanwhile, as every client does: who sends to itself waits for itself.
    let (at, target) = (gateway.clients, polling.target.clone());
    let receive = async {
        for n in 0..6000 {
            assert_eq!(polling.receive().await, Packet::Text(echo(&n.to_string())));
        }
    };
    let (answer, ()) = tokio::join!(ask(at, "POST", &target, &[], payload), receive);
    answer.is(200, "ok");
}

#[tokio::test]
async fn more_packets_than_the_limit_in_one_body_end_the_session() {
    let gateway = Gateway::start(&format!("limits.packets_per_payload = 10\n{ECHO}")).await;
    let polling = joined(&gateway).await;
    let ten = ["3"; 10].join(SEPARATOR);
    polling.send(&ten).await;
    let eleven = [ten.as_str(), "3"].join(SEPARATOR);
    polling.post(eleven).await.is(400, "");
    polling.expect_gone().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let gateway = Gateway::start(&format!("limits.body_timeout = \"200ms\"\n{ECHO}")).await;
    let polling = joined(&gateway).await;
    let mut slow = polling.begin_post(100, b"42").await;
    let seen = String::from_utf8_lossy(&slow.until_end().await).into_owned();
    assert!(
        seen.is_empty() || seen.starts_with("HTTP/1.1 408 "),
        "{seen}"
    );
    polling.expect_gone().await;
}

#[tokio::test]
async fn one_connection_carries_many_requests() {
    let gateway = Gateway::start(ECHO).await;
    let polling = joined(&gateway).await;
    let post = |body: &str| request("POST", &polling.target, &[], body.as_bytes());
    let get = request("GET", &polling.target, &[], b"");
    let mut connection = Exchange::begin(gateway.clients, &post(&echo("0"))).await;
    connection.answer().await.is(200, "ok");
    for n in 1..20 {
        connection.again(&get).await;
        connection
            .answer()
            .await
            .is(200, &echo(&(n - 1).to_string()));
        connection.again(&post(&echo(&n.to_string()))).await;
        connection.answer().await.is(200, "ok");
    }
}

#[tokio::test]
async fn requests_in_one_segment_are_answered_in_turn() {
    let gateway = Gateway::start(ECHO).await;
    let polling = joined(&gateway).await;
    let mut both = request("POST", &polling.target, &[], echo("1").as_bytes());
    both.extend(request("GET", &polling.target, &[], b""));
    let mut connection = Exchange::begin(gateway.clients, &both).await;
    connection.answer().await.is(200, "ok");
    connection.answer().await.is(200, &echo("1"));
}

#[tokio::test]
async fn sessions_do_not_see_each_others_packets() {
    let gateway = Gateway::start(ECHO).await;
    let mut sessions = Vec::new();
    for n in 0..20 {
        let polling = joined(&gateway).await;
        polling.send(echo(&n.to_string())).await;
        sessions.push(polling);
    }
    for (n, polling) in sessions.iter().enumerate() {
        let answer = polling.poll().await;
        assert_eq!(packets(answer.text()), [Packet::Text(echo(&n.to_string()))]);
    }
}
