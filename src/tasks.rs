//! Spawning: the only caller of `spawn` and `spawn_local`, so that every task can be counted, cancelled and awaited.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt as _;

static PANICS: AtomicU64 = AtomicU64::new(0);

/// Tasks that ended by a panic since the process began. Each one is a bug.
pub fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

/// Runs a task on this thread. A panic ends the task alone; it is counted and logged.
pub fn spawn_local<F: Future<Output = ()> + 'static>(name: &'static str, future: F) {
    drop(tokio::task::spawn_local(guard(name, future)));
}

/// Runs a task on the current runtime. A panic ends the task alone; it is counted and logged.
pub fn spawn<F: Future<Output = ()> + Send + 'static>(name: &'static str, future: F) {
    drop(tokio::task::spawn(guard(name, future)));
}

/// A part of a task whose panic must not end the rest: `None` where it panicked, which is counted and logged.
pub fn contain<F: Future>(
    name: &'static str,
    future: F,
) -> impl Future<Output = Option<F::Output>> {
    AssertUnwindSafe(future).catch_unwind().map(move |outcome| {
        if outcome.is_err() {
            PANICS.fetch_add(1, Ordering::Relaxed);
            tracing::error!(task = name, "a task panicked");
        }
        outcome.ok()
    })
}

fn guard<F: Future<Output = ()>>(name: &'static str, future: F) -> impl Future<Output = ()> {
    contain(name, future).map(|_ended| ())
}
