//! Names that operators choose, and patterns of names that clients choose.

use std::collections::HashMap;

use ::config::Value;

use super::problem::Place;
use super::raw::Table;
use super::value::{Reading, quote, text};
use crate::hub::id::{MAX_NAME, NameError, Namespace, check_client_event};
use crate::hub::pattern::Pattern;

/// Longest name of an upstream, a key or a route, in bytes: they are labels of metrics.
pub(super) const MAX_LABEL: usize = 64;

/// The name of an upstream or a key: a variable's name must be able to spell it.
pub(super) fn label(value: &Value) -> Reading<&str> {
    let name = text(value)?;
    let valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if !(1..=MAX_LABEL).contains(&name.len()) || !name.bytes().all(valid) {
        return Err(format!(
            "expected 1 to {MAX_LABEL} letters, digits, `-`, `_` or `.`, found {}",
            quote(name)
        ));
    }
    Ok(name)
}

/// The name of a route: any text of 1–64 bytes.
pub(super) fn route_name(value: &Value) -> Reading<Box<str>> {
    let name = text(value)?;
    if !(1..=MAX_LABEL).contains(&name.len()) || name.chars().any(char::is_control) {
        return Err(format!(
            "must be 1 to {MAX_LABEL} bytes without control characters"
        ));
    }
    Ok(name.into())
}

/// A namespace or a pattern of namespaces (contract 7a).
pub(super) fn namespaces(value: &Value) -> Reading<Pattern> {
    let written = text(value)?;
    // A leading star stands for the slash, too.
    let checked = match written.strip_prefix('*') {
        Some(rest) => Namespace::new(&format!("/{rest}")),
        None => Namespace::new(written),
    };
    match checked {
        Ok(_) => Ok(Pattern::new(written)),
        Err(error) => Err(format!("namespace {} {error}", quote(written))),
    }
}

/// An event name that a client may send, or a pattern of such.
pub(super) fn events(value: &Value) -> Reading<Pattern> {
    let written = text(value)?;
    match check_client_event(written) {
        Ok(()) => Ok(Pattern::new(written)),
        Err(NameError::Reserved) if matches!(written, "connect" | "disconnect") => Err(format!(
            "event {written:?} is reserved; a route for that step of a socket's life has `on = [{written:?}]`"
        )),
        Err(error) => Err(format!("event {} {error}", quote(written))),
    }
}

/// The beginning of a room's name.
pub(super) fn room_prefix(value: &Value) -> Reading<Box<str>> {
    let prefix = text(value)?;
    if prefix.len() > MAX_NAME || prefix.chars().any(char::is_control) {
        return Err(format!(
            "must be at most {MAX_NAME} bytes without control characters"
        ));
    }
    Ok(prefix.into())
}

/// Names that are taken, and where.
#[derive(Debug, Default)]
pub(super) struct Taken(HashMap<Box<str>, Place>);

impl Taken {
    /// Takes the name that a table has under `name`. One that is taken already is a problem of the table, and `false`.
    pub(super) fn take(&mut self, table: &Table<'_>, name: &str) -> bool {
        if let Some(first) = self.0.get(name) {
            table.wrong("name", format!("{} is taken{}", quote(name), at(first)));
            return false;
        }
        self.0.insert(name.into(), table.place_of("name"));
        true
    }
}

/// ` (line 7)`, where that is known.
pub(super) fn at(place: &Place) -> String {
    match place {
        Place::File { line, .. } => format!(" (line {line})"),
        _ => String::new(),
    }
}
