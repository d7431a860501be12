//! The worker of a lane: starts calls, waits for answers, and applies their effects in order of arrival.
//!
//! A lane has a worker only while it holds something; an idle socket costs no task.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Instant, SystemTime};

use crate::hub::action::{Action, Change, Target as To};
use crate::hub::reason::{Initiator, Reason};
use crate::session::Session;
use crate::session::backend::{BackendError, Call, CallKind, Reply, Step};
use crate::session::edge::{self, Said};
use crate::session::lane::{Item, QueuedEvent};
use crate::session::routes::{Route, Target};
use crate::session::socket::{Ended, Socket};

/// What a backend said, or why it said nothing.
pub(super) type Answer = Result<Reply, BackendError>;

/// An item under way: what it is, and what is still awaited for it.
struct Started {
    item: Item,
    call: Option<Pin<Box<dyn Future<Output = Answer>>>>,
    answer: Option<Answer>,
}

/// Runs the lane until it is empty.
pub(super) async fn run(session: Rc<Session>, socket: Rc<Socket>) {
    let work = Work {
        session,
        socket,
        done: false,
    };
    let mut started = VecDeque::new();
    loop {
        while let Some(item) = { work.socket.lane.borrow_mut().start() } {
            started.push_back(work.begin(item));
        }
        if started.is_empty() {
            break;
        }
        std::future::poll_fn(|cx| work.poll(&mut started, cx)).await;
        let finished = started.front().is_some_and(|s| s.call.is_none());
        if finished && let Some(Started { item, answer, .. }) = started.pop_front() {
            work.finish(item, answer, &mut started).await;
            work.socket.progress.set(work.session.shard.now());
            work.socket.lane.borrow_mut().finish();
            work.session.note_fullness(&work.socket);
        }
    }
    work.rest();
}

/// One lane at work.
pub(super) struct Work {
    pub(super) session: Rc<Session>,
    pub(super) socket: Rc<Socket>,
    done: bool,
}

/// A worker that ends by a panic leaves a lane that nobody runs: the connection is closed, so that its client starts afresh.
impl Drop for Work {
    fn drop(&mut self) {
        if !self.done {
            let session = Rc::clone(&self.session);
            session.shard.traffic.lanes.sub(1);
            crate::tasks::spawn_local("broken lane", async move {
                session.close(Reason::BackendStalled, Initiator::Gateway);
            });
        }
    }
}

impl Work {
    fn rest(mut self) {
        self.done = true;
        self.socket.lane.borrow_mut().rest();
        self.session.shard.traffic.lanes.sub(1);
        self.session.lane_rested();
    }

    fn begin(&self, item: Item) -> Started {
        let call = match &item {
            Item::Connect { route, call } => Some((route, Rc::clone(call))),
            Item::Event(route, event) => self.event_call(event).map(|call| (route, call)),
            Item::End => None,
        };
        let call = call.and_then(|(route, call)| match &route.target {
            Target::Backend { backend, .. } => {
                let backend = Rc::clone(backend);
                Some(Box::pin(async move { backend.call(call).await })
                    as Pin<Box<dyn Future<Output = Answer>>>)
            }
            Target::Relay(_) | Target::Echo | Target::Ok | Target::Drop => None,
        });
        Started {
            item,
            call,
            answer: None,
        }
    }

    /// Ready when the oldest item has its answer, or another one may start.
    fn poll(&self, started: &mut VecDeque<Started>, cx: &mut Context<'_>) -> Poll<()> {
        for one in started.iter_mut() {
            if let Some(call) = &mut one.call
                && let Poll::Ready(answer) = call.as_mut().poll(cx)
            {
                one.answer = Some(answer);
                one.call = None;
            }
        }
        if started.front().is_some_and(|s| s.call.is_none())
            || self.socket.lane.borrow().may_start()
        {
            return Poll::Ready(());
        }
        self.socket.lane.borrow_mut().sleep(cx.waker());
        Poll::Pending
    }

