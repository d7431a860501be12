//! What travels to shards: an [`Order`] shared by all of them, a question, or the end of a request for acknowledgements.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::hub::acks::AckEvent;
use crate::hub::action::{Action, Applied, Audience, Change, Target};
use crate::hub::id::{Room, SocketId};
use crate::hub::reads::{Answer, Query};
use crate::hub::switchboard::inbox;
use crate::protocol::frame::Frame;

/// A message to one shard.
#[derive(Debug)]
pub(crate) enum Message {
    /// Something to apply; shared with the other shards that got it.
    Order(Arc<Order>),
    /// A question about what the shard holds.
    Ask(Query, oneshot::Sender<Answer>),
    /// Nobody waits for the acknowledgements of this emit any more.
    Forget(u64),
}

/// Something to apply on one or more shards. Its last drop tells the performer what came of it.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) work: Work,
    /// When the list of actions began, for volatile packets.
    pub(crate) begun: Instant,
    /// Present where somebody waits for the result.
    pub(crate) tally: Option<Tally>,
    made: Instant,
    /// Shards that have it and have not applied it.
    shards: AtomicUsize,
    /// Recipients on those that have.
    reached: AtomicUsize,
}

impl Order {
    pub(crate) fn new(work: Work, begun: Instant, tally: Option<Tally>) -> Self {
        Self {
            work,
            begun,
            tally,
            made: Instant::now(),
            shards: AtomicUsize::new(0),
            reached: AtomicUsize::new(0),
        }
    }

    /// So many shards are about to get it.
    pub(crate) fn is_for(&self, shards: usize) {
        self.shards.store(shards, Ordering::Relaxed);
    }

    /// A shard has applied it. The last one learns how many it has reached, and how long that took.
    pub(crate) fn applied(&self, sockets: usize) -> Option<(usize, Duration)> {
        self.reached.fetch_add(sockets, Ordering::Relaxed);
        // The last one sees what the others have added.
        let is_last = self.shards.fetch_sub(1, Ordering::AcqRel) == 1;
        is_last.then(|| (self.reached.load(Ordering::Relaxed), self.made.elapsed()))
    }
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Work {
    /// An action.
    Act(Action),
    /// Nothing but counting who is meant.
    Count(Audience),
    /// An emit whose recipients acknowledge.
    Request {
        to: Audience,
        frame: Frame,
        request: AckRequest,
    },
}

/// Where the acknowledgements of an emit go.
#[derive(Debug)]
pub(crate) struct AckRequest {
    pub(crate) id: u64,
    pub(crate) events: mpsc::UnboundedSender<AckEvent>,
    /// Bytes of answers that may still be kept.
    pub(crate) budget: Arc<AtomicUsize>,
    /// Whether a socket whose transport could take nothing at this moment is not asked.
    pub(crate) volatile: Option<Instant>,
}

impl Work {
    pub(crate) fn audience(&self) -> &Audience {
        match self {
            Self::Act(action) => action.audience(),
            Self::Count(to) | Self::Request { to, .. } => to,
        }
    }

    /// Whether it sends a packet to an audience.
    pub(crate) fn is_emit(&self) -> bool {
        matches!(self, Self::Act(Action::Emit { .. }) | Self::Request { .. })
    }

    /// Places that it takes in an inbox, by the bytes that it keeps in memory.
    pub(crate) fn places(&self) -> u32 {
        let own = match self {
            Self::Act(Action::Emit { frame, .. }) | Self::Request { frame, .. } => frame.len(),
            Self::Act(Action::Join { rooms, .. } | Action::Leave { rooms, .. }) => bytes_of(rooms),
            Self::Act(Action::State {
                set: Change::Set(state),
                ..
            }) => state.0.len(),
            Self::Act(_) | Self::Count(_) => 0,
        };
        let audience = self.audience();
        let to = match &audience.to {
            Target::All => 0,
            Target::Names(names) => bytes_of(&names.rooms) + names.sockets.len() * SOCKET,
        };
        let except = bytes_of(&audience.except.rooms) + audience.except.sockets.len() * SOCKET;
        inbox::places(own + to + except)
    }
}

/// Bytes of a socket's id.
const SOCKET: usize = std::mem::size_of::<SocketId>();

fn bytes_of(rooms: &[Room]) -> usize {
    rooms.iter().map(|room| room.as_str().len()).sum()
}

/// The sum over all shards, sent to the performer when the last of them is done.
#[derive(Debug)]
pub(crate) struct Tally {
    sockets: AtomicUsize,
    limited: AtomicUsize,
    receiver: Option<oneshot::Sender<Applied>>,
}

impl Tally {
    pub(crate) fn new() -> (Self, oneshot::Receiver<Applied>) {
        let (sender, receiver) = oneshot::channel();
        let tally = Self {
            sockets: AtomicUsize::new(0),
            limited: AtomicUsize::new(0),
            receiver: Some(sender),
        };
        (tally, receiver)
    }

    /// Adds what one shard has done. The counts need no order of their own: they are read after the last reference is gone.
    pub(crate) fn add(&self, applied: Applied) {
        self.sockets.fetch_add(applied.sockets, Ordering::Relaxed);
        self.limited.fetch_add(applied.limited, Ordering::Relaxed);
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        let applied = Applied {
            sockets: *self.sockets.get_mut(),
            limited: *self.limited.get_mut(),
        };
        if let Some(receiver) = self.receiver.take() {
            // A performer that was dropped meanwhile does not want to know.
            receiver.send(applied).ok();
        }
    }
}
