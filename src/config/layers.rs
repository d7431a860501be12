//! The layers: file < environment < flags, merged by the `config` crate. (Defaults lie under them in the settings themselves.)
//!
//! # Why
//! The `config` crate merges, and its path expressions reach into arrays; the place of each value travels as the origin that it
//! keeps. What it cannot do is done here by hand: its own environment source guesses types by trying, cannot find a table by
//! its `name`, and forgets which variable a value came from. Its builder would forget where the file's tables stood, so the
//! layers are laid on the file one by one.

use ::config::{Map, Source, Value, ValueKind};

use super::environment::Environment;
use super::file::parse_variable;
use super::problem::{Place, Problem, nearest};

/// What variables that override a key begin with.
const PREFIX: &str = "SOCKGATE__";
/// Arrays whose tables have a `name`, as segments of the key.
const NAMED: [&[&str]; 2] = [&["upstream"], &["api", "key"]];

/// One value over those below it.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    /// Path expression of the key, such as `upstream[0].url`.
    pub(super) key: String,
    /// The value, with its place as its origin.
    pub(super) value: Value,
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ::config::ConfigError> {
        Ok(Map::from([(self.key.clone(), self.value.clone())]))
    }
}

/// Lays variables and flags on the file. Variables that reach nothing become problems.
pub(super) fn merge(
    file: Value,
    environment: &Environment,
    flags: Vec<Layer>,
    problems: &mut Vec<Problem>,
) -> Value {
    let mut layers = Vec::new();
    for name in environment.names(PREFIX) {
        let layer = environment
            .text(name)
            .map_err(|error| error.to_string())
            .and_then(|text| variable(name, text, &file));
        match layer {
            Ok(layer) => layers.push(layer),
            Err(message) => problems.push(Problem {
                place: Place::Variable(name.to_owned()),
                key: String::new(),
                message,
            }),
        }
    }
    let mut merged = file;
    for layer in layers.into_iter().chain(flags) {
        layer
            .collect_to(&mut merged)
            .expect("a layer of ours has nothing that could fail");
    }
    merged
}

/// One environment variable as a layer.
fn variable(name: &str, text: &str, file: &Value) -> Result<Layer, String> {
    let path = name.strip_prefix(PREFIX).unwrap_or_default().to_lowercase();
    let segments: Vec<_> = path.split("__").collect();
    let is_key = |segment: &&str| {
        let mut bytes = segment.bytes();
        !segment.is_empty() && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
    };
    if !segments.iter().all(is_key) {
        return Err(format!(
            "names no key; a key is reached like {PREFIX}ENGINE__PING_INTERVAL"
        ));
    }
    let value = parse_variable(text, &name.to_owned());
    let named = NAMED.iter().find(|array| segments.starts_with(array));
    let key = match named {
        Some(array) => named_table(&segments, array, file, &value)?,
        None => segments.join("."),
    };
    if segments[0] == "namespace" || holds_tables(&value) {
        return Err("arrays of tables without names cannot be overridden by a variable".to_owned());
    }
    Ok(Layer { key, value })
}

/// The expression for a key in a table that has a name.
fn named_table(
    segments: &[&str],
    array: &[&str],
    file: &Value,
    value: &Value,
) -> Result<String, String> {
    let rest = segments[array.len()..].join("__");
    let dotted = array.join(".");
    let names = names(file, array);
    if rest.is_empty() {
        let example = array.join("__").to_uppercase();
        return Err(format!(
            "a table of [[{dotted}]] is reached by its name, like {PREFIX}{example}__NAME__KEY"
        ));
    }
    let reached: Vec<_> = names
        .iter()
        .filter_map(|(index, name)| {
            let after = rest.strip_prefix(name)?;
            let key = match after.strip_prefix("__") {
                Some(key) => key,
                None if after.is_empty() => "",
                None => return None,
            };
            Some((*index, name, key))
        })
        .collect();
    match reached.as_slice() {
        [(index, _, "")] if matches!(value.kind, ValueKind::Table(_)) => {
            Ok(format!("{dotted}[{index}]"))
        }
        [(_, name, "")] => Err(format!(
            "sets the whole [[{dotted}]] {name}, so it must be a table"
        )),
        [(index, _, key)] => Ok(format!("{dotted}[{index}].{}", key.replace("__", "."))),
        [] => {
            let known = names.iter().map(|(_, name)| name.as_str());
            let written = segments[array.len()];
            Err(match nearest(written, known) {
                Some(name) => {
                    format!("there is no [[{dotted}]] named {written}; the nearest is {name}")
                }
                None => format!("there is no [[{dotted}]] named {written}, nor any other"),
            })
        }
        _ => Err(format!("could be for more than one [[{dotted}]]")),
    }
}

/// The names of an array's tables as variables spell them, in lower case, with their indexes.
fn names(file: &Value, array: &[&str]) -> Vec<(usize, String)> {
    let mut value = Some(file);
    for segment in array {
        value = match value.map(|value| &value.kind) {
            Some(ValueKind::Table(table)) => table.get(*segment),
            _ => None,
        };
    }
    let Some(ValueKind::Array(tables)) = value.map(|value| &value.kind) else {
        return Vec::new();
    };
    tables
        .iter()
        .enumerate()
        .filter_map(|(index, table)| {
            let ValueKind::Table(table) = &table.kind else {
                return None;
            };
            let ValueKind::String(name) = &table.get("name")?.kind else {
                return None;
            };
            let spelled = name
                .to_lowercase()
                .replace(|c: char| !c.is_ascii_alphanumeric(), "_");
            Some((index, spelled))
        })
        .collect()
}

/// Whether an array of tables is anywhere inside.
fn holds_tables(value: &Value) -> bool {
    match &value.kind {
        ValueKind::Array(items) => items
            .iter()
            .any(|item| matches!(item.kind, ValueKind::Table(_)) || holds_tables(item)),
        ValueKind::Table(table) => table.values().any(holds_tables),
        _ => false,
    }
}
