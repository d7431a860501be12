//! Forms of single values: numbers, durations, sizes, rates, shares, words.
//!
//! Promises strictness: a number in quotes is no number, a duration without unit no duration. (The `config` crate's own
//! conversions take `"yes"` for a boolean and round 64.7 to 65.)

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::time::Duration;

use ::config::{Value, ValueKind};
use bytesize::ByteSize;

use super::problem::nearest;
use crate::server::settings::Share;

/// A value that was understood, or a message for people.
pub(super) type Reading<T> = Result<T, String>;

/// What a key says whose issue has not landed (contract 14).
pub(super) const LATER: &str = "not yet available";

/// Longest duration: whatever is added to a clock stays far from its end.
const MAX_DURATION: Duration = Duration::from_hours(365 * 24);
/// Largest size, 1 PiB: sums of sizes stay far from the end of a number.
const MAX_SIZE: u64 = 1 << 50;
/// Largest count.
const MAX_COUNT: i64 = u32::MAX as i64;

/// The value as an error message names it.
pub(super) fn describe(value: &Value) -> Cow<'static, str> {
    match &value.kind {
        ValueKind::Boolean(flag) => format!("the boolean {flag}").into(),
        ValueKind::I64(number) => format!("the integer {number}").into(),
        ValueKind::I128(_) | ValueKind::U64(_) | ValueKind::U128(_) => "a huge integer".into(),
        ValueKind::Float(number) => format!("the number {number}").into(),
        ValueKind::String(text) => quote(text).into(),
        ValueKind::Table(_) => "a table".into(),
        ValueKind::Array(_) => "a list".into(),
        ValueKind::Nil => "a date".into(),
    }
}

