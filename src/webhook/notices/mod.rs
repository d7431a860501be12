//! Notices to one upstream: delivered at least once, as long as they are not too old and the process lives (contract 6).
//!
//! A shard hands a notice over and goes on; [`deliver`], one task on the control runtime, sends them, several at a time, in the order in
//! which they are due. There is no order among them: a socket has one. What is lost by age, number, bytes or the backend's refusal is
//! counted by reason. Replies are not read.
//!
//! ```text
//! shard ─► push ─► queue ─► due ─► gate ─► attempt ─┬─► delivered, or refused for good
//!                    ▲                              │
//!                    └──── later, 1 s doubling ◄────┘
//! ```
//!
//! # Why
//! At most half of the upstream's attempts are notices: when a load balancer drops every connection at once, as many disconnects as
//! connects are due, and clients wait for the connects only.

pub mod queue;

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};

use self::queue::{Entry, Queue};
use super::backend::Route;
use super::counters::{Loss, Losses};
use super::gate::Class;
use super::request::Message;
use super::retry::{self, Fate};
use super::settings::Settings;
use super::upstream::{Delivery, Endpoint};

/// The notices of one upstream that are not delivered yet.
#[derive(Debug)]
pub struct Notices {
    queue: Mutex<Queue<Notice>>,
    losses: Losses,
    /// Something is new in the queue.
    bell: Notify,
    /// Nothing is left.
    empty: Notify,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Notice {
    message: Message,
    route: Arc<Route>,
    attempts: u32,
    failures: u32,
}

impl Notices {
    pub(super) fn new(settings: &Settings, losses: Losses) -> Self {
        Self {
            queue: Mutex::new(Queue::new(settings.retention.clone())),
            losses,
            bell: Notify::new(),
            empty: Notify::new(),
        }
    }

    /// Hands a notice over. Never waits.
    pub(super) fn push(&self, message: Message, route: Arc<Route>) {
        let size = message.size();
        let notice = Notice {
            message,
            route,
            attempts: 0,
            failures: 0,
        };
        let now = Instant::now().into_std();
        let (expired, dropped) = {
            let mut queue = self.queue.lock();
            (queue.expire(now), queue.push(notice, size, now))
        };
        self.losses.count(Loss::Expired, expired);
        self.losses.count(Loss::Full, dropped);
        self.bell.notify_one();
    }

    /// Notices that wait or are under way.
    pub fn pending(&self) -> usize {
        self.queue.lock().pending()
    }

    /// Bytes of those.
    pub fn bytes(&self) -> usize {
        self.queue.lock().bytes()
    }

    /// Waits until nothing is left, at most until the deadline; returns how many are left then, and are lost: they are
    /// counted here and logged by whoever ends the process.
    pub async fn drain(&self, deadline: Instant) -> usize {
        let emptied = async {
            loop {
                let empty = self.empty.notified();
                tokio::pin!(empty);
                empty.as_mut().enable();
                if self.pending() == 0 {
                    return;
                }
                empty.await;
            }
        };
        if timeout_at(deadline, emptied).await.is_ok() {
            return 0;
        }
        let left = self.pending();
        self.losses.count(Loss::Shutdown, left);
        left
    }

    /// Waits for the next notice that is due. Nothing is taken out if the future is dropped.
    async fn due(&self) -> Entry<Notice> {
        loop {
            let now = Instant::now().into_std();
            let (expired, entry, next) = {
                let mut queue = self.queue.lock();
                let expired = queue.expire(now);
                (expired, queue.take(now), queue.next())
            };
            self.lose(Loss::Expired, expired);
            if let Some(entry) = entry {
                return entry;
            }
            let ring = self.bell.notified();
            match next {
                Some(next) => {
                    tokio::select! {
                        () = ring => {}
                        () = sleep_until(Instant::from_std(next)) => {}
                    }
                }
                None => ring.await,
            }
        }
    }

    fn put_back(&self, entry: Entry<Notice>, due: Instant) {
        self.queue.lock().put_back(entry, due.into_std());
        self.bell.notify_one();
    }

    fn finish(&self, entry: Entry<Notice>) {
        let notice = self.queue.lock().finish(entry);
        drop(notice);
        self.tell_if_empty();
    }

    fn lose(&self, loss: Loss, notices: usize) {
        self.losses.count(loss, notices);
        if notices > 0 {
            self.tell_if_empty();
        }
    }

    fn tell_if_empty(&self) {
        if self.pending() == 0 {
            self.empty.notify_waiters();
        }
    }
}

/// Delivers the upstream's notices for ever: one task per upstream, on the control runtime.
pub async fn deliver(endpoint: Endpoint) {
    let notices = endpoint.upstream().notices();
    let at_once = (endpoint.upstream().settings().concurrency / 2).max(1);
    let mut running = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(()) = running.next() => {}
            entry = notices.due(), if running.len() < at_once => {
                running.push(send(&endpoint, entry));
            }
        }
    }
}

/// Makes one attempt, or finds that it is too late for one.
async fn send(endpoint: &Endpoint, mut entry: Entry<Notice>) {
    let upstream = endpoint.upstream();
    let notices = upstream.notices();
    let expires = Instant::from_std(entry.expires);
    // The gate never sends a notice away; only time can be over.
    let Ok(Ok(pass)) = timeout_at(expires, upstream.gate().enter(Class::Notice)).await else {
        notices.finish(entry);
        return notices.lose(Loss::Expired, 1);
    };
    let notice = &mut entry.item;
    let counters = &notice.route.counters;
    let mut delivery = Delivery::new(&notice.message, counters, "", notice.attempts);
    let until = Instant::now() + upstream.settings().timeout;
    let outcome = endpoint.send(&mut delivery, until).await;
    notice.attempts = delivery.attempts();
    pass.record(outcome.fault().map_or(Ok(()), Err));
    match retry::notice(&outcome) {
        Fate::Delivered => notices.finish(entry),
        Fate::Dropped(status) => {
            notice.route.tell_refused_notice(status);
            notices.finish(entry);
            notices.lose(Loss::Refused, 1);
        }
        Fate::Again(at_least) => {
            notice.failures += 1;
            let backoff = upstream.pace().notice;
            let wait = backoff.wait(notice.failures, rand::random(), at_least);
            notices.put_back(entry, Instant::now() + wait);
        }
    }
}

#[cfg(test)]
mod tests;
