//! [`Directory`]: which shards have members of a room, under locks that also give rooms their order.
//!
//! A name stands in one of 64 *stripes*. Whoever sends to a room holds its stripe from reading the interested shards until the
//! message is in all their inboxes, so that the room's order is the same everywhere. Only a shard sets or clears its own bit,
//! from its own thread.

use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::HashTable;

use crate::hub::action::{Audience, Target};
use crate::hub::fault::{Fault, is_planted};
use crate::hub::id::{Namespace, Room, ShardId};
use crate::hub::switchboard::inbox::Inbox;
use crate::hub::sync::{Hashing, Mutex};

const STRIPES: usize = 64;

/// A set of shards; iterating goes in ascending order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ShardSet(u64);

impl ShardSet {
    pub(crate) fn first(count: usize) -> Self {
        debug_assert!((1..=ShardId::MAX).contains(&count), "1 to 64 shards");
        Self(u64::MAX >> (ShardId::MAX - count))
    }

    pub(crate) fn insert(&mut self, shard: usize) {
        self.0 |= 1 << shard;
    }

    pub(crate) fn remove(&mut self, shard: usize) {
        self.0 &= !(1 << shard);
    }

    pub(crate) fn contains(self, shard: usize) -> bool {
        self.0 & 1 << shard != 0
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    pub(crate) fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = usize> {
        bits(self.0)
    }
}

/// Numbers of the bits that are set, ascending.
fn bits(mut set: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = (set != 0).then(|| set.trailing_zeros() as usize)?;
        set &= set - 1;
        Some(bit)
    })
}

/// A namespace or a room of it, and who has members.
#[derive(Debug)]
struct Entry {
    namespace: Namespace,
    room: Option<Room>,
    shards: ShardSet,
}

type Stripe = HashTable<Entry>;

/// The shards of every name.
#[derive(Debug)]
pub(crate) struct Directory {
    hashing: Hashing,
    stripes: Box<[Mutex<Stripe>]>,
    rooms: AtomicUsize,
    limit: usize,
}

