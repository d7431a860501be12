//! A scripted webhook backend: records every request byte for byte, and answers well or as badly as the test says.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};

use super::wait::within;

/// A backend on a port of its own.
pub(crate) struct Backend {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    script: Arc<Script>,
    arrived: mpsc::UnboundedReceiver<Request>,
    accepting: Option<JoinHandle<()>>,
}

/// More keys, as TOML lines, for [`Backend::everything_with`].
#[derive(Default)]
pub(crate) struct Keys<'a> {
    /// Of the upstream.
    pub(crate) upstream: &'a str,
    /// Of the namespace.
    pub(crate) namespace: &'a str,
    /// Of the route for events.
    pub(crate) route: &'a str,
}

/// A webhook as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Method and target.
    pub(crate) line: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// The exact bytes.
    pub(crate) raw: Vec<u8>,
    /// The body, parsed.
    pub(crate) body: Value,
}

/// What the backend does with a request.
pub(crate) enum Reply {
    /// 200 with this JSON.
    Json(Value),
    /// Any status, headers and body.
    Raw(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Keeps the connection open and says nothing.
    Hang,
    /// Announces 100 bytes, sends a few, closes.
    HalfBody,
    /// RST.
    Reset,
    /// FIN without an answer.
    Close,
    /// One byte of a head that never ends, again and again.
    Drip,
    /// Waits for the test, or for the other end of its life.
    Held(oneshot::Receiver<()>, Box<Reply>),
    /// Waits by the clock, to shuffle answers.
    Late(Duration, Box<Reply>),
}

/// Lets a [`Reply::Held`] go.
pub(crate) struct Release(oneshot::Sender<()>);

type Answering = dyn Fn(&Request) -> Reply + Send + Sync;

struct Script {
    answer: Mutex<Arc<Answering>>,
    questions: Mutex<VecDeque<Reply>>,
    notices: Mutex<VecDeque<Reply>>,
    arrived: mpsc::UnboundedSender<Request>,
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
    connections: AtomicUsize,
}

impl From<Value> for Reply {
    fn from(value: Value) -> Self {
        Self::Json(value)
    }
}

impl Reply {
    /// A bare status with an empty body.
    pub(crate) fn status(status: u16) -> Self {
        Self::Raw(status, Vec::new(), Vec::new())
    }

    /// A status with a JSON body.
    pub(crate) fn status_json(status: u16, body: &Value) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self::Raw(status, headers, body.to_string().into_bytes())
    }

    /// What a reverse proxy's error page looks like, with 200.
    pub(crate) fn html() -> Self {
        let headers = vec![("content-type", "text/html".to_owned())];
        Self::Raw(200, headers, b"<!doctype html><h1>It works!</h1>".to_vec())
    }

    /// What an ingress says that lets nobody in.
    pub(crate) fn html_403() -> Self {
        let headers = vec![("content-type", "text/html".to_owned())];
        Self::Raw(403, headers, b"<h1>403 Forbidden</h1>".to_vec())
    }

    /// Valid JSON of so many bytes.
    pub(crate) fn huge(bytes: usize) -> Self {
        Self::Json(json!({"ack": ["x".repeat(bytes)]}))
    }

    /// A reply that waits until [`Release::go`].
    pub(crate) fn held(reply: impl Into<Self>) -> (Release, Self) {
        let (sender, receiver) = oneshot::channel();
        (
            Release(sender),
            Self::Held(receiver, Box::new(reply.into())),
        )
    }
}

impl Release {
    /// Lets the reply go.
    pub(crate) fn go(self) {
        // The backend may have been stopped meanwhile; nobody waits then.
        self.0.send(()).ok();
    }
}

impl Backend {
    /// Starts one that answers `{}` to everything.
    pub(crate) async fn start() -> Self {
        let (sender, arrived) = mpsc::unbounded_channel();
        let script = Script {
            answer: Mutex::new(Arc::new(|_: &Request| Reply::Json(json!({})))),
            questions: Mutex::default(),
            notices: Mutex::default(),
            arrived: sender,
            in_flight: AtomicUsize::new(0),
            most_in_flight: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut backend = Self {
            address: listener.local_addr().unwrap(),
            script: Arc::new(script),
            arrived,
            accepting: None,
        };
        backend.serve(listener);
        backend
    }

    /// The URL for `upstream.url`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/sockgate", self.address)
    }

    /// TOML of an upstream `app` that is this backend.
    pub(crate) fn upstream(&self) -> String {
        self.upstream_with("")
    }

