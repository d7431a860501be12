//! Our decoders against the verdicts of the official ones (`tests/dialogues/parser_verdicts.mjs` tells how they are made).
//!
//! Two promises: what we accept, the official parser accepts too, and means the same; and whatever the official encoder writes, we
//! accept. In between we are stricter, as protocol 3.3 says. Names are checked by the session, so the reserved ones are refused
//! here by hand.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use sockgate::hub::id::RESERVED_EVENTS;
use sockgate::protocol::engine_io::{self, decode_payload};
use sockgate::protocol::socket_io::{Body, Decoder, Limits, Packet};

#[derive(Deserialize)]
struct Verdicts {
    socket_io: Vec<Conversation>,
    engine_io: Vec<PollingBody>,
}

#[derive(Deserialize)]
struct Conversation {
    messages: Vec<Message>,
    #[serde(default)]
    canonical: bool,
    packets: Vec<OfficialPacket>,
    refused: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Message {
    Text(String),
    Binary(Vec<u8>),
}

#[derive(Debug, Deserialize)]
struct OfficialPacket {
    r#type: u8,
    nsp: String,
    id: Option<f64>,
    data: Option<String>,
    attachments: usize,
}

#[derive(Deserialize)]
struct PollingBody {
    body: String,
    #[serde(default)]
    canonical: bool,
    packets: Vec<OfficialPart>,
    refused: bool,
}

#[derive(Debug, Deserialize)]
struct OfficialPart {
    r#type: String,
    data: Option<String>,
    bytes: Option<Vec<u8>>,
}

fn verdicts() -> Verdicts {
    let path = std::env::var("PARSER_VERDICTS")
        .unwrap_or_else(|_| "tests/dialogues/parser_verdicts.json".to_owned());
    let text = std::fs::read_to_string(&path).expect("the verdicts are committed");
    serde_json::from_str(&text).expect("the generator writes this form")
}

/// Decodes until the first refusal, as a connection would.
fn decode(messages: &[Message]) -> (Vec<Packet<'static>>, Option<usize>) {
    let (mut decoder, limits) = (Decoder::default(), Limits::default());
    let mut packets = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let outcome = match message {
            Message::Text(text) => decoder
                .text(text, &limits)
                .map(|p| p.map(Packet::into_owned)),
            Message::Binary(bytes) => decoder.binary(Bytes::copy_from_slice(bytes), &limits),
        };
        match outcome {
            Ok(Some(packet)) if is_reserved(&packet) => return (packets, Some(index)),
            Ok(packet) => packets.extend(packet),
            Err(_) => return (packets, Some(index)),
        }
    }
    (packets, None)
}

fn is_reserved(packet: &Packet<'_>) -> bool {
    matches!(&packet.body, Body::Event(event) if RESERVED_EVENTS.contains(&&*event.name))
}

/// Type, id, attachments and data, as the official decoder would give them.
fn as_official(
    packet: &Packet<'_>,
    numeric_name: bool,
) -> (u8, Option<u64>, usize, Option<String>) {
    match &packet.body {
        Body::Connect(object) => (0, None, 0, object.as_deref().map(str::to_owned)),
        Body::Disconnect => (1, None, 0, None),
        Body::Event(event) => {
            let name = if numeric_name {
                event.name.to_string()
            } else {
                json!(event.name).to_string()
            };
            let comma = if event.args.is_empty() { "" } else { "," };
            let data = format!("[{name}{comma}{}]", event.args);
            (2, event.id, event.attachments.len(), Some(data))
        }
        Body::Ack(ack) => {
            let data = format!("[{}]", ack.args);
            (3, Some(ack.id), ack.attachments.len(), Some(data))
        }
    }
}

/// The value that JavaScript sees: all numbers are doubles, and a placeholder of a binary packet has no other keys.
fn normalized(value: Value, binary: bool) -> Value {
    match value {
        Value::Number(number) => rounded(number.as_f64()),
        Value::Array(items) => items.into_iter().map(|v| normalized(v, binary)).collect(),
        Value::Object(map) if binary && map.get("_placeholder") == Some(&Value::Bool(true)) => {
            json!({"_placeholder": true, "num": rounded(map.get("num").and_then(Value::as_f64))})
        }
        Value::Object(map) => Value::Object(
            map.into_iter()
                .map(|(key, value)| (key, normalized(value, binary)))
                .collect(),
        ),
        other => other,
    }
}

/// Two parsers may differ in the last bit of a double, and JavaScript writes −0 as 0.
fn rounded(number: Option<f64>) -> Value {
    json!(number.map(|number| format!("{:.12e}", number + 0.0)))
}

