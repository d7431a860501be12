//! Who is where, and delivery. No I/O.
//!
//! ```text
//! actions ─► Switchboard ─► inbox ─► Hub::turn ─► Roster: audience ─► members ─► Outbox ─► transport
//!                                        └──► Effects for the session layer
//! ```
//! A [`Hub`] is one shard's part: plain data behind one borrow, used by one thread. The [`Switchboard`] is shared by all threads
//! and hands actions to hubs. What each promises stands in its own file; together they promise contract 7 and 9: order, "2xx
//! means applied", bounded queues, and that a slow client hurts nobody but itself.
//!
//! # Why
//! Pumps, lanes and the shard's loop borrow the state directly, each for the length of one call. No borrow is held while the
//! switchboard is called or something of others is dropped, for both may come back to the hub.

pub mod acks;
pub mod action;
pub mod effect;
pub mod id;
pub mod key;
pub mod outbox;
pub mod pattern;
pub mod reads;
pub mod reason;
pub mod settings;
pub mod switchboard;
pub mod view;
pub mod wheel;

mod connections;
mod fault;
mod membership;
mod recipients;
mod roster;
mod state;
mod sync;

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;

use self::action::{Action, Applied, Change, State as Notes, UserRoom};
use self::effect::{Departed, Effect, Turn};
use self::id::{Room, ShardId, SocketId, UserId};
use self::key::{ConnectionKey, SocketKey};
use self::outbox::Outbox;
use self::reads::{Answer, Query, SocketRecord, SocketsQuery};
use self::settings::Settings;
use self::state::State;
use self::switchboard::Switchboard;
use self::switchboard::message::{Message, Order, Work};
use self::view::SocketView;
use crate::protocol::frame::Frame;
use crate::telemetry::counters::ShardCounters;

pub use self::roster::NewSocket;

/// Transports woken per turn after a walk over very many recipients.
const WAKES_PER_TURN: usize = 512;

/// One shard's sockets, rooms and outboxes.
#[derive(Debug)]
pub struct Hub {
    shard: ShardId,
    switchboard: Arc<Switchboard>,
    limits: Settings,
    state: RefCell<State>,
    /// An empty vector to swap with the inbox.
    spare: RefCell<Vec<Message>>,
}

impl Hub {
    /// The hub of a shard. At most one for each shard of the switchboard.
    pub fn new(
        shard: ShardId,
        switchboard: Arc<Switchboard>,
        limits: Settings,
        counters: Arc<ShardCounters>,
    ) -> Self {
        let state = State::new(&limits, switchboard.pending(), counters);
        Self {
            shard,
            switchboard,
            limits,
            state: RefCell::new(state),
            spare: RefCell::default(),
        }
    }

    /// The shard.
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// Where actions for others go.
    pub fn switchboard(&self) -> &Arc<Switchboard> {
        &self.switchboard
    }

    /// Opens a connection: an outbox without sockets.
    pub fn open(&self) -> ConnectionKey {
        self.with(|state| state.connections.open())
    }

    /// Closes a connection and detaches the sockets that it still has.
    pub fn close(&self, connection: ConnectionKey) -> Vec<(SocketKey, Departed)> {
        let sockets = self.with(|state| state.sockets_of(connection));
        let departed = sockets
            .into_iter()
            .filter_map(|socket| Some((socket, self.detach(socket)?)));
        let departed = departed.collect();
        let gone = self.with(|state| state.connections.close(connection));
        // Its waker and its sink are not ours: they are dropped here, outside of the borrow.
        drop(gone);
        departed
    }

    /// Lets a transport work with the outbox of its connection; `None` where that is closed. The function must not call the hub.
    pub fn outbox<R>(
        &self,
        connection: ConnectionKey,
        f: impl FnOnce(&mut Outbox) -> R,
    ) -> Option<R> {
        self.with(|state| state.connections.outbox(connection, f))
    }

    /// Queues a packet for a connection itself: an acknowledgement, a CONNECT, a ping.
    pub fn push(&self, connection: ConnectionKey, frame: &Frame) {
        let has_cut = self.with(|state| {
            state.push(connection, frame);
            state.connections.has_cut()
        });
        if has_cut || self.switchboard.budget().is_over() {
            self.ring();
        }
    }

    /// Makes a socket of a connection, which is a recipient from now on; queue its CONNECT packet just before. `None` where the
    /// connection is closed.
    pub fn attach(&self, connection: ConnectionKey, new: &NewSocket) -> Option<SocketKey> {
        let is_first = self.with(|state| {
            state.connections.get(connection)?;
            Some(state.roster.group(&new.namespace, None).is_none())
        })?;
        let since = if is_first {
            self.switchboard
                .occupy(self.shard, (&new.namespace, None), true)
        } else {
            None
        };
        self.with(|state| state.attach(connection, new, since.unwrap_or_default()))
    }

