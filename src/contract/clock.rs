//! Moments as text: RFC 3339, in UTC with milliseconds where we write.

use std::time::SystemTime;

use jiff::Timestamp;
use serde::Serializer;

/// Writes a moment, such as `2026-11-24T22:00:00.123Z`. What lies outside the years -9999 to 9999 becomes the epoch.
pub(super) fn format(time: SystemTime) -> String {
    let timestamp = Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{timestamp:.3}")
}

/// Reads a moment; `None` where it is not in the form of RFC 3339 or does not exist.
pub(super) fn parse(text: &str) -> Option<SystemTime> {
    if !has_form(text.as_bytes()) {
        return None;
    }
    text.parse::<Timestamp>().ok()?.try_into().ok()
}

/// Whether a text has the form of RFC 3339. The library takes much more than that (ISO 8601, time zones in brackets), and what
/// a schema calls a `date-time` should be exactly what we take.
fn has_form(text: &[u8]) -> bool {
    const FORM: &[u8] = b"dddd-dd-ddTdd:dd:dd";
    let Some((head, tail)) = text.split_at_checked(FORM.len()) else {
        return false;
    };
    let fits = |(byte, form): (&u8, &u8)| match form {
        b'd' => byte.is_ascii_digit(),
        b'T' => matches!(byte, b'T' | b't' | b' '),
        _ => byte == form,
    };
    head.iter().zip(FORM).all(fits) && has_zone(without_fraction(tail))
}

/// Cuts off `.` and digits; what has a point but no digit is left as it is, and so is no zone.
fn without_fraction(tail: &[u8]) -> &[u8] {
    let Some(fraction) = tail.strip_prefix(b".") else {
        return tail;
    };
    let digits = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
    if digits == 0 {
        tail
    } else {
        &fraction[digits..]
    }
}

fn has_zone(zone: &[u8]) -> bool {
    match zone {
        b"Z" | b"z" => true,
        [b'+' | b'-', a, b, b':', c, d] => [a, b, c, d].iter().all(|byte| byte.is_ascii_digit()),
        _ => false,
    }
}

/// For `serialize_with`.
pub(super) fn serialize<S: Serializer>(time: &SystemTime, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(&format(*time))
}

/// For `serialize_with`; `None` is `null`.
#[expect(clippy::ref_option, reason = "the signature is serde's")]
pub(super) fn serialize_maybe<S: Serializer>(
    time: &Option<SystemTime>,
    out: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serialize(time, out),
        None => out.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_milliseconds() {
        let time = parse("2026-11-24T22:00:00.1239Z").expect("a time");
        assert_eq!(format(time), "2026-11-24T22:00:00.123Z");
        let whole = parse("2026-11-25T00:00:00+02:00").expect("a time");
        assert_eq!(format(whole), "2026-11-24T22:00:00.000Z");
    }

    #[test]
    fn only_the_form_of_rfc_3339_is_read() {
        for good in ["2026-11-24t22:00:00z", "2026-11-24 22:00:00.5-00:30"] {
            assert!(parse(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "2026-11-24",
            "2026-11-24T22:00Z",
            "2026-11-24T22:00:00",
            "2026-11-24T22:00:00.Z",
            "2026-11-24T22:00:00+02",
            "2026-11-24T22:00:00+0200",
            "2026-11-24T22:00:00Z[UTC]",
            "2026-13-24T22:00:00Z",
            "2026-02-30T22:00:00Z",
            "+002026-11-24T22:00:00Z",
            "1732485600",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
