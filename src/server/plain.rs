//! HTTP on the control thread: the API and admin listeners.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::server::connection::Head;

/// After an error such as too many open files, the acceptor rests so long.
const REST: Duration = Duration::from_millis(50);

/// Answers requests; cheap to clone, one clone for each connection.
pub trait Service: Clone + Send + Sync + 'static {
    /// Answers one request.
    fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> impl Future<Output = Response<Full<Bytes>>> + Send;
}

/// Serves a listener until it is told to stop; requests under way are finished.
pub async fn serve(
    listener: TcpListener,
    head: Head,
    service: impl Service,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let Ok((io, peer)) = accepted else {
            tokio::time::sleep(REST).await;
            continue;
        };
        // Without it small answers would wait; a connection that refuses is about to fail anyway.
        drop(io.set_nodelay(true));
        let (service, stop) = (service.clone(), stop.clone());
        crate::tasks::spawn("http", async move {
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new())
                .header_read_timeout(head.timeout)
                .max_header_size(head.bytes)
                .max_headers(head.headers);
            let answer = service_fn(|request| {
                let service = service.clone();
                async move { Ok::<_, std::convert::Infallible>(service.answer(request, peer).await) }
            });
            let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(io), answer));
            let served = tokio::select! {
                served = connection.as_mut() => served,
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = served {
                tracing::trace!(%error, "a connection ended badly");
            }
        });
    }
}
