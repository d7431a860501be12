//! [`Answer`]: what a polling request gets, as plain data that can cross threads; and the errors of Engine.IO (protocol 1.2).

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};

/// An answer to a request under the Engine.IO path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Packets, or `ok`.
    Body {
        /// Status code.
        status: u16,
        /// `content-type`; empty: none.
        content_type: &'static str,
        /// The body.
        body: Bytes,
    },
    /// The connection is ended without an answer.
    Abort,
}

/// The bodies and codes that clients know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineError {
    /// Missing, unknown or disabled transport.
    TransportUnknown,
    /// Unknown, expired or closed session.
    SessionUnknown,
    /// A handshake that is no GET.
    BadHandshakeMethod,
    /// Transport or revision do not fit the session, or a malformed origin.
    BadRequest,
    /// The origin is not allowed.
    Forbidden,
    /// A revision that we do not speak.
    UnsupportedProtocol,
}

impl EngineError {
    /// The number in the body.
    pub fn code(self) -> u8 {
        match self {
            Self::TransportUnknown => 0,
            Self::SessionUnknown => 1,
            Self::BadHandshakeMethod => 2,
            Self::BadRequest => 3,
            Self::Forbidden => 4,
            Self::UnsupportedProtocol => 5,
        }
    }

    /// The text in the body.
    pub fn message(self) -> &'static str {
        match self {
            Self::TransportUnknown => "Transport unknown",
            Self::SessionUnknown => "Session ID unknown",
            Self::BadHandshakeMethod => "Bad handshake method",
            Self::BadRequest => "Bad request",
            Self::Forbidden => "Forbidden",
            Self::UnsupportedProtocol => "Unsupported protocol version",
        }
    }

    fn status(self) -> StatusCode {
        if self == Self::Forbidden {
            StatusCode::FORBIDDEN
        } else {
            StatusCode::BAD_REQUEST
        }
    }

    /// For plain requests: JSON.
    pub fn answer(self) -> Answer {
        let body = format!(
            r#"{{"code":{},"message":"{}"}}"#,
            self.code(),
            self.message()
        );
        Answer::Body {
            status: self.status().as_u16(),
            content_type: "application/json",
            body: body.into(),
        }
    }

    /// For requests that wanted a WebSocket: text, and the connection ends.
    pub fn refuse_upgrade(self) -> Response<Full<Bytes>> {
        refuse_upgrade(self.status(), self.message())
    }
}

/// Refuses a WebSocket before the 101.
pub fn refuse_upgrade(status: StatusCode, message: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(message.as_bytes())));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
    response
}

impl Answer {
    /// Packets for a GET.
    pub fn packets(body: impl Into<Bytes>) -> Self {
        Self::Body {
            status: 200,
            content_type: "text/plain; charset=UTF-8",
            body: body.into(),
        }
    }

    /// A POST that was handed over.
    pub fn ok() -> Self {
        Self::Body {
            status: 200,
            content_type: "text/html",
            body: Bytes::from_static(b"ok"),
        }
    }

    /// A status alone.
    pub fn empty(status: StatusCode) -> Self {
        Self::Body {
            status: status.as_u16(),
            content_type: "",
            body: Bytes::new(),
        }
    }

    /// The response; `None`: the connection must be ended.
    pub fn into_response(self) -> Option<Response<Full<Bytes>>> {
        let Self::Body {
            status,
            content_type,
            body,
        } = self
        else {
            return None;
        };
        let mut response = Response::new(Full::new(body));
        *response.status_mut() =
            StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        if !content_type.is_empty() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Some(response)
    }
}
