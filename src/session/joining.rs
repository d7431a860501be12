//! How a socket joins its namespace: the CONNECT, the question, and what becomes of the answer.

use std::rc::Rc;
use std::time::{Duration, SystemTime};

use crate::hub::NewSocket;
use crate::hub::id::Namespace;
use crate::hub::reason::{Initiator, Reason};
use crate::protocol::socket_io;
use crate::session::backend::{BackendError, Call, CallKind, Reject, Reply};
use crate::session::lane::Item;
use crate::session::routes::{Route, Target};
use crate::session::settings::OnUnavailable;
use crate::session::socket::{Ended, Socket};
use crate::session::work::{Answer, Work};
use crate::session::{Phase, Session};

/// A CONNECT of a connection that has other live namespaces is held so long in all (contract 3).
const HOLD_BESIDE_OTHERS: Duration = Duration::from_mins(5);

impl Session {
    /// A CONNECT came: asks, or lets the client in where nobody is to be asked.
    pub(super) fn connect(self: &Rc<Self>, namespace: Namespace, auth: Option<&str>) {
        if self.retiring.get() {
            return self.shard.traffic.dropped.increment("drain");
        }
        self.no_longer_opening();
        self.take_out_former(&namespace);
        let second = self.shard.second();
        let Some(table) = self.shard.routes.table(&namespace).cloned() else {
            return self.refuse_at_once(namespace, "Invalid namespace", second);
        };
        if self.sockets.borrow().len() >= self.shard.settings.namespaces_per_connection {
            return self.refuse_at_once(namespace, "Too many namespaces", second);
        }
        let socket = Rc::new(Socket::new(
            self.shard.socket_id(),
            namespace.clone(),
            self.id,
            table,
        ));
        let Some(route) = socket.table.connect().cloned() else {
            self.conversation
                .borrow_mut()
                .add(namespace, Rc::clone(&socket));
            self.sockets.borrow_mut().push(Rc::clone(&socket));
            return self.accept(&socket);
        };
        if !self.shard.admission.held.take() {
            self.shard.traffic.rejected.increment("held");
            return self.close(Reason::Overload, Initiator::Gateway);
        }
        self.conversation
            .borrow_mut()
            .add(namespace, Rc::clone(&socket));
        self.sockets.borrow_mut().push(Rc::clone(&socket));
        let kind = CallKind::Connect {
            auth: auth.unwrap_or("{}").into(),
            info: Rc::clone(&self.info),
            transport: self.transport().as_str(),
            hold: socket.table.hold,
        };
        let call = Rc::new(Call::new(
            socket.asked_at,
            socket.next_seq(),
            socket.facts(None, None),
            kind,
        ));
        socket.connecting.replace(Some(Rc::clone(&call)));
        self.enqueue(&socket, Item::Connect { route, call });
    }

    fn refuse_at_once(&self, namespace: Namespace, message: &str, second: u32) {
        self.shard.traffic.connects_refused.increment();
        self.shard.count_encoding();
        self.push(&socket_io::encode::connect_error(
            namespace.as_str(),
            message,
            None,
        ));
        self.conversation.borrow_mut().refused(namespace, second);
    }

    /// Lets a socket in: its CONNECT packet first, then it can be reached.
    fn accept(self: &Rc<Self>, socket: &Rc<Socket>) {
        debug_assert!(matches!(self.phase.get(), Phase::Open));
        let now = SystemTime::now();
        self.conversation
            .borrow_mut()
            .joined(&socket.namespace, |s| Rc::ptr_eq(s, socket));
        self.shard.count_encoding();
        self.push(&socket_io::encode::connect(
            socket.namespace.as_str(),
            socket.id.as_str(),
        ));
        let new = NewSocket {
            id: socket.id,
            namespace: socket.namespace.clone(),
            connection_id: self.id,
            connected_at: now,
        };
        let key = self.shard.hub.attach(self.key, &new);
        self.shard.note_key(socket, key);
        socket.accepted.set(Some(now));
        self.joined_once.set(true);
        self.shard.traffic.connects_accepted.increment();
    }
}

