//! Placeholders, which stand for bytes in JSON text: `{"_placeholder":true,"num":0}` (protocol 3.1, contract 7).
//!
//! An object is a placeholder where official parsers take it for one: the last value of its key `_placeholder` is `true`, whatever
//! other keys it has and in whatever order. The last value of `num` must then be a plain whole number inside the list of attachments;
//! official clients drop the connection otherwise. Elsewhere than in packets with attachments such objects are plain data, and nobody
//! should ask this module about them.
//!
//! All text is valid JSON here, elements of an array without its brackets; other text gives a meaningless answer, never a panic.

use std::fmt::Write as _;
use std::ops::Range;

use bytes::Bytes;

use super::json;

/// Attachments that official clients accept in a packet; they drop the connection on one more.
pub const MAX_ATTACHMENTS: usize = 10;
/// Levels of JSON that [`renumber`] reads.
pub const MAX_DEPTH: usize = 64;
/// Longest JSON pointer in an error, in bytes.
const MAX_POINTER: usize = 200;

/// Why a backend's attachments and placeholders do not fit together. Pointers are JSON pointers (RFC 6901) into the arguments.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceholderError {
    /// The object there has no `num`, or one that is no whole number inside the list of attachments.
    #[error(
        "{pointer}: `num` must be a whole number below {attachments}, the number of attachments"
    )]
    Number {
        /// The placeholder; cut with `…` where it is very long.
        pointer: String,
        /// Length of the list.
        attachments: usize,
    },
    /// More different attachments are used than a packet can have.
    #[error("a packet can have at most {MAX_ATTACHMENTS} different attachments")]
    TooMany,
    /// JSON with more than [`MAX_DEPTH`] levels.
    #[error("the arguments are nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

/// Makes a packet of its own out of arguments whose placeholders count through a larger list.
///
/// Placeholders are numbered anew in order of first use, repeated ones share a number, and only attachments that are used come
/// out, in that order. All other text is copied byte by byte.
pub fn renumber(
    args: &str,
    attachments: &[Bytes],
) -> Result<(Box<str>, Vec<Bytes>), PlaceholderError> {
    if !json::nested_within(args, MAX_DEPTH) {
        return Err(PlaceholderError::TooDeep);
    }
    let mut used: Vec<usize> = Vec::new();
    let mut edits = Vec::new();
    let mut scanner = Scanner::new(args);
    while let Some(placeholder) = scanner.next() {
        let Some((range, old)) = placeholder.number(args, attachments.len()) else {
            return Err(PlaceholderError::Number {
                pointer: scanner.pointer(),
                attachments: attachments.len(),
            });
        };
        let new = used
            .iter()
            .position(|used| *used == old)
            .unwrap_or(used.len());
        if new == MAX_ATTACHMENTS {
            return Err(PlaceholderError::TooMany);
        }
        if new == used.len() {
            used.push(old);
        }
        edits.push((range, new));
    }
    let attachments = used.iter().map(|old| attachments[*old].clone()).collect();
    Ok((replace_numbers(args, edits), attachments))
}

/// The same arguments for a larger list, in which `by` others come before their attachments. All other text is copied byte by byte.
pub fn shift(args: &str, by: usize) -> Box<str> {
    let numbers = Scanner::new(args).filter_map(|found| found.number(args, usize::MAX));
    let edits = numbers.map(|(range, old)| (range, old.saturating_add(by)));
    replace_numbers(args, edits.collect())
}

/// Whether every placeholder has a number below the count; below 0 means that there is none.
pub fn are_below(args: &str, count: usize) -> bool {
    Scanner::new(args).all(|placeholder| placeholder.number(args, count).is_some())
}

/// Writes the new numbers over the old ones.
fn replace_numbers(args: &str, mut edits: Vec<(Range<usize>, usize)>) -> Box<str> {
    // They are in order already, unless a placeholder stands inside another.
    edits.sort_unstable_by_key(|(range, _)| range.start);
    let mut text = String::with_capacity(args.len());
    let mut copied = 0;
    for (range, new) in edits {
        text.push_str(&args[copied..range.start]);
        write!(text, "{new}").expect("a String takes everything");
        copied = range.end;
    }
    text.push_str(&args[copied..]);
    text.into()
}

