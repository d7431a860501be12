//! What must hold for any input: functions that take any bytes and panic where it does not. They are driven by the fuzz targets,
//! by their corpora (`tests/it/corpus.rs`) and by seeded tests.

pub mod websocket;
