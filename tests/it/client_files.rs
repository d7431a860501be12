//! The official browser client (protocol 5.7): served where the build has it, else browsers are sent on; and where the build gets it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use super::client_sources::{self, DIRECTORY, FILES, VERSION, from_directory, from_npm, source};
use super::support::gateway::{ECHO, Gateway};
use super::support::http::{Answer, ask, get};

const UNKNOWN_TRANSPORT: &str = r#"{"code":0,"message":"Transport unknown"}"#;

fn target(name: &str) -> String {
    format!("/socket.io/{name}")
}

/// Whether this build serves the files; else they are redirects, and that is fine as well.
async fn serves(gateway: &Gateway, name: &str) -> Option<Answer> {
    let answer = get(gateway.clients, &target(name)).await;
    match answer.status {
        200 => Some(answer),
        307 => {
            let cdn = format!("https://cdn.socket.io/{VERSION}/{name}");
            answer.has("location", &cdn);
            None
        }
        _ => panic!("{answer:?}"),
    }
}

#[tokio::test]
async fn all_eight_files_are_there_and_no_others() {
    let gateway = Gateway::start(ECHO).await;
    for name in FILES {
        let Some(answer) = serves(&gateway, name).await else {
            continue;
        };
        let kind = if name.strip_suffix(".map").is_some() {
            "json"
        } else {
            "javascript"
        };
        answer.has(
            "content-type",
            &format!("application/{kind}; charset=utf-8"),
        );
        answer.has("cache-control", "public, max-age=0");
        answer.has("etag", &format!("\"{VERSION}\""));
        answer.lacks("content-encoding");
        assert!(answer.body.len() > 10_000, "{name}: {}", answer.body.len());
    }
    for name in [
        "socket.io.css",
        "socket.io.js.gz",
        "socket.io.slim.js",
        "socket.io",
    ] {
        let answer = get(gateway.clients, &target(name)).await;
        answer.is(400, UNKNOWN_TRANSPORT);
    }
}

#[tokio::test]
async fn query_and_method_do_not_matter() {
    let gateway = Gateway::start(ECHO).await;
    let Some(file) = serves(&gateway, "socket.io.min.js").await else {
        return;
    };
    let query = get(gateway.clients, &target("socket.io.min.js?v=1&EIO=4")).await;
    assert_eq!(query.body, file.body);
    for method in ["POST", "PUT", "OPTIONS"] {
        let answer = ask(
            gateway.clients,
            method,
            &target("socket.io.min.js"),
            &[],
            "",
        )
        .await;
        assert_eq!((answer.status, &answer.body), (200, &file.body), "{method}");
    }
}

#[tokio::test]
async fn what_a_browser_has_is_not_sent_again() {
    let gateway = Gateway::start(ECHO).await;
    if serves(&gateway, "socket.io.js").await.is_none() {
        return;
    }
    for tag in [format!("\"{VERSION}\""), format!("W/\"{VERSION}\"")] {
        let headers = [("if-none-match", &*tag)];
        let answer = ask(
            gateway.clients,
            "GET",
            &target("socket.io.js"),
            &headers,
            "",
        )
        .await;
        answer.is(304, "");
        for name in ["etag", "cache-control", "content-type"] {
            answer.lacks(name);
        }
    }
}

#[tokio::test]
async fn files_are_compressed() {
    let gateway = Gateway::start(ECHO).await;
    let Some(plain) = serves(&gateway, "socket.io.js").await else {
        return;
    };
    for (accepted, coding) in [("gzip, deflate, br", "gzip"), ("deflate, gzip", "deflate")] {
        let headers = [("accept-encoding", accepted)];
        let answer = ask(
            gateway.clients,
            "GET",
            &target("socket.io.js"),
            &headers,
            "",
        )
        .await;
        answer.has("content-encoding", coding);
        answer.has("vary", "Accept-Encoding");
        assert!(
            answer.body.len() * 3 < plain.body.len(),
            "{}",
            answer.body.len()
        );
    }
}

#[tokio::test]
async fn every_origin_gets_them_and_listed_ones_may_read_them() {
    let text = format!("cors.origins = [\"https://app.example\"]\n{ECHO}");
    let gateway = Gateway::start(&text).await;
    for (origin, told) in [
        ("https://app.example", true),
        ("https://evil.example", false),
    ] {
        let headers = [("origin", origin)];
        let file = target("socket.io.esm.min.js");
        let answer = ask(gateway.clients, "GET", &file, &headers, "").await;
        assert!(matches!(answer.status, 200 | 307), "{answer:?}");
        let allowed = answer.header("access-control-allow-origin");
        assert_eq!(allowed, told.then_some(origin));
    }
}