/// Equal data; what a tree cannot hold (lone surrogates, numbers beyond a double) is not compared.
fn same_data(ours: Option<&str>, official: Option<&str>, binary: bool) -> bool {
    let parse = |text: &str| serde_json::from_str(text).map(|value| normalized(value, binary));
    match (ours, official) {
        (None, None) => true,
        (Some(ours), Some(official)) => match (parse(ours), parse(official)) {
            (Ok(ours), Ok(official)) => ours == official,
            _ => true,
        },
        _ => false,
    }
}

fn same_packet(ours: &Packet<'_>, official: &OfficialPacket) -> bool {
    let first_is_text = |data: &String| data.starts_with("[\"");
    let numeric_name = !official.data.as_ref().is_some_and(first_is_text);
    let (kind, id, attachments, data) = as_official(ours, numeric_name);
    #[expect(clippy::cast_precision_loss, reason = "the id is below 2^53")]
    let id = id.map(|id| id as f64);
    kind == official.r#type
        && ours.namespace == official.nsp
        && id == official.id
        && attachments == official.attachments
        && same_data(data.as_deref(), official.data.as_deref(), attachments > 0)
}

#[test]
fn socket_io_accepts_nothing_that_the_official_parser_refuses() {
    let mut accepted = 0;
    for case in verdicts().socket_io {
        let messages = &case.messages;
        let (packets, refused) = decode(messages);
        if let Some(official) = case.refused {
            let ours = refused.unwrap_or(usize::MAX);
            assert!(ours <= official, "accepted {messages:?}");
        }
        assert!(packets.len() <= case.packets.len(), "{messages:?}");
        for (ours, official) in packets.iter().zip(&case.packets) {
            assert!(
                same_packet(ours, official),
                "{messages:?}: {ours:?} is not {official:?}"
            );
        }
        accepted += packets.len();
    }
    assert!(accepted > 300, "only {accepted} packets were compared");
}

#[test]
fn socket_io_accepts_all_that_the_official_encoder_writes() {
    let mut accepted = 0;
    for case in verdicts().socket_io {
        // An application's own `{"_placeholder":true}` is refused by the official decoder too.
        if !case.canonical || case.refused.is_some() {
            continue;
        }
        let (packets, refused) = decode(&case.messages);
        assert_eq!(refused, None, "refused {:?}", case.messages);
        assert_eq!(packets.len(), case.packets.len());
        accepted += 1;
    }
    assert!(accepted > 100, "only {accepted} cases");
}

/// Type, text and bytes of a packet, as the official decoder would give them; data that means nothing is left out.
fn as_official_part(packet: &engine_io::Packet<'_>) -> (&'static str, String, Vec<u8>) {
    use engine_io::Packet as P;
    match packet {
        P::Open => ("open", String::new(), Vec::new()),
        P::Close => ("close", String::new(), Vec::new()),
        P::Ping(data) => ("ping", (*data).to_owned(), Vec::new()),
        P::Pong(data) => ("pong", (*data).to_owned(), Vec::new()),
        P::Message(data) => ("message", (*data).to_owned(), Vec::new()),
        P::Binary(bytes) => ("message", String::new(), bytes.to_vec()),
        P::Upgrade => ("upgrade", String::new(), Vec::new()),
        P::Noop => ("noop", String::new(), Vec::new()),
    }
}

#[test]
fn engine_io_agrees_with_the_official_parser() {
    let mut accepted = 0;
    for case in verdicts().engine_io {
        let body = &case.body;
        let decoded: Vec<_> = decode_payload(body.as_bytes(), usize::MAX).collect();
        let ours: Vec<_> = decoded.iter().flatten().map(as_official_part).collect();
        let official: Vec<_> = case
            .packets
            .iter()
            .map(|part| {
                let kind = part.r#type.as_str();
                let has_data = matches!(kind, "message" | "ping" | "pong");
                let data = part.data.clone().filter(|_| has_data).unwrap_or_default();
                (kind, data, part.bytes.clone().unwrap_or_default())
            })
            .collect();
        let refused = ours.len() < decoded.len();
        assert!(refused || !case.refused, "accepted {body:?}");
        assert!(
            ours == official || (refused && official.starts_with(&ours)),
            "{body:?}: {ours:?} is not {official:?}"
        );
        if case.canonical {
            assert!(!refused, "refused {body:?}");
        }
        accepted += ours.len();
    }
    assert!(accepted > 300, "only {accepted} packets were compared");
}
