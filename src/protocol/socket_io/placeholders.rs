//! Placeholders, which stand for bytes in JSON text: `{"_placeholder":true,"num":0}` (protocol 3.1, contract 7).
//!
//! An object is a placeholder where official parsers take it for one: the last value of its key `_placeholder` is `true`, whatever
//! other keys it has and in whatever order. The last value of `num` must then be a plain whole number inside the list of attachments;
//! official clients drop the connection otherwise. Elsewhere than in packets with attachments such objects are plain data, and nobody
//! should ask this module about them.
//!
//! All text is valid JSON here, elements of an array without its brackets; other text gives a meaningless answer, never a panic.

use std::fmt::Write as _;
use std::num::NonZeroUsize;
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
        edits.push((range.start, new));
    }
    let attachments = used.iter().map(|old| attachments[*old].clone()).collect();
    Ok((replace_numbers(args, edits), attachments))
}

/// The same arguments for a larger list, in which `by` others come before their attachments. All other text is copied byte by byte.
pub fn shift(args: &str, by: usize) -> Box<str> {
    let numbers = Scanner::new(args).filter_map(|found| found.number(args, usize::MAX));
    let edits = numbers.map(|(range, old)| (range.start, old.saturating_add(by)));
    replace_numbers(args, edits.collect())
}

/// Whether every placeholder has a number below the count; below 0 means that there is none.
pub fn are_below(args: &str, count: usize) -> bool {
    Scanner::new(args).all(|placeholder| placeholder.number(args, count).is_some())
}

/// Writes new numbers over the old ones that begin there.
fn replace_numbers(args: &str, mut edits: Vec<(usize, usize)>) -> Box<str> {
    // They are in order already, unless a placeholder stands inside another.
    edits.sort_unstable_by_key(|(start, _)| *start);
    let longer = |(start, new): &(usize, usize)| {
        let old = token_end(args.as_bytes(), *start) - start;
        digits(*new).saturating_sub(old)
    };
    let grown: usize = edits.iter().map(longer).sum();
    let mut text = String::with_capacity(args.len() + grown);
    let mut copied = 0;
    for (start, new) in edits {
        text.push_str(&args[copied..start]);
        write!(text, "{new}").expect("a String takes everything");
        copied = token_end(args.as_bytes(), start);
    }
    text.push_str(&args[copied..]);
    text.into()
}

/// Digits of a number.
fn digits(number: usize) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
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
    levels: Vec<Level>,
}

/// An array or object that is open. Small, since hostile text is deep.
struct Level {
    object: bool,
    /// Object: what its current key means.
    key: Key,
    /// Object: whether the last `_placeholder` was `true`.
    marked: bool,
    /// Object: where the value of the last `num` begins, which is never at the start of the text.
    num: Option<NonZeroUsize>,
    /// Array: the current index; object: where the current key stands.
    place: usize,
}

/// The key of a member.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    /// Between the comma and the key.
    Awaited,
    Placeholder,
    Num,
    Other,
}

impl Level {
    fn new(object: bool) -> Self {
        Self {
            object,
            key: Key::Awaited,
            marked: false,
            num: None,
            place: 0,
        }
    }
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            levels: vec![Level::new(false)],
        }
    }

    /// Where the placeholder stands that [`next`](Iterator::next) has just found.
    fn pointer(&self) -> String {
        let mut pointer = String::new();
        for level in &self.levels {
            pointer.push('/');
            if level.object {
                let key = unquote(&self.text[self.token(level.place)]);
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            } else {
                write!(pointer, "{}", level.place).expect("a String takes everything");
            }
        }
        if pointer.len() > MAX_POINTER {
            pointer.truncate(pointer.floor_char_boundary(MAX_POINTER));
            pointer.push('…');
        }
        pointer
    }

    /// The whole string, number or word, or the bracket, that begins there.
    fn token(&self, start: usize) -> Range<usize> {
        start..token_end(self.text.as_bytes(), start)
    }

    /// Takes note of a token.
    fn note(&mut self, range: Range<usize>) {
        let Some(level) = self.levels.last_mut() else {
            return;
        };
        if !level.object {
            return;
        }
        let token = &self.text[range.clone()];
        match level.key {
            Key::Awaited => {
                level.place = range.start;
                level.key = key(token);
            }
            Key::Placeholder => level.marked = token == "true",
            Key::Num => level.num = NonZeroUsize::new(range.start),
            Key::Other => {}
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
                    level.key = Key::Awaited;
                    if !level.object {
                        level.place += 1;
                    }
                }
                bracket @ (b'{' | b'[') => {
                    self.note(start..self.at);
                    self.levels.push(Level::new(*bracket == b'{'));
                }
                b'}' | b']' => {
                    let level = self.levels.pop()?;
                    if level.marked {
                        let num = level.num.map(|start| self.token(start.get()));
                        return Some(Placeholder { num });
                    }
                }
                _ => {
                    self.at = token_end(bytes, start);
                    self.note(start..self.at);
                }
            }
        }
    }
}

/// Where the token ends that begins at `start`.
fn token_end(text: &[u8], start: usize) -> usize {
    match text.get(start) {
        Some(b'"') => json::string_end(text, start),
        Some(b'{' | b'[') => start + 1,
        Some(_) => json::scalar_end(text, start).max(start + 1),
        None => text.len(),
    }
}

/// What a key means that is still in its quotes.
fn key(text: &str) -> Key {
    if is_key(text, "_placeholder") {
        Key::Placeholder
    } else if is_key(text, "num") {
        Key::Num
    } else {
        Key::Other
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
