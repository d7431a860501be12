//! [`Value`] and [`Object`]: how everything that a backend writes is read, replies, actions and REST bodies alike.
//!
//! A value is raw JSON text together with the way to it. A read either gives what was asked for or notes a [`Fault`] at that
//! place and gives `None`; the caller goes on with the next field. Whether there were faults decides in the end what becomes of
//! the whole ([`Faults::settle`]), so that nobody has to tell an absent field from a faulty one:
//!
//! ```text
//! let object = value.object()?;
//! object.only(&FIELDS);                                         // unknown, doubled and future fields are faults
//! let rooms = object.required("rooms").and_then(Value::rooms);
//! let max = object.get("max").and_then(Value::count);
//! let report = object.or("report", false, Value::boolean);
//! Some(Join { rooms: rooms?, max, report })
//! ```
//!
//! # Why
//! Derived deserialisers stop at the first fault and name neither a pointer nor, in one vocabulary for two sides, what is missing
//! in which of them. And what is passed on to clients must stay byte for byte as it came, hence [`RawValue`] instead of a tree.
//!
//! [`Fault`]: super::fault::Fault

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::decimal;
use super::fault::{Cause, Faults, Path};
use crate::hub::action::Change;
use crate::protocol::socket_io::json;

/// Deepest nesting of a body: objects and lists around each other.
pub(super) const MAX_DEPTH: usize = 64;

/// Fields that an object may have at most before it is refused as a whole; no object of the contract comes near.
const MAX_FIELDS: usize = 32;

/// How like a known name an unknown one must be (Jaro–Winkler, 0 to 1) to be taken for its misspelling.
const ALIKE: f64 = 0.75;

/// A JSON value and the way to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'j, 'p> {
    raw: &'j RawValue,
    path: Path<'p>,
    faults: &'p Faults,
}

impl<'j, 'p> Value<'j, 'p> {
    /// Reads a body as a whole: UTF-8, valid JSON, not too deep.
    pub(super) fn document(body: &'j [u8], faults: &'p Faults) -> Option<Self> {
        let malformed = |detail: String| {
            faults.add(&Path::Root, Cause::Malformed, detail);
            None
        };
        if body.trim_ascii().is_empty() {
            return malformed("is empty".to_owned());
        }
        let raw: &RawValue = match serde_json::from_slice(body) {
            Ok(raw) => raw,
            Err(error) => return malformed(format!("is not valid JSON: {error}")),
        };
        if !json::nested_within(raw.get(), MAX_DEPTH) {
            return malformed(format!("is nested deeper than {MAX_DEPTH} levels"));
        }
        Some(Self {
            raw,
            path: Path::Root,
            faults,
        })
    }

    /// The same value, but what is wrong in it is noted apart.
    pub(super) fn apart(self, faults: &'p Faults) -> Self {
        Self { faults, ..self }
    }

