//! The first request of a session: by polling, or by a WebSocket at once (protocol 1.5).

use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, StatusCode};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::protocol::engine_io::Open;
use crate::session::{Session, TransportKind};
use crate::transport::answer::{Answer, refuse_upgrade};
use crate::transport::http::{Arrival, Outcome, Reply};
use crate::transport::request::connect_info;
use crate::transport::{Context, address};

fn open_document(context: &Context, session: &Session) -> Bytes {
    let settings = &context.settings;
    let upgrade = session.transport() == TransportKind::Polling
        && settings.allow_upgrades
        && settings.websocket;
    let open = Open {
        sid: session.sid.as_str(),
        upgrades: if upgrade { &["websocket"] } else { &[] },
        ping_interval: settings.ping_interval,
        ping_timeout: settings.ping_timeout,
        max_payload: settings.max_payload,
    };
    open.frame()
}

fn open_session(
    context: &Rc<Context>,
    request: &Request<Incoming>,
    arrival: Arrival,
    transport: TransportKind,
) -> Option<Rc<Session>> {
    let headers = request.headers();
    let query = request.uri().query().unwrap_or_default();
    let ip = address::client_address(headers, arrival.peer, &context.settings.trusted_proxies);
    let info = connect_info(context, headers, query, ip).ok()?;
    let session = context.shard.open(info, transport);
    if let Some(oldest) = session.begin_opening() {
        context.end_opening(oldest);
    }
    let handshakes = &context.shard.traffic.handshakes;
    handshakes.took(arrival.since.elapsed());
    Some(session)
}

fn too_many_headers() -> Reply {
    Answer::empty(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
        .into_response()
        .unwrap_or_default()
}

/// A session by polling.
pub(super) fn handshake(
    context: &Rc<Context>,
    request: &Request<Incoming>,
    arrival: Arrival,
) -> Outcome {
    let Some(session) = open_session(context, request, arrival, TransportKind::Polling) else {
        return Outcome::Reply(too_many_headers());
    };
    context
        .shard
        .hub
        .outbox(session.key, |o| o.block(Instant::now()));
    let document = open_document(context, &session);
    let body = crate::protocol::engine_io::encode_payload(std::slice::from_ref(&document));
    let mut response = Answer::packets(body).into_response().unwrap_or_default();
    if let Some(cookie) = &context.settings.cookie
        && let Ok(value) = HeaderValue::from_str(&cookie.header(session.sid.as_str()))
    {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    Outcome::Reply(response)
}

/// A session by WebSocket.
pub(super) fn open_websocket(
    context: &Rc<Context>,
    request: &Request<Incoming>,
    arrival: Arrival,
) -> Outcome {
    let response = match switch(request) {
        Ok(response) => response,
        Err(refusal) => return Outcome::Reply(*refusal),
    };
    let Some(session) = open_session(context, request, arrival, TransportKind::WebSocket) else {
        return Outcome::Reply(too_many_headers());
    };
    context
        .shard
        .push_bytes(&session, open_document(context, &session));
    Outcome::NewSession(response, session)
}

/// The 101, or why there is none.
pub(super) fn switch(request: &Request<Incoming>) -> Result<Reply, Box<Reply>> {
    let bad = |message| Box::new(refuse_upgrade(StatusCode::BAD_REQUEST, message));
    let headers = request.headers();
    let connection = headers
        .get(header::CONNECTION)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    if request.method() != Method::GET
        || !connection
            .split(',')
            .any(|p| p.trim().eq_ignore_ascii_case("upgrade"))
    {
        return Err(bad("Bad request"));
    }
    let key = headers
        .get(header::SEC_WEBSOCKET_KEY)
        .map(HeaderValue::as_bytes);
    let Some(key) = key.filter(|key| is_websocket_key(key)) else {
        return Err(bad("Missing or invalid Sec-WebSocket-Key header"));
    };
    if headers
        .get(header::SEC_WEBSOCKET_VERSION)
        .is_none_or(|v| v != "13")
    {
        let mut refusal = bad("Missing or invalid Sec-WebSocket-Version header");
        refusal.headers_mut().insert(
            header::SEC_WEBSOCKET_VERSION,
            HeaderValue::from_static("13"),
        );
        return Err(refusal);
    }
    let mut response = Reply::default();
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let out = response.headers_mut();
    out.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    out.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    let accept =
        HeaderValue::from_str(&derive_accept_key(key)).expect("base64 is a valid header value");
    out.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    // Nothing depends on it, but a browser that offered subprotocols closes the connection where none is chosen.
    let offered = headers
        .get(header::SEC_WEBSOCKET_PROTOCOL)
        .and_then(|v| v.to_str().ok());
    if let Some(Ok(first)) = offered
        .and_then(|v| v.split(',').next())
        .map(|p| HeaderValue::from_str(p.trim()))
    {
        out.insert(header::SEC_WEBSOCKET_PROTOCOL, first);
    }
    Ok(response)
}

/// Sixteen bytes in base64.
fn is_websocket_key(key: &[u8]) -> bool {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD
        .decode(key)
        .is_ok_and(|key| key.len() == 16)
}