/// The text in quotes, escaped, at most 60 characters of it.
pub(super) fn quote(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// The message for a value that is something else.
pub(super) fn expected<T>(what: &str, value: &Value) -> Reading<T> {
    Err(format!("expected {what}, found {}", describe(value)))
}

/// Any text.
pub(super) fn text(value: &Value) -> Reading<&str> {
    match &value.kind {
        ValueKind::String(text) => Ok(text),
        _ => expected("a string", value),
    }
}

/// `true` or `false`.
pub(super) fn flag(value: &Value) -> Reading<bool> {
    match value.kind {
        ValueKind::Boolean(flag) => Ok(flag),
        _ => expected("true or false", value),
    }
}

/// A whole number within bounds.
pub(super) fn integer<T: TryFrom<i64>>(
    bounds: RangeInclusive<i64>,
) -> impl Fn(&Value) -> Reading<T> {
    move |value| {
        let read = match value.kind {
            ValueKind::I64(number) if bounds.contains(&number) => T::try_from(number).ok(),
            _ => None,
        };
        match (read, *bounds.end()) {
            (Some(number), _) => Ok(number),
            (None, MAX_COUNT) => {
                expected(&format!("a whole number from {} on", bounds.start()), value)
            }
            (None, end) => expected(
                &format!("a whole number from {} to {end}", bounds.start()),
                value,
            ),
        }
    }
}

/// A whole number, 0 included.
pub(super) fn count<T: TryFrom<i64>>(value: &Value) -> Reading<T> {
    integer(0..=MAX_COUNT)(value)
}

/// A whole number, at least 1.
pub(super) fn positive<T: TryFrom<i64>>(value: &Value) -> Reading<T> {
    integer(1..=MAX_COUNT)(value)
}

/// A duration with its unit, 0 included.
pub(super) fn duration(value: &Value) -> Reading<Duration> {
    let read = match &value.kind {
        // `humantime` takes a bare "0".
        ValueKind::String(text) if text.ends_with(char::is_alphabetic) => {
            humantime::parse_duration(text).ok()
        }
        _ => None,
    };
    match read {
        Some(duration) if duration <= MAX_DURATION => Ok(duration),
        Some(_) => Err("must be at most one year".to_owned()),
        None => expected(
            "a duration with its unit, such as \"25s\", \"1500ms\" or \"2m\"",
            value,
        ),
    }
}

/// A duration with its unit, more than 0.
pub(super) fn some_time(value: &Value) -> Reading<Duration> {
    match duration(value)? {
        Duration::ZERO => Err("must be more than 0s".to_owned()),
        duration => Ok(duration),
    }
}

/// A duration with its unit that is long enough for something to happen.
pub(super) fn at_least(least: Duration) -> impl Fn(&Value) -> Reading<Duration> {
    move |value| match duration(value)? {
        duration if duration < least => Err(format!(
            "must be at least {}",
            humantime::format_duration(least)
        )),
        duration => Ok(duration),
    }
}

/// A size in bytes within bounds: an integer, or a text with a unit.
pub(super) fn size_within(bounds: RangeInclusive<u64>) -> impl Fn(&Value) -> Reading<usize> {
    move |value| {
        let bytes = match &value.kind {
            ValueKind::I64(number) => u64::try_from(*number).ok(),
            ValueKind::String(text) => text.parse().ok().map(|ByteSize(bytes)| bytes),
            _ => None,
        };
        let Some(bytes) = bytes else {
            return expected(
                "a size such as \"1MB\" (10^6 bytes), \"1MiB\" (2^20) or a number of bytes",
                value,
            );
        };
        if !bounds.contains(&bytes) {
            let (least, most) = (bounds.start(), bounds.end());
            return Err(format!("must be from {least} to {most} bytes, not {bytes}"));
        }
        usize::try_from(bytes).map_err(|_| "is too large for this machine".to_owned())
    }
}

/// A size of at least one byte.
pub(super) fn size(value: &Value) -> Reading<usize> {
    size_within(1..=MAX_SIZE)(value)
}

/// So many per second, 0 included: `"10/s"` or a whole number.
pub(super) fn rate(value: &Value) -> Reading<u32> {
    let read = match &value.kind {
        ValueKind::I64(number) => u32::try_from(*number).ok(),
        ValueKind::String(text) => text.strip_suffix("/s").and_then(|n| n.trim().parse().ok()),
        _ => None,
    };
    match read {
        Some(rate) => Ok(rate),
        None => expected("a rate per second such as \"10/s\"", value),
    }
}

/// At least one per second.
pub(super) fn some_rate(value: &Value) -> Reading<u32> {
    match rate(value)? {
        0 => Err("must be at least \"1/s\"".to_owned()),
        rate => Ok(rate),
    }
}

/// `"20%"`, from 0 to 100.
pub(super) fn percent(value: &Value) -> Option<u8> {
    let ValueKind::String(text) = &value.kind else {
        return None;
    };
    let percent = text.strip_suffix('%')?.trim().parse().ok()?;
    (percent <= 100).then_some(percent)
}

/// A count, or a share of something.
pub(super) fn share(value: &Value) -> Reading<Share> {
    match (percent(value), count(value)) {
        (Some(percent), _) => Ok(Share::Percent(percent)),
        (None, Ok(count)) => Ok(Share::Count(count)),
        (None, Err(_)) => expected("a share such as \"20%\", or a whole number", value),
    }
}

/// A ratio above 0 and up to 1, in thousandths.
pub(super) fn ratio(value: &Value) -> Reading<u32> {
    let ratio = match value.kind {
        ValueKind::Float(ratio) => ratio,
        ValueKind::I64(1) => 1.0,
        _ => f64::NAN,
    };
    if !(0.001..=1.0).contains(&ratio) {
        return expected("a ratio from 0.001 to 1.0", value);
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 1 to 1000 after the check above"
    )]
    Ok((ratio * 1000.0).round() as u32)
}