    /// The text as it came, without white space around it.
    pub(super) fn raw(self) -> &'j str {
        self.raw.get()
    }

    /// Whether it is `null`.
    pub(super) fn is_null(self) -> bool {
        self.raw() == "null"
    }

    /// Notes that the value breaks the contract.
    pub(super) fn fault<T>(self, detail: impl Into<Cow<'static, str>>) -> Option<T> {
        self.refuse(Cause::Invalid, detail)
    }

    /// Notes that the value is of another type. `null` is named: libraries write it for what their author has left out.
    pub(super) fn mistyped<T>(self, wanted: &'static str) -> Option<T> {
        let not_null = if self.is_null() { ", not null" } else { "" };
        self.fault(format!("must be {wanted}{not_null}"))
    }

    /// Notes a fault of any sort.
    pub(super) fn refuse<T>(self, cause: Cause, detail: impl Into<Cow<'static, str>>) -> Option<T> {
        self.faults.add(&self.path, cause, detail);
        None
    }

    /// A string.
    pub(super) fn text(self) -> Option<Cow<'j, str>> {
        if !self.raw().starts_with('"') {
            return self.mistyped("a string");
        }
        match serde_json::from_str::<Text<'j>>(self.raw()) {
            Ok(Text(text)) => Some(text),
            Err(_) => self.fault("must not contain half of a surrogate pair"),
        }
    }

    /// `true` or `false`.
    pub(super) fn boolean(self) -> Option<bool> {
        match self.raw() {
            "true" => Some(true),
            "false" => Some(false),
            _ => self.mistyped("true or false"),
        }
    }

    /// A flag that is set by being there: only `true`.
    pub(super) fn only_true(self) -> Option<bool> {
        match self.raw() {
            "true" => Some(true),
            _ => self.fault("can only be true"),
        }
    }

    /// A whole number within a range.
    pub(super) fn integer(self, range: RangeInclusive<u32>) -> Option<u32> {
        match decimal::whole(self.raw()).map(|text| text.parse()) {
            Some(Ok(number)) if range.contains(&number) => Some(number),
            _ => self.fault(format!(
                "must be a whole number from {} to {}",
                range.start(),
                range.end()
            )),
        }
    }

    /// The text of a list without its brackets and the white space inside them, as it came.
    pub(super) fn elements(self) -> Option<&'j str> {
        json::elements(self.raw()).or_else(|| self.mistyped("a list"))
    }

    /// A list of at most `max` entries, each read alike; all of them are read, also after a fault.
    pub(super) fn list<'s, T>(
        &'s self,
        max: usize,
        read: impl FnMut(Value<'j, 's>) -> Option<T>,
    ) -> Option<Vec<T>> {
        if !self.raw().starts_with('[') {
            return self.mistyped("a list");
        }
        // Counted first, so that nothing is kept of a list that is too long.
        let count = self.walk(Count).unwrap_or_default();
        if count > max {
            return self.fault(format!("has more than {max} entries"));
        }
        let entries = Entries {
            list: self,
            count,
            read,
        };
        self.walk(entries).flatten()
    }

    /// Goes through a list.
    fn walk<V: Visitor<'j>>(&self, visitor: V) -> Option<V::Value> {
        let mut reader = serde_json::Deserializer::from_str(self.raw.get());
        reader.deserialize_seq(visitor).ok()
    }

    /// An object with all its fields; [`Object::only`] says which it may have.
    pub(super) fn object(self) -> Option<Object<'j, 'p>> {
        self.members(Members { known: None }, "an object")
    }

    /// The same for what is easily taken for something else: whoever writes no object is told of one. The text goes on after
    /// "must be ".
    pub(super) fn object_such_as(self, wanted: &'static str) -> Option<Object<'j, 'p>> {
        self.members(Members { known: None }, wanted)
    }

    /// An object of which only these fields are of interest; others are not looked at.
    pub(super) fn envelope(self, known: &'static [&'static str]) -> Option<Object<'j, 'p>> {
        self.members(Members { known: Some(known) }, "an object")
    }

    fn members(self, members: Members, wanted: &'static str) -> Option<Object<'j, 'p>> {
        if !self.raw().starts_with('{') {
            return self.mistyped(wanted);
        }
        let mut reader = serde_json::Deserializer::from_str(self.raw());
        let Ok(found) = reader.deserialize_map(members) else {
            return self.fault("has a field name with half of a surrogate pair");
        };
        let object = Object {
            members: found.members,
            path: self.path,
            faults: self.faults,
        };
        for name in &found.doubled {
            let path = Path::Key(&object.path, name);
            object.faults.add(&path, Cause::Invalid, "is there twice");
        }
        if found.overflow {
            return self.fault(format!("has more than {MAX_FIELDS} fields"));
        }
        Some(object)
    }
}

/// The fields that an object may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields {
    /// Those that there are.
    pub(super) known: &'static [&'static str],
    /// Those of the contract that this version does not have yet.
    pub(super) later: &'static [&'static str],
}

impl Fields {
    /// Fields that are all there.
    pub(super) const fn of(known: &'static [&'static str]) -> Self {
        Self { known, later: &[] }
    }
}

/// A JSON object whose fields are read by name.
#[derive(Debug)]
pub(super) struct Object<'j, 'p> {
    members: Vec<(Cow<'j, str>, &'j RawValue)>,
    path: Path<'p>,
    faults: &'p Faults,
}

