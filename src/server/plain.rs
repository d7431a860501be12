//! HTTP on the control thread: the API and admin listeners.

use std::net::SocketAddr;
use std::sync::Arc;
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
use crate::session::admission::Places;
use crate::telemetry::traffic::Traffic;

/// After an error such as too many open files, the acceptor rests so long.
const REST: Duration = Duration::from_millis(50);

/// Connections of backends at most. They keep a few each; emits with an acknowledgement hold one for up to half a minute.
const API_CONNECTIONS: usize = 1000;
/// Connections of operators at most: probes, scrapes, and people.
const ADMIN_CONNECTIONS: usize = 100;

/// How many connections one kind of listener may have. Beyond, a new one is closed before a byte is read, and counted.
#[derive(Debug)]
pub struct Door {
    places: Places,
    /// The word for those who are turned away, of [`REJECTED`](crate::telemetry::traffic::REJECTED).
    rejected: &'static str,
    traffic: Arc<Traffic>,
}

impl Door {
    /// Of the API listener. `traffic` is the control thread's own set of counters.
    pub fn api(traffic: Arc<Traffic>) -> Arc<Self> {
        Self::new(API_CONNECTIONS, "api_limit", traffic)
    }

    /// Of the admin listener. `traffic` is the control thread's own set of counters.
    pub fn admin(traffic: Arc<Traffic>) -> Arc<Self> {
        Self::new(ADMIN_CONNECTIONS, "admin_limit", traffic)
    }

    fn new(most: usize, rejected: &'static str, traffic: Arc<Traffic>) -> Arc<Self> {
        Arc::new(Self {
            places: Places::new(most),
            rejected,
            traffic,
        })
    }

    /// Connections now.
    pub fn connections(&self) -> usize {
        self.places.taken()
    }

    fn enter(self: &Arc<Self>) -> Option<Visit> {
        if !self.places.take() {
            self.traffic.rejected.increment(self.rejected);
            return None;
        }
        Some(Visit(Arc::clone(self)))
    }
}

/// The place of one connection; given back when dropped.
#[derive(Debug)]
struct Visit(Arc<Door>);

impl Drop for Visit {
    fn drop(&mut self) {
        self.0.places.give_back();
    }
}

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
pub async fn serve(
    listener: TcpListener,
    door: Arc<Door>,
    head: Head,
    service: impl Service,
    stop: Stop,
) {
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
        let Some(visit) = door.enter() else {
            drop(io);
            reserve.fill();
            continue;
        };
        // Without it small answers would wait; a connection that refuses is about to fail anyway.
        drop(io.set_nodelay(true));
        let (service, reserve, stop) = (service.clone(), reserve.clone(), stop.clone());
        crate::tasks::spawn("http", async move {
            let _under_way = stop.connection();
            serve_one(io, peer, head, service, &stop, &visit.0).await;
            reserve.fill();
            drop(visit);
        });
    }
}

async fn serve_one(
    io: TcpStream,
    peer: SocketAddr,
    head: Head,
    service: impl Service,
    stop: &Stop,
    door: &Door,
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
    if let Some(limit) = head.limit(&served, &talk) {
        door.traffic.http_limits.increment(limit);
    }
    if let Err(error) = served {
        tracing::trace!(%error, "a connection ended badly");
    }
}
