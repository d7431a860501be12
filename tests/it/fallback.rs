//! What is not under the Engine.IO path goes on to another server (contract 10, `fallback`), byte by byte.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::support::gateway::{ECHO, Gateway};
use super::support::http::{Exchange, ask, get, request};
use super::support::wait::within;

/// The server that has the pages; the test speaks for it.
struct Pages {
    listener: TcpListener,
    address: SocketAddr,
}

/// One connection from the gateway.
struct Link {
    stream: TcpStream,
    seen: Vec<u8>,
}

impl Pages {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    /// A gateway before it, with more lines of TOML.
    async fn gateway(&self, lines: &str) -> Gateway {
        let fallback = format!("server.fallback = \"http://{}\"", self.address);
        Gateway::start(&format!("{fallback}\n{lines}\n{ECHO}")).await
    }

    async fn accept(&self) -> Link {
        let accepted = within("a connection from the gateway", self.listener.accept()).await;
        Link {
            stream: accepted.unwrap().0,
            seen: Vec::new(),
        }
    }
}

impl Link {
    /// Reads up to and with this text.
    async fn until(&mut self, end: &str) -> String {
        within(format!("{end:?} from the gateway"), async {
            loop {
                let seen = String::from_utf8_lossy(&self.seen).into_owned();
                if let Some(at) = seen.find(end) {
                    let used = at + end.len();
                    self.seen.drain(..used);
                    return seen[..used].to_owned();
                }
                let count = self.stream.read_buf(&mut self.seen).await.unwrap();
                assert!(count > 0, "the gateway closed after {seen:?}");
            }
        })
        .await
    }

    /// The head of the next request, in lower case but for its first line.
    async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await
    }

    async fn write(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    async fn ok(&mut self, body: &str) {
        let length = body.len();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
        self.write(&format!("{head}{body}")).await;
    }
}

fn has_line(head: &str, line: &str) {
    let found = head.lines().any(|seen| seen.eq_ignore_ascii_case(line));
    assert!(found, "no {line:?} in {head}");
}

fn lacks_header(head: &str, name: &str) {
    let name = format!("{name}:");
    let found = head
        .lines()
        .any(|l| l.to_ascii_lowercase().starts_with(&name));
    assert!(!found, "{name} in {head}");
}

#[tokio::test]
async fn a_page_passes_with_its_headers_and_cookies() {
    let pages = Pages::start().await;
    let gateway = pages.gateway("").await;
    let headers = [
        ("host", "chat.example"),
        ("cookie", "session=abc; theme=dark"),
        ("x-forwarded-for", "6.6.6.6"),
        ("connection", "keep-alive, X-Hop"),
        ("x-hop", "mine"),
        ("te", "trailers"),
        ("expect", "100-continue"),
    ];
    let bytes = request("GET", "/chat/page?x=1&y=%20#", &headers, b"");
    let mut client = Exchange::begin(gateway.clients, &bytes).await;
    let mut link = pages.accept().await;
    let head = link.head().await;
    has_line(&head, "GET /chat/page?x=1&y=%20 HTTP/1.1");
    for line in [
        "host: chat.example",
        "cookie: session=abc; theme=dark",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-proto: http",
        "x-forwarded-host: chat.example",
    ] {
        has_line(&head, line);
    }
    for name in ["connection", "x-hop", "te", "expect"] {
        lacks_header(&head, name);
    }
    link.write(
        "HTTP/1.1 203 Fine\r\ncontent-type: text/html\r\nset-cookie: a=1\r\nset-cookie: b=2\r\nconnection: x-own\r\nx-own: 1\r\nkeep-alive: timeout=5\r\ncontent-length: 4\r\n\r\npage",
    )
    .await;
    let answer = client.answer().await;
    answer.is(203, "page").has("content-type", "text/html");
    let cookies = answer.headers.iter().filter(|(n, _)| n == "set-cookie");
    let cookies: Vec<&str> = cookies.map(|(_, value)| value.as_str()).collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
    answer.lacks("x-own").lacks("keep-alive");
}

#[tokio::test]
async fn only_what_is_not_under_the_path_passes() {
    let pages = Pages::start().await;
    let gateway = pages.gateway("").await;
    let answer = gateway.get("EIO=4&transport=polling").await;
    assert_eq!(answer.status, 200);
    let answer = get(gateway.clients, "/socket.io/other").await;
    assert_eq!(answer.status, 400);
    let mut client =
        Exchange::begin(gateway.clients, &request("GET", "/socket.iox", &[], b"")).await;
    let mut link = pages.accept().await;
    has_line(&link.head().await, "GET /socket.iox HTTP/1.1");
    link.ok("").await;
    client.answer().await.is(200, "");
}

#[tokio::test]
async fn every_origin_may_ask_for_pages() {
    let pages = Pages::start().await;
    let gateway = pages.gateway("").await;
    let headers = [("origin", "https://evil.example")];
    let mut client =
        Exchange::begin(gateway.clients, &request("OPTIONS", "/", &headers, b"")).await;
    let mut link = pages.accept().await;
    has_line(&link.head().await, "origin: https://evil.example");
    link.ok("asked the application").await;
    client.answer().await.is(200, "asked the application");
}