    /// Takes a socket out of everything. For the socket's own lane: after [`turn`](Self::turn), so that its emits come first.
    pub fn detach(&self, socket: SocketKey) -> Option<Departed> {
        let mut ended = Vec::new();
        let departed = self.with(|state| state.detach(socket, &mut ended));
        self.vacate(&ended);
        departed
    }

    /// Puts a socket into rooms, at once. For the socket's own lane: after [`turn`](Self::turn).
    pub fn join(&self, socket: SocketKey, rooms: &[Room]) -> Applied {
        let known = self.with(|state| state.with_namespace(socket));
        known.map_or_else(Applied::default, |(index, namespace)| {
            self.join_all(&[index], &namespace, rooms)
        })
    }

    /// Takes a socket out of rooms, at once. For the socket's own lane: after [`turn`](Self::turn).
    pub fn leave(&self, socket: SocketKey, rooms: &[Room]) -> Applied {
        let known = self.with(|state| state.with_namespace(socket));
        known.map_or_else(Applied::default, |(index, namespace)| {
            self.leave_all(&[index], &namespace, rooms)
        })
    }

    /// Changes the user of a socket, and with it the room of all the user's sockets. Limits of rooms do not apply to that room.
    pub fn set_user(&self, socket: SocketKey, user: Change<UserId>, template: &UserRoom) {
        let room = match &user {
            Change::Keep => return,
            Change::Clear => None,
            Change::Set(user) => template.room(user),
        };
        self.move_user(socket, room);
        self.with(|state| state.change(socket, |found| user.apply(&mut found.user)));
    }

    /// Changes the state of a socket.
    pub fn set_state(&self, socket: SocketKey, notes: Change<Notes>) {
        self.with(|state| state.change(socket, |found| notes.apply(&mut found.state)));
    }

    /// Sets the hard end of a socket. The timer is the caller's.
    pub fn set_expiry(&self, socket: SocketKey, at: Change<SystemTime>) {
        self.with(|state| state.change(socket, |found| at.apply(&mut found.expires_at)));
    }

