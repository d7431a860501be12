//! What must hold for patterns of names (contract 7a).

use sockgate::hub::pattern::Pattern;

use super::allocation::bounded;

/// An input is a pattern, another pattern and a name, with line ends between: a pattern matches what the contract says, and one
/// that covers another matches whatever that one does.
pub fn matching(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let mut parts = text.splitn(3, '\n');
    let mut part = || parts.next().unwrap_or_default();
    let (first, second, name) = (part(), part(), part());
    let (pattern, other) = (Pattern::new(first), Pattern::new(second));
    let matches = bounded(name.len(), || pattern.matches(name));
    assert_eq!(matches, expected(first, name));
    // Names hold no control characters: `covers` relies on it.
    let is_name = !text.replace('\n', "").chars().any(char::is_control);
    if is_name && pattern.covers(&other) {
        for filling in ["x", "é", "xy*", name] {
            let sample = second.replace('*', filling);
            if other.matches(&sample) {
                assert!(
                    pattern.matches(&sample),
                    "{first} covers {second}, not {sample}"
                );
            }
        }
    }
}

/// By the words of the contract, with a table: `*` stands for one or more characters, alone for every name.
fn expected(pattern: &str, name: &str) -> bool {
    if pattern == "*" {
        return true;
    }
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    // reached[n]: the pattern so far matches the first n characters.
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    for wanted in pattern {
        let mut next = vec![false; name.len() + 1];
        for n in 1..=name.len() {
            next[n] = if wanted == '*' {
                reached[n - 1] || next[n - 1]
            } else {
                reached[n - 1] && name[n - 1] == wanted
            };
        }
        reached = next;
    }
    reached[name.len()]
}
