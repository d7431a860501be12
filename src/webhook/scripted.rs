//! A backend for tests that does what its script says, good or bad, one act for each request, and remembers what it saw.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::contract::audience::{Closed, Namespaces};
use crate::hub::action::UserRoom;
use crate::hub::id::{ConnectionId, Namespace, NodeTag, ShardId, SocketId};
use crate::hub::reason::{Initiator, Reason};
use crate::session::backend::{Call, CallKind, ConnectInfo, SocketFacts};
use crate::session::settings::Forward;

use super::backend::{Format, Route, Webhook};
use super::counters::{Counters, Gauges};
use super::retry::Backoff;
use super::settings::{Secret, Settings, Url};
use super::upstream::{Endpoint, Pace, Upstream};

/// What the backend does with a request.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// A well-formed answer; the connection stays.
    Answer(u16, &'static [(&'static str, &'static str)], String),
    /// These bytes, then the connection ends.
    BytesThenClose(Vec<u8>),
    /// These bytes, and then nothing for ever.
    BytesThenHang(Vec<u8>),
    /// These bytes one by one, a millisecond apart, for ever from the start again.
    Drip(Vec<u8>),
    /// The connection is reset.
    Reset,
}

impl Act {
    pub(super) fn ok(body: &str) -> Self {
        Self::Answer(200, &[], body.to_owned())
    }

    pub(super) fn status(code: u16) -> Self {
        Self::Answer(code, &[], String::new())
    }

    pub(super) fn hang() -> Self {
        Self::BytesThenHang(Vec::new())
    }

    pub(super) fn close() -> Self {
        Self::BytesThenClose(Vec::new())
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) line: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// Number of the connection, from 0.
    pub(super) connection: usize,
}

impl Seen {
    /// The header's only value.
    pub(super) fn header(&self, name: &str) -> &str {
        let mut values = self.headers.iter().filter(|(key, _)| key == name);
        let (_, value) = values.next().unwrap_or_else(|| panic!("no {name}"));
        assert!(values.next().is_none(), "{name} twice");
        value
    }
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Close,
    Reset,
}

/// The backend; it ends with its runtime.
#[derive(Clone)]
pub(super) struct Scripted {
    state: Arc<State>,
    port: u16,
}

struct State {
    script: Mutex<VecDeque<Act>>,
    /// What is done when the script is over.
    after: Act,
    seen: Mutex<Vec<Seen>>,
    news: Notify,
}

impl Scripted {
    /// Starts on a free port.
    pub(super) async fn start(script: impl IntoIterator<Item = Act>, after: Act) -> Self {
        Self::start_on(0, script, after).await
    }

    pub(super) async fn start_on(
        port: u16,
        script: impl IntoIterator<Item = Act>,
        after: Act,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            script: Mutex::new(script.into_iter().collect()),
            after,
            seen: Mutex::default(),
            news: Notify::new(),
        });
        let backend = Self { state, port };
        let serving = backend.clone();
        tokio::spawn(async move {
            for connection in 0.. {
                let (mut stream, _) = listener.accept().await.unwrap();
                let backend = serving.clone();
                tokio::spawn(async move {
                    // An error here is the client's going away.
                    if let Ok(End::Reset) = backend.serve(&mut stream, connection).await {
                        stream.set_zero_linger().unwrap();
                    }
                });
            }
        });
        backend
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().clone()
    }

    /// Waits until so many requests have come.
    pub(super) async fn saw(&self, requests: usize) -> Vec<Seen> {
        while self.state.seen.lock().len() < requests {
            self.state.news.notified().await;
        }
        self.seen()
    }

    /// Follows the script on one connection, of whatever kind.
    pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        connection: usize,
    ) -> std::io::Result<End> {
        loop {
            let seen = read_request(stream, connection).await?;
            self.state.seen.lock().push(seen);
            self.state.news.notify_one();
            let act = self.state.script.lock().pop_front();
            match act.unwrap_or_else(|| self.state.after.clone()) {
                Act::Answer(code, headers, body) => {
                    stream.write_all(&answer(code, headers, &body)).await?;
                }
                Act::BytesThenClose(bytes) => {
                    stream.write_all(&bytes).await?;
                    return Ok(End::Close);
                }
                Act::BytesThenHang(bytes) => {
                    stream.write_all(&bytes).await?;
                    return std::future::pending().await;
                }
                Act::Drip(bytes) => drip(stream, &bytes).await?,
                Act::Reset => return Ok(End::Reset),
            }
        }
    }
}