#[tokio::test]
async fn bodies_are_streamed_both_ways() {
    let pages = Pages::start().await;
    let gateway = pages.gateway("").await;
    let head = "POST /upload HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut client = Exchange::begin(gateway.clients, head.as_bytes()).await;
    client.again(b"5\r\nfirst\r\n").await;
    let mut link = pages.accept().await;
    has_line(&link.head().await, "transfer-encoding: chunked");
    // The second half is sent only after the first has arrived, in both directions.
    link.until("first\r\n").await;
    client.again(b"6\r\nsecond\r\n0\r\n\r\n").await;
    link.until("second\r\n").await;
    link.until("0\r\n\r\n").await;
    link.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhead\r\n")
        .await;
    let seen = within("the first half of the answer", async {
        while !String::from_utf8_lossy(&client.rest).contains("head") {
            client.stream.read_buf(&mut client.rest).await.unwrap();
        }
    });
    seen.await;
    link.write("4\r\ntail\r\n0\r\n\r\n").await;
    client.answer().await.is(200, "headtail");
}

#[tokio::test]
async fn megabytes_pass_unchanged() {
    let pages = Pages::start().await;
    let gateway = pages.gateway("").await;
    let body: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let echo = async {
        let mut link = pages.accept().await;
        link.head().await;
        let mut got = std::mem::take(&mut link.seen);
        while got.len() < body.len() {
            link.stream.read_buf(&mut got).await.unwrap();
        }
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", got.len());
        link.write(&head).await;
        link.stream.write_all(&got).await.unwrap();
        link
    };
    let (answer, _link) = tokio::join!(ask(gateway.clients, "PUT", "/big", &[], &body), echo);
    assert_eq!(answer.status, 200);
    assert!(answer.body == body, "{} bytes came back", answer.body.len());
}

#[tokio::test]
async fn a_head_request_keeps_the_length() {
    let pages = Pages::start().await;
    let gateway = pages.gateway("").await;
    let mut client = Exchange::begin(gateway.clients, &request("HEAD", "/", &[], b"")).await;
    let mut link = pages.accept().await;
    has_line(&link.head().await, "HEAD / HTTP/1.1");
    link.write("HTTP/1.1 200 OK\r\ncontent-length: 1234\r\n\r\n")
        .await;
    let head = within("the head", async {
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") {
            client.stream.read_buf(&mut seen).await.unwrap();
        }
        String::from_utf8(seen).unwrap()
    });
    has_line(&head.await, "content-length: 1234");
}

#[tokio::test]
async fn connections_to_the_server_are_kept() {
    const ROUNDS: usize = 20;
    let pages = Pages::start().await;
    let address = pages.address;
    let text = format!("server.fallback = \"http://{address}\"\nserver.shards = 1\n{ECHO}");
    let gateway = Gateway::start(&text).await;
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        loop {
            let mut link = pages.accept().await;
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                loop {
                    link.head().await;
                    link.ok("page").await;
                }
            });
        }
    });
    for _ in 0..ROUNDS {
        get(gateway.clients, "/").await.is(200, "page");
    }
    // Which one is ready again in time is the HTTP library's affair; that some are is ours.
    let connections = connections.load(Ordering::SeqCst);
    assert!(connections < ROUNDS, "{connections}");
}

#[tokio::test]
async fn a_client_that_goes_away_takes_its_request_along() {
    let pages = Pages::start().await;
    let gateway = pages.gateway("").await;
    let client = Exchange::begin(gateway.clients, &request("GET", "/", &[], b"")).await;
    let mut link = pages.accept().await;
    link.head().await;
    drop(client);
    let end = within(
        "the end of the request",
        link.stream.read_buf(&mut link.seen),
    )
    .await;
    assert_eq!(end.unwrap_or(0), 0);
}

#[tokio::test]
async fn nothing_is_upgraded() {
    let pages = Pages::start().await;
    let gateway = pages.gateway("").await;
    let headers = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
    ];
    let bytes = request("GET", "/other-socket", &headers, b"");
    let mut client = Exchange::begin(gateway.clients, &bytes).await;
    let mut link = pages.accept().await;
    let head = link.head().await;
    lacks_header(&head, "upgrade");
    lacks_header(&head, "connection");
    link.write(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    )
    .await;
    let answer = client.answer().await;
    assert_eq!(answer.status, 502, "{answer:?}");
}

#[tokio::test]
async fn the_session_cookie_does_not_leave_the_gateway() {
    let pages = Pages::start().await;
    let gateway = pages.gateway("engine.cookie = { name = \"io\" }").await;
    let headers = [("cookie", "session=abc; io=SECRET")];
    let mut client = Exchange::begin(gateway.clients, &request("GET", "/", &headers, b"")).await;
    let mut link = pages.accept().await;
    has_line(&link.head().await, "cookie: session=abc");
    link.ok("").await;
    client.answer().await.is(200, "");
}

