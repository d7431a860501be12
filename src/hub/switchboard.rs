//! [`Switchboard`]: the only state that threads share. Which shards have members of a room, and ordered hand-over to them.
//!
//! ```text
//! performer      names ─► stripes (ascending) ─► interested shards ─► a place in each inbox ─► push to each ─► unlock ─► ring
//! shard          swap the inbox ─► roster ─► directory, where a room began or ended here ─► tell the performer
//! ```
//! It promises, on one node:
//! - every member of a room sees the same order of emits, and a joiner sees a suffix of it without gaps;
//! - what one performer does one after the other arrives in that order everywhere, also in different rooms;
//! - after [`perform`](Switchboard::perform) has returned from anything but an emit, every shard has applied it;
//! - all or nothing: an action that cannot have all its places is not handed over at all;
//! - nobody waits for ever: places are waited for in ascending order of shards, and never under a lock.
//!
//! It does not promise an order between a room and its whole namespace, or between rooms, for different performers.
//!
//! # Why
//! The pushes to all inboxes happen under the stripe's lock, and inboxes are first in, first out; the order in which *places*
//! were had does not matter, for a place is no position. Ringing a sleeping shard takes microseconds and comes after the lock.
//! Any other order of waiting for places dead-locks; pushing outside of the lock, or delivering to the own shard past its inbox,
//! gives members different orders. The simulation and the models beside this file show each of these.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::hub::action::{Action, Applied, Audience, Target};
use crate::hub::id::{Namespace, NodeTag, Room, ShardId, SocketId};
use crate::hub::reads::{Answer, Query};
use crate::hub::settings::Settings;
use crate::telemetry::counters::NodeCounters;

mod asking;
pub(crate) mod budget;
pub(crate) mod directory;
pub(crate) mod inbox;
pub(crate) mod message;

pub use asking::Asking;
use budget::Budget;
use directory::{Directory, ShardSet};
use inbox::{Inbox, Unplaced};
use message::{Message, Order, Tally, Work};

/// Why an action was not handed over. Nothing of it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// The inboxes stayed full for as long as the performer wanted to wait.
    #[error("the node is overloaded")]
    Overloaded,
    /// More acknowledgements would be awaited than may be.
    #[error("too many acknowledgements are awaited")]
    TooManyAcks,
}

/// Hands actions to shards. Shared by all threads.
#[derive(Debug)]
pub struct Switchboard {
    node: NodeTag,
    directory: Directory,
    inboxes: Box<[Inbox]>,
    /// Places of each inbox.
    places: u32,
    budget: Budget,
    counters: Arc<NodeCounters>,
    last_ack: AtomicU64,
    pending_acks: Arc<AtomicUsize>,
    max_acks: usize,
}

impl Switchboard {
    /// A switchboard for 1 to 64 shards.
    pub fn new(node: NodeTag, shards: usize, limits: &Settings) -> Arc<Self> {
        Self::with_places(node, shards, limits, inbox::PLACES)
    }

    pub(crate) fn with_places(
        node: NodeTag,
        shards: usize,
        limits: &Settings,
        places: u32,
    ) -> Arc<Self> {
        assert!((1..=64).contains(&shards), "a node has 1 to 64 shards");
        Arc::new(Self {
            node,
            directory: Directory::new(limits.rooms),
            inboxes: (0..shards).map(|_| Inbox::new(places)).collect(),
            places,
            budget: Budget::new(shards, limits.outbox_total),
            counters: Arc::default(),
            last_ack: AtomicU64::new(0),
            pending_acks: Arc::default(),
            max_acks: limits.acks,
        })
    }

    /// The tag of this node.
    pub fn node(&self) -> NodeTag {
        self.node
    }

    /// Number of shards.
    pub fn shards(&self) -> usize {
        self.inboxes.len()
    }

    /// Rooms with members on this node.
    pub fn rooms(&self) -> usize {
        self.directory.rooms()
    }

    /// Acknowledgements awaited from clients of this node.
    pub fn pending_acks(&self) -> usize {
        self.pending_acks.load(Ordering::Relaxed)
    }

    /// Counts a packet encoded outside of the shards, by the REST API for example; shards have counters of their own.
    pub fn count_encoding(&self) {
        self.counters.encodings.increment();
    }

    /// What is counted outside of the shards.
    pub fn counters(&self) -> &Arc<NodeCounters> {
        &self.counters
    }

    /// Places taken in the fullest inbox, of 8,192.
    pub fn fullest_inbox(&self) -> usize {
        self.inboxes.iter().map(Inbox::taken).max().unwrap_or(0)
    }