async fn drip(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> std::io::Result<()> {
    for byte in bytes.iter().cycle() {
        stream.write_all(&[*byte]).await?;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

fn answer(code: u16, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut text = format!(
        "HTTP/1.1 {code} Scripted\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        text.extend([name, ": ", value, "\r\n"]);
    }
    text.push_str("\r\n");
    text.push_str(body);
    text.into_bytes()
}

async fn read_request(
    stream: &mut (impl AsyncRead + Unpin),
    connection: usize,
) -> std::io::Result<Seen> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.trim_end().split("\r\n");
    let line = lines.next().unwrap().to_owned();
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.unwrap().1.parse().unwrap()];
    stream.read_exact(&mut body).await?;
    Ok(Seen {
        line,
        headers,
        body,
        connection,
    })
}

/// A port on which nobody listens.
pub(super) async fn closed_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

/// What the tests of webhooks need: an upstream with short times, one endpoint, counters that can be read.
pub(super) struct Bench {
    pub(super) upstream: Arc<Upstream>,
    /// Of its route.
    pub(super) deadline: Duration,
    counters: Counters,
    registry: Registry,
}

/// Settings for an upstream at this address; connections stay however slow the machine is.
pub(super) fn settings(url: &str) -> Settings {
    let mut settings = Settings::new("app", Url::Http(url.into()));
    settings.secrets = vec![Secret::new(&b"a secret of twenty-four."[..])];
    settings.keep_alive = Duration::from_mins(1);
    settings
}

/// For backends that hang.
pub(super) fn impatient(settings: &mut Settings) {
    settings.timeout = Duration::from_millis(300);
}

impl Bench {
    pub(super) fn new(settings: Settings) -> Self {
        let mut registry = Registry::default();
        let counters = Counters::new(&mut registry);
        let quick = Backoff {
            first: Duration::from_millis(20),
            most: Duration::from_millis(100),
        };
        let pace = Pace {
            connect: quick,
            notice: quick,
        };
        let upstream = Upstream::with_pace(settings, &counters, pace).unwrap();
        Gauges::register(std::slice::from_ref(&upstream), &mut registry);
        Self {
            upstream,
            deadline: Duration::from_secs(10),
            counters,
            registry,
        }
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        Endpoint::new(self.upstream.clone()).unwrap()
    }

    /// A backend by way of the endpoint.
    pub(super) fn webhook(&self, idempotent: bool) -> Webhook {
        let endpoint = Rc::new(self.endpoint());
        Webhook::new(endpoint, self.route(idempotent), format())
    }

    fn route(&self, idempotent: bool) -> Arc<Route> {
        let counters = &self.counters;
        Arc::new(Route::new("messages", self.deadline, idempotent, counters))
    }

    /// The value of a series as a scrape shows it.
    pub(super) fn scrape(&self, series: &str) -> Option<u64> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("{series} ")))?;
        line.rsplit_once(' ').unwrap().1.parse().ok()
    }

    /// Attempts of the route that ended so.
    pub(super) fn requests(&self, code: &str) -> u64 {
        let series =
            format!(r#"sockgate_webhook_requests_total{{route="messages",code="{code}"}}"#);
        self.scrape(&series).unwrap_or_default()
    }
}

/// Facts about some socket.
pub(super) fn socket() -> SocketFacts {
    let shard = ShardId::new(0).unwrap();
    SocketFacts {
        id: SocketId::random(NodeTag::random(), shard),
        namespace: Namespace::new("/chat").unwrap(),
        connection: ConnectionId::random(),
        user: None,
        state: None,
    }
}

/// An event of some socket.
pub(super) fn event() -> Rc<Call> {
    let kind = CallKind::Event {
        name: "message".into(),
        args: "\"hi\"".into(),
        attachments: Vec::new(),
        ack: true,
    };
    Rc::new(Call::new(SystemTime::now(), 1, socket(), kind))
}

/// A CONNECT that is held for so long.
pub(super) fn connect(hold: Duration) -> Rc<Call> {
    let info = ConnectInfo {
        headers: vec![
            ("cookie".into(), "sid=abc".into()),
            ("origin".into(), "https://app.example".into()),
        ],
        protocol: 4,
        ..ConnectInfo::default()
    };
    let kind = CallKind::Connect {
        auth: "{}".into(),
        info: Rc::new(info),
        transport: "websocket",
        hold,
    };
    Rc::new(Call::new(SystemTime::now(), 0, socket(), kind))
}

/// The end of some socket.
pub(super) fn disconnect() -> Rc<Call> {
    let kind = CallKind::Disconnect {
        reason: Reason::TransportClose,
        initiator: Initiator::Client,
        duration: Duration::from_secs(3),
        rooms: Vec::new(),
        undelivered: 0,
        asked_at: SystemTime::now(),
    };
    Rc::new(Call::new(SystemTime::now(), 2, socket(), kind))
}

/// Every namespace is there.
struct Any(UserRoom);

impl Namespaces for Any {
    fn user_room(&self, _: &Namespace) -> Result<&UserRoom, Closed> {
        Ok(&self.0)
    }
}

/// A format that passes the cookie on.
pub(super) fn format() -> Rc<Format> {
    Rc::new(Format {
        node: "gw-1".into(),
        forward: Forward {
            pass: vec!["cookie".into()],
            ..Forward::default()
        },
        namespaces: Rc::new(Any(UserRoom::default())),
        max_emit: 0,
        max_rooms: 0,
    })
}

/// Log lines of this thread.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// Collects until the guard is dropped.
    pub(super) fn capture(&self) -> tracing::subscriber::DefaultGuard {
        let lines = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .with_ansi(false)
            .with_writer(move || lines.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).unwrap()
    }
}

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
