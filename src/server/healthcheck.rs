//! `sockgate healthcheck`: asks a running gateway whether it is alive, for container images without a shell.

use std::error::Error;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Time for the answer.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Why the gateway counts as dead.
#[derive(Debug, thiserror::Error)]
pub enum Unhealthy {
    /// The configuration says that any port will do, so nobody knows which.
    #[error("the admin listener has no fixed port: set [admin] listen")]
    AnyPort,
    /// Nobody listens, or what listens is no gateway.
    #[error("no answer from {0}")]
    Silent(SocketAddr, #[source] Box<dyn Error + Send + Sync>),
    /// It says that it is not well.
    #[error("{0} answers {1}")]
    Sick(SocketAddr, StatusCode),
}

/// Asks `/livez` at each of the addresses until one answers well; the first one's fault otherwise.
pub async fn ask(listeners: &[SocketAddr]) -> Result<(), Unhealthy> {
    let mut fault = None;
    for address in listeners.iter().map(|address| reachable(*address)) {
        match ask_one(address).await {
            Ok(()) => return Ok(()),
            Err(error) => drop(fault.get_or_insert(error)),
        }
    }
    Err(fault.unwrap_or(Unhealthy::AnyPort))
}

async fn ask_one(address: SocketAddr) -> Result<(), Unhealthy> {
    if address.port() == 0 {
        return Err(Unhealthy::AnyPort);
    }
    let answer = tokio::time::timeout(TIMEOUT, exchange(address)).await;
    let status = answer
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut).into())
        .flatten()
        .map_err(|cause| Unhealthy::Silent(address, cause))?;
    match status {
        StatusCode::OK => Ok(()),
        status => Err(Unhealthy::Sick(address, status)),
    }
}

/// Who listens everywhere is asked here.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

async fn exchange(address: SocketAddr) -> Result<StatusCode, Box<dyn Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    let (mut client, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get("/livez")
        .header(HOST, address.to_string())
        .body(Empty::<Bytes>::new())?;
    let mut answer = std::pin::pin!(client.send_request(request));
    let answer = tokio::select! {
        answer = answer.as_mut() => answer,
        // Whatever came before the end is the answer.
        _ended = connection => answer.await,
    };
    Ok(answer?.status())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    /// Answers every request with this status line, until the test ends.
    async fn gateway(status: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 1024];
                let length = stream.read(&mut request).await.expect("a request");
                assert!(request[..length].starts_with(b"GET /livez HTTP/1.1\r\n"));
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.expect("a reader");
            }
        });
        address
    }

    #[tokio::test]
    async fn one_that_answers_is_enough() {
        let (well, sick) = (gateway("200 OK").await, gateway("503 No").await);
        assert!(ask(&[sick, well]).await.is_ok());
        let everywhere = SocketAddr::from(([0, 0, 0, 0], well.port()));
        assert!(ask(&[everywhere]).await.is_ok());
    }

    #[tokio::test]
    async fn the_fault_is_told() {
        let sick = gateway("503 No").await;
        let fault = ask(&[sick]).await.expect_err("sick");
        assert_eq!(
            fault.to_string(),
            format!("{sick} answers 503 Service Unavailable")
        );
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        assert!(matches!(ask(&[any]).await, Err(Unhealthy::AnyPort)));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let nobody = listener.local_addr().expect("an address");
        drop(listener);
        assert!(matches!(ask(&[nobody]).await, Err(Unhealthy::Silent(..))));
    }
}