    /// TOML of a namespace `/` that asks this backend for everything but `echo`.
    pub(crate) fn everything(&self) -> String {
        self.everything_with(&Keys::default())
    }

    /// [`Backend::everything`] with more keys.
    pub(crate) fn everything_with(&self, keys: &Keys<'_>) -> String {
        let Keys {
            upstream,
            namespace,
            route,
        } = keys;
        let upstream = self.upstream_with(upstream);
        format!(
            r#"
{upstream}
[[namespace]]
match = "/"
{namespace}
[[namespace.route]]
on = ["connect", "disconnect"]
upstream = "app"
[[namespace.route]]
event = "echo"
reply = "echo"
[[namespace.route]]
event = "*"
upstream = "app"
{route}
"#
        )
    }

    fn upstream_with(&self, keys: &str) -> String {
        // Tests of bad answers would open the breaker, which has tests of its own.
        let breaker = if keys.contains("breaker") {
            ""
        } else {
            "breaker = { min_requests = 1_000_000 }"
        };
        let url = self.url();
        format!("[[upstream]]\nname = \"app\"\nurl = \"{url}\"\n{breaker}\n{keys}\n")
    }

    /// From now on, what is not in the queue is answered so.
    pub(crate) fn answer<R: Into<Reply>>(
        &self,
        answer: impl Fn(&Request) -> R + Send + Sync + 'static,
    ) {
        *self.script.answer.lock().unwrap() = Arc::new(move |request| answer(request).into());
    }

    /// Events are answered so, everything else with `{}`.
    pub(crate) fn answer_events<R: Into<Reply>>(
        &self,
        answer: impl Fn(&Request) -> R + Send + Sync + 'static,
    ) {
        self.answer(move |request| match request.kind() {
            "event" => answer(request).into(),
            _ => Reply::Json(json!({})),
        });
    }

    /// The next question that comes is answered so; several calls queue up.
    pub(crate) fn push(&self, reply: impl Into<Reply>) {
        let mut questions = self.script.questions.lock().unwrap();
        questions.push_back(reply.into());
    }

    /// The next `disconnect` that comes is answered so; several calls queue up.
    pub(crate) fn push_for_notice(&self, reply: impl Into<Reply>) {
        let mut notices = self.script.notices.lock().unwrap();
        notices.push_back(reply.into());
    }

    /// The next request, in order of arrival.
    pub(crate) async fn next(&mut self) -> Request {
        let next = within("a request to the backend", self.arrived.recv()).await;
        next.expect("the script holds the sender")
    }

    /// The next request, which must be of this type.
    pub(crate) async fn next_of(&mut self, kind: &str) -> Request {
        let request = self.next().await;
        assert_eq!(request.kind(), kind, "{}", request.body);
        request
    }

    /// Fails the test if a request has arrived that nobody has looked at.
    pub(crate) fn has_no_request(&mut self) {
        if let Ok(request) = self.arrived.try_recv() {
            panic!("unexpected request: {}", request.body);
        }
    }

    /// Forgets what has arrived.
    pub(crate) fn forget(&mut self) {
        while self.arrived.try_recv().is_ok() {}
    }

    /// The most requests that were under way at once.
    pub(crate) fn most_in_flight(&self) -> usize {
        self.script.most_in_flight.load(Ordering::SeqCst)
    }

    /// Connections accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.script.connections.load(Ordering::SeqCst)
    }

    /// Closes the port and every connection.
    pub(crate) async fn stop(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            // Cancelled: the error says so.
            accepting.await.ok();
        }
    }

    /// Listens again on the same port.
    pub(crate) fn start_again(&mut self) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(self.address).unwrap();
        self.serve(socket.listen(1024).unwrap());
    }

    fn serve(&mut self, listener: TcpListener) {
        let script = Arc::clone(&self.script);
        self.accepting = Some(tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                script.connections.fetch_add(1, Ordering::SeqCst);
                connections.spawn(converse(stream, Arc::clone(&script)));
            }
        }));
    }
}