impl Work {
    pub(super) async fn connect(&self, route: &Rc<Route>, call: Rc<Call>, answer: Option<Answer>) {
        let mut answer = answer.unwrap_or(Err(BackendError::BadReply));
        while answer.is_err() && self.held_beside_others() {
            let Target::Backend { backend, .. } = &route.target else {
                break;
            };
            answer = backend.call(Rc::clone(&call)).await;
        }
        self.session.shard.admission.held.give_back();
        self.socket.connecting.take();
        let asked = SystemTime::now().duration_since(self.socket.asked_at);
        let decisions = &self.session.shard.traffic.decisions;
        decisions.took(asked.unwrap_or_default());
        match answer {
            Ok(Reply {
                reject: Some(reject),
                ..
            }) => {
                self.session.shard.traffic.connects_refused.increment();
                self.refuse(&reject);
            }
            Ok(reply) => self.accept(reply).await,
            Err(error) => self.undecided(error),
        }
    }

    /// Whether the connection has another namespace that it has joined.
    fn is_beside_others(&self) -> bool {
        let conversation = self.session.conversation.borrow();
        conversation.has_other_joined(|s| Rc::ptr_eq(s, &self.socket))
    }

    /// A connection that has other live namespaces is not closed for an undecided one.
    fn held_beside_others(&self) -> bool {
        let age = SystemTime::now()
            .duration_since(self.socket.asked_at)
            .unwrap_or_default();
        self.socket.table.on_unavailable == OnUnavailable::Close
            && self.is_beside_others()
            && !self.socket.is_ending()
            && age < HOLD_BESIDE_OTHERS
    }

    async fn accept(&self, reply: Reply) {
        if self.socket.is_ending() || !self.session.is_open() {
            return self.accepted_too_late(reply).await;
        }
        self.session.accept(&self.socket);
        self.settle_identity(&reply);
        if let (Some(key), false) = (self.socket.key.get(), reply.rooms.is_empty()) {
            self.session.shard.hub.join(key, &reply.rooms);
        }
        self.take_steps(reply.steps, None, false).await;
    }

    /// The client left while the backend said yes: it still gets its one notice, and actions for others still run.
    async fn accepted_too_late(&self, reply: Reply) {
        self.socket.accepted.set(Some(SystemTime::now()));
        {
            let mut ended = self.socket.ended.borrow_mut();
            let ended = ended.get_or_insert_with(Ended::left);
            reply.user.clone().apply(&mut ended.user);
            reply.state.clone().apply(&mut ended.state);
        }
        self.take_steps(reply.steps, None, false).await;
    }

    fn undecided(&self, error: BackendError) {
        self.session.shard.traffic.connects_undecided.increment();
        // Who left the namespace meanwhile may already be in it again: that is no reason to close.
        let left = self.socket.is_ending();
        if self.socket.table.on_unavailable == OnUnavailable::Close
            && !self.is_beside_others()
            && !left
        {
            self.session
                .close(Reason::ForcedServerClose, Initiator::Gateway);
            self.drop_waiting();
            return;
        }
        let after = match error {
            BackendError::Unavailable { retry_after } => retry_after,
            BackendError::Refused | BackendError::BadReply => None,
        };
        let millis = after.unwrap_or(Duration::from_secs(5)).as_millis();
        let data = format!(r#"{{"code":"unavailable","retry_after_ms":{millis}}}"#);
        self.refuse(&Reject {
            message: "unavailable".into(),
            data: Some(data.into()),
        });
    }

    fn refuse(&self, reject: &Reject) {
        let second = self.session.shard.second();
        if !self.socket.is_ending() && self.session.is_open() {
            let namespace = self.socket.namespace.as_str();
            let frame = socket_io::encode::connect_error(
                namespace,
                &reject.message,
                reject.data.as_deref(),
            );
            self.session.shard.count_encoding();
            self.session.push(&frame);
        }
        self.session
            .conversation
            .borrow_mut()
            .remove(&self.socket.namespace, second, |s| {
                Rc::ptr_eq(s, &self.socket)
            });
        self.drop_waiting();
        self.session.enqueue_end(&self.socket);
    }

    /// Events that waited behind a CONNECT which was not accepted have no effect.
    fn drop_waiting(&self) {
        let dropped = self.socket.lane.borrow_mut().clear();
        for _ in 0..dropped {
            self.session.shard.traffic.dropped.increment("refused");
        }
    }
}
