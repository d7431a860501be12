//! The answer to an emit with acknowledgements (contract 9): what clients answered, copied verbatim, under limits in count and
//! bytes.

use std::fmt::Write as _;

use super::answer::Nodes;
use super::text::{attachments, list, string};
use crate::hub::acks::AckAnswer;
use crate::hub::id::{SocketId, UserId};
use crate::protocol::socket_io::placeholders;

/// Answers that are given back at most.
pub const MAX_ANSWERS: usize = 1_000;
/// Bytes of answers that are given back at most, as they stand in the body.
pub const MAX_BYTES: usize = 4 << 20;
/// Missing sockets that are named at most.
pub const MAX_MISSING: usize = 1_000;

const WRITES: &str = "a String takes everything";

/// What clients answered so far.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    list: Vec<Answer>,
    bytes: usize,
    truncated: bool,
}

#[derive(Clone, Debug)]
struct Answer {
    socket: SocketId,
    user: Option<UserId>,
    said: AckAnswer,
}

impl Answers {
    /// Adds an answer; one beyond the limits, or dropped for its size before, is left out, and the whole is marked as truncated.
    pub fn add(&mut self, socket: SocketId, user: Option<UserId>, answer: Option<AckAnswer>) {
        let Some(answer) = answer else {
            self.truncated = true;
            return;
        };
        let attachments = answer.attachments.iter();
        let base64: usize = attachments.map(|bytes| bytes.len().div_ceil(3) * 4).sum();
        let bytes = answer.args.len() + base64;
        if self.list.len() == MAX_ANSWERS || self.bytes + bytes > MAX_BYTES {
            self.truncated = true;
            return;
        }
        self.bytes += bytes;
        self.list.push(Answer {
            socket,
            user,
            said: answer,
        });
    }
}

/// 200 to an emit with `ack`.
#[derive(Clone, Debug)]
pub struct AckReport {
    /// See [`effect_id`](super::answer::effect_id).
    pub id: String,
    /// Sockets that were asked.
    pub sockets: usize,
    /// Whether all of them answered, or as many as were wanted.
    pub complete: bool,
    /// What they answered, in the order in which it came.
    pub answers: Answers,
    /// Sockets that did not answer; only the first [`MAX_MISSING`] are named.
    pub missing: Vec<SocketId>,
    /// How many did not answer.
    pub missing_count: usize,
    /// Where.
    pub nodes: Nodes,
}

impl AckReport {
    /// The body of the answer. All attachments stand in one list, into which the placeholders of each answer point.
    pub fn to_json(&self) -> String {
        let Answers {
            list: answers,
            bytes,
            truncated,
        } = &self.answers;
        let mut out = String::with_capacity(256 + bytes + 100 * answers.len());
        let (id, sockets, complete) = (&self.id, self.sockets, self.complete);
        write!(
            out,
            "{{\"id\":\"{id}\",\"sockets\":{sockets},\"complete\":{complete},\"acks\":["
        )
        .expect(WRITES);
        let total: usize = answers.iter().map(|a| a.said.attachments.len()).sum();
        let mut before = 0;
        for (index, answer) in answers.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            answer.write(&mut out, before, total);
            before += answer.said.attachments.len();
        }
        out.push(']');
        attachments(&mut out, answers.iter().flat_map(|a| &a.said.attachments));
        if *truncated {
            out.push_str(",\"truncated\":true");
        }
        out.push_str(",\"missing\":");
        let missing = self.missing.iter().take(MAX_MISSING);
        list(&mut out, missing.map(SocketId::as_str));
        let Nodes { expected, answered } = self.nodes;
        let count = self.missing_count;
        write!(
            out,
            ",\"missing_count\":{count},\"nodes\":{{\"expected\":{expected},\"answered\":{answered}}}}}"
        )
        .expect(WRITES);
        out
    }
}

impl Answer {
    /// Writes the answer into a body which has `before` attachments of others before its own, and `total` in the end.
    fn write(&self, out: &mut String, before: usize, total: usize) {
        write!(out, "{{\"socket\":\"{}\",\"user\":", self.socket).expect(WRITES);
        match &self.user {
            Some(user) => string(out, user.as_str()),
            None => out.push_str("null"),
        }
        out.push_str(",\"args\":[");
        let AckAnswer { args, attachments } = &self.said;
        if total == 0 || placeholders::are_below(args, 0) {
            out.push_str(args);
        } else if !attachments.is_empty() {
            out.push_str(&placeholders::shift(args, before));
        }
        // Else a client that sent no bytes wrote something like a placeholder. Among the attachments of others it would be taken
        // for one of theirs, and there is no way to escape it: this answer has no arguments.
        out.push_str("]}");
    }
}

#[cfg(test)]
mod tests;
