//! What must hold whatever messages a client sends as Socket.IO packets (protocol 3.1, 3.3).
//!
//! An input is what one connection sends: messages with a byte 0xFF between them. One that begins with a zero byte is binary and
//! goes on behind it; the others are texts, without Engine.IO's `4`.

use bytes::Bytes;
use sockgate::hub::acks::AckAnswer;
use sockgate::hub::id::{SocketId, check_client_event};
use sockgate::protocol::frame::Frame;
use sockgate::protocol::socket_io::{Ack, Body, Decoder, Event, Limits, Packet, encode};
use sockgate::protocol::websocket;

use super::allocation::bounded;
use super::json::{self, Json};

/// Small, so that small inputs reach them.
pub const LIMITS: Limits = Limits {
    attachments: 10,
    bytes: 300,
    depth: 6,
};

/// A message of a client.
#[derive(Clone, Copy, Debug)]
pub enum Message<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
}

/// The messages of an input; what is neither binary nor UTF-8 is left out.
pub fn messages(input: &[u8]) -> Vec<Message<'_>> {
    let messages = input.split(|byte| *byte == 0xff);
    messages
        .filter_map(|bytes| match bytes.split_first() {
            Some((0, bytes)) => Some(Message::Binary(bytes)),
            _ => std::str::from_utf8(bytes).ok().map(Message::Text),
        })
        .collect()
}

/// Decodes one message.
pub fn decode<'a>(
    decoder: &mut Decoder,
    message: Message<'a>,
    limits: &Limits,
) -> Result<Option<Packet<'a>>, ()> {
    match message {
        Message::Text(text) => decoder.text(text, limits),
        Message::Binary(bytes) => decoder.binary(Bytes::copy_from_slice(bytes), limits),
    }
    .map_err(|_| ())
}

/// The packets of a connection up to its first fault: the official parser accepts them too and means the same, they keep to the
/// limits, and a packet that is encoded decodes to itself.
pub fn stream(input: &[u8]) {
    let messages = messages(input);
    bounded(input.len(), || {
        let mut decoder = Decoder::default();
        let mut fine = |message: &Message<'_>| decode(&mut decoder, *message, &LIMITS).is_ok();
        messages.iter().all(&mut fine)
    });
    let (mut ours, mut theirs) = (Decoder::default(), Official::default());
    for message in messages {
        let Ok(decoded) = decode(&mut ours, message, &LIMITS) else {
            assert_eq!(ours.pending(), None);
            return;
        };
        let official = theirs.take(message);
        assert_eq!(ours.pending().is_some(), decoded.is_none());
        match decoded {
            Some(packet) => {
                let official = official.expect("the official parser refuses it");
                let is_reserved = official.as_ref().is_some_and(Meaning::is_reserved);
                assert_eq!(Some(meaning(&packet)), official);
                assert_eq!(has_reserved_name(&packet), is_reserved);
                within_limits(&packet);
                again(&packet);
            }
            None => assert_eq!(official, Ok(None)),
        }
    }
}

/// As the conversation checks it.
fn has_reserved_name(packet: &Packet<'_>) -> bool {
    let Body::Event(event) = &packet.body else {
        return false;
    };
    check_client_event(&event.name) == Err(sockgate::hub::id::NameError::Reserved)
}

fn within_limits(packet: &Packet<'_>) {
    let (args, attachments) = match &packet.body {
        Body::Connect(_) | Body::Disconnect => return,
        Body::Event(Event {
            args, attachments, ..
        })
        | Body::Ack(Ack {
            args, attachments, ..
        }) => (args, attachments),
    };
    let list = json::parse(&format!("[{args}]")).expect("valid JSON");
    assert!(list.depth() <= LIMITS.depth);
    assert!(attachments.len() <= LIMITS.attachments);
    let bytes: usize = attachments.iter().map(Bytes::len).sum();
    assert!(bytes <= LIMITS.bytes);
}

