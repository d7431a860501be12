//! One HTTP connection of a client on its shard, and what becomes of it when it turns into a WebSocket.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use http_body_util::Either;
use hyper::body::Incoming;
use hyper::header::UPGRADE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use crate::hub::id::{SessionId, ShardId};
use crate::hub::reason::{Initiator, Reason};
use crate::protocol::websocket::Decoder;
use crate::server::router::{self, Place as Path};
use crate::server::site::{Body, Site};
use crate::session::Session;
use crate::session::admission::Place;
use crate::transport::http::Outcome;
use crate::transport::pump::{self, Io};
use crate::transport::{Context, Mail, http, upgrade};

/// Limits of a request's head.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// Headers.
    pub headers: usize,
    /// Bytes.
    pub bytes: usize,
    /// Time.
    pub timeout: Duration,
}

/// Milliseconds that a client may leave what was sent to it unread, where answers come from another server.
const USER_TIMEOUT: u32 = 60_000;

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
pub async fn serve(
    context: Rc<Context>,
    site: Rc<Site>,
    head: Head,
    io: std::net::TcpStream,
    peer: IpAddr,
    place: Place,
) {
    let Ok(io) = TcpStream::from_std(io) else {
        return;
    };
    if site.passes_on() {
        // A client that does not read an answer would hold the other server's connection; where the system cannot tell it stays.
        rustix::net::sockopt::set_tcp_user_timeout(&io, USER_TIMEOUT).ok();
    }
    let next: Cell<Option<(Next, OnUpgrade)>> = Cell::new(None);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(head.timeout)
        .max_header_size(head.bytes)
        .max_headers(head.headers);
    let service = service_fn(|request| {
        let unseen = http::Unseen::new(&context, &request);
        answer(&context, &site, &next, request, peer, unseen)
    });
    let served = http
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades()
        .await;
    let Some((next, upgraded)) = next.take() else {
        return;
    };
    let stream = match served {
        Ok(()) => into_stream(upgraded).await,
        Err(_) => None,
    };
    match (next, stream) {
        (Next::Session(session), None) => session.gone(Reason::TransportError, Initiator::Client),
        (Next::Session(session), Some((io, rest))) => run_pump(context, session, io, rest, place),
        (Next::Upgrade(sid, shard), Some((io, rest))) => {
            hand_over(context, sid, shard, io, rest, place);
        }
        (Next::Upgrade(..), None) => {}
    }
}

async fn answer(
    context: &Rc<Context>,
    site: &Site,
    next: &Cell<Option<(Next, OnUpgrade)>>,
    mut request: Request<Incoming>,
    peer: IpAddr,
    unseen: http::Unseen,
) -> Result<Response<Body>, Aborted> {
    unseen.seen();
    match router::find(request.uri().path(), &context.settings.path) {
        Path::Elsewhere => return Ok(site.elsewhere(context, request, peer).await),
        Path::File(name) => {
            if let Some(file) = site.client_file(context, &request, name, peer) {
                return Ok(file.map(Either::Left));
            }
        }
        Path::Engine => {}
    }
    let upgrade = request
        .headers()
        .contains_key(UPGRADE)
        .then(|| hyper::upgrade::on(&mut request));
    let (response, then) = match http::handle(context, request, peer).await {
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
    let parts = upgraded.await.ok()?.downcast::<TokioIo<TcpStream>>().ok()?;
    Some((parts.io.into_inner(), parts.read_buf.to_vec()))
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
