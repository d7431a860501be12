//! [`Lane`]: what one socket still has to have done, in the order in which the client asked for it (contract 4a).
//!
//! CONNECT, events and the end of the socket enter it; calls to backends leave it in the same order, and at most
//! `max_in_flight` of them overlap. The lane is plain data: `work` drives it.
//!
//! A lane takes events while it holds fewer than `events` and `bytes`, so one may pass the limit and an empty lane always takes
//! one. Calls under way count until their effects are applied.

use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Waker;

use bytes::Bytes;

use crate::session::backend::Call;
use crate::session::routes::{Route, Target};

/// Something to be done for a socket.
#[derive(Debug)]
pub enum Item {
    /// Ask whether the client may join.
    Connect {
        /// Whom to ask.
        route: Rc<Route>,
        /// The question, made when the CONNECT came.
        call: Rc<Call>,
    },
    /// An event of the client.
    Event(Rc<Route>, QueuedEvent),
    /// The socket ends; always the last.
    End,
}

/// An event that waits: everything is copied out of the read buffer.
#[derive(Debug)]
pub struct QueuedEvent {
    /// Its number, where its route asks a backend.
    pub seq: Option<u64>,
    /// When it came.
    pub at: std::time::SystemTime,
    /// Name.
    pub name: Box<str>,
    /// Arguments without the brackets.
    pub args: Box<str>,
    /// Id of the acknowledgement asked for.
    pub id: Option<u64>,
    /// Bytes.
    pub attachments: Vec<Bytes>,
}

impl QueuedEvent {
    fn cost(&self) -> usize {
        self.name.len() + self.args.len() + self.attachments.iter().map(Bytes::len).sum::<usize>()
    }
}

impl Item {
    fn cost(&self) -> usize {
        match self {
            Self::Connect { .. } | Self::End => 0,
            Self::Event(_, event) => event.cost(),
        }
    }

    /// Calls that may be under way together with this one; edge rules neither wait nor hold up.
    fn max_in_flight(&self) -> usize {
        match self {
            Self::Connect { .. } | Self::End => 1,
            Self::Event(route, _) => match route.target {
                Target::Backend { max_in_flight, .. } => max_in_flight.max(1),
                Target::Relay(_) | Target::Echo | Target::Ok | Target::Drop => usize::MAX,
            },
        }
    }
}

/// How much a lane may hold.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Events.
    pub events: usize,
    /// Bytes of their names, arguments and attachments.
    pub bytes: usize,
}

/// The queue of one socket.
#[derive(Debug, Default)]
pub struct Lane {
    waiting: VecDeque<Item>,
    /// Of the calls under way, in order: what each allows, and what it costs.
    started: VecDeque<(usize, usize)>,
    bytes: usize,
    running: bool,
    worker: Option<Waker>,
}

impl Lane {
    /// Nothing waits and nothing is under way.
    pub fn is_idle(&self) -> bool {
        !self.running && self.waiting.is_empty()
    }

    /// Whether no further event may be read.
    pub fn is_full(&self, room: Room) -> bool {
        self.len() >= room.events || self.bytes >= room.bytes
    }

