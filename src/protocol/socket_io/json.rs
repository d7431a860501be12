//! What the codec does with JSON text: validate it, measure its nesting, and cut arrays at commas. No tree is ever built.
//!
//! # Why
//! `serde_json` validates: its way of ignoring a value knows the whole grammar, neither recurses nor unescapes, and leaves alone
//! what must pass verbatim (numbers of any size, lone surrogate escapes, duplicate keys). What it cannot do is to bound nesting by
//! a setting or to say where things stand in the text; both are easy on text that is known to be valid.

use serde::de::IgnoredAny;

/// White space of JSON, which is less than that of Unicode.
const SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

/// Whether the text is one JSON value.
pub fn is_valid(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Whether no value is inside more than `limit` arrays and objects. Meaningful for valid JSON only; harmless for anything else.
pub fn nested_within(text: &str, limit: usize) -> bool {
    openers(text.as_bytes()) <= limit || depth_within(text.as_bytes(), limit)
}

/// Counts opening brackets, those inside strings too. In this form the compiler counts many bytes at once, which matters since
/// nearly every packet is decided by it.
fn openers(text: &[u8]) -> usize {
    /// What a sum in a byte can hold.
    const CHUNK: usize = 255;
    text.chunks(CHUNK)
        .map(|chunk| {
            // `[` and `{` differ in this bit alone.
            let hits = chunk.iter().map(|byte| u8::from(byte | 0x20 == b'{'));
            usize::from(hits.sum::<u8>())
        })
        .sum()
}

/// The exact answer, needed only where there are more brackets than levels.
fn depth_within(text: &[u8], limit: usize) -> bool {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => {
                at = string_end(text, at);
                continue;
            }
            b'[' | b'{' if depth == limit => return false,
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    true
}

/// The elements of a JSON array, verbatim without its brackets and the white space at both ends; `None` for other values.
pub fn elements(array: &str) -> Option<&str> {
    let array = array.trim_matches(SPACE);
    let inside = array.strip_prefix('[')?.strip_suffix(']')?;
    Some(inside.trim_matches(SPACE))
}

/// Splits [`elements`] into the first and the others, if there is a first that is a string or a number.
pub(super) fn split_first_scalar(elements: &str) -> Option<(&str, &str)> {
    let bytes = elements.as_bytes();
    let end = match bytes.first()? {
        b'"' => string_end(bytes, 0),
        b'-' | b'0'..=b'9' => scalar_end(bytes, 0),
        _ => return None,
    };
    let (first, rest) = elements.split_at(end);
    let rest = rest.trim_start_matches(SPACE);
    let rest = rest.strip_prefix(',').unwrap_or(rest);
    Some((first, rest.trim_start_matches(SPACE)))
}

/// Where a string ends whose opening quote stands at `start`: the index after its closing quote, or the text's end.
pub(super) fn string_end(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

/// Where a number or a word ends that begins at `start`.
pub(super) fn scalar_end(text: &[u8], start: usize) -> usize {
    let rest = text[start..].iter();
    let is_end = |b: &u8| matches!(b, b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r');
    start + rest.take_while(|b| !is_end(b)).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn validation_knows_the_grammar() {
        for valid in [
            "[]",
            " {} \r\n\t",
            r#"["a",1,-0.5e+10,true,false,null,{"a":{"a":[]}}]"#,
            r#""\ud800""#,
            r#"{"\udfff\ud800":"\u0000"}"#,
            r#"{"a":1,"a":2}"#,
            "123456789012345678901234567890",
            "1e999",
            "\"\u{2028}\u{7f}\u{1f980}\"",
        ] {
            assert!(is_valid(valid), "{valid}");
        }
        for invalid in [
            "",
            " ",
            "[",
            "[1,]",
            "[,]",
            "[1 2]",
            "{\"a\"}",
            "{a:1}",
            "{\"a\":1,}",
            "01",
            "1.",
            ".5",
            "+1",
            "-",
            "1e",
            "0x10",
            "NaN",
            "nul",
            "'a'",
            "\"",
            "\"\n\"",
            r#""\x""#,
            r#""\ud80""#,
            "[]]",
            "[] []",
            "\u{feff}[]",
            "[]\u{a0}",
            "[\u{b}]",
        ] {
            assert!(!is_valid(invalid), "{invalid:?}");
        }
    }

    #[test]
    fn nesting_counts_arrays_and_objects_but_not_text() {
        assert!(nested_within("1", 0));
        assert!(!nested_within("[]", 0));
        assert!(nested_within(r#"[{"a":[1]},[],[],[]]"#, 3));
        assert!(!nested_within(r#"[{"a":[1]},[],[],[]]"#, 2));
        assert!(nested_within(r#"["[[[[","\"[[[","\\",[[]]]"#, 3));
        assert!(!nested_within(r#"["[[[[","\"[[[","\\",[[]]]"#, 2));
    }

    #[test]
    fn every_opening_bracket_counts() {
        for len in [0, 1, 254, 255, 256, 1000] {
            assert_eq!(openers("[".repeat(len).as_bytes()), len);
            assert_eq!(openers("{]}\"".repeat(len).as_bytes()), len);
        }
        let others: Vec<u8> = (0..=255).filter(|b| !b"[{".contains(b)).collect();
        assert_eq!(openers(&others), 0);
    }

    #[test]
    fn elements_are_what_is_between_the_brackets() {
        assert_eq!(elements("[]"), Some(""));
        assert_eq!(elements(" [ 1 , [2] ] "), Some("1 , [2]"));
        assert_eq!(elements("{}"), None);
        assert_eq!(elements("["), None);
        assert_eq!(elements("\"[]\""), None);
    }

    #[test]
    fn the_first_element_is_cut_off_at_its_comma() {
        assert_eq!(split_first_scalar(r#""a""#), Some((r#""a""#, "")));
        assert_eq!(
            split_first_scalar(r#""a\",b" , 1,2"#),
            Some((r#""a\",b""#, "1,2"))
        );
        assert_eq!(split_first_scalar("-1.5e3,\n[1]"), Some(("-1.5e3", "[1]")));
        assert_eq!(split_first_scalar("7"), Some(("7", "")));
        for other in ["", "null", "true", "{},1", "[1],2"] {
            assert_eq!(split_first_scalar(other), None);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_harmless(text in r#"[\[\]{}",:\\ 0-9a\u{1f980}é]{0,40}"#, limit in 0usize..8) {
            let _ = nested_within(&text, limit);
            if let Some(inside) = elements(&text) {
                let _ = split_first_scalar(inside);
            }
        }

        /// The count of brackets is only a shortcut.
        #[test]
        fn the_shortcut_agrees_with_the_exact_answer(text in r#"[\[\]{}"\\a]{0,40}"#, limit in 0usize..8) {
            prop_assert_eq!(nested_within(&text, limit), depth_within(text.as_bytes(), limit));
        }
    }
}
