//! Deadlines for everything that a test awaits.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

/// Longer than any machine needs, shorter than anybody's patience.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// Between two looks of [`eventually`].
const LOOK: Duration = Duration::from_millis(5);

/// Awaits, and fails the test when the deadline passes.
pub(crate) async fn within<F: Future>(what: impl Display, future: F) -> F::Output {
    within_time(DEADLINE, what, future).await
}

/// [`within`] with a deadline of its own, for what takes long by design.
pub(crate) async fn within_time<F: Future>(
    time: Duration,
    what: impl Display,
    future: F,
) -> F::Output {
    let output = tokio::time::timeout(time, future).await;
    output.unwrap_or_else(|_| panic!("not within {time:?}: {what}"))
}

/// Looks again and again until the probe is content; a failure tells what the last look saw.
pub(crate) async fn eventually<T>(
    what: impl Display,
    mut probe: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let end = tokio::time::Instant::now() + DEADLINE;
    loop {
        let seen = match within(&what, Box::pin(probe())).await {
            Ok(found) => return found,
            Err(seen) => seen,
        };
        assert!(
            tokio::time::Instant::now() < end,
            "not within {DEADLINE:?}: {what}; last seen: {seen}"
        );
        tokio::time::sleep(LOOK).await;
    }
}
