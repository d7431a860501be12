//! One HTTP connection of a client on its shard, and what becomes of it when it turns into a WebSocket.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Either;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue, UPGRADE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::hub::id::{SessionId, ShardId};
use crate::hub::reason::{Initiator, Reason};
use crate::protocol::websocket::Decoder;
use crate::server::accept::Connection;
use crate::server::deadline::{Answered, Deadlines, Talk, Timed};
use crate::server::proxy;
use crate::server::router::{self, Place as Path};
use crate::server::site::{Body, Site};
use crate::server::stop::Stop;
use crate::session::Session;
use crate::session::admission::Place;
use crate::transport::http::{Arrival, Outcome};
use crate::transport::pump::{self, Io};
use crate::transport::{Context, Mail, http, upgrade};

/// Limits of an HTTP connection.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// Headers of a request.
    pub headers: usize,
    /// Bytes of a request's head.
    pub bytes: usize,
    /// How long is waited for the client.
    pub deadlines: Deadlines,
}

impl Head {
    /// HTTP within these limits. Its deadlines are those of [`Timed`].
    pub fn http(&self) -> http1::Builder {
        let mut http = http1::Builder::new();
        http.header_read_timeout(None)
            .max_header_size(self.bytes)
            .max_headers(self.headers);
        http
    }

    /// The key of the limit at which a connection has ended, if it was one of HTTP's.
    pub fn limit(&self, served: &hyper::Result<()>, talk: &Talk) -> Option<&'static str> {
        if let Some(missed) = talk.missed() {
            return Some(missed.as_str());
        }
        let is_too_large = served.as_ref().is_err_and(hyper::Error::is_parse_too_large);
        let is_long = talk.head_bytes() >= self.bytes;
        is_too_large.then_some(if is_long { "header_bytes" } else { "headers" })
    }
}

/// What all connections of a shard have in common.
#[derive(Debug)]
pub struct Serving {
    /// The shard's transports.
    pub context: Rc<Context>,
    /// What is there besides Engine.IO.
    pub site: Site,
    /// Limits.
    pub head: Head,
    /// Whether a PROXY header is mandatory.
    pub proxy_protocol: bool,
    /// Tells when HTTP connections are to end.
    pub stop: Stop,
}

/// How long a client may leave what was sent to it unread, where answers come from another server and may be watched as they come.
const WATCHED: Duration = Duration::from_mins(1);

/// What the answer to the last request has made of the connection.
enum Next {
    Session(Rc<Session>),
    Upgrade(SessionId, ShardId),
}

/// The connection is to be ended without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is ended without an answer")]
struct Aborted;

/// Serves one connection until it ends or becomes a WebSocket.
pub async fn serve(serving: Rc<Serving>, connection: Connection) {
    let Connection {
        io,
        peer,
        mut place,
        since,
    } = connection;
    let Ok(mut io) = TcpStream::from_std(io) else {
        return;
    };
    let rejected = &serving.context.shard.traffic.rejected;
    let (mut peer, mut before) = (peer.ip(), Bytes::new());
    if serving.proxy_protocol {
        match proxy::read(&mut io).await {
            Ok(beginning) => {
                peer = beginning.client.unwrap_or(peer);
                before = beginning.rest;
            }
            Err(proxy::NoHeader) => return rejected.increment("proxy"),
        }
        if place.claim(peer).is_err() {
            return rejected.increment("ip_limit");
        }
    }
    let arrival = Arrival { peer, since };
    serve_http(serving, io, before, arrival, place).await;
}

async fn serve_http(
    serving: Rc<Serving>,
    io: TcpStream,
    before: Bytes,
    arrival: Arrival,
    place: Place,
) {
    let Serving {
        context,
        site,
        head,
        stop,
        ..
    } = &*serving;
    let mut deadlines = head.deadlines;
    if site.passes_on() {
        deadlines.stall = deadlines.stall.max(WATCHED);
    }
    let (io, talk) = Timed::new(io, before, deadlines);
    let next: Cell<Option<(Next, OnUpgrade)>> = Cell::new(None);
    let first = Cell::new(Some(arrival));
    let service = service_fn(|request| {
        let (unseen, answering) = (http::Unseen::new(context, &request), talk.request());
        let next = &next;
        let arrival = first.take().unwrap_or_else(|| arrival.again());
        async move {
            let response = answer(context, site, next, request, arrival, unseen).await?;
            Ok::<Response<Answered<Body>>, Aborted>(response.map(|body| answering.with(body)))
        }
    });
    let http = head.http().serve_connection(TokioIo::new(io), service);
    let mut http = std::pin::pin!(http.with_upgrades());
    let served = tokio::select! {
        biased;
        served = http.as_mut() => served,
        () = stop.ordered() => {
            http.as_mut().graceful_shutdown();
            http.await
        }
    };
    count(context, head, &served, &talk);
    let Some((next, upgraded)) = next.take() else {
        return;
    };
    let stream = match served {
        Ok(()) => into_stream(upgraded).await,
        Err(_) => None,
    };
    let context = Rc::clone(context);
    match (next, stream) {
        (Next::Session(session), None) => session.gone(Reason::TransportError, Initiator::Client),
        (Next::Session(session), Some((io, rest))) => run_pump(context, session, io, rest, place),
        (Next::Upgrade(sid, shard), Some((io, rest))) => {
            hand_over(context, sid, shard, io, rest, place);
        }
        (Next::Upgrade(..), None) => {}
    }
}

