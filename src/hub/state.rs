//! [`State`]: what a shard's messages do to its plain data.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;

use crate::hub::acks::Acks;
use crate::hub::action::{Applied, Audience, Change, Ending, State as Notes};
use crate::hub::connections::{Connections, Keep, Wake};
use crate::hub::effect::{Departed, Effect};
use crate::hub::id::{Namespace, Room};
use crate::hub::key::{ConnectionKey, SocketKey};
use crate::hub::membership::Begun;
use crate::hub::outbox::Bounds;
use crate::hub::recipients::Recipients;
use crate::hub::roster::{Name, NewSocket, Roster, Socket};
use crate::hub::settings::Settings;
use crate::hub::switchboard::message::AckRequest;
use crate::hub::view::SocketView;
use crate::protocol::frame::Frame;
use crate::protocol::socket_io::encode::disconnect;
use crate::telemetry::counters::ShardCounters;

/// Recipients above which waking them is spread over turns.
///
/// # Why
/// Woken transports queue before everybody else: a broadcast to 10,000 keeps an echo waiting for 85 ms. Spreading the wake-ups
/// brings that to a few milliseconds and costs a quarter more CPU, so it is for long walks only (measured by a prototype).
const MANY: usize = 4096;

/// Everything that a shard owns.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) roster: Roster,
    pub(crate) connections: Connections,
    pub(crate) acks: Acks,
    pub(crate) effects: Vec<Effect>,
    /// Number of the message that is being applied.
    pub(crate) message: u64,
    recipients: Recipients,
    pub(crate) counters: Arc<ShardCounters>,
}

impl State {
    pub(crate) fn new(
        limits: &Settings,
        pending: &Arc<AtomicUsize>,
        counters: Arc<ShardCounters>,
    ) -> Self {
        let bounds = Bounds {
            bytes: limits.outbox,
            frames: limits.outbox_frames,
        };
        Self {
            roster: Roster::new(Arc::clone(&counters)),
            connections: Connections::new(bounds, Arc::clone(&counters)),
            acks: Acks::new(Arc::clone(pending), Arc::clone(&counters)),
            effects: Vec::new(),
            message: 0,
            recipients: Recipients::default(),
            counters,
        }
    }

    /// The effects so far, the cut connections among them.
    pub(crate) fn take_effects(&mut self) -> Vec<Effect> {
        self.note_cut();
        std::mem::take(&mut self.effects)
    }

