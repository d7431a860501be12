//! The circuit breaker of one upstream, pure: time and chance come in as data (contract 8).
//!
//! Closed, it counts attempts over a rolling window; when enough of them failed it opens and nothing is let through; after a while
//! it is half open and lets [`PROBES`] attempts through, one failure of which opens it again. It promises that a result counts only
//! in the phase in which its attempt was admitted: what an outage has left behind never spoils the probes.
//!
//! # Why
//! The state is a few integers behind the gate's mutex instead of atomics: an attempt takes the lock twice for some nanoseconds,
//! beside a system call for each of its packets, and in exchange every transition can be tested as plain code.

use std::time::{Duration, Instant};

use super::settings::Breaker as Settings;

/// Attempts let through while half open; all of them must succeed.
pub const PROBES: u32 = 5;

/// Slots of the rolling window; it slides by one of them at a time.
const SLOTS: usize = 10;

/// The breaker.
#[derive(Debug)]
pub struct Breaker {
    settings: Settings,
    state: State,
    /// Rises with each change of state, so that tickets of an earlier one can be told apart.
    generation: u64,
    window: Window,
}

#[derive(Debug)]
enum State {
    Closed,
    Open { until: Instant },
    HalfOpen { out: u32, won: u32 },
}

/// What the breaker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Everything is let through.
    Closed,
    /// Nothing is let through.
    Open,
    /// A few attempts are let through.
    HalfOpen,
}

/// The right to one attempt. It ends with [`Breaker::record`] or [`Breaker::abandon`].
#[derive(Debug)]
#[must_use]
pub struct Ticket {
    generation: u64,
}

/// The answer to a wish for an attempt.
#[derive(Debug)]
pub enum Admission {
    /// Go on.
    Granted(Ticket),
    /// Nothing is let through before this moment.
    Until(Instant),
    /// All probes are under way; what comes of them changes the phase.
    ProbesOut,
}

/// A change of phase that a result has caused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// Too many failures, or a failed probe.
    Opened,
    /// All probes succeeded.
    Closed,
}

impl Breaker {
    /// A closed breaker.
    pub fn new(settings: Settings, now: Instant) -> Self {
        let window = Window::new(settings.window, now);
        Self {
            settings,
            state: State::Closed,
            generation: 0,
            window,
        }
    }

    /// Asks for an attempt. Changes an open breaker whose time has come to half open.
    pub fn admit(&mut self, now: Instant) -> Admission {
        if let State::Open { until } = self.state {
            if now < until {
                return Admission::Until(until);
            }
            self.enter(State::HalfOpen { out: 0, won: 0 });
        }
        if let State::HalfOpen { out, won } = &mut self.state {
            if *out + *won >= PROBES {
                return Admission::ProbesOut;
            }
            *out += 1;
        }
        Admission::Granted(Ticket {
            generation: self.generation,
        })
    }

    /// Whether the ticket was given out in the present phase; an attempt that has not begun needs a new one otherwise.
    pub fn honours(&self, ticket: &Ticket) -> bool {
        ticket.generation == self.generation
    }

    /// Takes the result of an attempt. `open_permille` is the share of the configured time that it would stay open (800–1200).
    pub fn record(
        &mut self,
        Ticket { generation }: Ticket,
        success: bool,
        now: Instant,
        open_permille: u32,
    ) -> Option<Transition> {
        if generation != self.generation {
            return None;
        }
        let failed = !success;
        match &mut self.state {
            State::Closed => {
                self.window.count(now, failed);
                (failed && self.too_many()).then(|| self.open(now, open_permille))
            }
            State::HalfOpen { .. } if failed => Some(self.open(now, open_permille)),
            State::HalfOpen { out, won } => {
                (*out, *won) = (*out - 1, *won + 1);
                (*won == PROBES).then(|| {
                    self.window = Window::new(self.settings.window, now);
                    self.enter(State::Closed);
                    Transition::Closed
                })
            }
            State::Open { .. } => None,
        }
    }

    /// Gives a ticket back whose attempt has no result; true where a probe has become free by that.
    pub fn abandon(&mut self, Ticket { generation }: Ticket) -> bool {
        match &mut self.state {
            State::HalfOpen { out, .. } if generation == self.generation => {
                *out -= 1;
                true
            }
            _ => false,
        }
    }

    /// The phase as an attempt would find it now.
    pub fn phase(&self, now: Instant) -> Phase {
        match self.state {
            State::Closed => Phase::Closed,
            State::Open { until } if now < until => Phase::Open,
            State::Open { .. } | State::HalfOpen { .. } => Phase::HalfOpen,
        }
    }

    fn too_many(&self) -> bool {
        let (attempts, failures) = self.window.sums();
        attempts >= u64::from(self.settings.min_requests)
            && failures * 1000 >= attempts * u64::from(self.settings.failure_permille)
    }

    fn open(&mut self, now: Instant, permille: u32) -> Transition {
        let until = now + self.settings.open * permille / 1000;
        self.enter(State::Open { until });
        Transition::Opened
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.generation += 1;
    }
}

/// Attempts and failures of the last while, in slots of a tenth of it.
#[derive(Debug)]
struct Window {
    slots: [(u64, u64); SLOTS],
    slot: Duration,
    current: usize,
    /// When the current slot began.
    began: Instant,
}

impl Window {
    fn new(length: Duration, now: Instant) -> Self {
        let slot = length / u32::try_from(SLOTS).expect("a small constant");
        Self {
            slots: [(0, 0); SLOTS],
            slot: slot.max(Duration::from_millis(1)),
            current: 0,
            began: now,
        }
    }

    fn count(&mut self, now: Instant, failed: bool) {
        self.advance(now);
        let (attempts, failures) = &mut self.slots[self.current];
        *attempts += 1;
        *failures += u64::from(failed);
    }

    fn sums(&self) -> (u64, u64) {
        self.slots
            .iter()
            .fold((0, 0), |sum, slot| (sum.0 + slot.0, sum.1 + slot.1))
    }

    /// A clock that seems to go back (results from several threads) stays in the current slot.
    fn advance(&mut self, now: Instant) {
        let mut steps = 0;
        while now.saturating_duration_since(self.began) >= self.slot {
            if steps == SLOTS {
                self.began = now;
                return;
            }
            self.began += self.slot;
            self.current = (self.current + 1) % SLOTS;
            self.slots[self.current] = (0, 0);
            steps += 1;
        }
    }
}

#[cfg(test)]
mod tests;
