//! What must hold for placeholders in arguments, whoever wrote them (protocol 3.1, contract 7).

use bytes::Bytes;
use sockgate::protocol::socket_io::json::nested_within;
use sockgate::protocol::socket_io::placeholders::{
    self, MAX_ATTACHMENTS, MAX_DEPTH, PlaceholderError,
};

use super::allocation::bounded;
use super::json::{self, Json};

/// Arguments after a byte for the number of attachments: placeholders are found where a parser finds them, numbered anew in order
/// of first use, and nothing else of the text changes.
pub fn renumber(input: &[u8]) {
    let Some((&count, args)) = input.split_first() else {
        return;
    };
    let Ok(args) = std::str::from_utf8(args) else {
        return;
    };
    let list: Vec<Bytes> = (0..count % 16)
        .map(|byte| Bytes::copy_from_slice(&[byte]))
        .collect();
    let parsed = json::parse(&format!("[{args}]"));
    let is_deep = !nested_within(args, MAX_DEPTH);
    // Nobody asks about what is deeper, or no JSON; it only must not panic.
    let size = match &parsed {
        Some(Json::List(_)) if !is_deep => input.len(),
        _ => 100 * input.len(),
    };
    let renumbered = bounded(size, || placeholders::renumber(args, &list));
    let shifted = bounded(size, || placeholders::shift(args, 7));
    let are_below = bounded(size, || placeholders::are_below(args, list.len()));
    let Some(Json::List(mut items)) = parsed else {
        return;
    };

    let mut found = Vec::new();
    for item in &items {
        numbers(item, &mut found);
    }
    let number = |found: &Option<String>| index(found.as_deref()?, list.len());
    assert_eq!(are_below, found.iter().all(|num| number(num).is_some()));

    let mut moved = items.clone();
    let by_seven = |num: &str| Some(index(num, usize::MAX)?.saturating_add(7).to_string());
    for item in &mut moved {
        replace(item, &by_seven);
    }
    assert_eq!(
        json::parse(&format!("[{shifted}]")),
        Some(Json::List(moved))
    );

    let mut used: Vec<usize> = Vec::new();
    assert_eq!(is_deep, items.iter().any(|item| item.depth() > MAX_DEPTH));
    let mut expected = if is_deep { Err("deep") } else { Ok(()) };
    for num in &found {
        match number(num) {
            _ if expected.is_err() => break,
            None => expected = Err("number"),
            Some(index) if used.contains(&index) => {}
            Some(_) if used.len() == MAX_ATTACHMENTS => expected = Err("many"),
            Some(index) => used.push(index),
        }
    }
    match renumbered {
        Err(error) => assert_eq!(
            expected,
            Err(match error {
                PlaceholderError::Number { .. } => "number",
                PlaceholderError::TooMany => "many",
                PlaceholderError::TooDeep => "deep",
            })
        ),
        Ok((args, attachments)) => {
            assert_eq!(expected, Ok(()));
            let new = |num: &str| {
                let old = index(num, list.len())?;
                Some(used.iter().position(|used| *used == old)?.to_string())
            };
            for item in &mut items {
                replace(item, &new);
            }
            assert_eq!(json::parse(&format!("[{args}]")), Some(Json::List(items)));
            let picked: Vec<_> = used.iter().map(|index| list[*index].clone()).collect();
            assert_eq!(attachments, picked);
        }
    }
}

/// A plain whole number below the count.
pub fn index(num: &str, count: usize) -> Option<usize> {
    let is_plain = num.bytes().all(|byte| byte.is_ascii_digit());
    let number = num.parse::<usize>().ok().filter(|_| is_plain)?;
    (number < count).then_some(number)
}

fn is_placeholder(value: &Json) -> bool {
    value.get("_placeholder").is_some_and(|it| it.is("true"))
}

/// The `num` of each placeholder, those inside before those around them; `None` where it is missing or no scalar.
pub fn numbers(value: &Json, found: &mut Vec<Option<String>>) {
    match value {
        Json::Scalar(_) => {}
        Json::List(items) => {
            for item in items {
                numbers(item, found);
            }
        }
        Json::Object(members) => {
            for (_, value) in members {
                numbers(value, found);
            }
            if is_placeholder(value) {
                found.push(match value.get("num") {
                    Some(Json::Scalar(num)) => Some(num.clone()),
                    _ => None,
                });
            }
        }
    }
}

/// Gives each placeholder a new number, where there is one.
fn replace(value: &mut Json, new: &dyn Fn(&str) -> Option<String>) {
    let is_placeholder = is_placeholder(value);
    match value {
        Json::Scalar(_) => {}
        Json::List(items) => {
            for item in items {
                replace(item, new);
            }
        }
        Json::Object(members) => {
            for (_, value) in &mut *members {
                replace(value, new);
            }
            let mut members = members.iter_mut().rev();
            let num = members.find(|(key, _)| json::means(key, "num"));
            if let Some((_, Json::Scalar(num))) = num.filter(|_| is_placeholder)
                && let Some(new) = new(num)
            {
                *num = new;
            }
        }
    }
}