async fn converse(mut stream: TcpStream, script: Arc<Script>) {
    stream.set_nodelay(true).unwrap();
    let mut bytes = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut bytes).await {
        let now = script.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        script.most_in_flight.fetch_max(now, Ordering::SeqCst);
        let queue = match request.kind() {
            "disconnect" => &script.notices,
            _ => &script.questions,
        };
        let queued = queue.lock().unwrap().pop_front();
        let reply = queued.unwrap_or_else(|| {
            let answer = Arc::clone(&script.answer.lock().unwrap());
            answer(&request)
        });
        // The test may be over.
        script.arrived.send(request).ok();
        let goes_on = perform(&mut stream, reply).await;
        script.in_flight.fetch_sub(1, Ordering::SeqCst);
        if !goes_on {
            return;
        }
    }
}

async fn read_request(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<Request> {
    loop {
        if let Some((request, used)) = parse(bytes) {
            bytes.drain(..used);
            return Some(request);
        }
        if stream.read_buf(bytes).await.ok()? == 0 {
            return None;
        }
    }
}

fn parse(bytes: &[u8]) -> Option<(Request, usize)> {
    let mut headers = [httparse::EMPTY_HEADER; 100];
    let mut head = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(start) = head.parse(bytes).expect("a request of HTTP/1.1")
    else {
        return None;
    };
    let headers: Vec<_> = head
        .headers
        .iter()
        .map(|h| {
            let value = String::from_utf8_lossy(h.value).into_owned();
            (h.name.to_ascii_lowercase(), value)
        })
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.map_or(0, |(_, value)| value.parse().unwrap());
    let raw = bytes.get(start..start + length)?.to_vec();
    let request = Request {
        line: format!("{} {}", head.method?, head.path?),
        headers,
        body: serde_json::from_slice(&raw).unwrap_or(Value::Null),
        raw,
    };
    Some((request, start + length))
}

/// Carries a reply out; whether the connection can serve another request.
async fn perform(stream: &mut TcpStream, mut reply: Reply) -> bool {
    loop {
        let bytes = match reply {
            Reply::Held(release, inner) => {
                if release.await.is_err() {
                    return std::future::pending().await;
                }
                reply = *inner;
                continue;
            }
            Reply::Late(time, inner) => {
                tokio::time::sleep(time).await;
                reply = *inner;
                continue;
            }
            Reply::Json(value) => {
                let headers = [("content-type", "application/json".to_owned())];
                response(200, &headers, value.to_string().as_bytes())
            }
            Reply::Raw(status, headers, body) => response(status, &headers, &body),
            Reply::Hang => return std::future::pending().await,
            Reply::Close => return false,
            Reply::HalfBody => {
                let half = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"ack\":[";
                // The gateway may have gone.
                stream.write_all(half).await.ok();
                return false;
            }
            Reply::Reset => {
                let socket = socket2::SockRef::from(&*stream);
                socket.set_linger(Some(Duration::ZERO)).unwrap();
                return false;
            }
            Reply::Drip => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nx-drip: ").await.ok();
                while stream.write_all(b".").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                return false;
            }
        };
        return stream.write_all(&bytes).await.is_ok();
    }
}

fn response(status: u16, headers: &[(&'static str, String)], body: &[u8]) -> Vec<u8> {
    use std::fmt::Write;
    let mut head = format!("HTTP/1.1 {status} Any\r\n");
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    if status != 204 {
        write!(head, "content-length: {}\r\n", body.len()).unwrap();
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

impl Request {
    /// The body's `type`.
    pub(crate) fn kind(&self) -> &str {
        self.body["type"].as_str().unwrap_or("(no type)")
    }

    /// The body's `event`.
    pub(crate) fn event(&self) -> &str {
        self.body["event"].as_str().unwrap_or("(no event)")
    }

    /// The id of the socket that the body is about.
    pub(crate) fn socket(&self) -> &str {
        self.body["socket"]["id"].as_str().expect("a socket id")
    }

    /// The first header of this lower-case name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The header, which must be there.
    pub(crate) fn must(&self, name: &str) -> &str {
        self.header(name)
            .unwrap_or_else(|| panic!("no {name} in {:?}", self.headers))
    }

    /// Whether one of the signatures was made with this secret (Standard Webhooks v1).
    pub(crate) fn is_signed_with(&self, secret: &str) -> bool {
        let key = secret.strip_prefix("whsec_").expect("a whsec_ secret");
        let mut mac = Hmac::<Sha256>::new_from_slice(&STANDARD.decode(key).unwrap()).unwrap();
        let (id, time) = (self.must("webhook-id"), self.must("webhook-timestamp"));
        mac.update(format!("{id}.{time}.").as_bytes());
        mac.update(&self.raw);
        let right = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        self.must("webhook-signature")
            .split(' ')
            .any(|one| one == right)
    }
}
