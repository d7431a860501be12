//! The integration tests: one binary, one file per promise.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod config;
mod corpus;
mod layers;
mod parser_verdicts;
#[path = "../fuzz/properties/lib.rs"]
#[expect(unreachable_pub, reason = "the fuzz targets use it as a library")]
mod properties;
mod websocket;
