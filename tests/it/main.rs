//! The integration tests: one binary, one file per promise.
//!
//! Files about the library alone use no gateway; all others drive the real binary as clients, backends and operators do.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../build/client_files.rs"]
mod client_sources;
#[path = "../fuzz/properties/lib.rs"]
#[expect(unreachable_pub, reason = "the fuzz targets use it as a library")]
mod properties;
#[path = "../support/mod.rs"]
mod support;

mod acks;
mod allocation;
mod api_auth;
mod bad_backends;
mod binary;
mod checklist;
mod client_files;
mod closing;
mod compression;
mod config;
mod connect;
mod cookie;
mod corpus;
mod cors;
mod crowd;
mod dialogues;
mod disconnect_notices;
mod drain;
mod edge_rules;
mod engine_io;
mod errors;
mod fallback;
mod handshake_facts;
mod healthcheck;
mod heartbeat;
mod http_limits;
mod lanes;
mod layers;
mod leaving;
mod limits;
mod logs;
mod memory;
mod metrics;
mod namespaces;
mod outcomes;
mod parser_verdicts;
mod polling;
mod probes;
mod proxy_protocol;
mod recipients;
mod replies;
mod rest_actions;
mod rest_bodies;
mod rest_emit;
mod rest_errors;
mod rest_reads;
mod slow_consumers;
mod smuggling;
mod socket_io;
mod start;
mod upgrade;
mod webhooks;
mod websocket;
mod websocket_frames;