    /// Applies what an item does, while the calls behind it go on.
    async fn finish(&self, item: Item, answer: Option<Answer>, others: &mut VecDeque<Started>) {
        let effects = async {
            match item {
                Item::Connect { route, call } => self.connect(&route, call, answer).await,
                Item::Event(route, event) => self.event(&route, event, answer).await,
                Item::End => self.end().await,
            }
        };
        let mut effects = std::pin::pin!(effects);
        std::future::poll_fn(|cx| {
            if effects.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let _more = self.poll(others, cx);
            Poll::Pending
        })
        .await;
    }

    // ---- events -----------------------------------------------------------------------------------------------------------

    fn event_call(&self, event: &QueuedEvent) -> Option<Rc<Call>> {
        let kind = CallKind::Event {
            name: event.name.clone(),
            args: event.args.clone(),
            attachments: event.attachments.clone(),
            ack: event.id.is_some(),
        };
        Some(self.call(event.seq?, event.at, kind))
    }

    fn call(&self, seq: u64, at: SystemTime, kind: CallKind) -> Rc<Call> {
        let (user, state) = match self.socket.key.get() {
            Some(key) => {
                let hub = &self.session.shard.hub;
                hub.socket(key, |view| (view.user.cloned(), view.state.cloned()))
                    .unwrap_or_default()
            }
            None => self
                .socket
                .ended
                .borrow()
                .as_ref()
                .map(|e| (e.user.clone(), e.state.clone()))
                .unwrap_or_default(),
        };
        Rc::new(Call::new(at, seq, self.socket.facts(user, state), kind))
    }

    async fn event(&self, route: &Rc<Route>, event: QueuedEvent, answer: Option<Answer>) {
        let Target::Backend { auto_ack, .. } = &route.target else {
            return self.edge(route, &event).await;
        };
        match answer {
            Some(Ok(reply)) => self.apply(reply, event.id, *auto_ack).await,
            Some(Err(BackendError::Refused)) => {
                self.session.shard.traffic.dropped.increment("refused");
            }
            Some(Err(BackendError::BadReply | BackendError::Unavailable { .. })) | None => {
                self.session.shard.traffic.dropped.increment("failed");
                self.socket
                    .undelivered
                    .set(self.socket.undelivered.get() + 1);
            }
        }
    }

    async fn edge(&self, route: &Rc<Route>, event: &QueuedEvent) {
        self.session.room_in_outbox().await;
        let said = Said {
            name: &event.name,
            args: &event.args,
            id: event.id,
            attachments: &event.attachments,
        };
        let Target::Relay(relay) = &route.target else {
            edge::answer(&self.session, &self.socket, &route.target, said);
            return;
        };
        if let Some(action) = edge::relay_action(&self.session, &self.socket, route, relay, said) {
            self.perform(action, Instant::now()).await;
            edge::acknowledge(&self.session, &self.socket, event.id, "", &[]);
        }
    }

    // ---- effects of a reply -------------------------------------------------------------------------------------------------

    /// User, state and expiry first, then the steps. `id`: of the acknowledgement that the client asked for.
    async fn apply(&self, reply: Reply, id: Option<u64>, auto_ack: bool) {
        self.settle_identity(&reply);
        self.take_steps(reply.steps, id, auto_ack).await;
    }

    /// Acknowledgement and actions, one after the other.
    pub(super) async fn take_steps(&self, steps: Vec<Step>, id: Option<u64>, auto_ack: bool) {
        let begun = Instant::now();
        let answers = steps.iter().any(|s| matches!(s, Step::Ack(_)));
        if auto_ack && !answers {
            edge::acknowledge(&self.session, &self.socket, id, "", &[]);
        }
        for step in steps {
            match step {
                Step::Ack(payload) => {
                    edge::acknowledge(
                        &self.session,
                        &self.socket,
                        id,
                        &payload.args,
                        &payload.attachments,
                    );
                }
                Step::Action(action) => self.act(action, begun).await,
            }
        }
    }

