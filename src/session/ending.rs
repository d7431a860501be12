//! The end of a session: by its client, by its transport, by a fault, by an action, by a drain.

use std::rc::Rc;
use std::time::{Duration, SystemTime};

use crate::hub::effect::Departed;
use crate::hub::id::Namespace;
use crate::hub::outbox::Outbox;
use crate::hub::reason::{Initiator, Reason};
use crate::session::lane::Item;
use crate::session::shard::{self, Timer};
use crate::session::socket::{Ended, Socket};
use crate::session::{Phase, Session, TransportKind};

/// How long a drain waits for what a session has under way.
const RETIRE: Duration = Duration::from_secs(5);

impl Session {
    /// Ends all sockets; the transport then sends what is queued and closes. Only the first call counts.
    pub fn close(self: &Rc<Self>, reason: Reason, initiator: Initiator) {
        if !self.is_open() {
            return;
        }
        self.phase.set(Phase::Closing(reason));
        self.no_longer_opening();
        self.shard
            .count_closed(self.transport(), reason, self.opened_at.elapsed());
        drop(self.conversation.borrow_mut().end());
        let sockets = self.sockets.borrow().clone();
        for socket in &sockets {
            let key = self.shard.note_key(socket, None);
            let departed = key.and_then(|key| self.shard.hub.detach(key));
            // A client that has left the namespace before its connection ended has left by itself.
            let (reason, initiator) = if socket.is_ending() {
                (Reason::ClientNamespaceDisconnect, Initiator::Client)
            } else {
                (reason, initiator)
            };
            self.end_socket(socket, reason, initiator, departed);
        }
        self.wake_reader();
        self.wrote();
        self.shard.hub.outbox(self.key, |o| o.wake());
        self.shard
            .schedule(self.shard.ticks(shard::LINGER), self.key, Timer::Linger);
    }

    /// Ends the session for a fault of its transport. Unlike after [`Self::close`] nobody is waited for: a polling request that is
    /// open is told, later ones find no session.
    pub fn fail(self: &Rc<Self>, reason: Reason, initiator: Initiator) {
        self.close(reason, initiator);
        let polling = self.transport() == TransportKind::Polling;
        if polling && matches!(self.phase(), Phase::Closing(_)) && self.acquire() {
            self.gone(reason, initiator);
        }
    }

    /// Closes without sending what is queued: the client does not read, and is not waited for.
    pub(crate) fn cut(self: &Rc<Self>, reason: Reason, initiator: Initiator) {
        self.fail(reason, initiator);
        if matches!(self.phase(), Phase::Closing(_)) {
            self.shard.hub.outbox(self.key, Outbox::cut);
        }
    }

    /// The transport is gone: ends all sockets and forgets the session.
    pub fn gone(self: &Rc<Self>, reason: Reason, initiator: Initiator) {
        self.close(reason, initiator);
        let (Phase::Closing(reason) | Phase::Closed(reason)) = self.phase.get() else {
            unreachable!("close has just ended the open phase");
        };
        if self.phase.replace(Phase::Closed(reason)) != Phase::Closed(reason) {
            // A transport that still writes, or waits for the lease, would not hear of it any more.
            self.shard.hub.outbox(self.key, |o| o.wake());
            self.wake_heir();
            self.shard.forget(self);
        }
    }

    /// Records how a socket ended and queues its last item.
    fn end_socket(
        self: &Rc<Self>,
        socket: &Rc<Socket>,
        reason: Reason,
        initiator: Initiator,
        departed: Option<Departed>,
    ) {
        let (rooms, user, state) = departed
            .map(|d| (d.rooms, d.user, d.state))
            .unwrap_or_default();
        let ended = Ended {
            reason,
            initiator,
            at: SystemTime::now(),
            rooms,
            user,
            state,
        };
        socket.ended.borrow_mut().get_or_insert(ended);
        self.enqueue_end(socket);
    }

    pub(super) fn enqueue_end(self: &Rc<Self>, socket: &Rc<Socket>) {
        if !socket.ending.replace(true) {
            if let Some(call) = socket.connecting.borrow().as_ref() {
                call.abandoned.set(true);
            }
            self.enqueue(socket, Item::End);
        }
    }

    /// A socket was taken out by an action: detached already, and told if it is to be told.
    pub(crate) fn ended_by_action(
        self: &Rc<Self>,
        socket: &Rc<Socket>,
        reason: Reason,
        departed: Departed,
    ) {
        self.shard.note_key(socket, None);
        let second = self.shard.second();
        self.conversation
            .borrow_mut()
            .remove(&socket.namespace, second, |s| Rc::ptr_eq(s, socket));
        self.end_socket(socket, reason, Initiator::Server, Some(departed));
    }

    /// A socket that its client has left is no member of anything any more.
    pub(super) fn take_out(self: &Rc<Self>, socket: &Rc<Socket>) {
        // What was for it until now is for it still, also its end by an action.
        self.shard.catch_up();
        let Some(key) = self.shard.note_key(socket, None) else {
            return;
        };
        if let Some(departed) = self.shard.hub.detach(key) {
            let reason = Reason::ClientNamespaceDisconnect;
            self.end_socket(socket, reason, Initiator::Client, Some(departed));
        }
    }

    /// A client that comes back to a namespace must not hear everything twice, although the socket that it left still has calls
    /// under way.
    pub(super) fn take_out_former(self: &Rc<Self>, namespace: &Namespace) {
        let is_former = |s: &&Rc<Socket>| s.is_ending() && s.namespace == *namespace;
        let former = self.sockets.borrow().iter().find(is_former).cloned();
        if let Some(former) = former {
            self.take_out(&former);
        }
    }

    /// The socket's lane has done its last item.
    pub(super) fn settled(&self, socket: &Rc<Socket>) {
        self.sockets.borrow_mut().retain(|s| !Rc::ptr_eq(s, socket));
    }

    /// Ends the session as a drain does: nothing new is begun, what is under way is answered first (within a limit), and then the
    /// transport closes, so that the client comes back elsewhere. A polling client that does not ask within that limit again is
    /// not waited for: it will learn that its session is unknown.
    ///
    /// Packets are still read: a backend may wait for an acknowledgement of this client before it answers what is under way.
    pub async fn retire(self: &Rc<Self>) {
        self.retiring.set(true);
        let settled = std::future::poll_fn(|cx| {
            let busy = self
                .sockets
                .borrow()
                .iter()
                .any(|s| !s.lane.borrow().is_idle());
            if !busy || !self.is_open() {
                return std::task::Poll::Ready(());
            }
            *self.rested.borrow_mut() = Some(cx.waker().clone());
            std::task::Poll::Pending
        });
        drop(tokio::time::timeout(RETIRE, settled).await);
        self.close(Reason::ServerShuttingDown, Initiator::Gateway);
        if self.transport() == TransportKind::Polling {
            self.shard
                .schedule(self.shard.ticks(RETIRE), self.key, Timer::Linger);
        }
    }

    /// A lane has nothing more to do.
    pub(super) fn lane_rested(&self) {
        let waiting = self.rested.borrow_mut().take();
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }
}
