//! The way to an upstream, shared by all shards: how many attempts at once, how many wait, and whether to ask at all (contract 8).
//!
//! Who wants to make an attempt [enters](Gate::enter) and gets a [`Pass`], which ends with the attempt's result, or without one if it
//! is dropped. Passes are given out first come, first served. An event or a notice for which the waiting room is full waits where it
//! is (an event in its lane), a CONNECT is sent away. While the breaker forbids attempts, an event is sent away at once, a CONNECT and a
//! notice wait; probes go to waiting CONNECTs first.
//!
//! # Why
//! The waiting room is a semaphore around the one for attempts: whoever has no place in it is queued by the outer one, in order and
//! without a structure of ours. One short mutex holds what depends on results; it is never held across an await, and nothing is
//! logged or woken under it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use rand::RngExt as _;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until};

use super::breaker::{Admission, Breaker, Phase, Ticket, Transition};
use super::health::{Fault, Health, Recovery};
use super::settings::Settings;

/// The gate of one upstream.
#[derive(Debug)]
pub struct Gate {
    upstream: Box<str>,
    max: usize,
    room: usize,
    /// Places for attempts and for those that wait for one.
    places: Semaphore,
    permits: Semaphore,
    state: Mutex<State>,
    /// CONNECTs that wait for the breaker.
    held: AtomicUsize,
    /// The breaker, or who waits for it, has changed.
    changed: Notify,
}

#[derive(Debug)]
struct State {
    breaker: Breaker,
    health: Health,
}

/// Who wants to make an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A held CONNECT: waits for the breaker, but not for a place in the waiting room.
    Connect,
    /// An event: waits for a place, but not for the breaker.
    Event,
    /// A notice: waits for everything.
    Notice,
}

/// Why there is no attempt now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The breaker forbids it.
    Open,
    /// The waiting room is full.
    Full,
}

/// How an upstream is doing, for reads and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The breaker.
    pub phase: Phase,
    /// Attempts under way.
    pub in_flight: usize,
    /// Calls in the waiting room.
    pub waiting: usize,
    /// The last failed attempt.
    pub last_error: Option<(Fault, SystemTime)>,
}

impl Gate {
    /// An open road.
    pub fn new(settings: &Settings) -> Self {
        let max = settings.concurrency.clamp(1, Semaphore::MAX_PERMITS / 2);
        let room = settings.queue.min(Semaphore::MAX_PERMITS / 2);
        Self {
            upstream: settings.name.clone(),
            max,
            room,
            places: Semaphore::new(max + room),
            permits: Semaphore::new(max),
            state: Mutex::new(State {
                breaker: Breaker::new(settings.breaker.clone(), now()),
                health: Health::new(settings.breaker.window),
            }),
            held: AtomicUsize::new(0),
            changed: Notify::new(),
        }
    }

