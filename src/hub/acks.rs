//! `Acks`: acknowledgements awaited from the clients of one shard.
//!
//! Each recipient of an emit with an acknowledgement is asked once; it answers, or it leaves, or nobody waits any more. All
//! three end the entry. An answer that nobody waits for (late, repeated, made up) is ignored.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use hashbrown::HashMap;
use tokio::sync::mpsc::UnboundedSender;

use crate::hub::id::{SocketId, UserId};
use crate::hub::key::SocketKey;
use crate::hub::roster::{Roster, Socket};
use crate::hub::switchboard::message::AckRequest;
use crate::hub::sync::Hashing;
use crate::telemetry::counters::ShardCounters;

/// News of an emit whose recipients acknowledge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AckEvent {
    /// These sockets of one shard were asked.
    Asked(Vec<SocketId>),
    /// A socket has answered.
    Answered {
        /// Who.
        socket: SocketId,
        /// Its user.
        user: Option<UserId>,
        /// What; `None` where the answers together would pass the limit.
        answer: Option<AckAnswer>,
    },
    /// A socket has left without an answer.
    Gone(SocketId),
}

/// The arguments of an acknowledgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AckAnswer {
    /// JSON values with commas between, as the client wrote them.
    pub args: Box<str>,
    /// Binary attachments, in order.
    pub attachments: Vec<Bytes>,
}

/// One emit that is waited for.
#[derive(Debug)]
struct Waiting {
    asked: Vec<SocketKey>,
    missing: usize,
    events: UnboundedSender<AckEvent>,
    budget: Arc<AtomicUsize>,
}

/// The emits of which this shard's sockets owe an acknowledgement.
#[derive(Debug)]
pub(crate) struct Acks {
    waiting: HashMap<u64, Waiting, Hashing>,
    /// Acknowledgements awaited on the whole node.
    pending: Arc<AtomicUsize>,
    counters: Arc<ShardCounters>,
}

impl Acks {
    pub(crate) fn new(pending: Arc<AtomicUsize>, counters: Arc<ShardCounters>) -> Self {
        Self {
            waiting: HashMap::default(),
            pending,
            counters,
        }
    }

    /// Notes that these sockets were asked.
    pub(crate) fn ask(&mut self, roster: &mut Roster, asked: Vec<SocketKey>, request: &AckRequest) {
        if asked.is_empty() {
            return;
        }
        let ids = asked.iter().map(|key| {
            let socket = roster.socket_mut(key.index);
            socket.acks.push(request.id);
            socket.id
        });
        let ids = ids.collect();
        self.add(asked.len());
        let waiting = Waiting {
            missing: asked.len(),
            asked,
            events: request.events.clone(),
            budget: Arc::clone(&request.budget),
        };
        waiting.tell(AckEvent::Asked(ids));
        self.waiting.insert(request.id, waiting);
    }

    /// A client's acknowledgement.
    pub(crate) fn answer(
        &mut self,
        socket: &mut Socket,
        id: u64,
        args: &str,
        attachments: Vec<Bytes>,
    ) {
        if !forget_in(socket, id) {
            return;
        }
        self.counters.acks_answered.increment();
        if let Some(waiting) = self.waiting.get(&id) {
            let answer = waiting.keep(args, attachments);
            waiting.tell(AckEvent::Answered {
                socket: socket.id,
                user: socket.user.clone(),
                answer,
            });
        }
        self.one_less(id);
    }

    /// A socket that owed acknowledgements has left.
    pub(crate) fn gone(&mut self, socket: &Socket) {
        self.counters.acks_gone.add(socket.acks.len() as u64);
        for id in &socket.acks {
            if let Some(waiting) = self.waiting.get(id) {
                waiting.tell(AckEvent::Gone(socket.id));
            }
            self.one_less(*id);
        }
    }

    /// Nobody waits for this emit any more.
    pub(crate) fn forget(&mut self, roster: &mut Roster, id: u64) {
        let Some(waiting) = self.waiting.remove(&id) else {
            return;
        };
        self.sub(waiting.missing);
        self.counters.acks_given_up.add(waiting.missing as u64);
        for key in waiting.asked {
            if let Some(index) = roster.index(key) {
                forget_in(roster.socket_mut(index), id);
            }
        }
    }

    fn one_less(&mut self, id: u64) {
        let Some(waiting) = self.waiting.get_mut(&id) else {
            return;
        };
        waiting.missing -= 1;
        if waiting.missing == 0 {
            self.waiting.remove(&id);
        }
        self.sub(1);
    }

    fn add(&self, n: usize) {
        self.pending.fetch_add(n, Ordering::Relaxed);
        self.counters.acks_pending.add(n as u64);
    }

    fn sub(&self, n: usize) {
        self.pending.fetch_sub(n, Ordering::Relaxed);
        self.counters.acks_pending.sub(n as u64);
    }
}

impl Waiting {
    fn tell(&self, event: AckEvent) {
        // Whoever has stopped listening sends a `Forget`, which is under way.
        drop(self.events.send(event));
    }

    /// The answer, if the budget of all answers together still has room for it.
    fn keep(&self, args: &str, attachments: Vec<Bytes>) -> Option<AckAnswer> {
        let bytes = args.len() + attachments.iter().map(Bytes::len).sum::<usize>();
        let left = |left: usize| left.checked_sub(bytes);
        let kept = self
            .budget
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, left);
        kept.is_ok().then(|| AckAnswer {
            args: args.into(),
            attachments,
        })
    }
}

/// True where the socket owed it.
fn forget_in(socket: &mut Socket, id: u64) -> bool {
    let Some(at) = socket.acks.iter().position(|owed| *owed == id) else {
        return false;
    };
    socket.acks.swap_remove(at);
    if socket.acks.is_empty() {
        socket.acks = Vec::new();
    }
    true
}

#[cfg(test)]
mod tests;