    /// A number for an emit with an acknowledgement, the same for all its recipients and never given out twice.
    pub fn next_ack_id(&self) -> u64 {
        self.last_ack.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Hands an emit over at once, or gives it back where an inbox is full.
    ///
    /// What the same socket does after an emit that came back must wait for it.
    pub fn try_emit(&self, action: Action, begun: Instant) -> Result<(), Box<Action>> {
        debug_assert!(
            matches!(action, Action::Emit { .. }),
            "others have a result to wait for"
        );
        let order = Arc::new(Order::new(Work::Act(action), begun, None));
        let places = self.places_of(&order);
        if self.hand_over(&order, places, ShardSet::default()).is_ok() {
            return Ok(());
        }
        let order =
            Arc::into_inner(order).expect("an order that was not handed over has one owner");
        match order.work {
            Work::Act(action) => Err(Box::new(action)),
            Work::Count(_) | Work::Request { .. } => unreachable!("it was made of an action above"),
        }
    }

    /// Hands an action over, waiting for places where there are none.
    ///
    /// An emit is done when it is handed over, and reports nothing. Everything else is done when all shards have applied it.
    /// Dropped before it has handed over, it has done nothing.
    pub async fn perform(&self, action: Action, begun: Instant) -> Applied {
        let (order, receipt) = order_for(action, begun);
        self.submit(order).await;
        applied(receipt).await
    }

    /// As [`perform`](Self::perform), but gives up where places cannot be had in time.
    pub async fn perform_within(
        &self,
        action: Action,
        begun: Instant,
        patience: Duration,
    ) -> Result<Applied, ApplyError> {
        let (order, receipt) = order_for(action, begun);
        self.submit_within(order, patience).await?;
        Ok(applied(receipt).await)
    }

    /// Performs an action, an emit too, and counts the sockets it has reached.
    pub async fn perform_with_report(
        &self,
        action: Action,
        begun: Instant,
        patience: Duration,
    ) -> Result<Applied, ApplyError> {
        self.counted(Work::Act(action), begun, patience).await
    }

    /// Puts a question to all shards, or to the only one that can know.
    pub async fn ask(&self, query: Query, patience: Duration) -> Result<Vec<Answer>, ApplyError> {
        let mut shards = ShardSet::first(self.inboxes.len());
        if let Query::Sockets(sockets) = &query
            && let Some(id) = &sockets.id
        {
            shards = self.shard_of(id);
        }
        let held = tokio::time::timeout(patience, self.reserve(shards, 1)).await;
        let mut held = held.map_err(|_elapsed| ApplyError::Overloaded)?;
        let mut answers = Vec::new();
        for shard in held.shards.iter() {
            let (sender, receiver) = oneshot::channel();
            self.inboxes[shard].push(Message::Ask(query.clone(), sender), 1);
            held.shards.remove(shard);
            self.inboxes[shard].ring();
            answers.push(receiver);
        }
        let mut given = Vec::with_capacity(answers.len());
        for answer in answers {
            given.extend(answer.await);
        }
        Ok(given)
    }

    /// Notes that a shard has members of a name now, see [`Directory::occupy`].
    pub(crate) fn occupy(
        &self,
        shard: ShardId,
        name: (&Namespace, Option<&Room>),
        unlimited: bool,
    ) -> Option<u64> {
        let (namespace, room) = name;
        let inbox = &self.inboxes[shard.index()];
        self.directory
            .occupy(namespace, room, shard, inbox, unlimited)
    }

    /// Notes that a shard has no members of a name any more.
    pub(crate) fn vacate(&self, shard: ShardId, namespace: &Namespace, room: Option<&Room>) {
        self.directory.vacate(namespace, room, shard);
    }

    #[cfg(all(test, not(sockgate_loom)))]
    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    pub(crate) fn inbox(&self, shard: usize) -> &Inbox {
        &self.inboxes[shard]
    }

    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    pub(crate) fn pending(&self) -> &Arc<AtomicUsize> {
        &self.pending_acks
    }

    fn shard_of(&self, id: &SocketId) -> ShardSet {
        let mut set = ShardSet::default();
        let shard = id.shard(self.node).map(ShardId::index);
        if let Some(shard) = shard.filter(|shard| *shard < self.inboxes.len()) {
            set.insert(shard);
        }
        set
    }

    /// The shards of the sockets that the audience names by id.
    fn shards_by_id(&self, audience: &Audience) -> ShardSet {
        match &audience.to {
            Target::All => ShardSet::default(),
            Target::Names(names) => {
                let shards = names.sockets.iter().map(|id| self.shard_of(id));
                shards.fold(ShardSet::default(), ShardSet::union)
            }
        }
    }

    /// Never more than there are: it would wait for ever.
    fn places_of(&self, order: &Order) -> u32 {
        order.work.places().min(self.places)
    }

    /// Steps 1 and 2: under the stripes, read who is interested, take a place in each inbox and push, or take none at all; then
    /// ring. On the shards in `held` the places are there already and are used up where the order goes there.
    fn hand_over(
        &self,
        order: &Arc<Order>,
        places: u32,
        held: ShardSet,
    ) -> Result<ShardSet, Unplaced> {
        let audience = order.work.audience();
        let by_id = self.shards_by_id(audience);
        let handed = self.directory.with_interested(audience, |interested| {
            let wanted = self.place_all(interested.union(by_id), places, held)?;
            order.is_for(wanted.len());
            for shard in wanted.iter() {
                self.inboxes[shard].push(Message::Order(Arc::clone(order)), places);
            }
            Ok(wanted)
        })?;
        for shard in handed.iter() {
            self.inboxes[shard].ring();
        }
        Ok(handed)
    }

    /// Takes places on all these shards, or on none. Shards that have ended are left out.
    fn place_all(
        &self,
        wanted: ShardSet,
        places: u32,
        held: ShardSet,
    ) -> Result<ShardSet, Unplaced> {
        let mut taken = ShardSet::default();
        for shard in wanted.iter() {
            if held.contains(shard) {
                taken.insert(shard);
                continue;
            }
            match self.inboxes[shard].try_reserve(places) {
                Ok(()) => taken.insert(shard),
                Err(Unplaced::Closed) => {}
                Err(Unplaced::Full) => {
                    for shard in taken.iter().filter(|shard| !held.contains(*shard)) {
                        self.inboxes[shard].release(places);
                    }
                    return Err(Unplaced::Full);
                }
            }
        }
        Ok(taken)
    }

    /// Hands an order over, at once or after waiting.
    async fn submit(&self, order: Arc<Order>) {
        let places = self.places_of(&order);
        if self.hand_over(&order, places, ShardSet::default()).is_ok() {
            return;
        }
        self.counters.inbox_waits.increment();
        // Places everywhere, because who is interested may change while waiting: so one retry is enough.
        let waited_for = if is_by_id_only(order.work.audience()) {
            self.shards_by_id(order.work.audience())
        } else {
            ShardSet::first(self.inboxes.len())
        };
        let mut held = self.reserve(waited_for, places).await;
        let handed = self.hand_over(&order, places, held.shards);
        let handed = handed
            .expect("a place is held on every shard that can be interested and has not ended");
        for shard in handed.iter() {
            held.shards.remove(shard);
        }
    }

    async fn submit_within(&self, order: Arc<Order>, patience: Duration) -> Result<(), ApplyError> {
        let submitted = tokio::time::timeout(patience, self.submit(order)).await;
        submitted.map_err(|_elapsed| ApplyError::Overloaded)
    }

    /// Submits with a tally and waits for it.
    async fn counted(
        &self,
        work: Work,
        begun: Instant,
        patience: Duration,
    ) -> Result<Applied, ApplyError> {
        let (tally, receipt) = Tally::new();
        let order = Arc::new(Order::new(work, begun, Some(tally)));
        self.submit_within(order, patience).await?;
        Ok(applied(Some(receipt)).await)
    }

    /// Waits for places on these shards, in ascending order.
    async fn reserve(&self, shards: ShardSet, places: u32) -> Held<'_> {
        let mut held = Held {
            switchboard: self,
            shards: ShardSet::default(),
            places,
        };
        for shard in shards.iter() {
            if self.inboxes[shard].reserve(places).await {
                held.shards.insert(shard);
            }
        }
        held
    }
}

