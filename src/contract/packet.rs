//! [`Emit`]: an event on its way to clients, before it becomes a packet.

use bytes::Bytes;

use crate::hub::action::{Action, Audience};
use crate::protocol::socket_io::encode;
use crate::protocol::websocket;

/// An event for clients, valid and within the limits, but not encoded yet: what asks for acknowledgements has its number only
/// once a place is taken for it.
#[derive(Clone, Debug)]
pub struct Emit {
    /// The recipients.
    pub to: Audience,
    /// The name of the event.
    pub event: Box<str>,
    /// The arguments: JSON values with commas between, without the brackets.
    pub args: Box<str>,
    /// The attachments that placeholders in them mean, as WebSocket frames: other packets may have the same.
    pub attachments: Vec<Bytes>,
    /// Whether a socket whose transport cannot take it now loses it.
    pub volatile: bool,
}

impl Emit {
    /// Encodes the packet, once for all recipients. With a number they are asked to acknowledge it.
    pub fn into_action(self, ack: Option<u64>) -> Action {
        let Self {
            to,
            event,
            args,
            attachments,
            volatile,
        } = self;
        let namespace = to.namespace.as_str();
        let frame = encode::event_with_frames(namespace, &event, &args, ack, attachments);
        Action::Emit {
            to,
            frame,
            volatile,
        }
    }

    /// Bytes of the packet as a client gets it, text and attachments, without the number of an acknowledgement.
    ///
    /// Counted rather than taken from the packet, so that nothing is encoded which is then too large.
    pub fn size(&self) -> usize {
        let count = match self.attachments.len() {
            0 => 0,
            count => count.to_string().len() + "-".len(),
        };
        let namespace = match self.to.namespace.as_str() {
            "/" => 0,
            namespace => namespace.len() + ",".len(),
        };
        let event = serde_json::Value::from(&*self.event).to_string();
        let args = match self.args.len() {
            0 => 0,
            len => ",".len() + len,
        };
        let text = "42".len() + count + namespace + "[".len() + event.len() + args + "]".len();
        let attachments = self.attachments.iter();
        let bytes = attachments.map(|frame| websocket::payload(frame).len());
        text + bytes.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::id::{Namespace, NodeTag, ShardId, SocketId};

    #[test]
    fn the_size_is_what_a_client_gets() {
        let shard = ShardId::new(0).expect("below the limit");
        let socket = SocketId::random(NodeTag::random(), shard);
        for (namespace, event, args, attachments) in [
            ("/", "e", "", 0),
            ("/", "q\"uote\u{1}é", "1,[2]", 0),
            ("/chat", "e", r#"{"_placeholder":true,"num":0}"#, 1),
            ("/a", "e", "", 10),
        ] {
            let namespace = Namespace::new(namespace).expect("a valid name");
            let emit = Emit {
                to: Audience::socket(namespace, socket),
                event: event.into(),
                args: args.into(),
                attachments: vec![websocket::binary(b"abc"); attachments],
                volatile: false,
            };
            let size = emit.size();
            let Action::Emit { frame, .. } = emit.into_action(None) else {
                panic!("an emit");
            };
            let parts = frame.parts().iter();
            let sent: usize = parts.map(|part| websocket::payload(part).len()).sum();
            assert_eq!(size, sent);
        }
    }
}
