//! [`Gathering`]: the acknowledgements of one emit, as they come in.

use std::time::Duration;

use hashbrown::HashSet;
use tokio::time::{Instant, timeout_at};

use crate::contract::acks::{AckReport, Answers, MAX_MISSING};
use crate::contract::answer::Nodes;
use crate::hub::acks::AckEvent;
use crate::hub::id::SocketId;
use crate::hub::switchboard::Asking;

/// What is known of an emit's acknowledgements so far.
#[derive(Debug)]
pub(super) struct Gathering {
    /// How many are enough.
    enough: Option<usize>,
    asked: Vec<SocketId>,
    answered: HashSet<SocketId>,
    answers: Answers,
}

impl Gathering {
    /// None yet; `enough` of `None`: all who were asked.
    pub(super) fn new(enough: Option<usize>) -> Self {
        Self {
            enough,
            asked: Vec::new(),
            answered: HashSet::new(),
            answers: Answers::default(),
        }
    }

    /// Waits until everybody has answered or left, enough have answered, or the time is over.
    pub(super) async fn gather(mut self, mut asking: Asking, time: Duration) -> Self {
        let deadline = Instant::now() + time;
        while !self.is_enough() {
            match timeout_at(deadline, asking.next()).await {
                Ok(Some(event)) => self.take(event),
                Ok(None) | Err(_) => break,
            }
        }
        // An answer may be quicker than another shard's word of whom it asked.
        while let Some(event) = asking.try_next() {
            self.take(event);
        }
        self
    }

    /// The result.
    pub(super) fn report(self, id: String) -> AckReport {
        let answered = self.answered.len();
        let is_missing = |socket: &SocketId| !self.answered.contains(socket);
        let missing = self.asked.iter().copied().filter(is_missing);
        AckReport {
            id,
            sockets: self.asked.len(),
            complete: answered == self.asked.len() || self.is_enough(),
            missing: missing.take(MAX_MISSING).collect(),
            missing_count: self.asked.len() - answered,
            answers: self.answers,
            nodes: Nodes::ALONE,
        }
    }

    fn is_enough(&self) -> bool {
        self.enough
            .is_some_and(|enough| self.answered.len() >= enough)
    }

    fn take(&mut self, event: AckEvent) {
        match event {
            AckEvent::Asked(sockets) => self.asked.extend(sockets),
            AckEvent::Answered {
                socket,
                user,
                answer,
            } if !self.is_enough() => {
                self.answered.insert(socket);
                self.answers.add(socket, user, answer);
            }
            AckEvent::Answered { .. } | AckEvent::Gone(_) => {}
        }
    }
}
