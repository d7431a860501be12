//! The configuration file: TOML with the line and column of every value.
//!
//! # Why
//! The `config` crate can read TOML, but forgets where a value stood. So the `toml` crate reads the file into its spanned
//! tree, and the tree is handed to `config` with each value's position as its origin.

use std::io::Read as _;
use std::ops::Range;
use std::path::Path;

use ::config::{Map, Value, ValueKind};
use toml::de::{DeInteger, DeTable, DeValue};

use super::problem::{Place, Problem};

/// Largest configuration file.
const MAX_FILE: u64 = 1 << 20;

/// The text of a file; the error is a message for people.
pub(super) fn read(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(format!("is larger than {MAX_FILE} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "is not valid UTF-8".to_owned())
}

/// The document as a tree, or all its syntax errors.
pub(super) fn parse(text: &str) -> Result<Value, Vec<Problem>> {
    let positions = Positions::of(text);
    let (root, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        let table = table(root.get_ref(), &|span| positions.place(span).to_origin());
        return Ok(Value::new(None, table));
    }
    let problem = |error: toml::de::Error| Problem {
        place: positions.place(&error.span().unwrap_or_default()),
        key: String::new(),
        message: explain(error.message()),
    };
    Err(errors.into_iter().map(problem).collect())
}

/// The parser's message, with a hint where text without quotes looked like a number to it: `25s`, `0.0.0.0:3000`.
fn explain(message: &str) -> String {
    let message = message.trim_end_matches(", expected nothing");
    let is_number = [
        "invalid float",
        "invalid integer",
        "unexpected leading zero",
    ]
    .iter()
    .any(|start| message.starts_with(start));
    if is_number {
        format!("{message}; anything but a number stands in quotes")
    } else {
        message.to_owned()
    }
}

/// The value of an environment variable: TOML if it can be read as such, else the text itself.
pub(super) fn parse_variable(text: &str, origin: &String) -> Value {
    let kind = match DeValue::parse(text) {
        Ok(value) if !matches!(value.get_ref(), DeValue::Datetime(_)) => {
            kind(value.get_ref(), &|_| Some(origin.clone()))
        }
        _ => text.into(),
    };
    Value::new(Some(origin), kind)
}

type Origin<'a> = dyn Fn(&Range<usize>) -> Option<String> + 'a;

fn table(table: &DeTable<'_>, origin: &Origin<'_>) -> ValueKind {
    let entries = table.iter().map(|(key, value)| {
        let value_kind = kind(value.get_ref(), origin);
        let value = Value::new(origin(&key.span()).as_ref(), value_kind);
        (key.get_ref().to_string(), value)
    });
    ValueKind::Table(entries.collect::<Map<_, _>>())
}

fn kind(value: &DeValue<'_>, origin: &Origin<'_>) -> ValueKind {
    match value {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Integer(number) => integer(number),
        // A float that `f64` cannot hold becomes infinite, which no key takes.
        DeValue::Float(number) => number.as_str().parse().unwrap_or(f64::NAN).into(),
        DeValue::Boolean(flag) => (*flag).into(),
        DeValue::Datetime(_) => ValueKind::Nil,
        DeValue::Array(items) => ValueKind::Array(
            items
                .iter()
                .map(|item| {
                    let kind = kind(item.get_ref(), origin);
                    Value::new(origin(&item.span()).as_ref(), kind)
                })
                .collect(),
        ),
        DeValue::Table(entries) => table(entries, origin),
    }
}

fn integer(number: &DeInteger<'_>) -> ValueKind {
    i64::from_str_radix(number.as_str(), number.radix())
        .map_or(ValueKind::I128(i128::MAX), ValueKind::I64)
}

/// Turns offsets into lines and columns.
struct Positions<'a> {
    text: &'a str,
    /// Offset of each line's first byte.
    lines: Vec<usize>,
}

impl<'a> Positions<'a> {
    fn of(text: &'a str) -> Self {
        let rest = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            text,
            lines: std::iter::once(0).chain(rest).collect(),
        }
    }

    fn place(&self, span: &Range<usize>) -> Place {
        let offset = span.start.min(self.text.len());
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = self.lines[line - 1];
        Place::File {
            line,
            column: self.text[start..offset].chars().count() + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_knows_its_line_and_column() {
        let root = parse("[a]\n\"ü\" = 1\n[[b]]\nc = [true,\n  'x']\n").expect("valid");
        let table = |value: &Value| value.clone().into_table().expect("a table");
        let at = |line, column| Place::File { line, column };
        let root = table(&root);
        assert_eq!(Place::of(&root["a"]), at(1, 2));
        assert_eq!(Place::of(&table(&root["a"])["ü"]), at(2, 1));
        let b = root["b"].clone().into_array().expect("an array");
        assert_eq!(Place::of(&b[0]), at(3, 1));
        let c = table(&b[0])["c"].clone().into_array().expect("an array");
        assert_eq!(Place::of(&c[1]), at(5, 3));
    }

    #[test]
    fn syntax_errors_have_places() {
        let problems = parse("a = 10s\nb = 1\nb = 2\n").expect_err("invalid");
        let places: Vec<_> = problems.into_iter().map(|problem| problem.place).collect();
        let at = |line, column| Place::File { line, column };
        assert_eq!(places, [at(1, 5), at(3, 1)]);
    }

    #[test]
    fn numbers_beyond_64_bits_are_kept_as_such() {
        let root = parse("a = 99999999999999999999\nb = 1e999\nc = 0xff").expect("valid");
        let root = root.into_table().expect("a table");
        assert_eq!(root["a"].kind, ValueKind::I128(i128::MAX));
        assert_eq!(root["b"].kind, ValueKind::Float(f64::INFINITY));
        assert_eq!(root["c"].kind, ValueKind::I64(255));
    }

    #[test]
    fn a_variable_is_toml_or_text() {
        let kind = |text: &str| parse_variable(text, &"X".to_owned()).kind;
        assert_eq!(kind("10s"), "10s".into());
        assert_eq!(kind("true"), true.into());
        assert_eq!(kind("0.0.0.0:3000"), "0.0.0.0:3000".into());
        assert_eq!(kind("\"5\""), "5".into());
        assert_eq!(kind(""), "".into());
        assert_eq!(kind("2026-01-01"), "2026-01-01".into());
        assert!(matches!(kind("[1, 2]"), ValueKind::Array(items) if items.len() == 2));
    }
}
