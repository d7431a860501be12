//! A node that is short of memory (contract 10, *Probes*): it takes nobody else in, says so, and goes on serving whoever is there.

use serde_json::json;
use tempfile::TempDir;

use crate::support::client::{Client, Kind};
use crate::support::gateway::{ECHO, Gateway, Setup};
use crate::support::http::get;
use crate::support::polling::Polling;
use crate::support::wait::eventually;
use crate::support::websocket::WebSocket;

/// Bytes that the control group of the gateway may use.
const LIMIT: u64 = 1_000_000_000;

const GROUP: &str = "sys/fs/cgroup/app";

/// The files by which a machine tells about memory, in a folder of the test.
struct Machine(TempDir);

impl Machine {
    fn new() -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        machine.write("proc/meminfo", "MemTotal:       16777216 kB\n");
        machine.write("proc/self/cgroup", "0::/app\n");
        machine.write(&format!("{GROUP}/memory.max"), &format!("{LIMIT}\n"));
        machine.write(&format!("{GROUP}/memory.stat"), "inactive_file 0\n");
        machine.uses(50);
        machine
    }

    /// So many hundredths of the limit are in use.
    fn uses(&self, hundredths: u64) {
        let used = LIMIT / 100 * hundredths;
        self.write(&format!("{GROUP}/memory.current"), &format!("{used}\n"));
    }

    /// At once: whoever reads meanwhile sees the old file or the new one.
    fn write(&self, name: &str, text: &str) {
        let file = self.0.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let fresh = self.0.path().join("fresh");
        std::fs::write(&fresh, text).unwrap();
        std::fs::rename(fresh, file).unwrap();
    }

    async fn gateway(&self) -> Gateway {
        let root = self.0.path().to_str().unwrap();
        let setup = Setup::new(ECHO).env("SOCKGATE_SYSTEM_ROOT", root);
        setup.start().await
    }
}

async fn is_ready(gateway: &Gateway, status: u16) {
    eventually(format_args!("/readyz to answer {status}"), async || {
        let answer = get(gateway.admin, "/readyz").await;
        let is_so = answer.status == status;
        is_so.then_some(()).ok_or_else(|| format!("{answer:?}"))
    })
    .await;
}

#[tokio::test]
async fn a_node_whose_memory_is_full_takes_nobody_in_and_harms_nobody_who_is_there() {
    let machine = Machine::new();
    let gateway = machine.gateway().await;
    is_ready(&gateway, 200).await;
    let mut clients = Vec::new();
    for kind in [Kind::Polling, Kind::WebSocket] {
        let mut client = Client::open(kind, &gateway).await;
        client.connect("/", "").await;
        clients.push(client);
    }
    let goes_over = Polling::open(&gateway).await;

    machine.uses(90);
    is_ready(&gateway, 503).await;
    assert_eq!(get(gateway.admin, "/livez").await.status, 200);
    let told = get(gateway.admin, "/readyz?verbose").await.json();
    assert_eq!(told["checks"]["memory"]["ok"], false, "{told}");
    assert_eq!(told["checks"]["memory"]["limit_bytes"], LIMIT, "{told}");
    let node = gateway.api_get("/v1/nodes").await.json();
    assert_eq!(node["items"][0]["state"], "unready", "{node}");
    gateway.metric_is("sockgate_overload_level", 2.0).await;

    let refused = gateway.get("EIO=4&transport=polling").await;
    refused
        .is(503, r#"{"code":3,"message":"Service unavailable"}"#)
        .has("retry-after", "5");
    let target = gateway.target("EIO=4&transport=websocket");
    let refused = WebSocket::connect(gateway.clients, &target, &[]).await;
    let refused = refused.err().expect("no WebSocket").to_string();
    assert!(refused.contains("503"), "{refused}");
    let rejected = r#"sockgate_connections_rejected_total{reason="memory"}"#;
    gateway.metric_is(rejected, 2.0).await;

    gateway
        .emit(&json!({"all": true}), "news", &json!([1]))
        .await;
    for client in &mut clients {
        client.expect(r#"42["news",1]"#).await;
        client.expect_quiet().await;
    }
    let mut upgraded = WebSocket::of_session(&gateway, &goes_over.sid).await;
    upgraded.send("2probe").await;
    upgraded.expect("3probe").await;
    upgraded.send("5").await;
    let mut upgraded = Client::WebSocket(upgraded);
    upgraded.connect("/", "").await;
    upgraded.expect_quiet().await;

    machine.uses(85);
    is_ready(&gateway, 200).await;
    gateway.metric_is("sockgate_overload_level", 1.0).await;
    let (mut fresh, _) = Client::joined(&gateway).await;
    fresh.expect_quiet().await;
    for client in &mut clients {
        client.expect_quiet().await;
    }
    machine.uses(50);
    gateway.metric_is("sockgate_overload_level", 0.0).await;
    // One line for each step, however often it looks.
    for words in ["memory is full", "let in again", "enough memory again"] {
        gateway.log_line(&[words]).await;
        let logs = gateway.logs();
        let lines = logs.iter().filter(|line| line.contains(words));
        assert_eq!(lines.count(), 1, "{words}: {logs:#?}");
    }
}