    pub(crate) fn view(&self, index: u32) -> SocketView<'_> {
        let connection = self.roster.socket(index).connection;
        let key = self.connections.key(connection);
        SocketView::new(&self.roster, index, key, self.connections.queue(connection))
    }

    pub(crate) fn with_namespace(&self, socket: SocketKey) -> Option<(u32, Namespace)> {
        let index = self.roster.index(socket)?;
        Some((index, self.roster.namespace(index).clone()))
    }

    pub(crate) fn sockets_of(&self, connection: ConnectionKey) -> Vec<SocketKey> {
        let found = self.connections.get(connection);
        let sockets = found.map_or(&[][..], |connection| &connection.sockets);
        sockets
            .iter()
            .map(|index| self.roster.key(*index))
            .collect()
    }

    /// Queues a packet of the connection itself.
    pub(crate) fn push(&mut self, connection: ConnectionKey, frame: &Frame) {
        if self.connections.get(connection).is_some() {
            self.connections
                .push(connection.index, frame, Keep::Always, Wake::Now);
        }
    }

    /// Adds a socket. Where it is the first of its namespace here, the messages for the namespace begin with this one.
    pub(crate) fn attach(
        &mut self,
        connection: ConnectionKey,
        new: &NewSocket,
        since: u64,
    ) -> Option<SocketKey> {
        let sockets = &mut self.connections.get_mut(connection)?.sockets;
        let socket = self.roster.insert(new, connection.index, since);
        if sockets.is_empty() {
            // Most connections have one namespace.
            sockets.reserve_exact(1);
        }
        sockets.push(socket.index);
        Some(socket)
    }

    /// Takes a socket out of everything.
    pub(crate) fn detach(&mut self, socket: SocketKey, ended: &mut Vec<Name>) -> Option<Departed> {
        let index = self.roster.index(socket)?;
        let departed = self.view(index).departed();
        let gone = self.roster.remove(index, ended);
        self.acks.gone(&gone);
        let sockets = &mut self.connections.of_mut(gone.connection).sockets;
        sockets.retain(|other| *other != index);
        Some(departed)
    }

    /// Changes a socket's own data; its version rises where the function says so.
    pub(crate) fn change(&mut self, socket: SocketKey, f: impl FnOnce(&mut Socket) -> bool) {
        if let Some(index) = self.roster.index(socket) {
            let socket = self.roster.socket_mut(index);
            if f(socket) {
                socket.version += 1;
            }
        }
    }

    pub(crate) fn acknowledge(
        &mut self,
        socket: SocketKey,
        id: u64,
        args: &str,
        attachments: Vec<Bytes>,
    ) {
        if let Some(index) = self.roster.index(socket) {
            let socket = self.roster.socket_mut(index);
            self.acks.answer(socket, id, args, attachments);
        }
    }

    /// Sends a packet; volatile where a beginning is given.
    pub(crate) fn emit(&mut self, to: &Audience, frame: &Frame, begun: Option<Instant>) -> Applied {
        let recipients = self.recipients.of(&self.roster, to, self.message);
        let keep = begun.map_or(Keep::Always, Keep::UnlessBlockedBefore);
        let wake = wake_for(recipients.len());
        let mut sockets = 0;
        for member in recipients {
            let queued = self.connections.push(member.connection, frame, keep, wake);
            sockets += usize::from(queued);
        }
        self.note_cut();
        Applied {
            sockets,
            limited: 0,
        }
    }

    /// Sends a packet whose recipients acknowledge it.
    pub(crate) fn request(
        &mut self,
        to: &Audience,
        frame: &Frame,
        request: &AckRequest,
    ) -> Applied {
        let recipients = self.recipients.of(&self.roster, to, self.message);
        let wake = wake_for(recipients.len());
        let mut asked = Vec::with_capacity(recipients.len());
        let volatile = request.volatile;
        let keep = volatile.map_or(Keep::Always, Keep::UnlessBlockedBefore);
        for member in recipients {
            let queued = self.connections.push(member.connection, frame, keep, wake);
            // What is not volatile and was not queued is for a connection about to close: the socket is gone without an answer.
            if queued || volatile.is_none() {
                asked.push(self.roster.key(member.socket));
            }
        }
        let sockets = asked.len();
        self.acks.ask(&mut self.roster, asked, request);
        self.note_cut();
        Applied {
            sockets,
            limited: 0,
        }
    }

    /// An emit is queued for all its recipients, on this shard and on the others.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a node has fewer sockets than that"
    )]
    pub(crate) fn count_emit(&self, recipients: usize, took: Duration) {
        self.counters.recipients.observe(recipients as f64);
        self.counters.fanout.took(took);
    }

    /// Counts the recipients.
    pub(crate) fn count(&mut self, to: &Audience) -> Applied {
        Applied {
            sockets: self.recipients.of(&self.roster, to, self.message).len(),
            limited: 0,
        }
    }

    /// Indexes of the recipients.
    pub(crate) fn sockets(&mut self, to: &Audience) -> Vec<u32> {
        let recipients = self.recipients.of(&self.roster, to, self.message);
        recipients.iter().map(|member| member.socket).collect()
    }

    /// Puts sockets into rooms, each into all or, where a limit forbids one that it is not in, into none.
    pub(crate) fn join(
        &mut self,
        sockets: &[u32],
        namespace: &Namespace,
        rooms: &[Begun<'_>],
        limit: usize,
    ) -> Applied {
        let roster = &mut self.roster;
        let is_possible = rooms.iter().all(|room| room.since.is_some());
        let groups = rooms
            .iter()
            .map(|room| roster.group(namespace, Some(room.room)));
        let mut groups: Vec<Option<u32>> = groups.collect();
        let mut applied = Applied::default();
        for socket in sockets {
            let is_in =
                |group: &&Option<u32>| group.is_some_and(|group| roster.is_in(*socket, group));
            let missing = groups.len() - groups.iter().filter(is_in).count();
            let fits = is_possible && roster.counted_rooms(*socket) + missing <= limit;
            if missing > 0 && !fits {
                applied.limited += 1;
                continue;
            }
            applied.sockets += 1;
            for (room, group) in rooms.iter().zip(&mut groups) {
                let since = room.since.unwrap_or_default();
                *group = Some(roster.join(*socket, namespace, room.room, since));
            }
        }
        self.counters.joins_limited.add(applied.limited as u64);
        applied
    }

    /// Takes sockets out of rooms.
    pub(crate) fn leave(
        &mut self,
        sockets: &[u32],
        namespace: &Namespace,
        rooms: &[Room],
        ended: &mut Vec<Name>,
    ) -> Applied {
        let roster = &mut self.roster;
        let groups: Vec<u32> = rooms
            .iter()
            .filter_map(|room| roster.group(namespace, Some(room)))
            .collect();
        for socket in sockets {
            for group in &groups {
                roster.leave(*socket, *group, ended);
            }
        }
        Applied {
            sockets: sockets.len(),
            limited: 0,
        }
    }

    /// Ends sockets.
    pub(crate) fn disconnect(
        &mut self,
        to: &Audience,
        ending: Ending,
        ended: &mut Vec<Name>,
    ) -> Applied {
        let sockets = self.sockets(to);
        let keys: Vec<SocketKey> = sockets
            .iter()
            .map(|index| self.roster.key(*index))
            .collect();
        for key in &keys {
            // The connection of another one may have taken it along.
            let Some(index) = self.roster.index(*key) else {
                continue;
            };
            let connection = self.connections.key(self.roster.socket(index).connection);
            if ending == Ending::Namespace {
                self.end(connection, *key, ending, ended);
                continue;
            }
            for socket in self.sockets_of(connection) {
                self.end(connection, socket, ending, ended);
            }
            self.effects
                .push(Effect::CloseConnection { connection, ending });
        }
        self.note_cut();
        Applied {
            sockets: keys.len(),
            limited: 0,
        }
    }

    fn end(
        &mut self,
        connection: ConnectionKey,
        socket: SocketKey,
        ending: Ending,
        ended: &mut Vec<Name>,
    ) {
        let Some(departed) = self.detach(socket, ended) else {
            return;
        };
        if ending != Ending::Transport {
            self.counters.encodings.increment();
            self.push(connection, &disconnect(departed.namespace.as_str()));
        }
        self.effects.push(Effect::Ended {
            connection,
            socket,
            departed,
            ending,
        });
    }

    /// Replaces the state of sockets.
    pub(crate) fn set_state(&mut self, to: &Audience, set: &Change<Notes>) -> Applied {
        let sockets = self.sockets(to);
        for index in &sockets {
            let socket = self.roster.socket_mut(*index);
            if set.clone().apply(&mut socket.state) {
                socket.version += 1;
            }
        }
        Applied {
            sockets: sockets.len(),
            limited: 0,
        }
    }

    /// Sets the hard end of sockets.
    pub(crate) fn expire(&mut self, to: &Audience, at: Option<SystemTime>) -> Applied {
        let sockets = self.sockets(to);
        for index in &sockets {
            let socket = self.roster.socket_mut(*index);
            socket.expires_at = at;
            socket.version += 1;
            let socket = self.roster.key(*index);
            self.effects.push(Effect::Expiry { socket, at });
        }
        Applied {
            sockets: sockets.len(),
            limited: 0,
        }
    }

    fn note_cut(&mut self) {
        if self.connections.has_cut() {
            let cut = self.connections.take_cut();
            let slow = cut
                .into_iter()
                .map(|connection| Effect::Slow { connection });
            self.effects.extend(slow);
        }
    }
}

fn wake_for(recipients: usize) -> Wake {
    if recipients > MANY {
        Wake::Later
    } else {
        Wake::Now
    }
}
