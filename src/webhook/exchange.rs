//! One attempt over HTTP: sends, reads as much as somebody wants, and always ends by its deadline.

use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, Request, Response};
use tokio::time::{Instant, timeout_at};

use super::connection;
use super::outcome::{Outcome, Refusal, parse_retry_after};

/// Largest body of a 4xx that is looked at: a `reject` object is smaller.
const MAX_REFUSAL: usize = 32 << 10;

/// Types of replies that come with a later version.
const LATER: [&str; 2] = ["application/msgpack", "application/x-ndjson"];

/// Which bodies are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Bytes of a 2xx, or `None`: it does not matter.
    pub reply: Option<usize>,
    /// Whether a 4xx may hold a decision.
    pub refusal: bool,
}

/// Sends the request and reads the answer.
///
/// Bodies that nobody wants are left unread; the client keeps the connection if they were small.
pub async fn exchange(
    client: &Client,
    request: Request,
    reading: Reading,
    deadline: Instant,
) -> Outcome {
    let sent = timeout_at(deadline, connection::watch(client.execute(request))).await;
    let response = match sent {
        Err(_) => return Outcome::Timeout,
        Ok((Err(error), opened)) => return Outcome::unanswered(&error, opened),
        Ok((Ok(response), _)) => response,
    };
    if !response.status().is_success() {
        return Outcome::Status(refusal(response, reading, deadline).await);
    }
    let code = response.status().as_u16();
    let Some(limit) = reading.reply else {
        let body = Bytes::new();
        return Outcome::Success { code, body };
    };
    let later = type_of_later(response.headers());
    match timeout_at(deadline, read(response, limit)).await {
        Err(_) => Outcome::Timeout,
        Ok(Ok(body)) => match later.filter(|_| !body.is_empty()) {
            Some(media_type) => Outcome::NotYet(media_type),
            None => Outcome::Success { code, body },
        },
        Ok(Err(Unread::TooLarge)) => Outcome::TooLarge,
        Ok(Err(Unread::Cut(error))) => Outcome::cut(&error),
    }
}

/// A type that the contract knows and this version does not read. Any other is taken for JSON, whatever it says (contract 4); these
/// would sometimes pass for JSON, and mean something else.
fn type_of_later(headers: &HeaderMap) -> Option<&'static str> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let essence = value.split(';').next().unwrap_or_default().trim();
    LATER
        .into_iter()
        .find(|later| essence.eq_ignore_ascii_case(later))
}

/// The status is the answer; a body that does not come in time, or is too large, counts as none.
async fn refusal(response: Response, reading: Reading, deadline: Instant) -> Refusal {
    let status = response.status();
    let retry_after = match status.as_u16() {
        408 | 425 | 429 | 503 => response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| parse_retry_after(value, SystemTime::now())),
        _ => None,
    };
    let body = if reading.refusal && status.is_client_error() {
        match timeout_at(deadline, read(response, MAX_REFUSAL)).await {
            Ok(Ok(body)) => body,
            _ => Bytes::new(),
        }
    } else {
        Bytes::new()
    };
    Refusal {
        code: status.as_u16(),
        retry_after,
        body,
    }
}

enum Unread {
    TooLarge,
    Cut(reqwest::Error),
}

async fn read(mut response: Response, limit: usize) -> Result<Bytes, Unread> {
    let announced = response.content_length().unwrap_or_default();
    if usize::try_from(announced).map_or(true, |announced| announced > limit) {
        return Err(Unread::TooLarge);
    }
    // Most replies come in one piece, which is taken as it is.
    let Some(first) = response.chunk().await.map_err(Unread::Cut)? else {
        return Ok(Bytes::new());
    };
    let mut body = first;
    while let Some(chunk) = response.chunk().await.map_err(Unread::Cut)? {
        if body.len() + chunk.len() > limit {
            return Err(Unread::TooLarge);
        }
        let mut joined = body
            .try_into_mut()
            .unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        joined.extend_from_slice(&chunk);
        body = joined.freeze();
    }
    if body.len() > limit {
        return Err(Unread::TooLarge);
    }
    Ok(body)
}
