//! What was written: one tree of values from all layers, and the reader that goes through it table by table.
//!
//! A [`Table`] is asked for its keys one by one. Every question says how the value must look; every answer that is wrong becomes
//! a problem at the value's place. What nobody asked for is an unknown key. So a reader function is at once the list of the
//! keys of its table, their forms, and their way into the settings.
//!
//! # Why
//! Serde stops at the first mistake of a document and knows a place only while it reads text; here all mistakes are reported
//! at once, each with the line or the variable it came from, after the layers were merged. `serde_path_to_error` would give
//! the path of one mistake; the `config` crate's own conversions are also too kind (`value`).

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use ::config::{Map, Value, ValueKind};

use super::environment::Environment;
use super::problem::{Place, Problem, nearest};
use super::system::System;
use super::value::{LATER, Reading, describe, duration, quote};

/// What was written: the layers merged, every value with its place.
#[derive(Debug)]
pub(super) struct RawConfig {
    /// The root table.
    pub(super) tree: Value,
    /// The file, as it was named.
    pub(super) file: Option<PathBuf>,
    /// What relative paths are relative to.
    pub(super) directory: PathBuf,
    /// What was already wrong while the layers were read.
    pub(super) problems: Vec<Problem>,
    /// Whether secrets may stand in the text itself.
    pub(super) built_in: bool,
}

impl RawConfig {
    /// Whether the text could be read, so that what it says can be looked at.
    pub(super) fn is_readable(&self) -> bool {
        let elsewhere = |place: &Place| matches!(place, Place::Variable(_) | Place::Flag(_));
        self.problems
            .iter()
            .all(|problem| elsewhere(&problem.place))
    }

    /// What readers of its tables need.
    pub(super) fn context<'a>(
        &'a self,
        environment: &'a Environment,
        system: &'a System,
    ) -> Context<'a> {
        Context {
            environment,
            system,
            directory: &self.directory,
            built_in: self.built_in,
            problems: RefCell::new(self.problems.clone()),
        }
    }
}

/// What readers of tables need besides the table.
#[derive(Debug)]
pub(super) struct Context<'a> {
    /// For `env:` secrets.
    pub(super) environment: &'a Environment,
    /// For limits that depend on the machine.
    pub(super) system: &'a System,
    /// What relative paths are relative to.
    pub(super) directory: &'a Path,
    /// Whether secrets may stand in the text itself.
    pub(super) built_in: bool,
    /// What is wrong so far.
    pub(super) problems: RefCell<Vec<Problem>>,
}

impl Context<'_> {
    /// Notes a problem.
    pub(super) fn problem(&self, place: Place, key: impl Into<String>, message: impl Into<String>) {
        self.problems.borrow_mut().push(Problem {
            place,
            key: key.into(),
            message: message.into(),
        });
    }
}

/// One table while it is read.
#[derive(Debug)]
pub(super) struct Table<'a> {
    context: &'a Context<'a>,
    path: String,
    place: Place,
    values: &'a Map<String, Value>,
    known: Vec<&'static str>,
    any_key: bool,
}

impl<'a> Table<'a> {
    /// Reads the root table, which is nowhere in particular.
    pub(super) fn read_root(
        context: &'a Context<'a>,
        root: &'a Value,
        read: impl FnOnce(&mut Self),
    ) {
        Self::read(context, String::new(), Place::Nowhere, root, read);
    }

    fn read<R>(
        context: &'a Context<'a>,
        path: String,
        place: Place,
        value: &'a Value,
        read: impl FnOnce(&mut Self) -> R,
    ) -> Option<R> {
        let ValueKind::Table(values) = &value.kind else {
            let message = format!("expected a table, found {}", describe(value));
            context.problem(place, path, message);
            return None;
        };
        let mut table = Self {
            context,
            path,
            place,
            values,
            known: Vec::new(),
            any_key: false,
        };
        let result = read(&mut table);
        table.finish();
        Some(result)
    }

    /// Everything else that a reader needs.
    pub(super) fn context(&self) -> &'a Context<'a> {
        self.context
    }

    /// Where the table begins.
    pub(super) fn place(&self) -> Place {
        self.place.clone()
    }

    /// Where the key's value is, or the table that lacks it.
    pub(super) fn place_of(&self, key: &str) -> Place {
        self.written(key).map_or(self.place(), Place::of)
    }

    /// The path of the table.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The full path of a key, quoted as TOML would have it.
    pub(super) fn path_of(&self, key: &str) -> String {
        let is_bare = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        let key = if !key.is_empty() && key.bytes().all(is_bare) {
            key.to_owned()
        } else {
            quote(key)
        };
        if self.path.is_empty() {
            key
        } else {
            format!("{}.{key}", self.path)
        }
    }

