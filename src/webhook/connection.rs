//! Whether an attempt opened a connection of its own: a layer around the client's connector that leaves a mark.
//!
//! # Why
//! A connection from the pool may have been closed by the backend in the moment of its reuse; such an attempt is repeated at once,
//! while one that fails on a new connection is not (contract 8). The client does not tell the two apart. Its connector runs within
//! the request's own future, so a task-local mark does. A connection that was opened for another attempt and never used counts as
//! reused: rare, and the mistake costs one repetition under the same id.

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

tokio::task_local! {
    static OPENED: Cell<bool>;
}

/// Runs the request and tells whether it opened a connection.
pub async fn watch<F: Future>(request: F) -> (F::Output, bool) {
    let marked = async {
        let output = request.await;
        (output, OPENED.with(Cell::get))
    };
    OPENED.scope(Cell::new(false), marked).await
}

/// Leaves the mark.
#[derive(Clone, Copy, Debug)]
pub struct Watch;

impl<S> Layer<S> for Watch {
    type Service = Watched<S>;

    fn layer(&self, inner: S) -> Watched<S> {
        Watched(inner)
    }
}

/// A connector that leaves the mark.
#[derive(Clone, Debug)]
pub struct Watched<S>(S);

impl<S, R> Service<R> for Watched<S>
where
    S: Service<R>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, destination: R) -> Self::Future {
        let connecting = self.0.call(destination);
        Box::pin(async move {
            let connection = connecting.await?;
            // Outside of a request there is nobody to tell: the client finishes a connection that lost the race for the pool.
            OPENED.try_with(|opened| opened.set(true)).ok();
            Ok(connection)
        })
    }
}