/// Encodes a packet as a server would send it, and decodes that.
fn again(packet: &Packet<'_>) {
    let namespace = &*packet.namespace;
    let frame = match &packet.body {
        Body::Connect(_) | Body::Disconnect => return,
        Body::Event(Event {
            name,
            args,
            id,
            attachments,
        }) => encode::event(namespace, name, args, *id, attachments),
        Body::Ack(Ack {
            id,
            args,
            attachments,
        }) => encode::ack(namespace, *id, args, attachments),
    };
    let mut decoder = Decoder::default();
    let mut again = None;
    for part in frame.parts() {
        let payload = websocket::payload(part);
        let message = if websocket::is_text(part) {
            let text = std::str::from_utf8(payload).expect("a text frame");
            Message::Text(text.strip_prefix('4').expect("an Engine.IO message"))
        } else {
            Message::Binary(payload)
        };
        assert_eq!(again, None, "it was complete before its last attachment");
        again = decode(&mut decoder, message, &Limits::default()).expect("valid");
    }
    assert_eq!(again.as_ref(), Some(packet));
}

/// What a packet says, in the terms of the official parser.
#[derive(Debug, PartialEq, Eq)]
struct Meaning {
    kind: u8,
    namespace: String,
    id: Option<u64>,
    data: Option<Data>,
    attachments: Vec<Vec<u8>>,
}

impl Meaning {
    /// Whether the official parser refuses it for its name. It does so at once, we do when the packet is complete.
    fn is_reserved(&self) -> bool {
        const RESERVED: [&str; 6] = [
            "connect",
            "connect_error",
            "disconnect",
            "disconnecting",
            "newListener",
            "removeListener",
        ];
        match &self.data {
            Some(Data::Event(name, _)) => RESERVED
                .iter()
                .any(|reserved| reserved.encode_utf16().eq(name.iter().copied())),
            _ => false,
        }
    }
}

/// The payload, the name of an event apart.
#[derive(Debug, PartialEq, Eq)]
enum Data {
    Object(Json),
    Event(Vec<u16>, Vec<Json>),
    Args(Vec<Json>),
}

fn meaning(packet: &Packet<'_>) -> Meaning {
    let list = |args: &str| match json::parse(&format!("[{args}]")) {
        Some(Json::List(items)) => items,
        other => panic!("arguments are valid JSON, not {other:?}"),
    };
    let owned = |attachments: &[Bytes]| attachments.iter().map(|bytes| bytes.to_vec()).collect();
    let (kind, id, data, attachments) = match &packet.body {
        Body::Connect(object) => {
            let object = object.as_deref().map(json::parse);
            let object = object.map(|object| Data::Object(object.expect("valid JSON")));
            (0, None, object, Vec::new())
        }
        Body::Disconnect => (1, None, None, Vec::new()),
        Body::Event(event) => {
            let name = event.name.encode_utf16().collect();
            let data = Data::Event(name, list(&event.args));
            (2, event.id, Some(data), owned(&event.attachments))
        }
        Body::Ack(ack) => {
            let data = Data::Args(list(&ack.args));
            (3, Some(ack.id), Some(data), owned(&ack.attachments))
        }
    };
    Meaning {
        kind,
        namespace: packet.namespace.to_string(),
        id,
        data,
        attachments,
    }
}

/// The official parser, as far as clients' packets go that it accepts without a quirk (protocol 3.3).
#[derive(Default)]
struct Official {
    pending: Option<(Meaning, Json, usize)>,
}

impl Official {
    fn take(&mut self, message: Message<'_>) -> Result<Option<Meaning>, ()> {
        match message {
            Message::Text(text) => self.text(text),
            Message::Binary(bytes) => self.binary(bytes),
        }
    }