    fn written(&self, key: &str) -> Option<&'a Value> {
        self.values.get(key)
    }

    /// Whether the key was written, with whatever value.
    pub(super) fn has(&self, key: &str) -> bool {
        self.written(key).is_some()
    }

    /// Notes a problem with a key.
    pub(super) fn wrong(&self, key: &str, message: impl Into<String>) {
        self.context
            .problem(self.place_of(key), self.path_of(key), message);
    }

    /// Notes a problem with the table.
    pub(super) fn wrong_here(&self, message: impl Into<String>) {
        self.context.problem(self.place(), &*self.path, message);
    }

    /// Makes the key known, and gives its value.
    pub(super) fn value(&mut self, key: &'static str) -> Option<&'a Value> {
        self.known.push(key);
        self.written(key)
    }

    /// Reads a key; `None` where it is absent or wrong.
    pub(super) fn get<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&'a Value) -> Reading<T>,
    ) -> Option<T> {
        match read(self.value(key)?) {
            Ok(read) => Some(read),
            Err(message) => {
                self.wrong(key, message);
                None
            }
        }
    }

    /// Reads a key that must be there.
    pub(super) fn require<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&'a Value) -> Reading<T>,
    ) -> Option<T> {
        if !self.has(key) {
            self.wrong(key, "is missing");
        }
        self.get(key, read)
    }

    /// Reads a key into its setting, which keeps its default otherwise.
    pub(super) fn set<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&'a Value) -> Reading<T>,
        setting: &mut T,
    ) {
        if let Some(read) = self.get(key, read) {
            *setting = read;
        }
    }

    /// Reads a list; every wrong item is a problem of its own, and makes the whole `None`.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&'a Value) -> Reading<T>,
    ) -> Option<Vec<(T, Place)>> {
        let value = self.value(key)?;
        let ValueKind::Array(items) = &value.kind else {
            self.wrong(key, format!("expected a list, found {}", describe(value)));
            return None;
        };
        let path = self.path_of(key);
        let read: Vec<_> = items
            .iter()
            .enumerate()
            .filter_map(|(index, item)| match read(item) {
                Ok(read) => Some((read, Place::of(item))),
                Err(message) => {
                    self.context
                        .problem(Place::of(item), format!("{path}[{index}]"), message);
                    None
                }
            })
            .collect();
        (read.len() == items.len()).then_some(read)
    }

    /// Reads one value or a list of such; a list must not be empty.
    pub(super) fn one_or_many<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&'a Value) -> Reading<T>,
    ) -> Option<Vec<(T, Place)>> {
        let value = self.value(key)?;
        if matches!(value.kind, ValueKind::Array(_)) {
            let list = self.list(key, read)?;
            if list.is_empty() {
                self.wrong(key, "must not be empty");
            }
            return Some(list);
        }
        self.get(key, read).map(|one| vec![(one, Place::of(value))])
    }

    /// Reads a table; `None` where it is absent or no table.
    pub(super) fn table<R>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Self) -> R,
    ) -> Option<R> {
        let value = self.value(key)?;
        let (path, place) = (self.path_of(key), Place::of(value));
        Self::read(self.context, path, place, value, read)
    }

    /// Reads an array of tables; what is no table is left out.
    pub(super) fn tables<R>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&mut Self) -> R,
    ) -> Vec<R> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let path = self.path_of(key);
        let ValueKind::Array(items) = &value.kind else {
            let message = format!("expected [[{key}]] tables, found {}", describe(value));
            self.wrong(key, message);
            return Vec::new();
        };
        items
            .iter()
            .enumerate()
            .filter_map(|(index, item)| {
                Self::read(
                    self.context,
                    format!("{path}[{index}]"),
                    Place::of(item),
                    item,
                    &mut read,
                )
            })
            .collect()
    }

    /// All keys and values of a table where every key is valid, sorted.
    pub(super) fn entries(&mut self) -> Vec<(&'a str, &'a Value)> {
        self.any_key = true;
        let mut entries: Vec<_> = self.values.iter().collect();
        entries.sort_by_key(|(key, _)| *key);
        let text = |(key, value): (&'a String, _)| (key.as_str(), value);
        entries.into_iter().map(text).collect()
    }

    /// A key that is to come, and has no value yet that means "off" (contract 14).
    pub(super) fn later(&mut self, key: &'static str) {
        if self.value(key).is_some() {
            self.wrong(key, LATER);
        }
    }

    /// A key that is to come: only the value that means "off" is taken (contract 14).
    pub(super) fn later_but(&mut self, key: &'static str, off: impl Into<ValueKind>) {
        let off = Value::new(None, off);
        match self.value(key) {
            Some(value) if value.kind != off.kind => {
                self.wrong(key, format!("{LATER}; only `{}` is", Toml(&off)));
            }
            _ => {}
        }
    }

    /// A duration that is to come: only 0 is taken.
    pub(super) fn later_time(&mut self, key: &'static str) {
        if self.get(key, duration).is_some_and(|time| !time.is_zero()) {
            self.wrong(key, format!("{LATER}; only `\"0s\"` is"));
        }
    }

    /// Where the value at this path is, or the innermost table on the way to it.
    pub(super) fn place_at(&self, path: &[&str]) -> Place {
        let (mut values, mut place) = (self.values, self.place());
        for key in path {
            let Some(value) = values.get(*key) else {
                break;
            };
            place = Place::of(value);
            let ValueKind::Table(inner) = &value.kind else {
                break;
            };
            values = inner;
        }
        place
    }

    /// The keys asked for so far.
    #[cfg(test)]
    pub(super) fn known(&self) -> &[&'static str] {
        &self.known
    }

    /// Reports what nobody asked for.
    fn finish(&self) {
        for (key, value) in self.values {
            if self.any_key || self.known.contains(&key.as_str()) {
                continue;
            }
            let message = match nearest(key, self.known.iter().copied()) {
                Some(nearest) => format!("unknown key; the nearest valid key is `{nearest}`"),
                None => "unknown key".to_owned(),
            };
            self.context
                .problem(Place::of(value), self.path_of(key), message);
        }
    }
}

/// A scalar as it is written in the file.
struct Toml<'a>(&'a Value);

impl std::fmt::Display for Toml<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0.kind {
            ValueKind::String(text) => write!(f, "{text:?}"),
            kind => write!(f, "{kind}"),
        }
    }
}