    /// Looks at a socket; `None` where it is gone. The function must not call the hub.
    pub fn socket<R>(&self, socket: SocketKey, f: impl FnOnce(&SocketView<'_>) -> R) -> Option<R> {
        let state = self.state.borrow();
        let index = state.roster.index(socket)?;
        Some(f(&state.view(index)))
    }

    /// What a read tells about a socket, without what only the session knows.
    pub fn record(&self, socket: SocketKey) -> Option<SocketRecord> {
        let state = self.state.borrow();
        let index = state.roster.index(socket)?;
        Some(state.view(index).record())
    }

    /// The socket with this public id.
    pub fn find(&self, id: &SocketId) -> Option<SocketKey> {
        let state = self.state.borrow();
        state.roster.find(id).map(|index| state.roster.key(index))
    }

    /// The sockets of a page, in the order of their ids; [`SocketView::record`] makes their records.
    pub fn sockets(&self, query: &SocketsQuery) -> Vec<SocketKey> {
        let state = self.state.borrow();
        let page = reads::sockets(&state.roster, query);
        page.into_iter()
            .map(|index| state.roster.key(index))
            .collect()
    }

    /// A client's acknowledgement; ignored where nobody waits for it.
    pub fn acknowledge(&self, socket: SocketKey, id: u64, args: &str, attachments: Vec<Bytes>) {
        self.with(|state| state.acknowledge(socket, id, args, attachments));
    }

    /// Cuts connections whose kernel has taken nothing for `write_stall` and measures the fullest queue: once per tick. The
    /// effects come with the next turn.
    pub fn survey(&self, now: Instant) {
        let write_stall = self.limits.write_stall;
        let has_cut = self.with(|state| {
            state.connections.survey(now, write_stall);
            state.connections.has_cut()
        });
        if has_cut {
            self.ring();
        }
    }

    /// Hands an action of a list that began at this moment to the switchboard, see [`Switchboard::perform`].
    pub async fn perform(&self, action: Action, begun: Instant) -> Applied {
        self.switchboard.perform(action, begun).await
    }

    /// Waits until there is something for [`turn`](Self::turn); at least until the other tasks had theirs where there is already.
    pub async fn ready(&self) {
        let inbox = self.switchboard.inbox(self.shard.index());
        let has_unwoken = self.state.borrow().connections.has_unwoken();
        if has_unwoken || !inbox.is_empty() {
            // The bell has no part in the runtime's budget of a task: with a busy inbox the loop would never give way.
            tokio::task::yield_now().await;
        } else {
            inbox.rung().await;
        }
    }

    /// Applies everything in the inbox. Also for a lane before an action on its own socket: it catches up with its own emits.
    pub fn turn(&self) -> Turn {
        let mut batch = self.spare.take();
        let first = self.switchboard.inbox(self.shard.index()).swap(&mut batch);
        let mut applied = Vec::new();
        for (number, message) in (first..).zip(batch.drain(..)) {
            match message {
                Message::Order(order) => {
                    let order = fault::acknowledged(order);
                    self.apply(&order, number);
                    if order.tally.is_some() {
                        applied.push(order);
                    }
                }
                Message::Ask(query, answer) => self.answer(query, answer),
                Message::Forget(id) => self.with(|state| state.acks.forget(&mut state.roster, id)),
            }
        }
        if batch.capacity() <= 1024 {
            self.spare.replace(batch);
        }
        self.relieve();
        let (effects, unfinished) = self.with(|state| {
            let unfinished = state.connections.wake_some(WAKES_PER_TURN);
            (state.take_effects(), unfinished)
        });
        Turn::new(effects, unfinished, applied)
    }

    fn apply(&self, order: &Order, number: u64) {
        self.with(|state| state.message = number);
        let applied = match &order.work {
            Work::Act(action) => self.act(action, order.begun),
            Work::Count(to) => self.with(|state| state.count(to)),
            Work::Request { to, frame, request } => {
                self.with(|state| state.request(to, frame, request))
            }
        };
        if order.work.is_emit()
            && let Some((reached, took)) = order.applied(applied.sockets)
        {
            self.state.borrow().count_emit(reached, took);
        }
        if let Some(tally) = &order.tally {
            tally.add(applied);
        }
    }

    fn act(&self, action: &Action, begun: Instant) -> Applied {
        match action {
            Action::Emit {
                to,
                frame,
                volatile,
            } => self.with(|state| state.emit(to, frame, volatile.then_some(begun))),
            Action::Join { to, rooms } => {
                let sockets = self.with(|state| state.sockets(to));
                self.join_all(&sockets, &to.namespace, rooms)
            }
            Action::Leave { to, rooms } => {
                let sockets = self.with(|state| state.sockets(to));
                self.leave_all(&sockets, &to.namespace, rooms)
            }
            Action::Disconnect { to, ending, .. } => {
                let mut ended = Vec::new();
                let applied = self.with(|state| state.disconnect(to, *ending, &mut ended));
                self.vacate(&ended);
                applied
            }
            Action::State { to, set } => self.with(|state| state.set_state(to, set)),
            Action::Expire { to, at } => self.with(|state| state.expire(to, *at)),
        }
    }

    fn answer(&self, query: Query, answer: tokio::sync::oneshot::Sender<Answer>) {
        let state = self.state.borrow();
        let roster = &state.roster;
        let given = match query {
            Query::Namespaces { after, limit } => {
                Answer::Namespaces(reads::namespaces(roster, after.as_ref(), limit))
            }
            Query::Rooms {
                namespace,
                prefix,
                after,
                limit,
            } => Answer::Rooms(reads::rooms(
                roster,
                &namespace,
                &prefix,
                after.as_ref(),
                limit,
            )),
            Query::Sockets(query) => {
                drop(state);
                self.with(|state| state.effects.push(Effect::Ask(query, answer)));
                return;
            }
        };
        drop(state);
        // Whoever asked may have left.
        drop(answer.send(given));
    }

    /// The only way to change the state. The function must not call the switchboard or drop what is not ours.
    fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.state.borrow_mut();
        let result = f(&mut state);
        let (bytes, fullest) = (state.connections.bytes(), state.connections.fullest());
        self.switchboard
            .budget()
            .set(self.shard.index(), bytes, fullest);
        result
    }

    fn ring(&self) {
        self.switchboard.inbox(self.shard.index()).ring();
    }

    /// While the node's outboxes hold too much, cuts the fullest of the connections that do not read; the one of another shard
    /// is left to that shard, which is told to look.
    fn relieve(&self) {
        let (budget, shard) = (self.switchboard.budget(), self.shard.index());
        if !budget.is_over() {
            return;
        }
        let mut blocked = self.with(|state| state.connections.blocked());
        while budget.is_over() {
            let own = blocked.pop();
            let fullest = own.map_or(0, |(bytes, _)| bytes);
            self.with(|state| state.connections.set_fullest(fullest));
            let (other, bytes) = budget.fullest();
            match own {
                Some((own, connection)) if own >= bytes => {
                    self.with(|state| state.connections.cut(connection));
                }
                _ => {
                    if other != shard && bytes > 0 {
                        self.switchboard.inbox(other).ring();
                    }
                    return;
                }
            }
        }
    }
}

impl Drop for Hub {
    /// Nobody waits for a shard that has ended.
    fn drop(&mut self) {
        self.switchboard.inbox(self.shard.index()).close();
    }
}

#[cfg(all(test, not(sockgate_loom)))]
mod simulation;
#[cfg(test)]
pub(crate) mod tests;