    pub(super) fn settle_identity(&self, reply: &Reply) {
        let Some(key) = self.socket.key.get() else {
            return;
        };
        let nothing = reply.user == Change::Keep
            && reply.state == Change::Keep
            && reply.expires_at == Change::Keep;
        if nothing {
            return;
        }
        // Moving to another user's room is a join and a leave: what was performed before comes first.
        self.session.shard.catch_up();
        let hub = &self.session.shard.hub;
        if reply.user != Change::Keep {
            hub.set_user(key, reply.user.clone(), &self.socket.table.user_room);
        }
        if reply.state != Change::Keep {
            hub.set_state(key, reply.state.clone());
        }
        if reply.expires_at != Change::Keep {
            self.session.shard.set_expiry(key, reply.expires_at.clone());
        }
    }

    async fn act(&self, action: Action, begun: Instant) {
        // Who sends to itself waits; who sends to others never does.
        self.session.room_in_outbox().await;
        if self.is_own(&action) {
            self.act_on_own(action);
        } else {
            self.perform(action, begun).await;
        }
    }

    /// Whether a join or leave is for this socket alone: then it acts at once, after catching up.
    fn is_own(&self, action: &Action) -> bool {
        let (Action::Join { to, .. } | Action::Leave { to, .. }) = action else {
            return false;
        };
        let To::Names(names) = &to.to else {
            return false;
        };
        names.rooms.is_empty()
            && names.sockets == [self.socket.id]
            && to.except.is_empty()
            && to.namespace == self.socket.namespace
    }

    fn act_on_own(&self, action: Action) {
        self.session.shard.catch_up();
        let Some(key) = self.socket.key.get() else {
            return;
        };
        match action {
            Action::Join { rooms, .. } => {
                self.session.shard.hub.join(key, &rooms);
            }
            Action::Leave { rooms, .. } => {
                self.session.shard.hub.leave(key, &rooms);
            }
            Action::Emit { .. }
            | Action::Disconnect { .. }
            | Action::State { .. }
            | Action::Expire { .. } => {}
        }
    }

    async fn perform(&self, action: Action, begun: Instant) {
        self.session.performed();
        if let Action::Disconnect {
            reason: Some(reason),
            ..
        } = &action
        {
            tracing::debug!(socket = %self.socket.id, reason, "a reply disconnects");
        }
        // Without a deadline: where there are no places the lane waits, and its client with it.
        self.session.shard.hub.perform(action, begun).await;
        // While it waited another namespace of the session may have settled.
        self.session.performed();
    }

    // ---- the end ------------------------------------------------------------------------------------------------------------

    async fn end(&self) {
        // The client's DISCONNECT has had its turn: only now it is out of its rooms.
        self.session.take_out(&self.socket);
        self.notify().await;
        self.session.settled(&self.socket);
    }

    /// Tells the backend that an accepted socket has ended; the call returns as soon as the notice is queued.
    async fn notify(&self) {
        let Some(accepted) = self.socket.accepted.get() else {
            return;
        };
        let Some(route) = self.socket.table.disconnect() else {
            return;
        };
        let Target::Backend { backend, .. } = &route.target else {
            return;
        };
        let ended = self.socket.ended.borrow().clone();
        let Ended {
            reason,
            initiator,
            at,
            rooms,
            ..
        } = ended.unwrap_or_else(Ended::left);
        let duration = at.duration_since(accepted).unwrap_or_default();
        let undelivered = self.socket.undelivered.get();
        let kind = CallKind::Disconnect {
            reason,
            initiator,
            duration,
            rooms,
            undelivered,
            asked_at: self.socket.asked_at,
        };
        let call = self.call(self.socket.next_seq(), at, kind);
        if backend.call(call).await.is_err() {
            tracing::debug!("a disconnect notice could not be queued");
        }
    }
}