/// Places that were waited for; those not used up are given back.
struct Held<'a> {
    switchboard: &'a Switchboard,
    shards: ShardSet,
    places: u32,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        for shard in self.shards.iter() {
            self.switchboard.inboxes[shard].release(self.places);
        }
    }
}

/// Whether the audience's shards are known from its ids alone.
fn is_by_id_only(audience: &Audience) -> bool {
    matches!(&audience.to, Target::Names(names) if names.rooms.is_empty())
}

/// An order of its own, with a receipt unless it is an emit.
fn order_for(action: Action, begun: Instant) -> (Arc<Order>, Option<oneshot::Receiver<Applied>>) {
    let (tally, receipt) = if matches!(action, Action::Emit { .. }) {
        (None, None)
    } else {
        let (tally, receipt) = Tally::new();
        (Some(tally), Some(receipt))
    };
    let order = Order::new(Work::Act(action), begun, tally);
    (Arc::new(order), receipt)
}

async fn applied(receipt: Option<oneshot::Receiver<Applied>>) -> Applied {
    match receipt {
        None => Applied::default(),
        Some(receipt) => receipt.await.unwrap_or_default(),
    }
}

#[cfg(all(test, sockgate_loom))]
mod loom;
#[cfg(all(test, not(sockgate_loom)))]
mod tests;
