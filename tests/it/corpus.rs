//! Every input in the corpora of the fuzz targets still holds; what once failed belongs there.

use std::{fs, path::PathBuf};

use crate::properties::{
    config, contract, engine_io, handshake, json, pattern, placeholders, proxy, socket_io,
    websocket,
};

/// Runs a property on each file of a target's corpus.
fn replay(target: &str, mut property: impl FnMut(&[u8])) {
    let corpus: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests/fuzz/corpus", target]
        .iter()
        .collect();
    let mut inputs = 0;
    for entry in fs::read_dir(corpus).expect("every target has a corpus") {
        let path = entry.expect("a directory can be read").path();
        // Names the input if the property panics: the output of tests that pass is not shown.
        println!("{}", path.display());
        property(&fs::read(path).expect("a file can be read"));
        inputs += 1;
    }
    assert!(inputs > 0, "the corpus is empty");
}

#[test]
fn config() {
    replay("config", config::file);
}

#[test]
fn contract_ack_report() {
    replay("contract_ack_report", contract::ack_report);
}

#[test]
fn contract_query() {
    replay("contract_query", contract::rest_query);
}

#[test]
fn contract_reply() {
    replay("contract_reply", contract::webhook_reply);
}

#[test]
fn contract_rest() {
    replay("contract_rest", contract::rest_body);
}

#[test]
fn contract_webhook() {
    replay("contract_webhook", contract::webhook_body);
}

#[test]
fn engine_io_packet() {
    replay("engine_io_packet", engine_io::packet);
}

#[test]
fn engine_io_payload() {
    replay("engine_io_payload", engine_io::payload);
}

#[test]
fn handshake() {
    replay("handshake", handshake::head);
}

#[test]
fn json() {
    replay("json", json::text);
}

#[test]
fn pattern() {
    replay("pattern", pattern::matching);
}

#[test]
fn placeholders() {
    replay("placeholders", placeholders::renumber);
}

#[test]
fn proxy_header() {
    replay("proxy_header", proxy::header);
}

#[test]
fn socket_io() {
    replay("socket_io", socket_io::stream);
}

#[test]
fn websocket_decode() {
    replay("websocket_decode", |input| {
        websocket::decode(input);
    });
}

#[test]
fn websocket_differential() {
    replay("websocket_differential", |input| {
        websocket::differential(input);
    });
}
