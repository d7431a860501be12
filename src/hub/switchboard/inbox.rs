//! [`Inbox`]: what a shard has been handed and has not looked at yet.
//!
//! Bounded by *places*: a small message takes one, a large one more. Whoever sends reserves places first (at once, or waiting
//! in turn) and pushes later; so a push always succeeds, under whatever lock.
//!
//! # Why
//! A channel rings inside `send`, that is, under the stripe's lock: several microseconds for each parked shard. Here pushing and
//! ringing are two steps.

use tokio::sync::{Notify, Semaphore, TryAcquireError};

use crate::hub::fault::{Fault, is_planted};
use crate::hub::switchboard::message::Message;
use crate::hub::sync::{Mutex, interleave};

/// Places of an inbox.
pub(crate) const PLACES: u32 = 8192;

/// Bytes that a message may have for each place it takes beyond the first.
const BYTES_PER_PLACE: usize = 16 * 1024;

/// Places of a message with so many bytes.
pub(crate) fn places(bytes: usize) -> u32 {
    let more = u32::try_from(bytes / BYTES_PER_PLACE).unwrap_or(u32::MAX);
    more.saturating_add(1)
}

/// What a shard finds when it looks.
#[derive(Debug, Default)]
struct Queue {
    messages: Vec<Message>,
    /// Places of all of them.
    places: usize,
    /// Messages there have ever been.
    pushed: u64,
    closed: bool,
}

/// Why places could not be had at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unplaced {
    /// Others hold them or wait for them.
    Full,
    /// The shard has ended.
    Closed,
}

/// The messages to one shard.
#[derive(Debug)]
pub(crate) struct Inbox {
    queue: Mutex<Queue>,
    total: u32,
    places: Semaphore,
    bell: Notify,
}

impl Inbox {
    pub(crate) fn new(places: u32) -> Self {
        Self {
            queue: Mutex::default(),
            total: places,
            places: Semaphore::new(places as usize),
            bell: Notify::new(),
        }
    }

    /// Takes places at once, without overtaking those who wait.
    pub(crate) fn try_reserve(&self, places: u32) -> Result<(), Unplaced> {
        interleave();
        match self.places.try_acquire_many(places) {
            Ok(permit) => {
                permit.forget();
                Ok(())
            }
            Err(TryAcquireError::NoPermits) => Err(Unplaced::Full),
            Err(TryAcquireError::Closed) => Err(Unplaced::Closed),
        }
    }

    /// Waits for places, first come, first served. False where the shard has ended.
    pub(crate) async fn reserve(&self, places: u32) -> bool {
        match self.places.acquire_many(places).await {
            Ok(permit) => {
                permit.forget();
                true
            }
            Err(_closed) => false,
        }
    }

    /// Gives reserved places back.
    pub(crate) fn release(&self, places: u32) {
        self.places.add_permits(places as usize);
    }

    /// Puts a message into reserved places; a shard that has ended drops it. Ring afterwards, outside of all locks.
    pub(crate) fn push(&self, message: Message, places: u32) {
        let mut queue = self.queue.lock();
        if !queue.closed {
            queue.messages.push(message);
            queue.places += places as usize;
            queue.pushed += 1;
        }
    }

    /// Whether nothing waits to be looked at.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.lock().messages.is_empty()
    }

    /// Whether nothing is in it and nobody holds a place.
    #[cfg(test)]
    pub(crate) fn is_unused(&self) -> bool {
        self.is_empty() && self.taken() == 0
    }

    /// Places that are reserved or hold a message.
    pub(crate) fn taken(&self) -> usize {
        (self.total as usize).saturating_sub(self.places.available_permits())
    }

    /// Tells the shard to look.
    pub(crate) fn ring(&self) {
        interleave();
        self.bell.notify_one();
    }

    /// Waits until somebody has rung since the last time.
    pub(crate) async fn rung(&self) {
        self.bell.notified().await;
    }

    /// The number that the next message will have.
    pub(crate) fn next_number(&self) -> u64 {
        self.queue.lock().pushed
    }

    /// Swaps all messages into the empty vector and frees their places. Returns the number of the first; the others follow.
    pub(crate) fn swap(&self, into: &mut Vec<Message>) -> u64 {
        debug_assert!(into.is_empty(), "the former messages were applied");
        let (places, first) = {
            let mut queue = self.queue.lock();
            std::mem::swap(&mut queue.messages, into);
            let first = queue.pushed - into.len() as u64;
            (std::mem::take(&mut queue.places), first)
        };
        let lost = usize::from(places > 0 && is_planted(Fault::PlaceLost));
        self.places.add_permits(places - lost);
        first
    }

    /// Ends the inbox: nobody waits for its places any more, and what lies in it is dropped.
    pub(crate) fn close(&self) {
        self.places.close();
        let left = {
            let mut queue = self.queue.lock();
            queue.closed = true;
            std::mem::take(&mut queue.messages)
        };
        drop(left);
    }
}
