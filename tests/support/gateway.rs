//! The real binary as a child process, on ports of its own.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use toml::{Table, Value};

use super::http::{Answer, get};
use super::wait::{eventually, within};

/// What a test asks for; [`Setup::start`] makes it run.
pub(crate) struct Setup {
    config: Table,
    env: Vec<(String, String)>,
}

/// A running gateway; dropped, its process is killed.
pub(crate) struct Gateway {
    /// Where clients come.
    pub(crate) clients: SocketAddr,
    /// Where backends come.
    pub(crate) api: SocketAddr,
    /// Where operators come.
    pub(crate) admin: SocketAddr,
    /// The Engine.IO path, with its trailing slash.
    pub(crate) path: String,
    setup: Setup,
    dir: TempDir,
    child: Child,
    logs: Arc<Mutex<Vec<String>>>,
}

/// Any port, one or `SOCKGATE_TEST_SHARDS` shards, a log that tells more than the default.
const BASE: &str = r#"
server.listen = "127.0.0.1:0"
api.listen = "127.0.0.1:0"
admin.listen = "127.0.0.1:0"
log.level = "debug"
log.format = "text"
"#;

/// A namespace `/` that answers `echo` by itself; enough for everything below Socket.IO.
pub(crate) const ECHO: &str = r#"
[[namespace]]
match = "/"
auth = "none"
[[namespace.route]]
event = "echo"
reply = "echo"
"#;

/// [`ECHO`] with the timers of the official conformance suites.
pub(crate) const QUICK_ECHO: &str = r#"
engine.ping_interval = "300ms"
engine.ping_timeout = "200ms"
socket.connect_timeout = "1s"
[[namespace]]
match = "/"
auth = "none"
[[namespace.route]]
event = "echo"
reply = "echo"
"#;

impl Setup {
    /// From TOML text: keys of [`BASE`] are added where the text does not set them.
    pub(crate) fn new(text: &str) -> Self {
        let mut config: Table = text
            .parse()
            .unwrap_or_else(|error| panic!("{error}\n{text}"));
        let mut base: Table = BASE.parse().unwrap();
        let shards = std::env::var("SOCKGATE_TEST_SHARDS").unwrap_or_else(|_| "2".to_owned());
        let shards = shards.parse().expect("SOCKGATE_TEST_SHARDS is a number");
        merge(&mut base, one("server", "shards", Value::Integer(shards)));
        merge(&mut base, std::mem::take(&mut config));
        Self {
            config: base,
            env: Vec::new(),
        }
    }

    /// An environment variable of the process.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts the process and awaits its `ready`.
    pub(crate) async fn start(self) -> Gateway {
        let dir = tempfile::tempdir().unwrap();
        let logs = Arc::new(Mutex::new(Vec::new()));
        let (child, ready) = launch(&self, &dir, &logs).await;
        Gateway {
            clients: ready.clients,
            api: ready.api,
            admin: ready.admin,
            path: ready.path,
            setup: self,
            dir,
            child,
            logs,
        }
    }
}

struct Ready {
    clients: SocketAddr,
    api: SocketAddr,
    admin: SocketAddr,
    path: String,
}

async fn launch(setup: &Setup, dir: &TempDir, logs: &Arc<Mutex<Vec<String>>>) -> (Child, Ready) {
    let file = dir.path().join("sockgate.toml");
    std::fs::write(&file, setup.config.to_string()).unwrap();
    // Another program with the same command line and output can take the gateway's place: the reference server does.
    let program = std::env::var("SOCKGATE_TEST_PROGRAM")
        .unwrap_or_else(|_| env!("CARGO_BIN_EXE_sockgate").to_owned());
    let mut child = Command::new(&program)
        .arg("serve")
        .arg("--config")
        .arg(&file)
        .envs(setup.env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let stderr = child.stderr.take().expect("piped");
    tokio::spawn(collect(stderr, Arc::clone(logs)));
    let stdout = child.stdout.take().expect("piped");
    let said = Arc::new(Mutex::new(Vec::new()));
    tokio::spawn(collect(stdout, Arc::clone(&said)));
    let ready = eventually("the gateway to be ready", async || {
        let lines = said.lock().unwrap().clone();
        if let Some(ready) = parse_ready(&lines) {
            return Ok(ready);
        }
        let logs = logs.lock().unwrap().join("\n");
        if let Some(status) = child.try_wait().unwrap() {
            panic!("the gateway ended at start: {status}\n{logs}");
        }
        Err(format!("stdout {lines:?}, stderr {logs}"))
    })
    .await;
    (child, ready)
}

fn parse_ready(lines: &[String]) -> Option<Ready> {
    let url = |name: &str| {
        lines.iter().find_map(|line| {
            let (key, url) = line.split_once(' ')?;
            let (authority, path) = url.trim().strip_prefix("http://")?.split_once('/')?;
            let address: SocketAddr = authority.parse().ok()?;
            (key == name).then(|| (address, format!("/{path}")))
        })
    };
    lines.iter().find(|line| *line == "ready")?;
    let (clients, path) = url("clients").expect("a line `clients` before `ready`");
    let (api, _) = url("api").expect("a line `api` before `ready`");
    let admin = lines
        .iter()
        .find_map(|line| line.strip_prefix("admin")?.trim().strip_prefix("http://"))
        .expect("a line `admin` before `ready`");
    Some(Ready {
        clients,
        api,
        admin: admin.trim_end_matches('/').parse().unwrap(),
        path,
    })
}

async fn collect(from: impl AsyncRead + Unpin, into: Arc<Mutex<Vec<String>>>) {
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        into.lock().unwrap().push(line);
    }
}

