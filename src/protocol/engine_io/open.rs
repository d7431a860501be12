//! The open packet, the server's first (protocol 1.3).

use std::time::Duration;

use bytes::Bytes;
use serde::{Serialize, Serializer};

use crate::protocol::websocket;

/// What a client is told when its session starts: exactly these keys, in this order.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Open<'a> {
    /// Session id.
    pub sid: &'a str,
    /// Transports that the session may upgrade to.
    pub upgrades: &'a [&'a str],
    /// Time between a pong and the next ping; milliseconds in the packet.
    #[serde(serialize_with = "millis")]
    pub ping_interval: Duration,
    /// Time for the pong; milliseconds in the packet.
    #[serde(serialize_with = "millis")]
    pub ping_timeout: Duration,
    /// Bytes of a POST body or WebSocket message from the client.
    pub max_payload: usize,
}

impl Open<'_> {
    /// The packet as a ready WebSocket frame.
    pub fn frame(&self) -> Bytes {
        let json = serde_json::to_string(self).expect("strings and numbers are always JSON");
        websocket::text(&format!("0{json}"))
    }
}

fn millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::engine_io::encode_payload;

    fn open<'a>(upgrades: &'a [&'a str]) -> Open<'a> {
        Open {
            sid: "0xtnkHAPb2rEkOfjAAAA",
            upgrades,
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            max_payload: 1_000_000,
        }
    }

    #[test]
    fn polling_lists_the_upgrade() {
        assert_eq!(
            encode_payload(&[open(&["websocket"]).frame()]),
            br#"0{"sid":"0xtnkHAPb2rEkOfjAAAA","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#
        );
    }

    #[test]
    fn websocket_has_nothing_to_upgrade_to() {
        assert_eq!(
            encode_payload(&[open(&[]).frame()]),
            br#"0{"sid":"0xtnkHAPb2rEkOfjAAAA","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#
        );
    }
}
