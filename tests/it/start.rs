//! Starts of the program (contract 10): without a file, by variables, and one that cannot listen.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::support::backend::Backend;
use crate::support::http::ask;
use crate::support::wait::within;

const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const KEY: &str = "sgk_0123456789012345678901234567890123456789abc";

/// The program in an empty environment and folder, on any ports.
fn sockgate(folder: &std::path::Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sockgate"));
    command.current_dir(folder).env_clear().kill_on_drop(true);
    for table in ["SERVER", "API", "ADMIN"] {
        command.env(format!("SOCKGATE__{table}__LISTEN"), "127.0.0.1:0");
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Awaits `ready`; the addresses of clients and API.
async fn ready(child: &mut Child) -> (std::net::SocketAddr, std::net::SocketAddr) {
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut said = Vec::new();
    while said.last().is_none_or(|line| line != "ready") {
        let line = within("a line of the program", lines.next_line()).await;
        said.push(line.unwrap().expect("it ended before `ready`"));
    }
    let address = |name: &str| {
        let line = said.iter().find(|line| line.starts_with(name));
        let url = line.expect("a line of this name").rsplit(' ').next();
        let authority = url.unwrap().trim_start_matches("http://").split('/').next();
        authority.unwrap().parse().unwrap()
    };
    (address("clients"), address("api"))
}

#[tokio::test]
async fn a_backend_alone_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    let mut backend = Backend::start().await;
    for by_flag in [true, false] {
        let mut command = sockgate(folder.path());
        if by_flag {
            command.args(["serve", "--backend", &backend.url()]);
        } else {
            command.env("SOCKGATE_BACKEND", backend.url());
        }
        command
            .env("SOCKGATE_BACKEND_SECRET", SECRET)
            .env("SOCKGATE_API_KEY", KEY);
        let mut child = command.spawn().unwrap();
        let (clients, api) = ready(&mut child).await;
        // Namespace `/`, with everything routed to the backend.
        let target = "/socket.io/?EIO=4&transport=polling";
        let open = ask(clients, "GET", target, &[], "").await;
        let open: serde_json::Value = serde_json::from_str(&open.text()[1..]).unwrap();
        let target = format!("{target}&sid={}", open["sid"].as_str().unwrap());
        for (packet, kind) in [
            ("40", "connect"),
            (r#"42["any",1]"#, "event"),
            ("41", "disconnect"),
        ] {
            ask(clients, "POST", &target, &[], packet)
                .await
                .is(200, "ok");
            let request = backend.next_of(kind).await;
            assert!(request.is_signed_with(SECRET), "{request:?}");
        }
        // The API wants the key.
        let authorization = format!("Bearer {KEY}");
        let headers = [("authorization", authorization.as_str())];
        let body = ask(api, "GET", "/v1/upstreams", &headers, "").await.json();
        assert_eq!(body["items"][0]["name"], "app", "{body}");
        ask(api, "GET", "/v1/upstreams", &[], "")
            .await
            .problem(401, "unauthenticated");
        within("its death", child.kill()).await.unwrap();
    }
}

#[tokio::test]
async fn a_secret_may_be_in_a_file_and_the_configuration_where_a_variable_says() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let mut backend = Backend::start().await;
    let file = elsewhere.path().join("gateway.toml");
    let config = format!(
        "[[upstream]]\nname = \"app\"\nurl = \"{}\"\nsecrets = [\"file:secret.txt\"]\n\
         [[namespace]]\nmatch = \"/\"\n[[namespace.route]]\non = \"connect\"\nupstream = \"app\"\n",
        backend.url()
    );
    std::fs::write(&file, config).unwrap();
    // Relative to the file, and one line end is cut.
    std::fs::write(elsewhere.path().join("secret.txt"), format!("{SECRET}\n")).unwrap();
    let mut command = sockgate(folder.path());
    let mut child = command.env("SOCKGATE_CONFIG", &file).spawn().unwrap();
    let (clients, _) = ready(&mut child).await;
    let target = "/socket.io/?EIO=4&transport=polling";
    let open = ask(clients, "GET", target, &[], "").await;
    let open: serde_json::Value = serde_json::from_str(&open.text()[1..]).unwrap();
    let target = format!("{target}&sid={}", open["sid"].as_str().unwrap());
    ask(clients, "POST", &target, &[], "40").await.is(200, "ok");
    let request = backend.next_of("connect").await;
    assert!(request.is_signed_with(SECRET), "{request:?}");
}

#[tokio::test]
async fn a_listener_that_cannot_be_bound_stops_the_start_with_1() {
    let folder = tempfile::tempdir().unwrap();
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for table in ["SERVER", "API", "ADMIN"] {
        let mut command = sockgate(folder.path());
        command
            .args(["serve", "--backend", "http://127.0.0.1:9/"])
            .env(format!("SOCKGATE__{table}__LISTEN"), &address);
        let output = within("the end of the start", command.output());
        let output = output.await.unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(&address), "{error}");
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(!said.contains("ready"), "{said}");
    }
}

#[tokio::test]
async fn a_configuration_that_is_wrong_binds_nothing_and_tells_everything() {
    let folder = tempfile::tempdir().unwrap();
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut command = sockgate(folder.path());
    // Were it to bind before it looks, it would fail otherwise.
    command.env(
        "SOCKGATE__SERVER__LISTEN",
        taken.local_addr().unwrap().to_string(),
    );
    let file = "[engine]\nping_intervall = \"5s\"\n[limits]\nheaders = \"many\"\n";
    std::fs::write(folder.path().join("sockgate.toml"), file).unwrap();
    let output = within("the end of the start", command.output());
    let output = output.await.unwrap();
    assert_eq!(output.status.code(), Some(78));
    let error = String::from_utf8(output.stderr).unwrap();
    for told in [
        "sockgate.toml:2:1: engine.ping_intervall",
        "`ping_interval`",
        "sockgate.toml:4:1: limits.headers",
        "without any [[namespace]]",
    ] {
        assert!(error.contains(told), "{told} in {error}");
    }
}

#[tokio::test]
async fn what_comes_later_may_be_written_where_it_is_off() {
    let folder = tempfile::tempdir().unwrap();
    let file = "\
[engine]
eio3 = false
[socket]
parser = \"json\"
recovery = { enabled = false, max_age = \"2m\", max_packets = 1000 }
[cluster]
bus = \"none\"
[socket_admin]
enabled = false
[[upstream]]
name = \"app\"
url = \"http://127.0.0.1:9/\"
concurrency = { adaptive = false }
[[namespace]]
match = \"/\"
disconnect = { grace = \"0s\" }
[[namespace.route]]
on = \"connect\"
upstream = \"app\"
[[namespace.route]]
event = \"*\"
upstream = \"app\"
ack_on_failure = \"none\"
encoding = \"json\"
stream = false
batch = { max = 1, always = false, max_wait = \"0s\" }
";
    std::fs::write(folder.path().join("sockgate.toml"), file).unwrap();
    let mut command = sockgate(folder.path());
    let output = within("a check", command.arg("check").output());
    let output = output.await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
}