fn one(table: &str, key: &str, value: Value) -> Table {
    let inner = Table::from_iter([(key.to_owned(), value)]);
    Table::from_iter([(table.to_owned(), Value::Table(inner))])
}

/// Tables are merged, arrays appended, anything else replaced.
fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(old)), Value::Table(new)) => merge(old, new),
            (Some(Value::Array(old)), Value::Array(new)) => old.extend(new),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

impl Gateway {
    /// Starts one with this TOML.
    pub(crate) async fn start(text: &str) -> Self {
        Setup::new(text).start().await
    }

    /// A request target: the Engine.IO path and this query.
    pub(crate) fn target(&self, query: &str) -> String {
        format!("{}?{query}", self.path)
    }

    /// `GET` on the Engine.IO path.
    pub(crate) async fn get(&self, query: &str) -> Answer {
        get(self.clients, &self.target(query)).await
    }

    /// Sends a signal to this process.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    fn pid(&self) -> Pid {
        let id = self.child.id().expect("the process runs");
        Pid::from_raw(id.cast_signed()).expect("a process has an id")
    }

    /// Sets the limit of open files of the running process; the former one.
    pub(crate) fn limit_files(&self, files: u64) -> u64 {
        let limit = Rlimit {
            current: Some(files),
            maximum: getrlimit(Resource::Nofile).maximum,
        };
        let former = prlimit(Some(self.pid()), Resource::Nofile, limit).unwrap();
        former.current.expect("a number")
    }

    /// Resident memory of the process, without that of files: how much of its program is mapped says nothing about sessions.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let file = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(file).expect("the process runs");
        let line = status.lines().find_map(|l| l.strip_prefix("RssAnon:"));
        let kib = line.and_then(|l| l.trim().strip_suffix(" kB"));
        let kib: u64 = kib.expect("a number of kB").trim().parse().unwrap();
        kib * 1024
    }

    /// Awaits the end of the process.
    pub(crate) async fn exit(&mut self) -> ExitStatus {
        within("the gateway's exit", self.child.wait())
            .await
            .unwrap()
    }

    /// Whether the process still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Ends the process without notice.
    pub(crate) async fn kill(&mut self) {
        within("the gateway's death", self.child.kill())
            .await
            .unwrap();
    }

    /// Kills what runs and starts anew on the same ports.
    pub(crate) async fn restart(&mut self) {
        if self.runs() {
            self.kill().await;
        }
        for (table, address) in [
            ("server", self.clients),
            ("api", self.api),
            ("admin", self.admin),
        ] {
            let listen = Value::String(address.to_string());
            merge(&mut self.setup.config, one(table, "listen", listen));
        }
        let (child, _) = launch(&self.setup, &self.dir, &self.logs).await;
        self.child = child;
    }

    /// The lines of the log so far.
    pub(crate) fn logs(&self) -> Vec<String> {
        self.logs.lock().unwrap().clone()
    }

    /// Awaits a line of the log that contains all of these.
    pub(crate) async fn log_line(&self, words: &[&str]) -> String {
        eventually(format_args!("a log line with {words:?}"), async || {
            let lines = self.logs();
            let found = lines.iter().find(|l| words.iter().all(|w| l.contains(w)));
            found.cloned().ok_or_else(|| lines.join("\n"))
        })
        .await
    }

    /// Scrapes `/metrics`: `name{labels}` to value.
    pub(crate) async fn metrics(&self) -> BTreeMap<String, f64> {
        let answer = get(self.admin, "/metrics").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let lines = answer.text().lines().filter(|line| !line.starts_with('#'));
        lines
            .filter_map(|line| line.rsplit_once(' '))
            .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
            .collect()
    }

    /// A number of the metrics; 0 where there is none of that name.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        self.metrics().await.get(name).copied().unwrap_or(0.0)
    }

    /// Awaits that a number of the metrics is this.
    pub(crate) async fn metric_is(&self, name: &str, value: f64) {
        eventually(format_args!("{name} = {value}"), async || {
            let metrics = self.metrics().await;
            let seen = metrics.get(name).copied().unwrap_or(0.0);
            let near = (seen - value).abs() < 0.5;
            near.then_some(())
                .ok_or_else(|| format!("{seen} in {metrics:#?}"))
        })
        .await;
    }

    /// Fails the test, with the log, unless the process runs and serves an honest client.
    pub(crate) async fn is_well(&mut self, after: impl Display) {
        assert!(self.runs(), "the gateway ended after {after}");
        let answer = self.get("EIO=4&transport=polling").await;
        assert_eq!(answer.status, 200, "after {after}: {answer:?}");
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let logs = self.logs();
            let tail = &logs[logs.len().saturating_sub(60)..];
            eprintln!("--- the gateway's log\n{}", tail.join("\n"));
        }
    }
}