    fn text(&mut self, text: &str) -> Result<Option<Meaning>, ()> {
        if self.pending.is_some() {
            return Err(());
        }
        let kind = text.chars().next().and_then(|c| c.to_digit(10)).ok_or(())?;
        let mut rest = &text[1..];
        let mut due = 0;
        if matches!(kind, 5 | 6) {
            let (digits, after) = rest.split_once('-').ok_or(())?;
            due = digits.parse::<u8>().map_err(|_| ())?.into();
            let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
            if !is_number || due == 0 || due > 10 {
                return Err(());
            }
            rest = after;
        }
        let mut namespace = "/";
        if rest.starts_with('/') {
            (namespace, rest) = rest.split_once(',').unwrap_or((rest, ""));
        }
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (id, rest) = rest.split_at(digits);
        let id = (!id.is_empty()).then(|| id.parse().map_err(|_| ()));
        let payload = (!rest.is_empty()).then(|| json::parse(rest).ok_or(()));
        let (id, payload) = (id.transpose()?, payload.transpose()?);
        let raw = payload.clone().unwrap_or(Json::List(Vec::new()));
        let data = match (kind, payload) {
            (0 | 1, None) => None,
            (0, Some(object @ Json::Object(_))) => Some(Data::Object(object)),
            (2 | 5, Some(Json::List(items))) => Some(official_event(items)?),
            (3 | 6, Some(Json::List(items))) => Some(Data::Args(items)),
            _ => return Err(()),
        };
        let kind = match kind {
            5 => 2,
            6 => 3,
            other => u8::try_from(other).map_err(|_| ())?,
        };
        let meaning = Meaning {
            kind,
            namespace: namespace.to_owned(),
            id,
            data,
            attachments: Vec::new(),
        };
        if due == 0 {
            return Ok(Some(meaning));
        }
        self.pending = Some((meaning, raw, due));
        Ok(None)
    }

    fn binary(&mut self, bytes: &[u8]) -> Result<Option<Meaning>, ()> {
        let (mut meaning, raw, due) = self.pending.take().ok_or(())?;
        meaning.attachments.push(bytes.to_vec());
        if meaning.attachments.len() < due {
            self.pending = Some((meaning, raw, due));
            return Ok(None);
        }
        if official_placeholders(&raw, due) {
            Ok(Some(meaning))
        } else {
            Err(())
        }
    }
}

/// The first item is a number or a string.
fn official_event(mut items: Vec<Json>) -> Result<Data, ()> {
    if items.is_empty() {
        return Err(());
    }
    let Json::Scalar(first) = items.remove(0) else {
        return Err(());
    };
    let is_number = first.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    let name = json::units(&first).or_else(|| is_number.then(|| first.encode_utf16().collect()));
    Ok(Data::Event(name.ok_or(())?, items))
}

/// Whether every placeholder has the number of an attachment.
fn official_placeholders(value: &Json, attachments: usize) -> bool {
    let is_placeholder = value.get("_placeholder").is_some_and(|it| it.is("true"));
    match value {
        _ if is_placeholder => match value.get("num") {
            Some(Json::Scalar(num)) => num.parse::<f64>().is_ok_and(|num| {
                (0..attachments).any(|index| index.to_string() == num.to_string())
            }),
            _ => false,
        },
        Json::Scalar(_) => true,
        Json::List(items) => items
            .iter()
            .all(|item| official_placeholders(item, attachments)),
        Json::Object(members) => members
            .iter()
            .all(|(_, value)| official_placeholders(value, attachments)),
    }
}

/// The acknowledgements among a connection's packets, as answers of sockets.
pub fn answers(input: &[u8]) -> Vec<AckAnswer> {
    let mut decoder = Decoder::default();
    let packets = messages(input)
        .into_iter()
        .filter_map(|message| decode(&mut decoder, message, &Limits::default()).ok()?);
    let acks = packets.filter_map(|packet| match packet.body {
        Body::Ack(ack) => Some(ack),
        Body::Connect(_) | Body::Disconnect | Body::Event(_) => None,
    });
    acks.map(|ack| AckAnswer {
        args: ack.args.as_ref().into(),
        attachments: ack.attachments,
    })
    .collect()
}

/// The text of a packet for clients, without Engine.IO's digit, and its attachments.
pub fn sent(frame: &Frame) -> (&str, Vec<&[u8]>) {
    let [text, attachments @ ..] = frame.parts() else {
        panic!("a packet has a text");
    };
    let text = std::str::from_utf8(websocket::payload(text)).expect("UTF-8");
    let attachments = attachments.iter().map(|part| websocket::payload(part));
    (
        text.strip_prefix('4').expect("an Engine.IO message"),
        attachments.collect(),
    )
}

/// The socket of examples.
pub fn socket() -> SocketId {
    SocketId::parse("aB3xQ9Zk3q9sT0bXw7Kd").expect("a socket id")
}
