//! A closed loop: every client has one operation under way, and begins the next one when that is answered.

use std::time::Instant;

use super::{Case, Pass};
use crate::latency::Latencies;

/// How many operations are still to be begun and to be answered, and how long those took that are.
pub(super) struct ClosedLoop {
    to_begin: u64,
    awaited: u64,
    latencies: Latencies,
}

impl ClosedLoop {
    /// Nothing to do yet; no memory is taken later.
    pub(super) fn new(case: &Case) -> Self {
        Self {
            to_begin: 0,
            awaited: 0,
            latencies: Latencies::with_capacity(usize::try_from(case.operations).unwrap_or(0)),
        }
    }

    /// So many operations from now on.
    pub(super) fn restart(&mut self, operations: u64) {
        self.to_begin = operations;
        self.awaited = operations;
        self.latencies.clear();
    }

    /// Whether there is another operation, which begins now.
    pub(super) fn next(&mut self) -> bool {
        let has_more = self.to_begin > 0;
        self.to_begin -= u64::from(has_more);
        has_more
    }

    /// An operation is answered.
    pub(super) fn answered(&mut self, since: Instant) {
        self.latencies.push(since.elapsed());
        self.awaited -= 1;
    }

    /// Operations that are not answered yet.
    pub(super) fn awaited(&self) -> u64 {
        self.awaited
    }

    /// Adds the latencies to a pass.
    pub(super) fn report(mut self, pass: Pass) -> Pass {
        pass.with_latency(&mut self.latencies)
    }
}
