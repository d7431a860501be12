//! From a request to its operation, and back to an answer.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Body as HttpBody;
use hyper::http::request::Parts as Head;
use hyper::{Method, Request, Response};

use super::auth::Caller;
use super::body::{self, Body};
use super::counters::Watch;
use super::reply::{Refusal, Success, response};
use super::settings::Scope;
use super::trace::Trace;
use super::{Api, Inner, actions, emit, reads};
use crate::contract::problem::{Code, Problem};
use crate::contract::query;

/// What a request can be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Effect(Effect),
    Read(Read),
}

/// What changes something, or reaches clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Emit,
    Actions,
    Single(actions::Single),
}

/// What tells something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    Namespaces,
    Rooms,
    Sockets,
    Nodes,
    Upstreams,
    Openapi,
}

impl Operation {
    /// The operation of a path, and its name in metrics and logs.
    fn at(path: &str) -> Option<(Self, &'static str)> {
        use actions::Single;
        Some(match path.strip_prefix("/v1/")? {
            "emit" => (Self::Effect(Effect::Emit), "emit"),
            "actions" => (Self::Effect(Effect::Actions), "actions"),
            "join" => (Self::Effect(Effect::Single(Single::Join)), "join"),
            "leave" => (Self::Effect(Effect::Single(Single::Leave)), "leave"),
            "disconnect" => (
                Self::Effect(Effect::Single(Single::Disconnect)),
                "disconnect",
            ),
            "namespaces" => (Self::Read(Read::Namespaces), "namespaces"),
            "rooms" => (Self::Read(Read::Rooms), "rooms"),
            "sockets" => (Self::Read(Read::Sockets), "sockets"),
            "nodes" => (Self::Read(Read::Nodes), "nodes"),
            "upstreams" => (Self::Read(Read::Upstreams), "upstreams"),
            "openapi.json" => (Self::Read(Read::Openapi), "openapi"),
            _ => return None,
        })
    }

    fn check_method(self, method: &Method) -> Result<(), Refusal> {
        match self {
            Self::Effect(_) if method == Method::POST => Ok(()),
            Self::Effect(_) => Err(Refusal::method("POST")),
            Self::Read(_) if method == Method::GET || method == Method::HEAD => Ok(()),
            Self::Read(_) => Err(Refusal::method("GET, HEAD")),
        }
    }

    /// The scope that a key needs; `None` where each action of the body has its own.
    fn scope(self) -> Option<Scope> {
        match self {
            Self::Effect(Effect::Emit) => Some(Scope::Emit),
            Self::Effect(Effect::Actions) => None,
            Self::Effect(Effect::Single(single)) => Some(single.scope()),
            Self::Read(Read::Upstreams) => Some(Scope::Admin),
            Self::Read(_) => Some(Scope::Read),
        }
    }
}

impl Api {
    /// Answers a request of the API listener.
    pub async fn answer<B>(&self, request: Request<B>, peer: SocketAddr) -> Response<Full<Bytes>>
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Send,
    {
        let Self(api) = self;
        let (head, body) = request.into_parts();
        let trace = Trace::of(&head.headers);
        let operation = Operation::at(head.uri.path());
        let op = operation.map_or("other", |(_, name)| name);
        let watch = api.parts.counters.begin(op);
        let mut body = Body::new(&head.headers, body);
        let mut key = "";
        let result = {
            let operation = operation.map(|(operation, _)| operation);
            let result = api.respond(operation, &head, &mut body, peer, &mut key);
            let result = crate::tasks::contain("api", result).await;
            result.unwrap_or_else(|| Err(Refusal::internal()))
        };
        if let Err(refusal) = &result {
            api.parts.counters.refused(refusal.code());
        }
        let close = body.throw_away();
        let id = trace.request_id().to_owned();
        let response = response(result, trace, close);
        end(watch, op, key, &id, &response);
        response
    }
}

/// Counts a request and tells about it.
fn end(watch: Watch<'_>, op: &str, key: &str, id: &str, response: &Response<Full<Bytes>>) {
    let status = response.status();
    let ms = watch.ms();
    tracing::debug!(
        op,
        status = status.as_u16(),
        key,
        ms,
        request_id = id,
        "api"
    );
    if status.is_server_error() && status != hyper::StatusCode::SERVICE_UNAVAILABLE {
        tracing::error!(op, request_id = id, "a request failed by our fault");
    }
    watch.answered(status);
}

impl Inner {
    async fn respond<'a, B>(
        &'a self,
        operation: Option<Operation>,
        head: &Head,
        body: &mut Body<B>,
        peer: SocketAddr,
        name: &mut &'a str,
    ) -> Result<Success, Refusal>
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Send,
    {
        let key = self.auth.admit(&head.headers, peer.ip(), Instant::now())?;
        *name = key.map_or("", |key| &key.name);
        let operation = operation.ok_or_else(not_found)?;
        operation.check_method(&head.method)?;
        let caller = Caller::new(key, &self.parts.namespaces);
        if let Some(scope) = operation.scope() {
            caller.needs(scope)?;
        }
        let query = head.uri.query().unwrap_or_default();
        match operation {
            Operation::Read(read) => self.read(read, &caller, query).await,
            Operation::Effect(effect) => {
                query::none(query)?;
                body::check_headers(&head.headers)?;
                let limit = self.parts.settings.body;
                let body = body.read(limit, self.parts.body_timeout).await?;
                match effect {
                    Effect::Emit => emit::emit(self, &caller, &body).await,
                    Effect::Actions => actions::list(self, &caller, &body).await,
                    Effect::Single(single) => actions::one(self, &caller, single, &body).await,
                }
            }
        }
    }

    async fn read(&self, read: Read, caller: &Caller<'_>, query: &str) -> Result<Success, Refusal> {
        match read {
            Read::Namespaces => reads::namespaces(self, caller, query).await,
            Read::Rooms => reads::rooms(self, caller, query).await,
            Read::Sockets => reads::sockets(self, caller, query).await,
            Read::Nodes => reads::nodes(self, query),
            Read::Upstreams => reads::upstreams(self, query),
            Read::Openapi => reads::openapi(query),
        }
    }
}

fn not_found() -> Refusal {
    let detail = "nothing is here; /v1/openapi.json tells what there is";
    Problem::new(Code::NotFound, detail).into()
}
