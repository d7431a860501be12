//! A [`Backend`] without HTTP: the chat of `sockgate demo`, inside the program.
//!
//! It is asked and it answers as one behind a webhook: the chat gets the body that [`call`] writes, and what it says goes through
//! the reader of [`reply`]; what it does of its own accord goes through that of [`rest`]. So whatever the demo does, a backend in
//! any language can do. All of it is also shown to the clients in [`PANEL`], word for word but for long attachments.
//!
//! Not here: retries, deadlines, breakers (nothing can fail on the way), limits on what clients send (the configuration's).

mod chat;
mod words;

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::contract::answer::{Accepted, effect_id};
use crate::contract::audience::Namespaces;
use crate::contract::reply::{self, ReplyContext, ReplyKind};
use crate::contract::rest::{self, RestContext};
use crate::contract::{call, problem::Problem};
use crate::hub::switchboard::Switchboard;
use crate::session::backend::{Backend, BackendError, Call, CallKind, Reply};
use crate::session::settings::Forward;
use chat::{Chat, Said};

/// The namespace whose clients see every call.
pub const PANEL: &str = "/panel";
/// Characters of base64 that are shown of an attachment.
const SHOWN: usize = 48;

/// What the built-in backend needs to know of the node.
pub struct Surroundings {
    /// Its name.
    pub node: Box<str>,
    /// The namespaces that there are.
    pub namespaces: Box<dyn Namespaces + Send + Sync>,
    /// Largest emit as a client gets it; 0 for any.
    pub max_emit: usize,
    /// Rooms of one socket; 0 for any number.
    pub max_rooms: usize,
    /// Where emits go that are no reply.
    pub switchboard: Arc<Switchboard>,
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

/// The built-in backend; all shards share it, as they would share one behind a webhook.
#[derive(Debug)]
pub struct Builtin {
    surroundings: Surroundings,
    chat: Mutex<Chat>,
}

/// One exchange between gateway and backend, as the panel shows it.
#[derive(Serialize)]
struct Exchange<'a> {
    /// `webhook`: the gateway asked; `rest`: the backend did.
    kind: &'static str,
    /// `webhook-id`, or the path.
    id: &'a str,
    request: &'a RawValue,
    status: u16,
    reply: &'a RawValue,
}

/// `POST /v1/emit` to everybody who looks at the panel.
#[derive(Serialize)]
struct Show<'a> {
    namespace: &'static str,
    event: &'static str,
    args: [Exchange<'a>; 1],
    to: Everybody,
}

#[derive(Serialize)]
struct Everybody {
    all: bool,
}

impl Builtin {
    /// A backend that has heard nothing yet.
    pub fn new(surroundings: Surroundings) -> Self {
        Self {
            surroundings,
            chat: Mutex::default(),
        }
    }

    /// The backend of a namespace's routes, for one shard.
    pub fn backend(self: &Arc<Self>, forward: Forward) -> Rc<dyn Backend> {
        Rc::new(Link {
            builtin: Arc::clone(self),
            forward,
        })
    }

    fn ask(&self, call: &Call, forward: &Forward) -> Result<Reply, BackendError> {
        let id = call::id(call);
        let body = call::body(call, &self.surroundings.node, forward);
        let said = self.chat.lock().answer(&id, &body);
        self.show("webhook", &id, &body, 200, said.reply.as_bytes(), call);
        let parsed = self.parse(call, &said);
        for emit in &said.emits {
            let (status, answer) = match self.emit(emit) {
                Ok(()) => (202, to_raw_value(&Accepted { id: effect_id() })),
                Err(problem) => (problem.code.status(), to_raw_value(&problem)),
            };
            let answer = answer.unwrap_or_default();
            let answer = answer.get().as_bytes();
            self.show("rest", "/v1/emit", emit.as_bytes(), status, answer, call);
        }
        parsed
    }

    fn parse(&self, call: &Call, said: &Said) -> Result<Reply, BackendError> {
        let kind = match call.kind {
            CallKind::Connect { .. } => ReplyKind::Connect,
            CallKind::Event { .. } | CallKind::Disconnect { .. } => ReplyKind::Event,
        };
        let context = ReplyContext {
            socket: call.socket.id,
            namespace: &call.socket.namespace,
            namespaces: &*self.surroundings.namespaces,
            max_emit: self.surroundings.max_emit,
            max_rooms: self.surroundings.max_rooms,
            now: SystemTime::now(),
        };
        match reply::parse(kind, said.reply.as_bytes(), &context) {
            Ok(parsed) => Ok(parsed.reply),
            Err(bad) => {
                tracing::warn!(cause = %bad, "bad reply");
                Err(BackendError::BadReply)
            }
        }
    }

    /// What a backend does by `POST /v1/emit`.
    fn emit(&self, body: &str) -> Result<(), Problem> {
        let context = RestContext {
            namespaces: &*self.surroundings.namespaces,
            max_emit: self.surroundings.max_emit,
        };
        let action = rest::emit(body.as_bytes(), &context)?
            .emit
            .into_action(None);
        let switchboard = &self.surroundings.switchboard;
        switchboard.count_encoding();
        if switchboard.try_emit(action, Instant::now()).is_err() {
            tracing::debug!("an emit of the demo is lost: an inbox is full");
        }
        Ok(())
    }

    fn show(
        &self,
        kind: &'static str,
        id: &str,
        request: &[u8],
        status: u16,
        reply: &[u8],
        of: &Call,
    ) {
        let attachments = match &of.kind {
            CallKind::Event { attachments, .. } => &attachments[..],
            CallKind::Connect { .. } | CallKind::Disconnect { .. } => &[],
        };
        let text = |body: &[u8]| {
            let mut text = String::from_utf8_lossy(body).into_owned();
            for bytes in attachments {
                let base64 = STANDARD.encode(bytes);
                if base64.len() > SHOWN {
                    let rest = base64.len() - SHOWN;
                    let short = format!("{}… and {rest} characters more", &base64[..SHOWN]);
                    text = text.replace(&base64, &short);
                }
            }
            RawValue::from_string(text)
        };
        let (Ok(request), Ok(reply)) = (text(request), text(reply)) else {
            return;
        };
        let exchange = Exchange {
            kind,
            id,
            request: &request,
            status,
            reply: &reply,
        };
        let show = Show {
            namespace: PANEL,
            event: "exchange",
            args: [exchange],
            to: Everybody { all: true },
        };
        let shown = serde_json::to_string(&show).map(|body| self.emit(&body));
        if !matches!(shown, Ok(Ok(()))) {
            tracing::debug!("an exchange is not shown in the panel");
        }
    }
}

/// The way of a namespace's routes to the backend.
struct Link {
    builtin: Arc<Builtin>,
    forward: Forward,
}

impl Backend for Link {
    fn call(&self, call: Rc<Call>) -> LocalBoxFuture<'_, Result<Reply, BackendError>> {
        let answer = self.builtin.ask(&call, &self.forward);
        std::future::ready(answer).boxed_local()
    }
}

#[cfg(test)]
mod tests;