#[tokio::test]
async fn a_trusted_proxy_is_believed() {
    let pages = Pages::start().await;
    let gateway = pages
        .gateway("server.trusted_proxies = [\"127.0.0.0/8\"]")
        .await;
    let headers = [
        ("host", "gateway:3000"),
        ("x-forwarded-for", "203.0.113.7"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "chat.example"),
    ];
    let mut client = Exchange::begin(gateway.clients, &request("GET", "/", &headers, b"")).await;
    let mut link = pages.accept().await;
    let head = link.head().await;
    for line in [
        "x-forwarded-for: 203.0.113.7, 127.0.0.1",
        "x-forwarded-proto: https",
        "x-forwarded-host: chat.example",
        "host: gateway:3000",
    ] {
        has_line(&head, line);
    }
    link.ok("").await;
    client.answer().await.is(200, "");
}

#[tokio::test]
async fn a_server_that_is_down_is_answered_for_and_logged_once() {
    // Bound, so that nobody else takes the port, but not listening yet.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let text = format!("server.fallback = \"http://{address}\"\n{ECHO}");
    let mut gateway = Gateway::start(&text).await;
    for _ in 0..3 {
        let answer = get(gateway.clients, "/").await;
        assert_eq!(answer.status, 502, "{answer:?}");
        answer.has("content-type", "text/plain; charset=utf-8");
        assert!(answer.text().contains("cannot be reached"), "{answer:?}");
    }
    gateway
        .log_line(&["fallback server does not answer", "refused"])
        .await;
    let listener = socket.listen(16).unwrap();
    let pages = Pages { listener, address };
    let mut client = Exchange::begin(gateway.clients, &request("GET", "/", &[], b"")).await;
    let mut accepted = pages.accept().await;
    accepted.head().await;
    accepted.ok("back").await;
    client.answer().await.is(200, "back");
    gateway
        .log_line(&["fallback server answers again", "3"])
        .await;
    let lines = gateway.logs();
    let failures = lines.iter().filter(|l| l.contains("does not answer"));
    assert_eq!(failures.count(), 1, "{lines:#?}");
    gateway.is_well("a server that was down").await;
}

#[tokio::test]
async fn nonsense_from_the_server_is_502() {
    let pages = Pages::start().await;
    let mut gateway = pages.gateway("").await;
    for nonsense in ["SSH-2.0-OpenSSH_9.2\r\n\r\n", "HTTP/1.1 200", ""] {
        let mut client = Exchange::begin(gateway.clients, &request("GET", "/", &[], b"")).await;
        let mut link = pages.accept().await;
        link.head().await;
        link.write(nonsense).await;
        drop(link);
        let answer = client.answer().await;
        assert_eq!(answer.status, 502, "{nonsense:?}: {answer:?}");
    }
    gateway.is_well("nonsense").await;
}

#[tokio::test]
async fn without_a_fallback_a_lost_client_is_told_the_path() {
    let gateway = Gateway::start(ECHO).await;
    let answer = get(gateway.clients, "/chat").await;
    assert_eq!(answer.status, 404);
    assert!(answer.text().contains("/socket.io/"), "{answer:?}");
}

#[tokio::test]
async fn strange_targets_are_refused() {
    let pages = Pages::start().await;
    let mut gateway = pages.gateway("").await;
    for line in ["CONNECT example.com:443 HTTP/1.1", "OPTIONS * HTTP/1.1"] {
        let bytes = format!("{line}\r\nhost: example.com\r\n\r\n");
        let mut client = Exchange::begin(gateway.clients, bytes.as_bytes()).await;
        let answer = client.answer().await;
        assert!(matches!(answer.status, 400 | 405), "{line}: {answer:?}");
    }
    gateway.is_well("strange targets").await;
}

#[tokio::test]
async fn requests_are_counted_by_what_became_of_them() {
    let pages = Pages::start().await;
    let gateway = pages.gateway("").await;
    let ask = request("GET", "/page", &[], b"");
    let mut client = Exchange::begin(gateway.clients, &ask).await;
    let mut link = pages.accept().await;
    link.head().await;
    gateway.metric_is("sockgate_fallback_inflight", 1.0).await;
    link.ok("page").await;
    client.answer().await.is(200, "page");
    gateway.metric_is("sockgate_fallback_inflight", 0.0).await;
    client.again(&ask).await;
    link.head().await;
    link.write("HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.status, 404);
    client.again(&ask).await;
    link.head().await;
    link.write("no HTTP at all\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 502);
    // Whoever leaves before the answer is counted, too.
    client.again(&ask).await;
    let mut link = pages.accept().await;
    link.head().await;
    drop(client);
    for code in ["2xx", "4xx", "network", "left"] {
        let name = format!("sockgate_fallback_requests_total{{code=\"{code}\"}}");
        gateway.metric_is(&name, 1.0).await;
    }
    let durations = "sockgate_fallback_duration_seconds_count";
    gateway.metric_is(durations, 4.0).await;
}
