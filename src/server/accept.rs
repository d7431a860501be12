//! The acceptor: binds the client listener, lets connections in within the limits, and gives each to a shard.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;

use crate::server::settings::Settings;
use crate::server::stop::Stop;
use crate::session::admission::{Admission, Place};
use crate::telemetry::log_limit::LogLimit;
use crate::telemetry::traffic::Traffic;

/// Connections that the kernel holds for us.
const BACKLOG: u32 = 4096;
/// After an error such as too many open files, the acceptor rests so long.
const REST: Duration = Duration::from_millis(50);

/// Binds a listener.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Whether an error of accepting is about the one connection, which has gone, and not about the system.
pub fn is_of_one(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// A connection on its way to a shard.
#[derive(Debug)]
pub struct Connection {
    /// The stream; it is registered with the shard's own runtime.
    pub io: std::net::TcpStream,
    /// The other end.
    pub peer: SocketAddr,
    /// Its place among the connections.
    pub place: Place,
    /// When it was accepted.
    pub since: Instant,
}

/// Accepts until it is told to stop.
pub async fn run(listener: TcpListener, acceptor: Arc<Acceptor>, stop: Stop) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.ordered() => return,
        };
        match accepted {
            Ok((io, peer)) => acceptor.admit(io, peer),
            Err(error) if is_of_one(&error) => {}
            Err(error) => {
                acceptor.failed(&error);
                tokio::time::sleep(REST).await;
            }
        }
    }
}

/// The limits that apply to every connection, and the way to the shards.
#[derive(Debug)]
pub struct Acceptor {
    admission: Arc<Admission>,
    shards: Vec<mpsc::UnboundedSender<Connection>>,
    traffic: Arc<Traffic>,
    rate: Option<parking_lot::Mutex<Rate>>,
    /// Whether the address of the other end is the client's.
    is_direct: bool,
    told: LogLimit,
}

/// New connections per second, with a burst of one second.
#[derive(Debug)]
struct Rate {
    per_second: f64,
    tokens: f64,
    at: Instant,
}

impl Rate {
    fn take(&mut self, now: Instant) -> bool {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * self.per_second;
        self.tokens = (self.tokens + gained).min(self.per_second);
        self.at = now;
        let enough = self.tokens >= 1.0;
        if enough {
            self.tokens -= 1.0;
        }
        enough
    }
}

impl Acceptor {
    /// An acceptor for these shards. `traffic` is the control thread's own set of counters.
    pub fn new(
        admission: Arc<Admission>,
        shards: Vec<mpsc::UnboundedSender<Connection>>,
        traffic: Arc<Traffic>,
        settings: &Settings,
    ) -> Self {
        let rate = (settings.accept_rate > 0).then(|| {
            let per_second = f64::from(settings.accept_rate);
            parking_lot::Mutex::new(Rate {
                per_second,
                tokens: per_second,
                at: Instant::now(),
            })
        });
        Self {
            admission,
            shards,
            traffic,
            rate,
            is_direct: !settings.proxy_protocol,
            told: LogLimit::default(),
        }
    }

    /// Refused connections are closed before a byte is read.
    fn admit(&self, io: TcpStream, peer: SocketAddr) {
        if self
            .rate
            .as_ref()
            .is_some_and(|rate| !rate.lock().take(Instant::now()))
        {
            return self.traffic.rejected.increment("rate");
        }
        let Ok(mut place) = self.admission.enter() else {
            return self.traffic.rejected.increment("limit");
        };
        if self.is_direct && place.claim(peer.ip()).is_err() {
            return self.traffic.rejected.increment("ip_limit");
        }
        // Without it small frames would wait for acknowledgements; a connection that refuses is about to fail anyway.
        drop(io.set_nodelay(true));
        if let (Some(shard), Ok(io)) = (self.shards.get(place.shard()), io.into_std()) {
            let since = Instant::now();
            drop(shard.send(Connection {
                io,
                peer,
                place,
                since,
            }));
        }
    }

    /// One line a minute for each cause: the usual one lasts.
    fn failed(&self, error: &io::Error) {
        self.traffic.accept_errors.increment();
        if let Some(suppressed) = self.told.allows(&error.kind(), Instant::now()) {
            tracing::warn!(%error, suppressed, "connections cannot be accepted");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_allows_a_burst_of_one_second_and_then_refills() {
        let start = Instant::now();
        let mut rate = Rate {
            per_second: 10.0,
            tokens: 10.0,
            at: start,
        };
        assert_eq!((0..50).filter(|_| rate.take(start)).count(), 10);
        assert_eq!(
            (0..50)
                .filter(|_| rate.take(start + Duration::from_millis(500)))
                .count(),
            5
        );
    }
}
