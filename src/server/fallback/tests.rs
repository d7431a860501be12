#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::webhook::address::Unresolved;

/// Short enough to wait for; that something takes as long is never asserted.
const SHORT: Duration = Duration::from_millis(50);

/// A client's connection to a gateway that passes everything on to the address, with room for one request.
async fn client(to: &str, patience: Duration) -> (TcpStream, Arc<Origin>) {
    let origin = Arc::new(Origin::with(to, 1, patience).unwrap());
    let fallback = Arc::new(Fallback::new(Arc::clone(&origin)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((io, peer)) = listener.accept().await {
            let fallback = Arc::clone(&fallback);
            let service = service_fn(move |request| {
                let fallback = Arc::clone(&fallback);
                let settings = Settings::default();
                async move {
                    let response = fallback.pass(&settings, request, peer.ip()).await;
                    Ok::<_, std::convert::Infallible>(response)
                }
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(io), service);
            tokio::spawn(async move { drop(connection.await) });
        }
    });
    (TcpStream::connect(address).await.unwrap(), origin)
}

async fn server() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

async fn ask(client: &mut TcpStream, request: &str) {
    client.write_all(request.as_bytes()).await.unwrap();
}

/// What comes until the text, or until the end of the connection.
async fn until(stream: &mut TcpStream, text: &str) -> String {
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(text) {
        if stream.read_buf(&mut seen).await.unwrap_or(0) == 0 {
            break;
        }
    }
    String::from_utf8(seen).unwrap()
}

#[tokio::test]
async fn a_silent_server_is_answered_for_with_504() {
    let (server, url) = server().await;
    let (mut client, origin) = client(&url, SHORT).await;
    ask(&mut client, "GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let (mut asked, _) = server.accept().await.unwrap();
    assert!(
        until(&mut asked, "\r\n\r\n")
            .await
            .starts_with("GET /slow HTTP/1.1")
    );
    let answer = until(&mut client, "in time\n").await;
    assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
    assert!(
        answer.contains("content-type: text/plain; charset=utf-8"),
        "{answer}"
    );
    assert!(origin.is_idle());
}

#[tokio::test]
async fn a_client_that_does_not_finish_is_told_408() {
    let (server, url) = server().await;
    let (mut client, origin) = client(&url, SHORT).await;
    let request = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhalf";
    ask(&mut client, request).await;
    let (mut asked, _) = server.accept().await.unwrap();
    assert!(until(&mut asked, "half").await.ends_with("half"));
    let answer = until(&mut client, "in time\n").await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(
        origin.failures.load(Ordering::Relaxed),
        0,
        "no fault of the server"
    );
}

#[tokio::test]
async fn who_sends_a_byte_now_and_then_holds_no_place() {
    let (server, url) = server().await;
    let (client, origin) = client(&url, SHORT).await;
    let (mut reading, mut writing) = client.into_split();
    let head = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n";
    writing.write_all(head.as_bytes()).await.unwrap();
    let (mut asked, _) = server.accept().await.unwrap();
    let sink = tokio::spawn(async move {
        let mut seen = Vec::new();
        while asked.read_buf(&mut seen).await.is_ok_and(|n| n > 0) {}
    });
    // Each is a sign of life, and far from the pace; the last ones find a closed connection.
    let trickle = tokio::spawn(async move {
        let mut every = tokio::time::interval(SHORT / 3);
        loop {
            every.tick().await;
            if writing.write_all(b"x").await.is_err() {
                break;
            }
        }
    });
    let mut answer = Vec::new();
    while !answer.ends_with(b"in time\n") && reading.read_buf(&mut answer).await.unwrap() > 0 {}
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(origin.is_idle());
    sink.await.unwrap();
    trickle.abort();
}

#[tokio::test]
async fn a_server_that_stops_reading_is_answered_for_with_504() {
    let (server, url) = server().await;
    let (client, _) = client(&url, SHORT).await;
    let (mut reading, mut writing) = client.into_split();
    let upload = tokio::spawn(async move {
        let head = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100000000\r\n\r\n";
        writing.write_all(head.as_bytes()).await.unwrap();
        while writing.write_all(&[b'x'; 8192]).await.is_ok() {}
    });
    let (_silent, _) = server.accept().await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"in time\n") && reading.read_buf(&mut answer).await.unwrap() > 0 {}
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
    upload.abort();
}

#[tokio::test]
async fn a_get_keeps_its_chunked_body() {
    let (server, url) = server().await;
    let (mut client, _) = client(&url, SHORT).await;
    let head = "GET /find HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    ask(&mut client, &format!("{head}5\r\nquery\r\n0\r\n\r\n")).await;
    let (mut asked, _) = server.accept().await.unwrap();
    let seen = until(&mut asked, "\r\n0\r\n\r\n").await;
    assert!(seen.contains("\r\n\r\n5\r\nquery\r\n0\r\n\r\n"), "{seen}");
    // Whoever has all of it and says nothing is the one who is late.
    let answer = until(&mut client, "in time\n").await;
    assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
}

#[tokio::test]
async fn a_name_of_a_metadata_service_is_refused() {
    // The system takes it for a name, and finds 169.254.169.254.
    let name = "0xa9fea9fe".parse().unwrap();
    let refused = tower_service::Service::call(&mut Resolver, name).await;
    assert!(matches!(refused, Err(Unresolved::Forbidden)), "{refused:?}");
    let name = "localhost".parse().unwrap();
    let mut found = tower_service::Service::call(&mut Resolver, name)
        .await
        .unwrap();
    assert!(found.all(|address| address.ip().is_loopback()));
}

#[tokio::test]
async fn an_answer_that_stops_in_the_middle_ends_the_connection() {
    let (server, url) = server().await;
    let (mut client, origin) = client(&url, SHORT).await;
    ask(&mut client, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let (mut asked, _) = server.accept().await.unwrap();
    until(&mut asked, "\r\n\r\n").await;
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
    asked.write_all(half.as_bytes()).await.unwrap();
    let answer = until(&mut client, "(never)").await;
    assert!(answer.ends_with("\r\n\r\nhalf"), "{answer}");
    assert!(origin.is_idle());
}

#[tokio::test]
async fn who_waits_for_a_place_too_long_is_told_504() {
    let (_server, url) = server().await;
    let (mut client, origin) = client(&url, SHORT).await;
    let taken = Arc::clone(&origin.places).acquire_owned().await.unwrap();
    assert!(!origin.is_idle());
    ask(&mut client, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let answer = until(&mut client, "too much to do\n").await;
    assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
    drop(taken);
    assert!(origin.is_idle());
}

#[test]
fn causes_are_told_apart() {
    assert_eq!(Failure::Busy.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(Failure::Upgrade.status(), StatusCode::BAD_GATEWAY);
    assert_eq!(Failure::Unfinished.status(), StatusCode::REQUEST_TIMEOUT);
    assert_eq!(Failure::Silent.cause(), Failure::Silent.to_string());
}
