//! The notices of one upstream that wait or are under way: a pure queue, bounded by number, bytes and age.
//!
//! Each notice has a moment from which on it may be sent. The bounds count what is under way too; when they are passed, the oldest
//! that waits is dropped. Whoever calls is told how many were lost, and counts them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::super::settings::Retention;

/// Notices in the order in which they came, and in the order in which they are due.
#[derive(Debug)]
pub struct Queue<T> {
    retention: Retention,
    waiting: BTreeMap<u64, Waiting<T>>,
    due: BTreeSet<(Instant, u64)>,
    /// Under way, and their bytes.
    out: usize,
    bytes: usize,
    next: u64,
}

#[derive(Debug)]
struct Waiting<T> {
    entry: Entry<T>,
    due: Instant,
}

/// A notice that was taken out. It has to come back: [`Queue::put_back`] or [`Queue::finish`].
#[derive(Debug)]
pub struct Entry<T> {
    /// The notice.
    pub item: T,
    /// When it is too old to be sent.
    pub expires: Instant,
    number: u64,
    size: usize,
}

impl<T> Queue<T> {
    /// Empty.
    pub fn new(retention: Retention) -> Self {
        Self {
            retention,
            waiting: BTreeMap::new(),
            due: BTreeSet::new(),
            out: 0,
            bytes: 0,
            next: 0,
        }
    }

    /// Adds a notice, due at once. Returns how many were dropped for it, itself included if there is no room at all. One that could
    /// never have room is dropped alone.
    pub fn push(&mut self, item: T, size: usize, now: Instant) -> usize {
        if size > self.retention.bytes {
            return 1;
        }
        let mut dropped = 0;
        while !self.has_room(size) {
            dropped += 1;
            if !self.drop_oldest() {
                return dropped;
            }
        }
        let entry = Entry {
            item,
            expires: now + self.retention.age,
            number: self.next,
            size,
        };
        self.next += 1;
        self.bytes += size;
        self.insert(entry, now);
        dropped
    }

    /// Takes the notice that is due for the longest time.
    pub fn take(&mut self, now: Instant) -> Option<Entry<T>> {
        let &(due, number) = self.due.first().filter(|(due, _)| *due <= now)?;
        self.due.remove(&(due, number));
        let waiting = self.waiting.remove(&number)?;
        self.out += 1;
        Some(waiting.entry)
    }

    /// Gives a notice back that has to be sent again.
    pub fn put_back(&mut self, entry: Entry<T>, due: Instant) {
        self.out -= 1;
        self.insert(entry, due);
    }

    /// Gives a notice back that is done with.
    pub fn finish(&mut self, entry: Entry<T>) -> T {
        self.out -= 1;
        self.bytes -= entry.size;
        entry.item
    }

    /// Drops what is too old; returns how many.
    pub fn expire(&mut self, now: Instant) -> usize {
        let mut expired = 0;
        // Numbers rise with age, since all are kept for the same time.
        while self.oldest().is_some_and(|oldest| oldest <= now) {
            self.drop_oldest();
            expired += 1;
        }
        expired
    }

    /// When there is something to do next: a notice is due, or too old.
    pub fn next(&self) -> Option<Instant> {
        let due = self.due.first().map(|(due, _)| *due);
        due.into_iter().chain(self.oldest()).min()
    }

    /// Notices that wait or are under way.
    pub fn pending(&self) -> usize {
        self.waiting.len() + self.out
    }

    /// Bytes of those.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn oldest(&self) -> Option<Instant> {
        let (_, waiting) = self.waiting.first_key_value()?;
        Some(waiting.entry.expires)
    }

    fn has_room(&self, size: usize) -> bool {
        self.pending() < self.retention.items && self.bytes + size <= self.retention.bytes
    }

    fn drop_oldest(&mut self) -> bool {
        let Some((number, waiting)) = self.waiting.pop_first() else {
            return false;
        };
        self.due.remove(&(waiting.due, number));
        self.bytes -= waiting.entry.size;
        true
    }

    fn insert(&mut self, entry: Entry<T>, due: Instant) {
        self.due.insert((due, entry.number));
        self.waiting.insert(entry.number, Waiting { entry, due });
    }
}

#[cfg(test)]
mod tests;
