//! Compressed polling answers (protocol 1.13), and none by WebSocket.

use std::io::Read;

use flate2::read::{DeflateDecoder, GzDecoder, ZlibDecoder};

use crate::support::client::{Client, Kind};
use crate::support::gateway::{ECHO, Gateway};
use crate::support::http::Answer;
use crate::support::polling::Polling;
use crate::support::websocket::WebSocket;

async fn poll_of(gateway: &Gateway, length: usize, accept: &str) -> (Answer, String) {
    let mut client = Client::open(Kind::Polling, gateway).await;
    client.connect("/", "").await;
    let Client::Polling(polling) = client else {
        unreachable!("opened by polling")
    };
    let text = "x".repeat(length - r#"42["echo",""]"#.len());
    let sent = format!(r#"42["echo","{text}"]"#);
    polling.send(&sent).await;
    let answer = polling.poll_with(&[("accept-encoding", accept)]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    (answer, sent)
}

fn decoded(answer: &Answer) -> String {
    let mut text = String::new();
    match answer.header("content-encoding") {
        Some("gzip") => GzDecoder::new(&*answer.body)
            .read_to_string(&mut text)
            .unwrap(),
        // RFC 9110: "deflate" is the zlib format, and Node sends that.
        Some("deflate") => ZlibDecoder::new(&*answer.body)
            .read_to_string(&mut text)
            .unwrap(),
        other => panic!("encoding {other:?} in {}", answer.head),
    };
    text
}

#[tokio::test]
async fn a_large_answer_is_compressed_as_the_client_accepts() {
    let gateway = Gateway::start(ECHO).await;
    for (accept, encoding) in [
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("gzip, deflate", "gzip"),
        ("deflate, gzip", "deflate"),
        ("gzip, deflate, br, zstd", "gzip"),
        ("br, gzip;q=0.5, deflate;q=0.8", "deflate"),
        ("gzip;q=0, deflate", "deflate"),
    ] {
        let (answer, sent) = poll_of(&gateway, 3000, accept).await;
        answer.has("content-encoding", encoding);
        answer.has("content-type", "text/plain; charset=UTF-8");
        answer.has("cache-control", "no-store");
        assert_eq!(decoded(&answer), sent, "{accept}");
        assert!(answer.body.len() < 1000, "{accept}: {}", answer.body.len());
        assert!(
            DeflateDecoder::new(&*answer.body)
                .read_to_string(&mut String::new())
                .is_err()
        );
    }
}

#[tokio::test]
async fn what_the_client_does_not_accept_is_not_compressed() {
    let gateway = Gateway::start(ECHO).await;
    for accept in ["", "br", "identity", "gzip;q=0", "zstd, br"] {
        let (answer, sent) = poll_of(&gateway, 3000, accept).await;
        answer.lacks("content-encoding");
        answer.has("content-length", "3000");
        assert_eq!(answer.text(), sent, "{accept}");
    }
}

#[tokio::test]
async fn the_threshold_decides_to_the_byte() {
    let gateway = Gateway::start(ECHO).await;
    let (below, _) = poll_of(&gateway, 1023, "gzip").await;
    below.lacks("content-encoding");
    let (at, _) = poll_of(&gateway, 1024, "gzip").await;
    at.has("content-encoding", "gzip");
    let own = format!("engine.http_compression = {{ threshold = \"100\" }}\n{ECHO}");
    let gateway = Gateway::start(&own).await;
    let (at, sent) = poll_of(&gateway, 100, "gzip").await;
    assert_eq!(decoded(&at), sent);
}

#[tokio::test]
async fn compression_can_be_off() {
    let off = format!("engine.http_compression = {{ enabled = false }}\n{ECHO}");
    let gateway = Gateway::start(&off).await;
    let (answer, sent) = poll_of(&gateway, 3000, "gzip, deflate").await;
    answer.lacks("content-encoding");
    assert_eq!(answer.text(), sent);
}

#[tokio::test]
async fn a_post_is_never_answered_compressed() {
    let gateway = Gateway::start(ECHO).await;
    let polling = Polling::open(&gateway).await;
    polling.post("40").await.lacks("content-encoding");
}

#[tokio::test]
async fn a_websocket_gets_no_extension_though_it_offers_one() {
    let gateway = Gateway::start(ECHO).await;
    let offer = [(
        "sec-websocket-extensions",
        "permessage-deflate; client_max_window_bits",
    )];
    let socket = WebSocket::open_with(&gateway, "", &offer).await;
    let headers = socket.response.headers();
    assert!(
        !headers.contains_key("sec-websocket-extensions"),
        "{headers:?}"
    );
}
