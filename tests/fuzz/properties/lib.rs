//! What must hold for any input: functions that take any bytes and panic where it does not. They are driven by the fuzz targets,
//! by their corpora (`tests/it/corpus.rs`) and by seeded tests.

pub mod allocation;
pub mod config;
pub mod contract;
pub mod engine_io;
pub mod handshake;
pub mod json;
pub mod pattern;
pub mod placeholders;
pub mod proxy;
pub mod socket_io;
pub mod websocket;