#[tokio::test]
async fn an_operator_can_turn_them_off() {
    let gateway = Gateway::start(&format!("server.serve_client = false\n{ECHO}")).await;
    for name in FILES {
        let answer = get(gateway.clients, &target(name)).await;
        answer.is(400, UNKNOWN_TRANSPORT);
    }
}

#[tokio::test]
async fn they_follow_the_path() {
    let gateway = Gateway::start(&format!("server.path = \"/realtime\"\n{ECHO}")).await;
    let answer = get(gateway.clients, "/realtime/socket.io.js").await;
    assert!(matches!(answer.status, 200 | 307), "{answer:?}");
    let answer = get(gateway.clients, "/socket.io/socket.io.js").await;
    assert_eq!(answer.status, 404);
}

#[tokio::test]
async fn the_log_says_where_they_come_from() {
    let gateway = Gateway::start(ECHO).await;
    gateway.log_line(&["the browser client is", VERSION]).await;
}

// ---- where the build gets them ----------------------------------------------------------------------------------------------

fn write_bundle(directory: &Path) {
    for name in FILES {
        fs::write(directory.join(name), "/*!\n * Socket.IO v9.8.7\n */").unwrap();
    }
}

#[test]
fn a_folder_must_have_every_file() {
    let directory = tempfile::tempdir().unwrap();
    write_bundle(directory.path());
    let bundle = from_directory(directory.path()).unwrap();
    assert_eq!(bundle.version, "9.8.7");
    let code = source(Some(&bundle));
    assert!(code.contains("version: \"9.8.7\""), "{code}");
    for name in FILES {
        assert!(
            code.contains(&format!("(\"{name}\", include_bytes!(\"/")),
            "{code}"
        );
    }
    fs::remove_file(directory.path().join(FILES[7])).unwrap();
    let error = from_directory(directory.path()).unwrap_err();
    assert!(
        error.contains("has no file socket.io.msgpack.min.js.map"),
        "{error}"
    );
    let error = from_directory(&directory.path().join("missing")).unwrap_err();
    assert!(error.contains("No such file"), "{error}");
}

#[test]
fn a_bundle_must_tell_its_version() {
    let directory = tempfile::tempdir().unwrap();
    for text in [
        "",
        "/*!\n * Socket.IO v\n",
        "/*!\n * Socket.IO v1\"; evil\n",
        "var a;\n".repeat(9).as_str(),
    ] {
        write_bundle(directory.path());
        fs::write(directory.path().join(FILES[0]), text).unwrap();
        assert!(from_directory(directory.path()).is_err(), "{text}");
    }
}

/// A stand-in for npm; `$5` is the folder that the package goes to.
fn npm(directory: &Path, script: &str) -> std::path::PathBuf {
    let path = directory.join("npm");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn without_npm_or_with_a_bad_one_there_is_no_bundle() {
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("cache");
    fs::create_dir(&cache).unwrap();
    let fetch = |npm: &Path, limit| from_npm(npm, &cache, limit).unwrap_err();
    let missing = fetch(&directory.path().join("missing"), client_sources::LIMIT);
    assert!(missing.contains("npm cannot be run"), "{missing}");
    let failing = npm(directory.path(), "exit 7");
    let error = fetch(&failing, client_sources::LIMIT);
    assert!(error.contains("could not fetch"), "{error}");
    let idle = npm(directory.path(), "exec true");
    let error = fetch(&idle, client_sources::LIMIT);
    assert!(error.contains("fetched nothing"), "{error}");
    let hanging = npm(directory.path(), "exec sleep 600");
    let error = fetch(&hanging, Duration::from_millis(50));
    assert!(error.contains("took longer"), "{error}");
    let package = format!("socket.io-client-{VERSION}.tgz");
    let lying = npm(directory.path(), &format!("echo forged > {package}"));
    let error = fetch(&lying, client_sources::LIMIT);
    assert!(error.contains("another hash"), "{error}");
    assert_eq!(
        source(None),
        format!("Build {{ fetched: \"{VERSION}\", bundle: None }}\n")
    );
    assert_eq!(DIRECTORY, "SOCKGATE_CLIENT_DIR");
}
