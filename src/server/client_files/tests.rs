#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Read as _;

use flate2::read::{GzDecoder, ZlibDecoder};
use http_body_util::BodyExt as _;
use hyper::header::{ACCEPT_ENCODING, HeaderName};

use super::*;

const SCRIPT: &[u8] = b"/* the client */ the client the client the client";
const BUNDLE: Bundle = Bundle {
    version: "9.9.9",
    files: &[
        ("socket.io.js", SCRIPT),
        ("socket.io.js.map", b"{\"version\":3}"),
    ],
};

fn in_memory() -> ClientFiles {
    ClientFiles::new(Build {
        fetched: "1.2.3",
        bundle: Some(BUNDLE),
    })
}

fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
    let pairs = pairs.iter().cloned();
    pairs
        .map(|(name, value)| (name, value.parse().unwrap()))
        .collect()
}

async fn body(response: Response<Full<Bytes>>) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

#[tokio::test]
async fn a_file_comes_with_type_version_and_cache_rule() {
    let files = in_memory();
    let script = files.answer("socket.io.js", &HeaderMap::new()).unwrap();
    assert_eq!(script.status(), StatusCode::OK);
    assert_eq!(
        script.headers()[CONTENT_TYPE],
        "application/javascript; charset=utf-8"
    );
    assert_eq!(script.headers()[ETAG], "\"9.9.9\"");
    assert_eq!(script.headers()[CACHE_CONTROL], "public, max-age=0");
    assert!(!script.headers().contains_key(CONTENT_ENCODING));
    assert_eq!(body(script).await, SCRIPT);
    let map = files.answer("socket.io.js.map", &HeaderMap::new()).unwrap();
    assert_eq!(
        map.headers()[CONTENT_TYPE],
        "application/json; charset=utf-8"
    );
}

#[test]
fn other_names_are_no_files() {
    for name in [
        "socket.io.css",
        "socket.io.js.map.map",
        "socket.io",
        "SOCKET.IO.JS",
    ] {
        assert!(in_memory().answer(name, &HeaderMap::new()).is_none());
    }
}

#[tokio::test]
async fn what_the_client_has_is_not_sent_again() {
    let files = in_memory();
    for tag in ["\"9.9.9\"", "W/\"9.9.9\"", "\"1\", W/\"9.9.9\""] {
        let asked = headers(&[(IF_NONE_MATCH, tag)]);
        let response = files.answer("socket.io.js", &asked).unwrap();
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{tag}");
        assert!(response.headers().is_empty(), "{tag}");
        assert!(body(response).await.is_empty());
    }
    for tag in ["\"9.9.8\"", "9.9.9", "\"9.9.9"] {
        let asked = headers(&[(IF_NONE_MATCH, tag)]);
        let response = files.answer("socket.io.js", &asked).unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{tag}");
    }
}

#[tokio::test]
async fn a_file_is_compressed_as_the_client_likes_it() {
    let files = in_memory();
    let answer = |accepted| {
        let response = files.answer("socket.io.js", &headers(&[(ACCEPT_ENCODING, accepted)]));
        response.unwrap()
    };
    let mut text = Vec::new();
    let response = answer("gzip, deflate, br, zstd");
    assert_eq!(response.headers()[CONTENT_ENCODING], "gzip");
    assert_eq!(response.headers()[VARY], "Accept-Encoding");
    let packed = body(response).await;
    GzDecoder::new(&*packed).read_to_end(&mut text).unwrap();
    assert_eq!(text, SCRIPT);
    text.clear();
    let response = answer("deflate, gzip");
    assert_eq!(response.headers()[CONTENT_ENCODING], "deflate");
    let packed = body(response).await;
    ZlibDecoder::new(&*packed).read_to_end(&mut text).unwrap();
    assert_eq!(text, SCRIPT);
    assert!(!answer("br").headers().contains_key(CONTENT_ENCODING));
}

#[tokio::test]
async fn a_file_is_compressed_once() {
    let files = in_memory();
    let asked = headers(&[(ACCEPT_ENCODING, "gzip")]);
    let first = body(files.answer("socket.io.js", &asked).unwrap()).await;
    let second = body(files.answer("socket.io.js", &asked).unwrap()).await;
    assert_eq!(first.as_ptr(), second.as_ptr());
}

#[test]
fn without_the_files_browsers_are_sent_on() {
    let files = ClientFiles::new(Build {
        fetched: "1.2.3",
        bundle: None,
    });
    for name in NAMES {
        let response = files.answer(name, &HeaderMap::new()).unwrap();
        assert_eq!(response.status(), StatusCode::TEMPORARY_REDIRECT);
        assert_eq!(
            response.headers()[LOCATION],
            format!("https://cdn.socket.io/1.2.3/{name}")
        );
    }
    for name in ["socket.io.css", "socket.io.js/", ""] {
        assert!(files.answer(name, &HeaderMap::new()).is_none());
    }
}

#[test]
fn this_build_has_all_files_or_none() {
    if let Some(bundle) = BUILD.bundle {
        let names: Vec<&str> = bundle.files.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, NAMES);
        assert!(bundle.files.iter().all(|(_, bytes)| bytes.len() > 1000));
    }
}
