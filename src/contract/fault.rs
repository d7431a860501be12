//! [`Fault`]: one thing that is wrong in what a backend wrote, and where.
//!
//! Reading goes on after a fault, so that an author sees all of them at once. Details never repeat what was written (they go to
//! logs, where payloads must not be), except for words of our own vocabulary; a pointer may hold the name of a field.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;

/// Longest field name that a pointer repeats, in characters; a longer one is cut.
const MAX_KEY: usize = 100;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub place: Place,
    /// What sort of fault it is.
    pub cause: Cause,
    /// What is wrong, in a few words for the author of the backend.
    pub detail: Cow<'static, str>,
}

/// Where a fault is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the body: a JSON pointer (RFC 6901), empty for the body as a whole.
    Pointer(Box<str>),
    /// In the query: the parameter's name.
    Parameter(Box<str>),
}

/// Sorts of faults. Where several meet, the first in this order names the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The body is no JSON at all.
    Malformed,
    /// A field breaks the contract.
    Invalid,
    /// The key that the request came with does not allow the namespace.
    Forbidden,
    /// No namespace of this name is configured.
    UnknownNamespace,
    /// More bytes than one packet may have.
    TooLarge,
    /// A field of the contract that this version does not have yet.
    NotAvailable,
}

impl Cause {
    /// A word for logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Invalid => "invalid",
            Self::Forbidden => "forbidden",
            Self::UnknownNamespace => "unknown namespace",
            Self::TooLarge => "too large",
            Self::NotAvailable => "not available",
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pointer(pointer) if pointer.is_empty() => f.write_str("the body"),
            Self::Pointer(pointer) => f.write_str(pointer),
            Self::Parameter(name) => write!(f, "?{name}"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of_the_whole = matches!(&self.place, Place::Pointer(pointer) if pointer.is_empty());
        let colon = if of_the_whole { "" } else { ":" };
        write!(f, "{}{colon} {}", self.place, self.detail)
    }
}

/// Everything that is wrong with a body, in the order in which it was read; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faulty {
    /// The first of them, at most [`Faulty::MAX`].
    pub faults: Vec<Fault>,
    /// How many there were.
    pub count: usize,
}

impl Faulty {
    /// Faults that are kept; the rest is only counted.
    pub const MAX: usize = 50;

    /// What the whole is called.
    pub fn cause(&self) -> Cause {
        let causes = self.faults.iter().map(|fault| fault.cause);
        causes.min().unwrap_or(Cause::Invalid)
    }
}

/// A way through a JSON document. Kept on the stack while reading and written down only where there is a fault.
#[derive(Clone, Copy, Debug)]
pub(super) enum Path<'p> {
    /// The document.
    Root,
    /// A field of an object.
    Key(&'p Path<'p>, &'p str),
    /// An entry of a list.
    Index(&'p Path<'p>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Index(parent, index) => write!(f, "{parent}/{index}"),
            Self::Key(parent, key) => {
                write!(f, "{parent}/")?;
                let mut characters = key.chars();
                for character in characters.by_ref().take(MAX_KEY) {
                    match character {
                        '~' => f.write_str("~0")?,
                        '/' => f.write_str("~1")?,
                        other => fmt::Write::write_char(f, other)?,
                    }
                }
                if characters.next().is_some() {
                    f.write_str("…")?;
                }
                Ok(())
            }
        }
    }
}

/// Collects faults while a body is read. Shared by all readers of one body, hence the cell.
#[derive(Debug, Default)]
pub(super) struct Faults(RefCell<Collected>);

#[derive(Debug, Default)]
struct Collected {
    kept: Vec<Fault>,
    count: usize,
}

impl Faults {
    /// Notes a fault in a body.
    pub(super) fn add(&self, path: &Path<'_>, cause: Cause, detail: impl Into<Cow<'static, str>>) {
        self.note(cause, || Fault {
            place: Place::Pointer(path.to_string().into()),
            cause,
            detail: detail.into(),
        });
    }

    /// Notes a fault in a query.
    pub(super) fn add_parameter(
        &self,
        name: &str,
        cause: Cause,
        detail: impl Into<Cow<'static, str>>,
    ) {
        self.note(cause, || Fault {
            place: Place::Parameter(name.chars().take(MAX_KEY).collect()),
            cause,
            detail: detail.into(),
        });
    }

    /// Where the place is short, a fault of a graver sort takes that of the last one, so that the whole is called rightly.
    fn note(&self, cause: Cause, fault: impl FnOnce() -> Fault) {
        let mut collected = self.0.borrow_mut();
        collected.count += 1;
        if collected.kept.len() < Faulty::MAX {
            collected.kept.push(fault());
        } else if collected.kept.iter().all(|kept| kept.cause > cause) {
            collected.kept.pop();
            collected.kept.push(fault());
        }
    }

    /// The value, if it was read and nothing was wrong anywhere.
    ///
    /// A reader that fails notes why, and one that goes on after a fault may still give a value: the faults decide.
    pub(super) fn settle<T>(self, value: Option<T>) -> Result<T, Faulty> {
        let Collected { kept, count } = self.0.into_inner();
        match value {
            Some(value) if count == 0 => Ok(value),
            _ => Err(Faulty {
                faults: kept,
                count,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(causes: impl IntoIterator<Item = Cause>) -> Faulty {
        let faults = Faults::default();
        for cause in causes {
            faults.add(&Path::Root, cause, "x");
        }
        faults.settle::<()>(None).expect_err("has faults")
    }

    #[test]
    fn a_pointer_is_written_as_rfc_6901_says() {
        let list = Path::Key(&Path::Root, "a/b");
        let entry = Path::Index(&list, 3);
        assert_eq!(Path::Key(&entry, "m~n").to_string(), "/a~1b/3/m~0n");
        assert_eq!(Path::Root.to_string(), "");
        let long = "x".repeat(MAX_KEY + 1);
        let cut = Path::Key(&Path::Root, &long).to_string();
        assert_eq!(cut.chars().count(), MAX_KEY + 2);
    }

    #[test]
    fn the_gravest_fault_names_the_whole_even_where_not_all_are_kept() {
        let soft = std::iter::repeat_n(Cause::NotAvailable, 2 * Faulty::MAX);
        let faulty = filled(soft.chain([Cause::Invalid]));
        assert_eq!(faulty.cause(), Cause::Invalid);
        assert_eq!(faulty.faults.len(), Faulty::MAX);
        assert_eq!(faulty.count, 2 * Faulty::MAX + 1);
    }

    #[test]
    fn without_faults_the_value_comes_out() {
        assert_eq!(Faults::default().settle(Some(1)), Ok(1));
    }
}
