//! [`Stop`]: the word for the listeners to end, and who has not ended yet.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Listeners stop listening, idle connections close, and requests under way are finished.
#[derive(Clone, Debug)]
pub struct Stop {
    order: CancellationToken,
    connections: TaskTracker,
}

impl Stop {
    /// Nobody is told yet.
    pub fn new() -> Self {
        let connections = TaskTracker::new();
        connections.close();
        Self {
            order: CancellationToken::new(),
            connections,
        }
    }

    /// The same word for one thread, so that its connections do not share a list with those of the others.
    #[must_use]
    pub fn for_thread(&self) -> Self {
        Self {
            order: self.order.child_token(),
            connections: self.connections.clone(),
        }
    }

    /// Tells everybody.
    pub fn order(&self) {
        self.order.cancel();
    }

    /// Resolves when it was told.
    pub async fn ordered(&self) {
        self.order.cancelled().await;
    }

    /// For a connection: it counts as under way until this is dropped.
    pub fn connection(&self) -> TaskTrackerToken {
        self.connections.token()
    }

    /// Resolves when no connection is under way.
    pub async fn ended(&self) {
        self.connections.wait().await;
    }
}

impl Default for Stop {
    fn default() -> Self {
        Self::new()
    }
}