impl Directory {
    /// An empty directory of at most so many rooms; namespaces do not count.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            hashing: Hashing::default(),
            stripes: (0..STRIPES).map(|_| Mutex::default()).collect(),
            rooms: AtomicUsize::new(0),
            limit,
        }
    }

    /// Rooms with members on this node.
    pub(crate) fn rooms(&self) -> usize {
        self.rooms.load(Ordering::Relaxed)
    }

    /// Calls the function with the shards that have members of the audience's names, while the stripes of all these names are
    /// held. The function must not wait for anything.
    pub(crate) fn with_interested<R>(
        &self,
        audience: &Audience,
        then: impl FnOnce(ShardSet) -> R,
    ) -> R {
        let namespace = &audience.namespace;
        match &audience.to {
            Target::All => self.with_one(namespace, None, then),
            Target::Names(names) => match names.rooms.as_slice() {
                [] => then(ShardSet::default()),
                [room] => self.with_one(namespace, Some(room), then),
                rooms => self.with_many(namespace, rooms, then),
            },
        }
    }

    fn with_one<R>(
        &self,
        namespace: &Namespace,
        room: Option<&Room>,
        then: impl FnOnce(ShardSet) -> R,
    ) -> R {
        let hash = self.hash(namespace, room);
        let stripe = self.stripes[stripe_of(hash)].lock();
        let found = shards(&stripe, hash, namespace, room);
        let _held = (!is_planted(Fault::StripeReleasedEarly)).then_some(stripe);
        then(found)
    }

    fn with_many<R>(
        &self,
        namespace: &Namespace,
        rooms: &[Room],
        then: impl FnOnce(ShardSet) -> R,
    ) -> R {
        let hashes = rooms.iter().map(|room| self.hash(namespace, Some(room)));
        let hashes: Vec<u64> = hashes.collect();
        let set = hashes
            .iter()
            .fold(0_u64, |set, hash| set | 1 << stripe_of(*hash));
        // Ascending, as everywhere: another order could wait in a circle.
        let held: Vec<_> = bits(set)
            .map(|stripe| self.stripes[stripe].lock())
            .collect();
        let mut found = ShardSet::default();
        for (room, hash) in rooms.iter().zip(hashes) {
            let below = set & ((1 << stripe_of(hash)) - 1);
            let stripe = &held[below.count_ones() as usize];
            found = found.union(shards(stripe, hash, namespace, Some(room)));
        }
        let _held = (!is_planted(Fault::StripeReleasedEarly)).then_some(held);
        then(found)
    }

    /// Notes that a shard has members of a name now. `None` where the limit of rooms forbids a new one; the rooms of users are
    /// exempt (`unlimited`): they are at most one per socket, and without it a user could not be reached.
    ///
    /// Returns the number of the first message in the shard's inbox that can be for these members.
    ///
    /// # Why
    /// When the last member leaves, messages for the room may still be under way in the inbox. They must find nobody, but a socket
    /// that joins before they are applied would get them, and not those that came after them while the room was empty here.
    pub(crate) fn occupy(
        &self,
        namespace: &Namespace,
        room: Option<&Room>,
        shard: ShardId,
        inbox: &Inbox,
        unlimited: bool,
    ) -> Option<u64> {
        let hash = self.hash(namespace, room);
        let mut stripe = self.stripes[stripe_of(hash)].lock();
        if let Some(entry) = stripe.find_mut(hash, |entry| entry.is(namespace, room)) {
            entry.shards.insert(shard.index());
            return Some(inbox.next_number());
        }
        if room.is_some() {
            let before = self.rooms.fetch_add(1, Ordering::Relaxed);
            if before >= self.limit && !unlimited {
                self.rooms.fetch_sub(1, Ordering::Relaxed);
                return None;
            }
        }
        let mut shards = ShardSet::default();
        shards.insert(shard.index());
        let entry = Entry {
            namespace: namespace.clone(),
            room: room.cloned(),
            shards,
        };
        stripe.insert_unique(hash, entry, |entry| {
            self.hash(&entry.namespace, entry.room.as_ref())
        });
        Some(inbox.next_number())
    }

    /// Notes that a shard has no members of a name any more.
    pub(crate) fn vacate(&self, namespace: &Namespace, room: Option<&Room>, shard: ShardId) {
        let hash = self.hash(namespace, room);
        let mut stripe = self.stripes[stripe_of(hash)].lock();
        let Ok(mut found) = stripe.find_entry(hash, |entry| entry.is(namespace, room)) else {
            return;
        };
        found.get_mut().shards.remove(shard.index());
        if found.get().shards.is_empty() {
            found.remove();
            if room.is_some() {
                self.rooms.fetch_sub(1, Ordering::Relaxed);
            }
            if stripe.capacity() > 64 && stripe.len() < stripe.capacity() / 8 {
                let twice = stripe.len() * 2;
                stripe.shrink_to(twice, |entry| {
                    self.hash(&entry.namespace, entry.room.as_ref())
                });
            }
        }
    }

    /// The shards with members of a room.
    #[cfg(all(test, not(sockgate_loom)))]
    pub(crate) fn shards(&self, namespace: &Namespace, room: &Room) -> ShardSet {
        self.with_one(namespace, Some(room), |found| found)
    }

    fn hash(&self, namespace: &Namespace, room: Option<&Room>) -> u64 {
        self.hashing
            .hash_one((namespace.as_str(), room.map(Room::as_str)))
    }
}

impl Entry {
    fn is(&self, namespace: &Namespace, room: Option<&Room>) -> bool {
        self.room.as_ref() == room && self.namespace == *namespace
    }
}

/// Not the bits that the table uses: the low ones choose its bucket, the high ones tell neighbours apart.
fn stripe_of(hash: u64) -> usize {
    (hash >> 40) as usize % STRIPES
}

fn shards(stripe: &Stripe, hash: u64, namespace: &Namespace, room: Option<&Room>) -> ShardSet {
    let entry = stripe.find(hash, |entry| entry.is(namespace, room));
    entry.map_or_else(ShardSet::default, |entry| entry.shards)
}
