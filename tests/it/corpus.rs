//! Every input in the corpora of the fuzz targets still holds; what once failed belongs there.

use std::{fs, path::PathBuf};

use crate::properties::websocket;

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
