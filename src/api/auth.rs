//! Who asks, and what they may do: keys, scopes, namespaces (contract 9).
//!
//! # Why
//! Without keys the API is open on loopback. There a web page could reach it too, by a name of its own that leads to 127.0.0.1:
//! so a request without a key must be addressed to this machine by name. (A page cannot send JSON to another origin without
//! asking first, which nobody answers; that is why a body must say that it is JSON.)

use std::net::IpAddr;
use std::time::Instant;

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HOST};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::NamespaceTable;
use super::reply::Refusal;
use super::settings::{Key, Scope};
use super::throttle::Throttle;
use super::trace::only;
use crate::contract::audience::{Closed, Namespaces};
use crate::contract::problem::{Code, Problem};
use crate::hub::action::UserRoom;
use crate::hub::id::Namespace;

/// The same for a missing and a wrong key.
const NO_KEY: &str = "a valid key is required: authorization: Bearer sgk_…";
const NOT_LOCAL: &str = "without keys only requests to localhost or an IP address are answered";

/// The keys.
#[derive(Debug)]
pub(super) struct Auth {
    keys: Vec<Key>,
    throttle: Mutex<Throttle>,
}

impl Auth {
    pub(super) fn new(keys: Vec<Key>) -> Self {
        Self {
            keys,
            throttle: Mutex::default(),
        }
    }

    /// The key of a request; `None` where none is needed.
    pub(super) fn admit(
        &self,
        headers: &HeaderMap,
        address: IpAddr,
        now: Instant,
    ) -> Result<Option<&Key>, Refusal> {
        if self.keys.is_empty() {
            if is_local(headers) {
                return Ok(None);
            }
            return Err(Problem::new(Code::Unauthenticated, NOT_LOCAL).into());
        }
        let refused = || Problem::new(Code::Unauthenticated, NO_KEY).into();
        let key = bearer(headers).ok_or_else(refused)?;
        if let Some(key) = self.find(key) {
            return Ok(Some(key));
        }
        match self.throttle.lock().wrong_key(address, now) {
            Ok(()) => Err(refused()),
            Err(wait) => Err(Refusal::rate_limited(wait)),
        }
    }

    /// Addresses that wrong keys came from lately.
    pub(super) fn suspects(&self) -> usize {
        self.throttle.lock().addresses()
    }

    /// Looks at every key, so that the time tells nothing about any of them.
    fn find(&self, text: &[u8]) -> Option<&Key> {
        let hash: [u8; 32] = Sha256::digest(text).into();
        let mut found = None;
        for key in &self.keys {
            if bool::from(key.sha256.ct_eq(&hash)) {
                found = Some(key);
            }
        }
        found
    }
}

/// The token of `authorization: Bearer …`.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = only(headers, &AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked("bearer ".len())?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty()).then_some(token)
}

/// Whether the request is addressed to `localhost` or to an IP address. No browser sends such a `host` for a name that leads here.
fn is_local(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST) else {
        return true;
    };
    let Ok(authority) = host
        .to_str()
        .unwrap_or("?")
        .parse::<hyper::http::uri::Authority>()
    else {
        return false;
    };
    let host = authority.host().trim_end_matches('.').to_ascii_lowercase();
    let ip = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.ends_with(".localhost") || ip.parse::<IpAddr>().is_ok()
}

/// Whoever asks, with the namespaces that there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller<'a> {
    key: Option<&'a Key>,
    tables: &'a [NamespaceTable],
}

impl<'a> Caller<'a> {
    /// A request with this key; without one everything is allowed.
    pub(super) fn new(key: Option<&'a Key>, tables: &'a [NamespaceTable]) -> Self {
        Self { key, tables }
    }

    /// Fails where the key lacks the scope.
    pub(super) fn needs(&self, scope: Scope) -> Result<(), Problem> {
        let allows = |key: &Key| key.scopes.iter().any(|s| *s == scope || *s == Scope::Admin);
        if self.key.is_none_or(allows) {
            return Ok(());
        }
        let scope = scope.as_str();
        let detail = format!("the key has no scope '{scope}'");
        Err(Problem::new(Code::ScopeMissing, detail))
    }

    /// Whether the namespace is open to the caller, if it is there.
    pub(super) fn may_touch(&self, namespace: &Namespace) -> bool {
        self.patterns()
            .is_none_or(|patterns| patterns.iter().any(|p| p.matches(namespace.as_str())))
    }

    /// Whether every namespace that there can be is open to the caller.
    pub(super) fn may_touch_all(&self) -> bool {
        self.patterns().is_none_or(|patterns| {
            let is_open =
                |table: &NamespaceTable| patterns.iter().any(|p| p.covers(&table.pattern));
            self.tables.iter().all(is_open)
        })
    }

    /// The table that a namespace belongs to.
    pub(super) fn table(&self, namespace: &Namespace) -> Option<&'a NamespaceTable> {
        let mut tables = self.tables.iter();
        tables.find(|table| table.pattern.matches(namespace.as_str()))
    }

    fn patterns(&self) -> Option<&'a [crate::hub::pattern::Pattern]> {
        self.key?.namespaces.as_deref()
    }
}

/// The key first: whoever may not touch a namespace does not learn whether it is there.
impl Namespaces for Caller<'_> {
    fn user_room(&self, namespace: &Namespace) -> Result<&UserRoom, Closed> {
        if !self.may_touch(namespace) {
            return Err(Closed::Forbidden);
        }
        let table = self.table(namespace).ok_or(Closed::Unknown)?;
        Ok(&table.user_room)
    }
}

#[cfg(test)]
mod tests;
