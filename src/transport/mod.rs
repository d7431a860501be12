//! Engine.IO over HTTP: handshake, polling, WebSocket, upgrade, heartbeat.

pub mod settings;
