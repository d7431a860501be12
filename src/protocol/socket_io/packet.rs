//! Packets from clients, decoded.

use std::borrow::Cow;

use bytes::Bytes;

/// Largest id of an acknowledgement: what a double holds exactly (2^53 − 1).
pub const MAX_ACK_ID: u64 = (1 << 53) - 1;

/// A packet from a client. Texts borrow from the message, except in packets with attachments, which had to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The namespace as it was written, `/` where it was not; begins with `/`, holds no `,`, and is otherwise unchecked.
    pub namespace: Cow<'a, str>,
    /// What the packet says.
    pub body: Body<'a>,
}

/// The kinds of packets that clients send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// CONNECT, with the text of its JSON object if there was one.
    Connect(Option<Cow<'a, str>>),
    /// DISCONNECT.
    Disconnect,
    /// EVENT or `BINARY_EVENT`.
    Event(Event<'a>),
    /// ACK or `BINARY_ACK`.
    Ack(Ack<'a>),
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// Its name, unchecked and maybe empty; a number as it was written.
    pub name: Cow<'a, str>,
    /// The other elements of the array as they were written, commas between, without the brackets; valid JSON, maybe empty.
    pub args: Cow<'a, str>,
    /// Id of the acknowledgement that the client asks for.
    pub id: Option<u64>,
    /// Attachments; each placeholder in `args` has a number inside this list.
    pub attachments: Vec<Bytes>,
}

/// An acknowledgement of an event that was sent to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack<'a> {
    /// Id of the event.
    pub id: u64,
    /// The elements of the array, as in [`Event::args`].
    pub args: Cow<'a, str>,
    /// Attachments, as in [`Event::attachments`].
    pub attachments: Vec<Bytes>,
}

impl Packet<'_> {
    /// A copy that outlives the message it borrows from.
    pub fn into_owned(self) -> Packet<'static> {
        let body = match self.body {
            Body::Connect(object) => Body::Connect(object.map(own)),
            Body::Disconnect => Body::Disconnect,
            Body::Event(event) => Body::Event(Event {
                name: own(event.name),
                args: own(event.args),
                ..event
            }),
            Body::Ack(ack) => Body::Ack(Ack {
                args: own(ack.args),
                ..ack
            }),
        };
        Packet {
            namespace: own(self.namespace),
            body,
        }
    }
}

fn own(text: Cow<'_, str>) -> Cow<'static, str> {
    Cow::Owned(text.into_owned())
}

impl Body<'_> {
    /// The arguments, of packets that have some.
    pub(super) fn args(&self) -> &str {
        match self {
            Self::Connect(_) | Self::Disconnect => "",
            Self::Event(event) => &event.args,
            Self::Ack(ack) => &ack.args,
        }
    }

    /// Gives the attachments to a packet that can have some.
    pub(super) fn attach(&mut self, received: Vec<Bytes>) {
        match self {
            Self::Connect(_) | Self::Disconnect => {}
            Self::Event(event) => event.attachments = received,
            Self::Ack(ack) => ack.attachments = received,
        }
    }
}
