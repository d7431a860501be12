//! A request under the Engine.IO path, from its origin to its answer (protocol 1.2).

use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};
use tokio::sync::oneshot;

use crate::hub::id::{SessionId, ShardId};
use crate::session::Session;
use crate::transport::answer::{Answer, EngineError, refuse_upgrade};
use crate::transport::compress::Coding;
use crate::transport::opening::{handshake, open_websocket, switch};
use crate::transport::origin::{self, Verdict};
use crate::transport::polling::{self, BodyError};
use crate::transport::request::Query;
use crate::transport::{Context, Mail, address};

/// A response to a client.
pub type Reply = Response<Full<Bytes>>;

/// What becomes of the connection after the answer.
#[derive(Debug)]
pub enum Outcome {
    /// It goes on as HTTP.
    Reply(Reply),
    /// It becomes the WebSocket of a new session.
    NewSession(Reply, Rc<Session>),
    /// It becomes a WebSocket that belongs to this session, here or on another shard.
    Upgrade(Reply, SessionId, ShardId),
    /// It is ended without an answer.
    Abort,
}

/// Whose request it is, and since when it is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// The other end of the connection, or whom that speaks for.
    pub peer: IpAddr,
    /// When the connection was accepted, or, where it has served before, when the request came.
    pub since: Instant,
}

impl Arrival {
    /// Of another request on the same connection, which comes now.
    #[must_use]
    pub fn again(self) -> Self {
        Self {
            since: Instant::now(),
            ..self
        }
    }
}

/// A request that was read but not begun: where its client has gone away by then, the HTTP library drops it unseen, and a polling
/// session would not learn that its poll was aborted.
#[derive(Debug)]
pub struct Unseen {
    context: Rc<Context>,
    uri: Uri,
    seen: bool,
}

impl Unseen {
    /// Watches a request.
    pub fn new(context: &Rc<Context>, request: &Request<Incoming>) -> Self {
        Self {
            context: Rc::clone(context),
            uri: request.uri().clone(),
            seen: false,
        }
    }

    /// The request is being handled.
    pub fn seen(mut self) {
        self.seen = true;
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        if self.seen {
            return;
        }
        let query = Query::parse(self.uri.query().unwrap_or_default());
        let polling =
            query.transport.as_deref() == Some("polling") && query.revision.as_deref() == Some("4");
        let sid = query
            .sid
            .filter(|_| polling)
            .and_then(|sid| SessionId::parse(&sid));
        let Some((sid, shard)) =
            sid.and_then(|sid| Some((sid, sid.shard(self.context.shard.node)?)))
        else {
            return;
        };
        if shard == self.context.shard.id {
            polling::aborted(self.context.shard.by_sid(&sid));
        } else {
            self.context.send(shard, Mail::Aborted { sid });
        }
    }
}

/// Answers a request.
pub async fn handle(
    context: &Rc<Context>,
    request: Request<Incoming>,
    arrival: Arrival,
) -> Outcome {
    let cors = &context.settings.cors;
    let proxies = &context.settings.trusted_proxies;
    let host = address::host(request.headers(), arrival.peer, proxies);
    let verdict = origin::check(request.headers(), host, cors);
    // Without WebSocket there is nothing to upgrade to: the request is answered as any other.
    let wants_websocket = context.settings.websocket && wants_websocket(&request);
    if verdict == Verdict::Refused {
        context.refused.note(request.headers());
        context.shard.traffic.rejected.increment("origin");
        return Outcome::Reply(refuse(EngineError::Forbidden, wants_websocket));
    }
    if request.method() == Method::OPTIONS
        && matches!(verdict, Verdict::Listed(_) | Verdict::SameHost)
    {
        let mut response = origin::preflight(request.headers(), cors);
        origin::decorate(&mut response, &verdict, cors);
        return Outcome::Reply(response);
    }
    let mut outcome = match admit(context, &request, &verdict, wants_websocket) {
        Err(refusal) => Outcome::Reply(*refusal),
        Ok(Admitted::Handshake) => handshake(context, &request, arrival),
        Ok(Admitted::NewWebSocket) => open_websocket(context, &request, arrival),
        Ok(Admitted::Poll(sid, shard)) => poll(context, request, sid, shard).await,
        Ok(Admitted::Refuse(sid, shard, answer)) => {
            let answer = if exists(context, sid, shard).await {
                answer
            } else {
                EngineError::SessionUnknown.answer()
            };
            Outcome::Reply(answer.into_response().unwrap_or_default())
        }
        Ok(Admitted::Upgrade(sid, shard)) => match switch(&request) {
            Ok(response) => Outcome::Upgrade(response, sid, shard),
            Err(refusal) => Outcome::Reply(*refusal),
        },
    };
    if let Outcome::Reply(response)
    | Outcome::NewSession(response, _)
    | Outcome::Upgrade(response, ..) = &mut outcome
    {
        origin::decorate(response, &verdict, cors);
    }
    outcome
}

