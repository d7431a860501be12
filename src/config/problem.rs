//! What is wrong with a configuration, and where.
//!
//! Promises that problems are sorted by place, so that the same mistakes always print the same text. What a caller can do
//! about any of them is to show it to a person; that is why the message is text and not one variant per mistake.

use std::fmt;
use std::path::{Path, PathBuf};

use ::config::{Value, ValueKind};

/// Where something was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Nowhere: it is missing, or a default.
    Nowhere,
    /// In the configuration file; both count from 1, the column in characters.
    File {
        /// Line.
        line: usize,
        /// Column.
        column: usize,
    },
    /// In an environment variable.
    Variable(String),
    /// In a command line flag.
    Flag(&'static str),
}

/// Flags that carry configuration.
const FLAGS: [&str; 2] = ["--backend", "--secret"];

impl Place {
    /// The text that travels as a value's origin through the layers.
    pub(super) fn to_origin(&self) -> Option<String> {
        match self {
            Self::Nowhere => None,
            Self::File { line, column } => Some(format!("{line}:{column}")),
            Self::Variable(name) => Some(name.clone()),
            Self::Flag(flag) => Some((*flag).to_owned()),
        }
    }

    /// The place of a layered value; of a table that a variable has brought about, that of what is in it.
    pub(super) fn of(value: &Value) -> Self {
        let Some(origin) = value.origin() else {
            return match &value.kind {
                ValueKind::Table(table) => table.values().map(Self::of).min(),
                _ => None,
            }
            .unwrap_or(Self::Nowhere);
        };
        if let Some(flag) = FLAGS.into_iter().find(|flag| *flag == origin) {
            return Self::Flag(flag);
        }
        let position = origin
            .split_once(':')
            .and_then(|(line, column)| Some((line.parse().ok()?, column.parse().ok()?)));
        match position {
            Some((line, column)) => Self::File { line, column },
            None => Self::Variable(origin.to_owned()),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where it was written.
    pub place: Place,
    /// Path of the key, such as `namespace[0].route[2].event`; empty where there is none.
    pub key: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// Everything that is wrong with a configuration; the exit code is 78.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file that was read, as it was named.
    pub file: Option<PathBuf>,
    /// At least one, sorted by place.
    pub problems: Vec<Problem>,
}

impl ConfigError {
    pub(super) fn new(file: Option<&Path>, mut problems: Vec<Problem>) -> Self {
        problems.sort();
        problems.dedup();
        Self {
            file: file.map(Path::to_owned),
            problems,
        }
    }
}

impl std::error::Error for ConfigError {}

/// One line per problem: `place: key: message`.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            match (&problem.place, &self.file) {
                (Place::File { line, column }, Some(file)) => {
                    write!(f, "{}:{line}:{column}: ", file.display())?;
                }
                (Place::File { line, column }, None) => write!(f, "{line}:{column}: ")?,
                (Place::Variable(name), _) => write!(f, "{name}: ")?,
                (Place::Flag(flag), _) => write!(f, "{flag}: ")?,
                (Place::Nowhere, Some(file)) => write!(f, "{}: ", file.display())?,
                (Place::Nowhere, None) => {}
            }
            if !problem.key.is_empty() {
                write!(f, "{}: ", problem.key)?;
            }
            f.write_str(&problem.message)?;
        }
        Ok(())
    }
}

/// The candidate that is most like `word`.
pub(super) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_survives_the_layers() {
        for place in [
            Place::Nowhere,
            Place::File {
                line: 12,
                column: 3,
            },
            Place::Variable("SOCKGATE__ENGINE__EIO3".to_owned()),
            Place::Flag("--backend"),
        ] {
            let value = Value::new(place.to_origin().as_ref(), true);
            assert_eq!(Place::of(&value), place);
        }
    }

    #[test]
    fn the_nearest_word_is_found() {
        assert_eq!(
            nearest("ping_intervall", ["path", "ping_interval"]),
            Some("ping_interval")
        );
        assert_eq!(nearest("x", []), None);
    }
}
