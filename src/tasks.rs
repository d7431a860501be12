//! Running: the only caller of `spawn` and `spawn_local`, and the runtimes of threads that resolve names.
//!
//! A task that panics ends alone; it is counted and logged. Nobody holds a handle of it: a task ends by itself when what it serves
//! has ended, or with its runtime.

use std::future::Future;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt as _;
use tokio::runtime::{Builder, LocalOptions};

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

/// Runs a thread's main future, and what it spawns, until that future has ended. Fails only where the system has no runtime.
///
/// # Why
/// Nobody waits for what runs aside: the system's resolver cannot be stopped, and the process would end only when the last name
/// has timed out.
pub fn block_on<F: Future>(main: F) -> io::Result<F::Output> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    let output = runtime.block_on(main);
    runtime.shutdown_background();
    Ok(output)
}

fn guard<F: Future<Output = ()>>(name: &'static str, future: F) -> impl Future<Output = ()> {
    contain(name, future).map(|_ended| ())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn the_end_does_not_wait_for_the_resolver() {
        let (release, held) = mpsc::channel::<()>();
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let resolver = move || {
            begun.send(()).ok();
            held.recv().ok();
        };
        block_on(async {
            drop(tokio::task::spawn_blocking(resolver));
            has_begun.await.unwrap();
        })
        .unwrap();
        // It is still at work, since nothing has let it go.
        release.send(()).unwrap();
    }
}