    /// Items that wait or are under way.
    pub fn len(&self) -> usize {
        self.waiting.len() + self.started.len()
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds an item; true where a worker must be started.
    pub fn push(&mut self, item: Item) -> bool {
        self.bytes += item.cost();
        self.waiting.push_back(item);
        if let Some(worker) = self.worker.take() {
            worker.wake();
        }
        !std::mem::replace(&mut self.running, true)
    }

    /// Whether [`Self::start`] would give an item.
    pub fn may_start(&self) -> bool {
        let Some(next) = self.waiting.front() else {
            return false;
        };
        let own = next.max_in_flight();
        let calls = self
            .started
            .iter()
            .filter(|(max, _)| *max != usize::MAX)
            .count();
        let least = self
            .started
            .iter()
            .map(|(max, _)| *max)
            .min()
            .unwrap_or(usize::MAX)
            .min(own);
        // An end and a CONNECT wait for everything before them, edge rules included.
        let alone = !matches!(next, Item::Event(..));
        (!alone || self.started.is_empty()) && (calls == 0 || calls < least)
    }

    /// The next item, if it may start beside those under way.
    pub fn start(&mut self) -> Option<Item> {
        if !self.may_start() {
            return None;
        }
        let next = self.waiting.pop_front()?;
        self.started.push_back((next.max_in_flight(), next.cost()));
        Some(next)
    }

    /// The oldest item under way is finished: its effects are applied.
    pub fn finish(&mut self) {
        if let Some((_, cost)) = self.started.pop_front() {
            self.bytes -= cost;
        }
        // Memory that a burst took goes back.
        if self.waiting.is_empty() && self.waiting.capacity() > 8 {
            self.waiting = VecDeque::new();
        }
    }

    /// The worker ends: nothing waits and nothing is under way.
    pub fn rest(&mut self) {
        debug_assert!(self.is_empty());
        self.running = false;
        self.worker = None;
        self.started = VecDeque::new();
    }

    /// The worker sleeps until an item is added.
    pub fn sleep(&mut self, worker: &Waker) {
        if self.worker.as_ref().is_none_or(|w| !w.will_wake(worker)) {
            self.worker = Some(worker.clone());
        }
    }

    /// Drops what waits, but not the end; gives the dropped events to be counted.
    pub fn clear(&mut self) -> usize {
        let before = self.waiting.len();
        self.waiting.retain(|item| matches!(item, Item::End));
        self.bytes = self.started.iter().map(|(_, cost)| cost).sum();
        before - self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::backend::{Backend, BackendError, Reply};
    use futures_util::future::LocalBoxFuture;

    struct Nobody;
    impl Backend for Nobody {
        fn call(&self, _: Rc<Call>) -> LocalBoxFuture<'_, Result<Reply, BackendError>> {
            Box::pin(std::future::ready(Err(BackendError::Refused)))
        }
    }

    fn event(max_in_flight: usize, bytes: usize) -> Item {
        let target = Target::Backend {
            backend: Rc::new(Nobody),
            max_in_flight,
            auto_ack: true,
        };
        item(target, bytes)
    }

    fn item(target: Target, bytes: usize) -> Item {
        let event = QueuedEvent {
            seq: None,
            at: std::time::SystemTime::UNIX_EPOCH,
            name: "".into(),
            args: "x".repeat(bytes).into(),
            id: None,
            attachments: vec![],
        };
        Item::Event(
            Rc::new(Route {
                name: "r".into(),
                target,
            }),
            event,
        )
    }

    #[test]
    fn by_default_one_call_is_under_way() {
        let mut lane = Lane::default();
        assert!(lane.push(event(1, 0)), "the first item starts the worker");
        assert!(!lane.push(event(1, 0)));
        assert!(lane.start().is_some());
        assert!(lane.start().is_none());
        lane.finish();
        assert!(lane.start().is_some());
    }

    #[test]
    fn the_smallest_max_in_flight_among_the_overlapping_counts() {
        let mut lane = Lane::default();
        for max in [3, 2, 3] {
            lane.push(event(max, 0));
        }
        assert!(lane.start().is_some() && lane.start().is_some());
        assert!(lane.start().is_none(), "the second allows two");
        lane.finish();
        assert!(lane.start().is_some(), "one beside it is below two");
    }

    #[test]
    fn an_end_waits_for_everything_before_it() {
        let mut lane = Lane::default();
        lane.push(item(Target::Echo, 0));
        lane.push(Item::End);
        assert!(lane.start().is_some());
        assert!(lane.start().is_none());
        lane.finish();
        assert!(matches!(lane.start(), Some(Item::End)));
    }

    #[test]
    fn one_event_may_pass_the_limit_of_bytes_and_an_empty_lane_takes_one() {
        let room = Room {
            events: 64,
            bytes: 100,
        };
        let mut lane = Lane::default();
        assert!(!lane.is_full(room));
        lane.push(event(1, 1000));
        assert!(lane.is_full(room));
        lane.start();
        assert!(lane.is_full(room), "what is under way counts");
        lane.finish();
        assert!(!lane.is_full(room));
    }

    #[test]
    fn the_limit_of_events_counts_those_under_way() {
        let room = Room {
            events: 2,
            bytes: 100,
        };
        let mut lane = Lane::default();
        lane.push(event(1, 0));
        lane.start();
        assert!(!lane.is_full(room));
        lane.push(event(1, 0));
        assert!(lane.is_full(room));
    }

    #[test]
    fn clearing_keeps_the_end() {
        let mut lane = Lane::default();
        lane.push(event(1, 5));
        lane.push(Item::End);
        assert_eq!(lane.clear(), 1);
        assert!(matches!(lane.start(), Some(Item::End)));
    }
}
