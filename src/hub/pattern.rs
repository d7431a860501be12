//! Patterns over names: `*` stands for one or more characters of any kind (contract 7a).

use std::fmt;

/// A name or a pattern of names, as written in the configuration.
///
/// `*` stands for one or more characters; several are allowed; there is no escape. `"*"` alone matches every name, the empty one too.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Pattern(Box<str>);

impl Pattern {
    /// Every text is a pattern.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is no `*`: then the pattern is one exact name.
    pub fn is_exact(&self) -> bool {
        !self.0.contains('*')
    }

    /// Whether the name matches.
    ///
    /// Linear in practice: greedy with one point to go back to, as in classic globbing.
    pub fn matches(&self, name: &str) -> bool {
        if &*self.0 == "*" {
            return true;
        }
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
        let (mut p, mut n) = (0, 0);
        let mut retry: Option<(usize, usize)> = None;
        while n < name.len() {
            if p < pattern.len() && pattern[p] == b'*' {
                // One character at least belongs to the star.
                (p, n) = (p + 1, n + width(name[n]));
                retry = Some((p, n));
            } else if p < pattern.len() && pattern[p] == name[n] {
                (p, n) = (p + 1, n + 1);
            } else if let Some((star, taken)) = retry {
                (p, n) = (star, taken + width(name[taken]));
                retry = Some((p, n));
            } else {
                return false;
            }
        }
        p == pattern.len()
    }

    /// Whether every name that `other` matches is matched by this pattern too (then `other` after this one is unreachable).
    pub fn covers(&self, other: &Self) -> bool {
        // A star of `other` stands for an arbitrary text; if this pattern takes it as an ordinary character which no name
        // holds, it can only have been taken by a star of ours.
        &*self.0 == "*" || (&*other.0 != "*" && self.matches(&other.0.replace('*', "\u{1}")))
    }
}

/// Bytes of the character that begins with this one.
fn width(first: u8) -> usize {
    match first.leading_ones() {
        0 => 1,
        ones => ones as usize,
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn a_star_stands_for_one_or_more_characters() {
        let matches = |pattern: &str, name: &str| Pattern::new(pattern).matches(name);
        assert!(matches("*", ""));
        assert!(matches("*", "x"));
        assert!(matches("/doc-*", "/doc-1"));
        assert!(!matches("/doc-*", "/doc-"));
        assert!(matches("a*b*c", "aXbYbZc"));
        assert!(!matches("a*b*c", "abc"));
        assert!(matches("*.log", "x.log"));
        assert!(!matches("*.log", ".log"));
        assert!(matches("exact", "exact"));
        assert!(!matches("exact", "exact2"));
        assert!(matches("**", "ab"));
        assert!(!matches("**", "a"));
    }

    #[test]
    fn a_star_does_not_share_a_character_with_another() {
        let matches = |pattern: &str, name: &str| Pattern::new(pattern).matches(name);
        assert!(!matches("**", "é"));
        assert!(matches("**", "éé"));
        assert!(!matches("a***", "a\u{1f980}é"));
        assert!(matches("*é*é", "ééé\u{1f980}é"));
    }

    #[test]
    fn covering_finds_unreachable_rules() {
        let covers = |a: &str, b: &str| Pattern::new(a).covers(&Pattern::new(b));
        assert!(covers("*", "x*"));
        assert!(covers("a*", "abc"));
        assert!(covers("a*", "ab*"));
        assert!(!covers("ab*", "a*"));
        assert!(!covers("a*", "*"));
        assert!(covers("same", "same"));
    }
}