/// One of a few words; `later` are those that are not there yet.
pub(super) fn word<T: Copy>(words: &[(&str, T)], later: &[&str]) -> impl Fn(&Value) -> Reading<T> {
    move |value| {
        let ValueKind::String(written) = &value.kind else {
            return expected(&list(words), value);
        };
        if later.contains(&written.as_str()) {
            return Err(format!("{} is {LATER}", quote(written)));
        }
        if let Some((_, meaning)) = words.iter().find(|(word, _)| word == written) {
            return Ok(*meaning);
        }
        let nearest = nearest(written, words.iter().map(|(word, _)| *word)).unwrap_or_default();
        let expectation = list(words);
        Err(format!(
            "expected {expectation}, found {}; the nearest is {nearest:?}",
            quote(written)
        ))
    }
}

fn list<T>(words: &[(&str, T)]) -> String {
    let words: Vec<_> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
    match words.as_slice() {
        [.., _] if words.len() > 1 => format!("one of {}", words.join(", ")),
        _ => words.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: impl Into<ValueKind>) -> Value {
        Value::new(None, kind)
    }

    #[test]
    fn durations_carry_units() {
        assert_eq!(duration(&of("25s")), Ok(Duration::from_secs(25)));
        assert_eq!(duration(&of("1500ms")), Ok(Duration::from_millis(1500)));
        assert_eq!(duration(&of("2m")), Ok(Duration::from_mins(2)));
        assert_eq!(duration(&of("0s")), Ok(Duration::ZERO));
        for wrong in [
            of("0"),
            of("25"),
            of(25),
            of("25 seks"),
            of(""),
            of("-1s"),
            of("2y"),
        ] {
            assert!(duration(&wrong).is_err(), "{wrong:?}");
        }
        assert!(some_time(&of("0ms")).is_err());
    }

    #[test]
    fn sizes_count_in_tens_or_in_twos() {
        assert_eq!(size(&of("1MB")), Ok(1_000_000));
        assert_eq!(size(&of("1MiB")), Ok(1 << 20));
        assert_eq!(size(&of("16KiB")), Ok(16 << 10));
        assert_eq!(size(&of(512)), Ok(512));
        for wrong in [
            of("1 megabyte"),
            of("MB"),
            of(-1),
            of(0),
            of(1.5),
            of("1EB"),
        ] {
            assert!(size(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn rates_shares_and_ratios() {
        assert_eq!(rate(&of("10/s")), Ok(10));
        assert_eq!(rate(&of(0)), Ok(0));
        assert!(rate(&of("10")).is_err());
        assert!(rate(&of("10/m")).is_err());
        assert!(some_rate(&of("0/s")).is_err());
        assert_eq!(share(&of("20%")), Ok(Share::Percent(20)));
        assert_eq!(share(&of(7)), Ok(Share::Count(7)));
        assert!(share(&of("120%")).is_err());
        assert_eq!(ratio(&of(0.5)), Ok(500));
        assert_eq!(ratio(&of(1)), Ok(1000));
        for wrong in [
            of(0),
            of(0.0),
            of(1.1),
            of(f64::NAN),
            of(f64::INFINITY),
            of("0.5"),
        ] {
            assert!(ratio(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn numbers_in_quotes_are_no_numbers() {
        assert_eq!(count::<usize>(&of(5)), Ok(5));
        assert!(count::<usize>(&of("5")).is_err());
        assert!(count::<usize>(&of(64.7)).is_err());
        assert!(positive::<usize>(&of(0)).is_err());
        assert!(count::<u32>(&of(1_i64 << 40)).is_err());
        assert!(flag(&of("yes")).is_err());
    }

    #[test]
    fn a_wrong_word_is_told_the_nearest() {
        let read = word(&[("close", 1), ("reject", 2)], &["replay"]);
        assert_eq!(read(&of("reject")), Ok(2));
        assert_eq!(
            read(&of("rejcet")),
            Err(
                "expected one of \"close\", \"reject\", found \"rejcet\"; the nearest is \"reject\""
                    .to_owned()
            )
        );
        assert_eq!(
            read(&of("replay")),
            Err("\"replay\" is not yet available".to_owned())
        );
    }
}
