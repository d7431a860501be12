//! A backend in every bad mood, with clients connected (contract 3, 8): no client is lost, none sees a refusal, and all is well
//! again as soon as the backend is.

use std::time::Duration;

use serde_json::json;

use crate::support::backend::{Backend, Keys, Reply};
use crate::support::client::{Client, EVERY_KIND};
use crate::support::gateway::Gateway;
use crate::support::wait::eventually;

/// What it does, and a reply made afresh.
type Mood = (&'static str, fn() -> Reply);

/// How a backend can be bad.
const MOODS: [Mood; 12] = [
    ("hangs", || Reply::Hang),
    ("sends half a body", || Reply::HalfBody),
    ("resets", || Reply::Reset),
    ("closes", || Reply::Close),
    ("says 500", || Reply::status(500)),
    ("says 404", || Reply::status(404)),
    ("redirects", || {
        Reply::Raw(302, vec![("location", "/".to_owned())], Vec::new())
    }),
    ("sends HTML with 200", Reply::html),
    ("sends 10 MB", || Reply::huge(10_000_000)),
    ("sends wrong JSON", || {
        Reply::Raw(200, Vec::new(), b"{\"ack\":".to_vec())
    }),
    ("sends JSON of the wrong shape", || {
        json!({"ack": {}, "actions": 1, "user": []}).into()
    }),
    ("drips", || Reply::Drip),
];

async fn start() -> (Gateway, Backend) {
    let backend = Backend::start().await;
    let config = backend.everything_with(&Keys {
        upstream: "timeout = \"200ms\"",
        ..Keys::default()
    });
    (Gateway::start(&config).await, backend)
}

#[tokio::test]
async fn no_connected_client_is_lost_and_events_fail_without_an_ack() {
    let (gateway, mut backend) = start().await;
    let mut clients = Vec::new();
    for kind in EVERY_KIND {
        let mut client = Client::open(kind, &gateway).await;
        client.connect("/", "").await;
        clients.push(client);
    }
    for (mood, bad) in MOODS {
        backend.answer_events(move |_| bad());
        for client in &mut clients {
            client.send(r#"421["x"]"#).await;
            // Behind it in the lane: the call is over, the socket is there, and no ack came.
            client.expect_quiet().await;
        }
        backend.answer_events(|_| json!({"ack": ["well"]}));
        for client in &mut clients {
            client.send(r#"422["x"]"#).await;
            client.expect(r#"432["well"]"#).await;
        }
        println!("survived a backend that {mood}");
    }
    backend.forget();
}

#[tokio::test]
async fn no_connecting_client_is_refused_and_each_is_let_in_when_the_backend_is_well() {
    let (gateway, backend) = start().await;
    for (mood, bad) in MOODS {
        backend.answer(move |_| bad());
        let mut waiting = Vec::new();
        for kind in EVERY_KIND {
            let mut client = Client::open(kind, &gateway).await;
            client.send("40").await;
            waiting.push(client);
        }
        backend.answer(|_| json!({}));
        for client in &mut waiting {
            // The very next packet is the CONNECT: never a CONNECT_ERROR, never an end.
            client.expect_connected("/").await;
        }
        println!("survived a backend that {mood}");
    }
}

#[tokio::test]
async fn an_honest_upstream_is_not_harmed_by_a_bad_one() {
    let (bad, good) = (Backend::start().await, Backend::start().await);
    let config = format!(
        "{}[[upstream]]\nname = \"good\"\nurl = \"{}\"\n[[namespace]]\nmatch = \"/\"\nauth = \"none\"\n\
         [[namespace.route]]\nevent = \"bad\"\nupstream = \"app\"\n[[namespace.route]]\nevent = \"good\"\nupstream = \"good\"\n",
        bad.upstream(),
        good.url()
    );
    let gateway = Gateway::start(&config).await;
    bad.answer(|_| Reply::Hang);
    good.answer(|_| json!({"ack": ["good"]}));
    let mut stuck = Vec::new();
    for _ in 0..20 {
        let (mut client, _) = Client::joined(&gateway).await;
        client.send(r#"421["bad"]"#).await;
        stuck.push(client);
    }
    let (mut client, _) = Client::joined(&gateway).await;
    for _ in 0..20 {
        client.send(r#"421["good"]"#).await;
        client.expect(r#"431["good"]"#).await;
    }
}

#[tokio::test]
async fn a_flapping_backend_loses_no_notice_and_no_client() {
    let (gateway, mut backend) = start().await;
    let (mut stays, _) = Client::joined(&gateway).await;
    backend.next_of("connect").await;
    let mut left = Vec::new();
    for round in 0..5 {
        let (mut client, id) = Client::joined(&gateway).await;
        backend.stop().await;
        client.send("41").await;
        client.send(r#"42["after","leaving"]"#).await;
        drop(client);
        left.push(id);
        stays.send(&format!(r#"42["lost",{round}]"#)).await;
        backend.start_again();
    }
    stays.expect_quiet().await;
    let mut told = Vec::new();
    while told.len() < left.len() {
        let request = backend.next().await;
        let id = request.socket().to_owned();
        if request.kind() == "disconnect" && !told.contains(&id) {
            told.push(id);
        }
    }
    told.sort();
    left.sort();
    assert_eq!(told, left);
}

#[tokio::test]
async fn one_line_is_logged_when_a_backend_fails_and_one_when_it_recovers() {
    let mut backend = Backend::start().await;
    let config = backend.everything_with(&Keys {
        // A recovery is a success after a window without failure.
        upstream: "breaker = { window = \"200ms\", min_requests = 1_000_000 }",
        ..Keys::default()
    });
    let gateway = Gateway::start(&config).await;
    let (mut client, _) = Client::joined(&gateway).await;
    backend.next_of("connect").await;
    backend.answer_events(|_| Reply::status(500));
    for _ in 0..30 {
        client.send(r#"42["x"]"#).await;
    }
    client.expect_quiet().await;
    backend.answer_events(|_| json!({}));
    let about = |level: &str| {
        let lines = gateway.logs().into_iter();
        let ours = lines.filter(|line| line.contains(level) && line.contains("upstream=\"app\""));
        ours.collect::<Vec<_>>()
    };
    eventually("a line about the recovery", async || {
        client.send(r#"421["x"]"#).await;
        client.expect("431[]").await;
        let lines = about("INFO");
        (lines.len() == 1)
            .then_some(())
            .ok_or_else(|| format!("{lines:#?}"))
    })
    .await;
    let loud = [about("WARN"), about("ERROR")].concat();
    assert_eq!(loud.len(), 1, "{loud:#?}");
}

#[tokio::test]
async fn a_backend_that_is_slow_but_right_is_awaited() {
    let (gateway, backend) = start().await;
    let (mut client, _) = Client::joined(&gateway).await;
    backend.answer_events(|_| {
        Reply::Late(
            Duration::from_millis(100),
            Box::new(json!({"ack": ["slow"]}).into()),
        )
    });
    client.send(r#"421["x"]"#).await;
    client.expect(r#"431["slow"]"#).await;
}
