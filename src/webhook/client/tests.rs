#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::sync::Arc;

use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::super::scripted::{Act, Bench, Scripted, event, settings};
use super::*;
use crate::session::backend::Backend as _;

fn url(text: &str) -> Result<reqwest::Url, ClientError> {
    request_url(&Url::Http(text.into()))
}

#[test]
fn only_plain_http_addresses_are_taken() {
    for text in [
        "http://app.internal:8080/sockgate",
        "https://app.example/hooks?key=1",
        "http://[::1]:3000/",
        "http://10.0.0.1/",
    ] {
        assert!(url(text).is_ok(), "{text}");
    }
    for text in [
        "ftp://app/",
        "app.internal",
        "http://",
        "http://user@app/",
        "http://user:word@app/",
        "http://app/#here",
    ] {
        assert!(matches!(url(text), Err(ClientError::Url)), "{text}");
    }
}

#[test]
fn literals_of_metadata_services_are_refused_in_every_spelling() {
    for text in [
        "http://169.254.169.254/latest",
        "http://0xa9fea9fe/",
        "http://2852039166/",
        "http://0251.0376.0251.0376/",
        "http://[fe80::1]/",
        "https://[::ffff:169.254.169.254]/",
    ] {
        assert!(matches!(url(text), Err(ClientError::Forbidden)), "{text}");
    }
}

#[test]
fn a_unix_socket_gets_a_host() {
    let unix = Url::Unix {
        socket: Path::new("/run/app.sock").into(),
        path: "/sockgate".into(),
    };
    let url = request_url(&unix).expect("an address");
    assert_eq!(url.as_str(), "http://localhost/sockgate");
}

#[test]
fn a_bad_ca_is_told_by_its_name() {
    let mut settings = Settings::new("app", Url::Http("https://app.example/".into()));
    settings.ca = Some(b"-----BEGIN CERTIFICATE-----\nnonsense".to_vec());
    assert!(matches!(
        Clients::new(&settings),
        Err(ClientError::Ca(_) | ClientError::Tls(_))
    ));
}

#[test]
fn plain_http_needs_no_certificates() {
    let settings = Settings::new("app", Url::Http("http://app.internal/".into()));
    assert!(Clients::new(&settings).is_ok());
}

async fn is_answered(settings: Settings) -> bool {
    let bench = Bench::new(settings);
    bench.webhook(false).call(event()).await.is_ok()
}

#[tokio::test]
async fn a_backend_may_listen_on_a_unix_socket() {
    let name = format!("sockgate-{}.sock", ulid::Ulid::generate());
    let socket = std::env::temp_dir().join(name);
    let listener = UnixListener::bind(&socket).unwrap();
    let backend = Scripted::start([], Act::status(204)).await;
    let serving = backend.clone();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        serving.serve(&mut stream, 0).await.ok();
    });
    let mut settings = settings("");
    settings.url = Url::Unix {
        socket: socket.clone().into(),
        path: "/hook?a=1".into(),
    };
    assert!(is_answered(settings).await);
    let seen = backend.seen();
    assert_eq!(seen[0].line, "POST /hook?a=1 HTTP/1.1");
    assert_eq!(seen[0].header("host"), "localhost");
    std::fs::remove_file(socket).unwrap();
}

/// Certificates of two authorities, one of which has signed the server's, for `localhost`; valid until 2126.
const CA: &[u8] = include_bytes!("tls/ca.pem");
const OTHER_CA: &[u8] = include_bytes!("tls/other-ca.pem");
const SERVER: &[u8] = include_bytes!("tls/server.pem");
const KEY: &[u8] = include_bytes!("tls/server.key");

/// A backend with a certificate; its address by the name given.
async fn with_tls(host: &str) -> Settings {
    let backend = Scripted::start([], Act::status(204)).await;
    let certificate = CertificateDer::from_pem_slice(SERVER).unwrap();
    let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // A client that does not trust us goes away here.
            if let Ok(mut stream) = acceptor.accept(stream).await {
                backend.serve(&mut stream, 0).await.ok();
            }
        }
    });
    settings(&format!("https://{host}:{port}/hook"))
}

#[tokio::test]
async fn a_certificate_of_the_configured_authority_is_trusted() {
    let mut settings = with_tls("localhost").await;
    settings.ca = Some(CA.to_vec());
    assert!(is_answered(settings).await);
}

#[tokio::test]
async fn any_other_certificate_is_not() {
    let mut stranger = with_tls("localhost").await;
    stranger.ca = Some(OTHER_CA.to_vec());
    assert!(!is_answered(stranger).await);
    let mut wrong_name = with_tls("127.0.0.1").await;
    wrong_name.ca = Some(CA.to_vec());
    assert!(!is_answered(wrong_name).await);
}

#[tokio::test]
async fn any_certificate_is_accepted_if_the_operator_says_so() {
    let mut settings = with_tls("127.0.0.1").await;
    settings.insecure_skip_verify = true;
    assert!(is_answered(settings).await);
}
