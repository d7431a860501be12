//! Taking members out of a JSON object without touching the others.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The object without the members of these names; all others stay byte for byte as they are, white space included. What is no
/// object becomes an empty one.
///
/// Clients write it, so its members are not kept: at most a copy of the object is made.
pub(super) fn without_members<'j>(object: &'j str, names: &[&str]) -> Cow<'j, str> {
    let object = object.trim_matches([' ', '\t', '\n', '\r']);
    let mut reader = serde_json::Deserializer::from_str(object);
    match reader.deserialize_map(Members { object, names }) {
        Ok(Some(trimmed)) => Cow::Owned(trimmed),
        Ok(None) => Cow::Borrowed(object),
        Err(_) => Cow::Borrowed("{}"),
    }
}

/// Reads an object; gives the trimmed one where there is something to take out.
struct Members<'a, 'j> {
    object: &'j str,
    names: &'a [&'a str],
}

impl<'j> Visitor<'j> for Members<'_, 'j> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'j>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let object = self.object;
        let mut trimmed: Option<String> = None;
        // A member stands between two of the delimiters `{`, `,` and `}`.
        let mut start = "{".len();
        while let Some((name, value)) = map.next_entry::<&'j RawValue, &'j RawValue>()? {
            // The value is a part of the object's text, so the difference of the addresses is its place.
            let value = value.get();
            let end_of_value = value.as_ptr().addr() - object.as_ptr().addr() + value.len();
            let rest = &object[end_of_value..];
            let end = end_of_value + rest.find([',', '}']).unwrap_or(rest.len());
            let is_unwanted = self.is_unwanted(name.get());
            match &mut trimmed {
                None if is_unwanted => {
                    let mut kept = String::with_capacity(object.len());
                    // What came before, without the comma behind it.
                    let before = object[..start].strip_suffix(',');
                    kept.push_str(before.unwrap_or("{"));
                    trimmed = Some(kept);
                }
                Some(kept) if !is_unwanted => {
                    if kept.len() > "{".len() {
                        kept.push(',');
                    }
                    kept.push_str(&object[start..end]);
                }
                None | Some(_) => {}
            }
            start = (end + 1).min(object.len());
        }
        if let Some(trimmed) = &mut trimmed {
            trimmed.push('}');
        }
        Ok(trimmed)
    }
}

impl Members<'_, '_> {
    /// Whether a name, in its quotes, is one of those. What is no Unicode text (half of a surrogate pair) is none of them.
    fn is_unwanted(&self, name: &str) -> bool {
        if !name.contains('\\') {
            return self.names.contains(&name.trim_matches('"'));
        }
        serde_json::from_str::<String>(name).is_ok_and(|name| self.names.contains(&&*name))
    }
}

#[cfg(test)]
mod tests {
    use super::without_members;

    #[test]
    fn members_go_and_the_others_stay_byte_for_byte() {
        let cut = |object| without_members(object, &["pid", "offset"]).into_owned();
        assert_eq!(
            cut(r#"{"token":"a","pid":"p","offset":"o"}"#),
            r#"{"token":"a"}"#
        );
        assert_eq!(
            cut(r#"{ "pid" : 1 , "n" : 1.50e1 , "b":[ {} ] }"#),
            r#"{ "n" : 1.50e1 , "b":[ {} ] }"#
        );
        assert_eq!(cut(r#"{"p\u0069d":1}"#), "{}");
        assert_eq!(
            cut(r#"{"a":{"pid":1},"é":",}"}"#),
            r#"{"a":{"pid":1},"é":",}"}"#
        );
        assert_eq!(
            cut(r#"{"pid":",}","a":1,"pid":2,"a":3}"#),
            r#"{"a":1,"a":3}"#
        );
        assert_eq!(cut(r#"{"\ud800":1,"pid":2}"#), r#"{"\ud800":1}"#);
        assert_eq!(cut("{}"), "{}");
        assert_eq!(cut(""), "{}");
        assert_eq!(cut("[1]"), "{}");
        assert_eq!(cut(r#"{"a":1"#), "{}");
    }
}