    /// Waits for the right to one attempt. Dropping the future gives the wish up.
    pub async fn enter(&self, class: Class) -> Result<Pass<'_>, Refused> {
        loop {
            let ticket = self.admitted(class).await?;
            let (place, permit) = match (self.places.try_acquire(), self.permits.try_acquire()) {
                (Ok(place), Ok(permit)) => return Ok(Pass::new(ticket, place, permit)),
                (Err(_), _) if class == Class::Connect => return Err(Refused::Full),
                (place, permit) => (place.ok(), permit.ok()),
            };
            drop(permit);
            let place = match place {
                Some(place) => Some(place),
                None => self.unless_changed(&ticket, self.places.acquire()).await,
            };
            let Some(place) = place else { continue };
            let permit = self.unless_changed(&ticket, self.permits.acquire()).await;
            // What was granted before the breaker changed has to be asked for again.
            if let Some(permit) = permit
                && self.honours(&ticket)
            {
                return Ok(Pass::new(ticket, place, permit));
            }
        }
    }

    /// Whether attempts are forbidden at present.
    pub fn is_open(&self) -> bool {
        self.state.lock().breaker.phase(now()) == Phase::Open
    }

    /// How the upstream is doing.
    pub fn status(&self) -> Status {
        let in_flight = self.max - self.permits.available_permits();
        let inside = self.max + self.room - self.places.available_permits();
        let state = self.state.lock();
        Status {
            phase: state.breaker.phase(now()),
            in_flight,
            waiting: inside.saturating_sub(in_flight),
            last_error: state.health.last().cloned(),
        }
    }

    async fn admitted(&self, class: Class) -> Result<Admitted<'_>, Refused> {
        match self.admit(class) {
            Admission::Granted(ticket) => Ok(Admitted::new(self, ticket)),
            _ if class == Class::Event => Err(Refused::Open),
            _ => self.admitted_later(class).await,
        }
    }

    async fn admitted_later(&self, class: Class) -> Result<Admitted<'_>, Refused> {
        let _held = (class == Class::Connect).then(|| Held::new(self));
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            if class == Class::Connect && self.places.available_permits() == 0 {
                // Else all that are held would hand the free probes around without an attempt.
                return Err(Refused::Full);
            }
            match self.admit(class) {
                Admission::Granted(ticket) => return Ok(Admitted::new(self, ticket)),
                Admission::Until(at) => {
                    tokio::select! {
                        () = changed => {}
                        () = sleep_until(Instant::from_std(at)) => {}
                    }
                }
                Admission::ProbesOut => changed.await,
            }
        }
    }

    fn admit(&self, class: Class) -> Admission {
        let now = now();
        let mut state = self.state.lock();
        let stands_back = class != Class::Connect && self.held.load(Ordering::Relaxed) > 0;
        if stands_back && state.breaker.phase(now) == Phase::HalfOpen {
            return Admission::ProbesOut;
        }
        state.breaker.admit(now)
    }

    fn honours(&self, ticket: &Admitted<'_>) -> bool {
        let state = self.state.lock();
        ticket
            .0
            .as_ref()
            .is_some_and(|(_, ticket)| state.breaker.honours(ticket))
    }

    /// Waits, but not longer than the ticket is good for.
    async fn unless_changed<T, E: std::fmt::Debug>(
        &self,
        ticket: &Admitted<'_>,
        wait: impl Future<Output = Result<T, E>>,
    ) -> Option<T> {
        tokio::pin!(wait);
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if !self.honours(ticket) {
                return None;
            }
            tokio::select! {
                got = &mut wait => return Some(got.expect("the gate's semaphores are never closed")),
                () = changed => {}
            }
        }
    }

    fn settle(&self, ticket: Ticket, result: Result<(), Fault>) {
        let success = result.is_ok();
        let open_permille = if success {
            1000
        } else {
            rand::rng().random_range(800..=1200)
        };
        let now = now();
        let (transition, news) = {
            let mut state = self.state.lock();
            let transition = state.breaker.record(ticket, success, now, open_permille);
            let news = match result {
                Ok(()) => state
                    .health
                    .success(now, transition == Some(Transition::Closed))
                    .map(News::Well),
                Err(fault) => state
                    .health
                    .failure(fault.clone(), now, SystemTime::now())
                    .then_some(News::Failing(fault)),
            };
            (transition, news)
        };
        if transition.is_some() {
            self.changed.notify_waiters();
        }
        if let Some(news) = news {
            self.tell(&news);
        }
    }

    fn tell(&self, news: &News) {
        let upstream = &*self.upstream;
        match news {
            News::Failing(fault) => tracing::warn!(upstream, %fault, "upstream is failing"),
            News::Well(Recovery { failures, lasted }) => {
                let lasted = humantime::format_duration(Duration::from_secs(lasted.as_secs()));
                tracing::info!(upstream, failures, %lasted, "upstream is well again");
            }
        }
    }
}

enum News {
    Failing(Fault),
    Well(Recovery),
}

/// The runtime's clock, so that tests can move it.
fn now() -> std::time::Instant {
    Instant::now().into_std()
}

/// A ticket that is given back if nothing comes of it.
#[derive(Debug)]
struct Admitted<'a>(Option<(&'a Gate, Ticket)>);

impl<'a> Admitted<'a> {
    fn new(gate: &'a Gate, ticket: Ticket) -> Self {
        Self(Some((gate, ticket)))
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        if let Some((gate, ticket)) = self.0.take() {
            let freed = gate.state.lock().breaker.abandon(ticket);
            if freed {
                gate.changed.notify_waiters();
            }
        }
    }
}

/// Counts a CONNECT that waits for the breaker.
struct Held<'a>(&'a Gate);

impl<'a> Held<'a> {
    fn new(gate: &'a Gate) -> Self {
        gate.held.fetch_add(1, Ordering::Relaxed);
        Self(gate)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if self.0.held.fetch_sub(1, Ordering::Relaxed) == 1 {
            // Notices no longer have to stand back.
            self.0.changed.notify_waiters();
        }
    }
}

/// The right to one attempt, under way until this is recorded or dropped.
#[derive(Debug)]
#[must_use]
pub struct Pass<'a> {
    ticket: Admitted<'a>,
    _place: SemaphorePermit<'a>,
    _permit: SemaphorePermit<'a>,
}

impl<'a> Pass<'a> {
    fn new(ticket: Admitted<'a>, place: SemaphorePermit<'a>, permit: SemaphorePermit<'a>) -> Self {
        Self {
            ticket,
            _place: place,
            _permit: permit,
        }
    }

    /// Ends the attempt with its result.
    pub fn record(mut self, result: Result<(), Fault>) {
        if let Some((gate, ticket)) = self.ticket.0.take() {
            gate.settle(ticket, result);
        }
    }
}

#[cfg(test)]
mod tests;