/// How the connection ended, where that was a limit's or the client's fault.
fn count(context: &Context, head: &Head, served: &hyper::Result<()>, talk: &Talk) {
    let traffic = &context.shard.traffic;
    if let Some(limit) = head.limit(served, talk) {
        traffic.http_limits.increment(limit);
    } else if served.as_ref().is_err_and(hyper::Error::is_parse) {
        traffic.parse_errors.increment("http");
    }
}

async fn answer(
    context: &Rc<Context>,
    site: &Site,
    next: &Cell<Option<(Next, OnUpgrade)>>,
    mut request: Request<Incoming>,
    arrival: Arrival,
    unseen: http::Unseen,
) -> Result<Response<Body>, Aborted> {
    unseen.seen();
    match router::find(request.uri().path(), &context.settings.path) {
        Path::Elsewhere => {
            let wants_upgrade = request.headers().contains_key(UPGRADE);
            let mut response = site.elsewhere(context, request, arrival.peer).await;
            if wants_upgrade {
                // Whoever wants to speak something else has nothing more to say in HTTP.
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
            }
            return Ok(response);
        }
        Path::File(name) => {
            if let Some(file) = site.client_file(context, &request, name, arrival.peer) {
                return Ok(file.map(Either::Left));
            }
        }
        Path::Engine => {}
    }
    let upgrade = request
        .headers()
        .contains_key(UPGRADE)
        .then(|| hyper::upgrade::on(&mut request));
    let (response, then) = match http::handle(context, request, arrival).await {
        Outcome::Reply(response) => (response, None),
        Outcome::NewSession(response, session) => (response, Some(Next::Session(session))),
        Outcome::Upgrade(response, sid, shard) => (response, Some(Next::Upgrade(sid, shard))),
        Outcome::Abort => return Err(Aborted),
    };
    if let (Some(then), Some(upgrade)) = (then, upgrade) {
        next.set(Some((then, upgrade)));
    }
    Ok(response.map(Either::Left))
}

/// The bare stream, and what was read behind the request; hyper's buffers are let go.
async fn into_stream(upgraded: OnUpgrade) -> Option<(TcpStream, Vec<u8>)> {
    let parts = upgraded
        .await
        .ok()?
        .downcast::<TokioIo<Timed<TcpStream>>>()
        .ok()?;
    let (io, unread) = parts.io.into_inner().into_parts();
    Some((io, [parts.read_buf, unread].concat()))
}

/// A task of its own: what HTTP needed is freed, and an idle WebSocket costs only its pump.
fn run_pump(
    context: Rc<Context>,
    session: Rc<Session>,
    io: TcpStream,
    mut rest: Vec<u8>,
    place: Place,
) {
    crate::tasks::spawn_local("websocket", async move {
        if session.acquire() {
            let io = Rc::new(Io(RefCell::new(io)));
            pump::run(&context, &session, io, Decoder::default(), &mut rest).await;
        }
        drop(place);
    });
}

/// The WebSocket goes to the shard of its session.
fn hand_over(
    context: Rc<Context>,
    sid: SessionId,
    shard: ShardId,
    io: TcpStream,
    rest: Vec<u8>,
    mut place: Place,
) {
    if shard == context.shard.id {
        crate::tasks::spawn_local("upgrade", async move {
            upgrade::run(&context, &sid, io, &rest, place).await;
        });
    } else if let Ok(io) = io.into_std() {
        place.move_to(shard.index());
        context.send(
            shard,
            Mail::Adopt {
                sid,
                io,
                rest,
                place,
            },
        );
    }
}