/// An object that is a placeholder, found at its end.
struct Placeholder {
    /// Where the value of `num` stands, if there is one.
    num: Option<Range<usize>>,
}

impl Placeholder {
    /// The number and its place, if it is a plain whole number below the count.
    fn number(&self, text: &str, count: usize) -> Option<(Range<usize>, usize)> {
        let range = self.num.clone()?;
        let digits = &text[range.clone()];
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let number = digits.parse().ok()?;
        (number < count).then_some((range, number))
    }
}

/// Finds placeholders in one pass; what it remembers grows with depth alone.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// The array of arguments and everything open inside it.
    levels: Vec<Level<'a>>,
}

/// An array or object that is open.
#[derive(Default)]
struct Level<'a> {
    object: bool,
    /// Object: the current key with its quotes; none between the comma and the key.
    key: Option<&'a str>,
    /// Commas so far; array: the current index.
    index: usize,
    /// Object: whether the last `_placeholder` was `true`.
    marked: bool,
    /// Object: where the value of the last `num` begins and ends; of an array or object only the bracket.
    num: Option<Range<usize>>,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            levels: vec![Level::default()],
        }
    }

    /// Where the placeholder stands that [`next`](Iterator::next) has just found.
    fn pointer(&self) -> String {
        let mut pointer = String::new();
        for level in &self.levels {
            pointer.push('/');
            match level.key {
                None => write!(pointer, "{}", level.index).expect("a String takes everything"),
                Some(key) => pointer.push_str(&unquote(key).replace('~', "~0").replace('/', "~1")),
            }
        }
        if pointer.len() > MAX_POINTER {
            pointer.truncate(pointer.floor_char_boundary(MAX_POINTER));
            pointer.push('…');
        }
        pointer
    }

    /// Takes a whole string, number or word, or the bracket of an array or object.
    fn token(&mut self, range: Range<usize>) {
        let Some(level) = self.levels.last_mut() else {
            return;
        };
        if !level.object {
            return;
        }
        let token = &self.text[range.clone()];
        match level.key {
            None => level.key = Some(token),
            Some(key) if is_key(key, "_placeholder") => level.marked = token == "true",
            Some(key) if is_key(key, "num") => level.num = Some(range),
            Some(_) => {}
        }
    }
}

impl Iterator for Scanner<'_> {
    type Item = Placeholder;

    fn next(&mut self) -> Option<Placeholder> {
        let bytes = self.text.as_bytes();
        loop {
            let start = self.at;
            self.at += 1;
            match bytes.get(start)? {
                b' ' | b'\t' | b'\n' | b'\r' | b':' => {}
                b',' => {
                    let level = self.levels.last_mut()?;
                    level.key = None;
                    level.index += 1;
                }
                bracket @ (b'{' | b'[') => {
                    self.token(start..self.at);
                    self.levels.push(Level {
                        object: *bracket == b'{',
                        ..Level::default()
                    });
                }
                b'}' | b']' => {
                    let level = self.levels.pop()?;
                    if level.marked {
                        return Some(Placeholder { num: level.num });
                    }
                }
                b'"' => {
                    self.at = json::string_end(bytes, start);
                    self.token(start..self.at);
                }
                _ => {
                    self.at = json::scalar_end(bytes, start).max(self.at);
                    self.token(start..self.at);
                }
            }
        }
    }
}

/// Whether the key, which is still in its quotes, means the name.
fn is_key(key: &str, name: &str) -> bool {
    let inside = key.trim_matches('"');
    inside == name || (inside.contains('\\') && unquote(key) == name)
}

/// The text that a key means; a key that is no Unicode text (a lone surrogate) stays as it is.
fn unquote(key: &str) -> String {
    serde_json::from_str(key).unwrap_or_else(|_| key.trim_matches('"').to_owned())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests;