impl<'j> Object<'j, '_> {
    /// Notes each field which is none of these, with the nearest that it may have been meant for.
    pub(super) fn only(&self, fields: &Fields) {
        for (name, _) in &self.members {
            if fields.known.contains(&&**name) {
                continue;
            }
            let path = Path::Key(&self.path, name);
            if fields.later.contains(&&**name) {
                self.faults
                    .add(&path, Cause::NotAvailable, "is not yet available");
            } else {
                self.faults
                    .add(&path, Cause::Invalid, unknown("field", name, fields.known));
            }
        }
    }

    /// The field, if it is there.
    pub(super) fn get(&self, name: &'static str) -> Option<Value<'j, '_>> {
        let (_, raw) = self.members.iter().find(|(member, _)| member == name)?;
        Some(Value {
            raw,
            path: Path::Key(&self.path, name),
            faults: self.faults,
        })
    }

    /// The field, which must be there.
    pub(super) fn required(&self, name: &'static str) -> Option<Value<'j, '_>> {
        self.required_or(name, "required")
    }

    /// The field, which must be there; the detail of the fault helps where it is not.
    pub(super) fn required_or(
        &self,
        name: &'static str,
        detail: &'static str,
    ) -> Option<Value<'j, '_>> {
        let value = self.get(name);
        if value.is_none() {
            return self.refuse(name, Cause::Invalid, detail);
        }
        value
    }

    /// Notes a fault in a field, which need not be there.
    pub(super) fn refuse<T>(
        &self,
        name: &'static str,
        cause: Cause,
        detail: impl Into<Cow<'static, str>>,
    ) -> Option<T> {
        let path = Path::Key(&self.path, name);
        self.faults.add(&path, cause, detail);
        None
    }

    /// How many fields there are.
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// The field as read, or the default where it is absent or faulty.
    pub(super) fn or<'s, T>(
        &'s self,
        name: &'static str,
        default: T,
        read: impl FnOnce(Value<'j, 's>) -> Option<T>,
    ) -> T {
        self.get(name).and_then(read).unwrap_or(default)
    }

    /// A field that keeps by being absent, clears by `null` and else replaces.
    pub(super) fn change<'s, T>(
        &'s self,
        name: &'static str,
        read: impl FnOnce(Value<'j, 's>) -> Option<T>,
    ) -> Change<T> {
        self.or(name, Change::Keep, |value| value.change(read))
    }
}

impl<'j, 'p> Value<'j, 'p> {
    /// `null` clears, anything else replaces.
    pub(super) fn change<T>(
        self,
        read: impl FnOnce(Value<'j, 'p>) -> Option<T>,
    ) -> Option<Change<T>> {
        if self.is_null() {
            return Some(Change::Clear);
        }
        read(self).map(Change::Set)
    }
}

/// Says that a name is unknown, and which of the known ones is nearest.
pub(super) fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    let name: String = name.chars().take(40).collect::<String>().to_lowercase();
    let likeness = |other: &str| strsim::jaro_winkler(&name, other);
    let nearest = known
        .iter()
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
        .filter(|nearest| likeness(nearest) >= ALIKE);
    match nearest {
        Some(nearest) => format!("unknown {what}; did you mean '{nearest}'?"),
        None if known.is_empty() => format!("unknown {what}; there are none here"),
        None => format!("unknown {what}; known here: {}", known.join(", ")),
    }
}

/// A string, borrowed where it holds no escapes.
#[derive(Deserialize)]
struct Text<'j>(#[serde(borrow)] Cow<'j, str>);

/// Counts the entries of a list.
struct Count;

impl<'j> Visitor<'j> for Count {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'j>>(self, mut list: A) -> Result<usize, A::Error> {
        let mut count = 0;
        while list.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(count)
    }
}

/// Reads the entries of a list, `None` where one of them is faulty.
struct Entries<'s, 'j, 'p, R> {
    list: &'s Value<'j, 'p>,
    count: usize,
    read: R,
}

impl<'s, 'j, T, R: FnMut(Value<'j, 's>) -> Option<T>> Visitor<'j> for Entries<'s, 'j, '_, R> {
    type Value = Option<Vec<T>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'j>>(mut self, mut list: A) -> Result<Self::Value, A::Error> {
        // Entries are larger than their text may be, and it may be no text of any.
        let fitting = self.list.raw().len() / size_of::<T>().max(1);
        let mut all = Some(Vec::with_capacity(self.count.min(fitting)));
        let mut index = 0;
        while let Some(raw) = list.next_element()? {
            let entry = Value {
                raw,
                path: Path::Index(&self.list.path, index),
                faults: self.list.faults,
            };
            index += 1;
            match ((self.read)(entry), &mut all) {
                (Some(value), Some(list)) => list.push(value),
                (Some(_), None) => {}
                (None, _) => all = None,
            }
        }
        Ok(all)
    }
}

/// Reads an object, all fields or only the known ones.
struct Members {
    known: Option<&'static [&'static str]>,
}

#[derive(Default)]
struct Found<'j> {
    members: Vec<(Cow<'j, str>, &'j RawValue)>,
    doubled: Vec<Cow<'j, str>>,
    overflow: bool,
}

impl<'j> Visitor<'j> for Members {
    type Value = Found<'j>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'j>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = Found::default();
        while let Some(Text(name)) = map.next_key()? {
            if self.known.is_some_and(|known| !known.contains(&&*name)) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let value = map.next_value()?;
            if found.members.iter().any(|(member, _)| *member == name) {
                if !found.doubled.contains(&name) {
                    found.doubled.push(name);
                }
            } else if found.members.len() == MAX_FIELDS {
                found.overflow = true;
            } else {
                found.members.push((name, value));
            }
        }
        Ok(found)
    }
}