fn wants_websocket(request: &Request<Incoming>) -> bool {
    let upgrade = request
        .headers()
        .get(header::UPGRADE)
        .and_then(|v| v.to_str().ok());
    upgrade.is_some_and(|v| {
        v.split(',')
            .any(|p| p.trim().eq_ignore_ascii_case("websocket"))
    })
}

fn refuse(error: EngineError, wants_websocket: bool) -> Reply {
    if wants_websocket {
        return error.refuse_upgrade();
    }
    error.answer().into_response().unwrap_or_default()
}

/// What a valid request is for.
enum Admitted {
    Handshake,
    NewWebSocket,
    Poll(SessionId, ShardId),
    /// Refused so, unless there is no such session at all.
    Refuse(SessionId, ShardId, Answer),
    Upgrade(SessionId, ShardId),
}

/// The checks of protocol 1.2, in their order.
fn admit(
    context: &Context,
    request: &Request<Incoming>,
    verdict: &Verdict,
    wants_websocket: bool,
) -> Result<Admitted, Box<Reply>> {
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let fail = |error| {
        context.shard.traffic.rejected.increment("bad_request");
        Err(Box::new(refuse(error, wants_websocket)))
    };
    let websocket = match query.transport.as_deref() {
        Some("polling") if context.settings.polling => false,
        Some("websocket") if context.settings.websocket => true,
        _ => return fail(EngineError::TransportUnknown),
    };
    if *verdict == Verdict::Malformed || (wants_websocket && !websocket) {
        return fail(EngineError::BadRequest);
    }
    if let Some(sid) = &query.sid {
        let known =
            SessionId::parse(sid).and_then(|sid| Some((sid, sid.shard(context.shard.node)?)));
        let Some((sid, shard)) = known.filter(|(_, shard)| shard.index() < context.mail.len())
        else {
            return fail(EngineError::SessionUnknown);
        };
        let same_revision = query.revision.as_deref() == Some("4");
        // A session that is not there is reported before everything else that is wrong; only its shard knows.
        return Ok(match (wants_websocket, websocket, request.method()) {
            (true, _, _) if same_revision => Admitted::Upgrade(sid, shard),
            (true, _, _) => return fail(EngineError::BadRequest),
            (false, false, &Method::GET | &Method::POST) if same_revision => {
                Admitted::Poll(sid, shard)
            }
            (false, false, &Method::GET | &Method::POST) | (false, true, _) => {
                Admitted::Refuse(sid, shard, EngineError::BadRequest.answer())
            }
            (false, false, _) => {
                Admitted::Refuse(sid, shard, Answer::empty(StatusCode::METHOD_NOT_ALLOWED))
            }
        });
    }
    if request.method() != Method::GET {
        return fail(EngineError::BadHandshakeMethod);
    }
    if websocket && !wants_websocket {
        return fail(EngineError::BadRequest);
    }
    if query.revision.as_deref() != Some("4") {
        return fail(EngineError::UnsupportedProtocol);
    }
    if let Some(reason) = unavailable(context) {
        context.shard.traffic.rejected.increment(reason);
        return Err(Box::new(busy(wants_websocket)));
    }
    Ok(if websocket {
        Admitted::NewWebSocket
    } else {
        Admitted::Handshake
    })
}

/// New sessions are refused while they could only wait.
fn unavailable(context: &Context) -> Option<&'static str> {
    if context.is_draining() {
        Some("drain")
    } else if context.memory.is_full() {
        Some("memory")
    } else {
        context.shard.is_undecidable()
    }
}

