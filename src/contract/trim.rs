//! Taking members out of a JSON object without touching the others.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The object without the members of these names; all others stay byte for byte as they are, white space included. What is no
/// object becomes an empty one.
pub(super) fn without_members<'j>(object: &'j str, names: &[&str]) -> Cow<'j, str> {
    let object = object.trim_matches([' ', '\t', '\n', '\r']);
    let mut reader = serde_json::Deserializer::from_str(object);
    let Ok(members) = reader.deserialize_map(Members { object }) else {
        return Cow::Borrowed("{}");
    };
    let unwanted = |member: &&Member| names.contains(&&*member.name);
    if !members.iter().any(|member| unwanted(&member)) {
        return Cow::Borrowed(object);
    }
    let kept = members.iter().filter(|member| !unwanted(member));
    let kept: Vec<&str> = kept.map(|member| &object[member.range.clone()]).collect();
    Cow::Owned(format!("{{{}}}", kept.join(",")))
}

/// A member and where it stands: what is between two of the delimiters `{`, `,` and `}`.
struct Member {
    /// Empty where it is no Unicode text (half of a surrogate pair).
    name: String,
    range: Range<usize>,
}

struct Members<'j> {
    object: &'j str,
}

impl<'j> Visitor<'j> for Members<'j> {
    type Value = Vec<Member>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'j>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        let mut start = "{".len();
        while let Some((name, value)) = map.next_entry::<&'j RawValue, &'j RawValue>()? {
            // The value is a part of the object's text, so the difference of the addresses is its place.
            let value = value.get();
            let end_of_value = value.as_ptr().addr() - self.object.as_ptr().addr() + value.len();
            let rest = &self.object[end_of_value..];
            let end = end_of_value + rest.find([',', '}']).unwrap_or(rest.len());
            members.push(Member {
                name: serde_json::from_str(name.get()).unwrap_or_default(),
                range: start..end,
            });
            start = (end + 1).min(self.object.len());
        }
        Ok(members)
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
