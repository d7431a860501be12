//! Namespaces (protocol 3.2, 3.3, contract 7a): joining, leaving, names, and what a wrong packet costs.

use serde_json::json;

use crate::support::backend::{Backend, Reply};
use crate::support::client::{Client, EVERY_KIND, Kind, Packet};
use crate::support::gateway::{ECHO, Gateway};
use crate::support::wait::eventually;

const TWO: &str = r#"
[[namespace]]
match = "/"
auth = "none"
[[namespace.route]]
event = "echo"
reply = "echo"
[[namespace]]
match = "/custom"
auth = "none"
[[namespace.route]]
event = "echo"
reply = "echo"
[[namespace]]
match = "/room-*"
auth = "none"
[[namespace.route]]
event = "echo"
reply = "echo"
"#;

#[tokio::test]
async fn each_namespace_has_its_own_public_socket_id() {
    let gateway = Gateway::start(TWO).await;
    for kind in EVERY_KIND {
        let mut client = Client::open(kind, &gateway).await;
        let main = client.connect("/", "").await;
        let custom = client.connect("/custom", "").await;
        assert_ne!(main, custom);
        let sid = match &client {
            Client::Polling(polling) => polling.sid.clone(),
            Client::WebSocket(socket) => socket.handshake["sid"].as_str().unwrap_or("").to_owned(),
        };
        for id in [&main, &custom] {
            assert_eq!(id.len(), 20, "{id}");
            let public = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            assert!(id.chars().all(public), "{id}");
            assert_ne!(*id, sid, "the session's secret");
        }
    }
}

