//! The request of a webhook (contract 2): what all attempts of a call share, and what differs in each.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use rand::RngExt as _;
use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT,
};
use reqwest::{Method, Request, Url};

use super::client::{ClientError, request_url};
use super::settings::Settings;
use super::signature::Signer;

const AGENT: &str = concat!("sockgate/", env!("CARGO_PKG_VERSION"));

/// What a message is about, as `sockgate-type` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A question: may the client join?
    Connect,
    /// A question: what about this event?
    Event,
    /// A notice: the socket has ended.
    Disconnect,
}

impl Kind {
    /// The word used in headers and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Event => "event",
            Self::Disconnect => "disconnect",
        }
    }
}

/// A call as it is sent: the same in all attempts.
pub struct Message {
    /// What it is about.
    pub kind: Kind,
    /// Value of `webhook-id`.
    id: String,
    /// The body, byte by byte.
    body: Bytes,
    /// The client's headers that are passed on.
    passed: HeaderMap,
    trace: u128,
}

impl Message {
    /// A message with a fresh trace; `id` is made of ASCII letters, digits and `_`.
    pub fn new(kind: Kind, id: String, body: Bytes) -> Self {
        Self {
            kind,
            id,
            body,
            passed: HeaderMap::new(),
            trace: rand::rng().random_range(1..=u128::MAX),
        }
    }

    /// Puts it into a trace that is known already; not 0.
    #[must_use]
    pub fn in_trace(self, trace: u128) -> Self {
        Self { trace, ..self }
    }

    /// Adds the client's headers that the namespace passes on; one that cannot be sent is left out.
    #[must_use]
    pub fn pass<'a>(
        mut self,
        names: &[Box<str>],
        headers: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        for (name, value) in headers {
            if !names.iter().any(|listed| **listed == *name) {
                continue;
            }
            let parsed = (
                HeaderName::try_from(name),
                HeaderValue::try_from(value.as_bytes()),
            );
            if let (Ok(name), Ok(mut value)) = parsed {
                value.set_sensitive(true);
                self.passed.insert(name, value);
            }
        }
        self
    }

    /// Bytes that the message takes while it waits.
    pub fn size(&self) -> usize {
        self.body.len() + self.id.len()
    }
}

/// Never the payload.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("kind", &self.kind)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// What all requests to an upstream share.
#[derive(Debug)]
pub struct Template {
    url: Url,
    /// Ours that do not change.
    fixed: HeaderMap,
    /// The operator's: they win over what clients send.
    configured: HeaderMap,
    signer: Signer,
}

impl Template {
    /// Checks address and headers.
    pub fn new(settings: &Settings) -> Result<Self, ClientError> {
        let fixed = HeaderMap::from_iter([
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (USER_AGENT, HeaderValue::from_static(AGENT)),
            (ACCEPT_ENCODING, HeaderValue::from_static("identity")),
        ]);
        let mut configured = HeaderMap::new();
        for (name, secret) in &settings.headers {
            let unusable = || ClientError::Header(name.clone());
            let key = HeaderName::try_from(&**name).map_err(|_| unusable())?;
            let mut value = HeaderValue::try_from(secret.expose()).map_err(|_| unusable())?;
            value.set_sensitive(true);
            configured.append(key, value);
        }
        Ok(Self {
            url: request_url(&settings.url)?,
            fixed,
            configured,
            signer: Signer::new(&settings.secrets),
        })
    }

    /// The request of one attempt, counted from 1, with the time that is left for its answer.
    pub fn request(
        &self,
        message: &Message,
        attempt: u32,
        left: Duration,
        now: SystemTime,
    ) -> Request {
        let mut request = Request::new(Method::POST, self.url.clone());
        let headers = request.headers_mut();
        self.add_shared(headers, message);
        let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs());
        let mut set = |name, value: String| {
            let value = HeaderValue::try_from(value).expect("made of ASCII letters and digits");
            headers.insert(HeaderName::from_static(name), value);
        };
        set("webhook-id", message.id.clone());
        set("webhook-timestamp", seconds.to_string());
        if let Some(signature) = self.signer.sign(&message.id, seconds, &message.body) {
            set("webhook-signature", signature);
        }
        set("traceparent", traceparent(message.trace));
        set("sockgate-type", message.kind.as_str().to_owned());
        set("sockgate-attempt", attempt.to_string());
        set("sockgate-timeout-ms", left.as_millis().to_string());
        *request.body_mut() = Some(message.body.clone().into());
        request
    }

    fn add_shared(&self, headers: &mut HeaderMap, message: &Message) {
        headers.clone_from(&self.fixed);
        for (name, value) in &message.passed {
            // What the client's browser can decompress says nothing about us.
            if name != ACCEPT_ENCODING && name != CONTENT_TYPE {
                headers.insert(name.clone(), value.clone());
            }
        }
        for name in self.configured.keys() {
            headers.remove(name);
        }
        for (name, value) in &self.configured {
            headers.append(name.clone(), value.clone());
        }
    }
}

/// W3C trace context: the call's trace, and a span for this attempt.
fn traceparent(trace: u128) -> String {
    let span = rand::rng().random_range(1..=u64::MAX);
    format!("00-{trace:032x}-{span:016x}-01")
}

#[cfg(test)]
mod tests;