fn busy(wants_websocket: bool) -> Reply {
    let mut response = if wants_websocket {
        refuse_upgrade(StatusCode::SERVICE_UNAVAILABLE, "Service unavailable")
    } else {
        let body = Bytes::from_static(br#"{"code":3,"message":"Service unavailable"}"#);
        let answer = Answer::Body {
            status: 503,
            content_type: "application/json",
            body,
        };
        answer.into_response().unwrap_or_default()
    };
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

// ---- polling ----------------------------------------------------------------------------------------------------------------

async fn poll(
    context: &Rc<Context>,
    request: Request<Incoming>,
    sid: SessionId,
    shard: ShardId,
) -> Outcome {
    let elsewhere = shard != context.shard.id;
    let coding = Coding::choose(request.headers());
    let answer = if request.method() == Method::GET {
        if elsewhere {
            get_elsewhere(context, shard, sid).await
        } else {
            get(context, &sid).await
        }
    } else {
        let body = read_body(context, request);
        if elsewhere {
            post_elsewhere(context, shard, sid, body).await
        } else {
            post(context, &sid, body).await
        }
    };
    match compressed(context, answer, coding) {
        Some(response) => Outcome::Reply(response),
        None => Outcome::Abort,
    }
}

/// Whether a shard has this session.
async fn exists(context: &Context, sid: SessionId, shard: ShardId) -> bool {
    if shard == context.shard.id {
        return context.shard.by_sid(&sid).is_some();
    }
    let (reply, answer) = oneshot::channel();
    context.send(shard, Mail::Exists { sid, reply });
    answer.await.unwrap_or(false)
}

fn compressed(context: &Context, answer: Answer, coding: Option<Coding>) -> Option<Reply> {
    let Answer::Body {
        status: 200,
        content_type,
        body,
    } = answer
    else {
        return answer.into_response();
    };
    let coding = coding.filter(|_| {
        context
            .settings
            .compress_from
            .is_some_and(|from| body.len() >= from)
    });
    let Some(coding) = coding else {
        return Answer::Body {
            status: 200,
            content_type,
            body,
        }
        .into_response();
    };
    let body = coding.encode(&body).into();
    let mut response = Answer::Body {
        status: 200,
        content_type,
        body,
    }
    .into_response()?;
    response.headers_mut().insert(
        header::CONTENT_ENCODING,
        HeaderValue::from_static(coding.as_str()),
    );
    Some(response)
}

/// A GET for a session of this shard.
pub(crate) async fn get(context: &Context, sid: &SessionId) -> Answer {
    match polling::find(context.shard.by_sid(sid)) {
        Ok(session) => polling::get(&session, &context.settings).await,
        Err(answer) => answer,
    }
}

/// A POST for a session of this shard.
pub(crate) async fn post(
    context: &Context,
    sid: &SessionId,
    body: impl Future<Output = Result<Bytes, BodyError>>,
) -> Answer {
    match polling::find(context.shard.by_sid(sid)) {
        Ok(session) => polling::post(&session, &context.settings, body).await,
        Err(answer) => answer,
    }
}

async fn get_elsewhere(context: &Context, owner: ShardId, sid: SessionId) -> Answer {
    let (reply, answer) = oneshot::channel();
    context.send(owner, Mail::Get { sid, reply });
    answer.await.unwrap_or(Answer::Abort)
}

async fn post_elsewhere(
    context: &Context,
    owner: ShardId,
    sid: SessionId,
    body: impl Future<Output = Result<Bytes, BodyError>>,
) -> Answer {
    let (reply, mut answer) = oneshot::channel();
    let (send_body, body_receiver) = oneshot::channel();
    context.send(
        owner,
        Mail::Post {
            sid,
            body: body_receiver,
            reply,
        },
    );
    tokio::select! {
        biased;
        answer = &mut answer => return answer.unwrap_or(Answer::Abort),
        body = body => drop(send_body.send(body)),
    }
    answer.await.unwrap_or(Answer::Abort)
}

async fn read_body(context: &Context, request: Request<Incoming>) -> Result<Bytes, BodyError> {
    let octets = request
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|v| v == "application/octet-stream");
    let limit = context.settings.max_payload;
    if request.body().size_hint().lower() > limit as u64 {
        return Err(BodyError::TooLarge);
    }
    if octets {
        return Err(BodyError::OctetStream);
    }
    collect(request.into_body(), limit, context.settings.body_timeout).await
}

async fn collect(body: Incoming, limit: usize, timeout: Duration) -> Result<Bytes, BodyError> {
    match tokio::time::timeout(timeout, Limited::new(body, limit).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(BodyError::TooLarge)
        }
        Ok(Err(_)) => Err(BodyError::Aborted),
        Err(_) => Err(BodyError::TimedOut),
    }
}