#[tokio::test]
async fn names_are_read_in_every_form_that_clients_write() {
    let gateway = Gateway::start(TWO).await;
    for (connect, namespace) in [
        ("40", "/"),
        ("40/", "/"),
        ("40/,", "/"),
        ("40{}", "/"),
        (r#"40/,{"a":1}"#, "/"),
        ("40/custom", "/custom"),
        ("40/custom,", "/custom"),
        (r#"40/custom,{"token":"a,b"}"#, "/custom"),
    ] {
        let mut client = Client::open(Kind::WebSocket, &gateway).await;
        client.send(connect).await;
        client.expect_connected(namespace).await;
    }
    let (mut client, _) = Client::joined(&gateway).await;
    client.send(r#"42/,["echo",1]"#).await;
    client.expect(r#"42["echo",1]"#).await;
}

#[tokio::test]
async fn events_of_a_namespace_are_answered_in_it() {
    let gateway = Gateway::start(TWO).await;
    for kind in EVERY_KIND {
        let mut client = Client::open(kind, &gateway).await;
        client.connect("/custom", "").await;
        client.send(r#"42/custom,["echo",1]"#).await;
        client.expect(r#"42/custom,["echo",1]"#).await;
        client.send(r#"42/custom,12["echo",1]"#).await;
        client.expect("43/custom,12[1]").await;
        client
            .send_binary(
                r#"451-/custom,7["echo",{"_placeholder":true,"num":0}]"#,
                &[b"x"],
            )
            .await;
        client
            .expect(r#"461-/custom,7[{"_placeholder":true,"num":0}]"#)
            .await;
        client.expect_binary(b"x").await;
    }
}

#[tokio::test]
async fn a_pattern_makes_namespaces_that_are_apart() {
    let gateway = Gateway::start(TWO).await;
    let mut client = Client::open(Kind::WebSocket, &gateway).await;
    client.connect("/room-1", "").await;
    client.connect("/room-ключ", "").await;
    client.send(r#"42/room-ключ,["echo",1]"#).await;
    client.expect(r#"42/room-ключ,["echo",1]"#).await;
    for unknown in ["/room-", "/room", "/Room-1", "/x/room-1", "/room-1?x=1"] {
        let mut client = Client::open(Kind::WebSocket, &gateway).await;
        client.send(&format!("40{unknown},")).await;
        if unknown.starts_with("/room-1") {
            client.expect_connected(unknown).await;
        } else {
            client
                .expect(&format!(r#"44{unknown},{{"message":"Invalid namespace"}}"#))
                .await;
        }
    }
}

#[tokio::test]
async fn a_query_in_a_name_is_part_of_the_name() {
    let gateway = Gateway::start(TWO).await;
    let mut client = Client::open(Kind::WebSocket, &gateway).await;
    client.send("40/custom?x=1,").await;
    client
        .expect(r#"44/custom?x=1,{"message":"Invalid namespace"}"#)
        .await;
}

#[tokio::test]
async fn a_refused_connect_leaves_the_connection_and_its_other_namespaces() {
    let gateway = Gateway::start(TWO).await;
    for kind in EVERY_KIND {
        let mut client = Client::open(kind, &gateway).await;
        client.connect("/", "").await;
        client.send("40/nowhere,").await;
        client
            .expect(r#"44/nowhere,{"message":"Invalid namespace"}"#)
            .await;
        client.expect_quiet().await;
        client.connect("/custom", "").await;
    }
}

#[tokio::test]
async fn leaving_is_not_answered_and_coming_back_gives_a_new_id() {
    let gateway = Gateway::start(TWO).await;
    for kind in EVERY_KIND {
        for leave in ["41/custom,", "41/custom"] {
            let mut client = Client::open(kind, &gateway).await;
            client.connect("/", "").await;
            let first = client.connect("/custom", "").await;
            client.send(leave).await;
            client.expect_quiet().await;
            let second = client.connect("/custom", "").await;
            assert_ne!(first, second);
        }
    }
}

#[tokio::test]
async fn a_second_connect_of_a_joined_namespace_closes_the_connection() {
    let gateway = Gateway::start(TWO).await;
    for kind in EVERY_KIND {
        let mut client = Client::open(kind, &gateway).await;
        client.connect("/custom", "").await;
        client.send("40/custom,").await;
        client.expect_end().await;
    }
}

#[tokio::test]
async fn a_packet_for_a_namespace_that_was_never_joined_closes_the_connection() {
    let gateway = Gateway::start(TWO).await;
    for kind in EVERY_KIND {
        for packet in [
            r#"42/custom,["echo",1]"#,
            "41/custom,",
            "43/custom,1[]",
            r#"42/custom["echo",1]"#,
            r#"42/unknown,["echo",1]"#,
        ] {
            let mut client = Client::open(kind, &gateway).await;
            client.connect("/", "").await;
            client.send(packet).await;
            assert_eq!(client.next().await, Packet::End, "{packet} by {kind:?}");
        }
    }
}

#[tokio::test]
async fn the_first_packet_must_be_a_connect() {
    let gateway = Gateway::start(TWO).await;
    for packet in [
        "41",
        r#"42["echo",1]"#,
        "431[]",
        r#"44{"message":"x"}"#,
        "4",
        "47",
    ] {
        let mut client = Client::open(Kind::WebSocket, &gateway).await;
        client.send(packet).await;
        assert_eq!(client.next().await, Packet::End, "{packet}");
    }
}

#[tokio::test]
async fn what_was_on_its_way_when_a_namespace_was_left_is_ignored() {
    let gateway = Gateway::start(TWO).await;
    for kind in EVERY_KIND {
        let mut client = Client::open(kind, &gateway).await;
        client.connect("/", "").await;
        client.connect("/custom", "").await;
        client.send("41/custom,").await;
        client.send(r#"42/custom,["echo","late"]"#).await;
        client.send("43/custom,1[]").await;
        client.send("41/custom,").await;
        client.expect_quiet().await;
    }
}

#[tokio::test]
async fn what_was_on_its_way_when_a_connect_was_refused_is_ignored() {
    let gateway = Gateway::start(TWO).await;
    let mut client = Client::open(Kind::WebSocket, &gateway).await;
    client.connect("/", "").await;
    client.send("40/nowhere,").await;
    client.send(r#"42/nowhere,["echo","early"]"#).await;
    client
        .expect(r#"44/nowhere,{"message":"Invalid namespace"}"#)
        .await;
    client.expect_quiet().await;
}

#[tokio::test]
async fn too_many_namespaces_are_refused_and_the_others_stay() {
    let gateway = Gateway::start(&format!("limits.namespaces_per_connection = 3\n{TWO}")).await;
    let mut client = Client::open(Kind::WebSocket, &gateway).await;
    client.connect("/", "").await;
    client.connect("/room-1", "").await;
    client.connect("/room-2", "").await;
    client.send("40/room-3,").await;
    client
        .expect(r#"44/room-3,{"message":"Too many namespaces"}"#)
        .await;
    client.expect_quiet().await;
    client.send("41/room-1,").await;
    // A socket that still settles counts.
    eventually("room for another namespace", async || {
        client.send("40/room-3,").await;
        let text = client.text().await;
        text.starts_with("40/room-3,").then_some(()).ok_or(text)
    })
    .await;
}

#[tokio::test]
async fn the_longest_name_passes_and_a_longer_one_closes_the_connection() {
    let gateway = Gateway::start(TWO).await;
    let longest = format!("/room-{}", "x".repeat(200 - "/room-".len()));
    let mut client = Client::open(Kind::WebSocket, &gateway).await;
    client.connect(&longest, "").await;
    client.send(&format!("40{longest}x,")).await;
    client.expect_end().await;
}

#[tokio::test]
async fn control_characters_in_a_name_close_the_connection() {
    let gateway = Gateway::start(TWO).await;
    for name in ["/room-\u{0}", "/room-\n", "/room-\u{7f}"] {
        let mut client = Client::open(Kind::WebSocket, &gateway).await;
        client.send(&format!("40{name},")).await;
        assert_eq!(client.next().await, Packet::End, "{name:?}");
    }
}

#[tokio::test]
async fn a_connect_payload_must_be_an_object() {
    let gateway = Gateway::start(TWO).await;
    for connect in [
        "40[]",
        "40\"x\"",
        "40null",
        "40true",
        "40{bad",
        "40{\"a\":1",
        "40/custom,[]",
    ] {
        let mut client = Client::open(Kind::WebSocket, &gateway).await;
        client.send(connect).await;
        assert_eq!(client.next().await, Packet::End, "{connect}");
    }
}

#[tokio::test]
async fn each_wrong_packet_after_connect_closes_the_connection() {
    let gateway = Gateway::start(ECHO).await;
    let deep = format!("42[\"echo\",{}1{}]", "[".repeat(64), "]".repeat(64));
    for packet in [
        "4",
        "4abc",
        "47[\"echo\"]",
        "41{}",
        "42{}",
        "42[]",
        "42[\"echo\"",
        "42[null]",
        "42[{}]",
        "42[[]]",
        "42[true]",
        "42abc[\"echo\"]",
        "42-1[\"echo\"]",
        "421.5[\"echo\"]",
        "42[\"connect\"]",
        "42[\"connect_error\"]",
        "42[\"disconnect\"]",
        "42[\"disconnecting\"]",
        "42[\"newListener\"]",
        "42[\"removeListener\"]",
        "44{\"message\":\"x\"}",
        "42[\"echo\",1]\u{1e}42[\"echo\",2]",
        "42[\"echo\",01]",
        "42[\"echo\",NaN]",
        "42[\"echo\",'x']",
        "42[\"echo\",1,]",
        "42[\"echo\"]x",
        &deep,
    ] {
        let (mut client, _) = Client::joined(&gateway).await;
        client.send(packet).await;
        assert_eq!(client.next().await, Packet::End, "{packet}");
    }
}

#[tokio::test]
async fn each_odd_but_right_packet_leaves_the_connection() {
    let gateway = Gateway::start(ECHO).await;
    for packet in [
        "42[1,2]",
        "42[\"error\"]",
        "42[\"connection\"]",
        "42[\"message\",{}]",
        "42[\"\"]",
        "42[\"echo2\", 1 , [ ] ] ",
        "42[\"constructor\"]",
        "42[\"__proto__\",{\"__proto__\":1}]",
    ] {
        let (mut client, _) = Client::joined(&gateway).await;
        client.send(packet).await;
        client.expect_quiet().await;
    }
}

#[tokio::test]
async fn arguments_pass_verbatim() {
    let gateway = Gateway::start(ECHO).await;
    let long = "9".repeat(400);
    let deep = format!("{}{}", "[".repeat(60), "]".repeat(60));
    for arguments in [
        r#"{"b":1,"a":2,"b":3}"#,
        "1.0,1e3,1E+3,-0,0.10",
        "123456789012345678901234567890",
        r#""\u00e9é\/\"\\\b\f\n\r\t\ud83d\ude00😀""#,
        r#""\ud800 alone""#,
        "\"\u{2028}\u{2029}\"",
        r#"[[],{},"",null,true,false]"#,
        &long,
        &deep,
    ] {
        for kind in EVERY_KIND {
            let mut client = Client::open(kind, &gateway).await;
            client.connect("/", "").await;
            client.send(&format!(r#"42["echo",{arguments}]"#)).await;
            client.expect(&format!(r#"42["echo",{arguments}]"#)).await;
            client.send(&format!(r#"421["echo",{arguments}]"#)).await;
            client.expect(&format!("431[{arguments}]")).await;
        }
    }
}

#[tokio::test]
async fn after_one_namespace_was_joined_the_connect_timeout_is_gone_for_good() {
    let quick = "engine.ping_interval = \"300ms\"\nengine.ping_timeout = \"2s\"\nsocket.connect_timeout = \"400ms\"\n";
    let gateway = Gateway::start(&format!("{quick}{ECHO}")).await;
    let (mut client, _) = Client::joined(&gateway).await;
    client.send("41").await;
    let Client::WebSocket(socket) = &mut client else {
        unreachable!("a WebSocket")
    };
    // Far beyond the timeout: three pings.
    for _ in 0..3 {
        socket.expect("2").await;
        socket.send("3").await;
    }
    client.connect("/", "").await;
}

#[tokio::test]
async fn a_refused_connect_does_not_count_as_joined() {
    let gateway = Gateway::start(&format!("socket.connect_timeout = \"300ms\"\n{ECHO}")).await;
    let mut client = Client::open(Kind::WebSocket, &gateway).await;
    client.send("40/nowhere,").await;
    client
        .expect(r#"44/nowhere,{"message":"Invalid namespace"}"#)
        .await;
    client.expect_end().await;
}

#[tokio::test]
async fn a_connect_that_is_refused_late_gives_the_connection_as_much_time_again_and_no_more() {
    let mut backend = Backend::start().await;
    let config = format!(
        "socket.connect_timeout = \"300ms\"\n{}",
        backend.everything()
    );
    let gateway = Gateway::start(&config).await;
    let (release, reply) = Reply::held(json!({"reject": {"message": "no"}}));
    backend.push(reply);
    let mut client = Client::open(Kind::WebSocket, &gateway).await;
    client.send("40").await;
    backend.next_of("connect").await;
    // One that was opened later and says nothing is closed: the time of the first one is over, but for its CONNECT.
    let mut silent = Client::open(Kind::WebSocket, &gateway).await;
    silent.expect_end().await;
    release.go();
    client.expect(r#"44{"message":"no"}"#).await;
    client.expect_end().await;
}

#[tokio::test]
async fn where_nobody_is_asked_the_backend_may_still_be_told_of_the_end() {
    let mut backend = Backend::start().await;
    let config = format!(
        "{}[[namespace]]\nmatch = \"/\"\nauth = \"none\"\n[[namespace.route]]\non = \"disconnect\"\nupstream = \"app\"\n\
         [[namespace.route]]\nevent = \"ask\"\nupstream = \"app\"\n",
        backend.upstream()
    );
    let gateway = Gateway::start(&config).await;
    for kind in EVERY_KIND {
        let mut client = Client::open(kind, &gateway).await;
        let id = client.connect("/", "").await;
        client.send(r#"421["ask"]"#).await;
        client.expect("431[]").await;
        client.send("41").await;
        // Without a `connect` the first event has 0.
        assert_eq!(backend.next_of("event").await.body["seq"], 0);
        let notice = backend.next_of("disconnect").await;
        assert_eq!((notice.socket(), &notice.body["seq"]), (&*id, &json!(1)));
    }
}

#[tokio::test]
async fn a_namespace_may_be_left_and_joined_anew_while_it_is_undecided() {
    let mut backend = Backend::start().await;
    let gateway = Gateway::start(&backend.everything()).await;
    for kind in EVERY_KIND {
        let (release, reply) = Reply::held(json!({"rooms": ["r"]}));
        backend.push(reply);
        let mut client = Client::open(kind, &gateway).await;
        client.send("40").await;
        let first = backend.next_of("connect").await;
        client.send("41").await;
        client.send("40").await;
        let second = backend.next_of("connect").await;
        assert_ne!(first.socket(), second.socket());
        assert_eq!(client.expect_connected("/").await, second.socket());
        // The first one is let in too late, and given back.
        release.go();
        let notice = backend.next_of("disconnect").await;
        assert_eq!(notice.socket(), first.socket());
        assert_eq!(notice.body["reason"], "client namespace disconnect");
        assert_eq!(notice.body["rooms"], json!([]));
        client.expect_quiet().await;
        client.send("41").await;
        assert_eq!(
            backend.next_of("disconnect").await.socket(),
            second.socket()
        );
    }
}
