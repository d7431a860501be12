//! HTTP on the control thread: the API and admin listeners.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use crate::server::accept::is_of_one;
use crate::server::connection::Head;
use crate::server::deadline::Timed;
use crate::server::reserve::Reserve;
use crate::server::stop::Stop;

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

/// Serves a listener until it is told to stop; requests under way are finished. It goes on where all files are open: it has a few in
/// reserve, since that is when operators ask most.
pub async fn serve(listener: TcpListener, head: Head, service: impl Service, stop: Stop) {
    let reserve = Reserve::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.ordered() => return,
        };
        let (io, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_of_one(&error) => continue,
            Err(_) => {
                if !reserve.release() {
                    tokio::time::sleep(REST).await;
                }
                continue;
            }
        };
        // Without it small answers would wait; a connection that refuses is about to fail anyway.
        drop(io.set_nodelay(true));
        let (service, reserve, stop) = (service.clone(), reserve.clone(), stop.clone());
        crate::tasks::spawn("http", async move {
            let _under_way = stop.connection();
            serve_one(io, peer, head, service, &stop).await;
            reserve.fill();
        });
    }
}

async fn serve_one(
    io: TcpStream,
    peer: SocketAddr,
    head: Head,
    service: impl Service,
    stop: &Stop,
) {
    let (io, talk) = Timed::new(io, Bytes::new(), head.deadlines);
    let answer = service_fn(|request| {
        let (service, answering) = (service.clone(), talk.request());
        async move {
            let response = service.answer(request, peer).await;
            Ok::<_, std::convert::Infallible>(response.map(|body| answering.with(body)))
        }
    });
    let http = head.http().serve_connection(TokioIo::new(io), answer);
    let mut http = std::pin::pin!(http);
    let served = tokio::select! {
        biased;
        served = http.as_mut() => served,
        () = stop.ordered() => {
            http.as_mut().graceful_shutdown();
            http.await
        }
    };
    if let Err(error) = served {
        tracing::trace!(%error, "a connection ended badly");
    }
}
