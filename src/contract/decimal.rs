//! Whole numbers in JSON, which has only numbers: `7`, `7.0` and `70e-1` are the same one.

use std::borrow::Cow;

/// Digits of a whole number at most.
const MAX_DIGITS: usize = 128;

/// The decimal text of a JSON value, if it is a whole number of at most 128 digits.
pub(super) fn whole(json: &str) -> Option<Cow<'_, str>> {
    let (sign, number) = match json.strip_prefix('-') {
        Some(number) => ("-", number),
        None => ("", json),
    };
    if !number.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    if number.len() <= MAX_DIGITS && number != "0" && number.bytes().all(|b| b.is_ascii_digit()) {
        return Some(json.into());
    }
    let digits = scaled(number)?;
    let sign = if digits == "0" { "" } else { sign };
    Some(format!("{sign}{digits}").into())
}

/// Writes out a number without sign: moves the point behind all digits that are not zero, if it can be moved so far.
fn scaled(number: &str) -> Option<String> {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{before}{after}");
    let leading = digits.len() - digits.trim_start_matches('0').len();
    let significant = digits.trim_matches('0');
    if significant.is_empty() {
        return Some("0".to_owned());
    }
    // Where the point is, counted from the first significant digit. An exponent that fits no integer is out of range anyway.
    let exponent = exponent.parse::<i64>().ok()?;
    let point = i64::try_from(before.len()).ok()? - i64::try_from(leading).ok()?;
    let point = usize::try_from(point.checked_add(exponent)?).ok()?;
    if point < significant.len() || point > MAX_DIGITS {
        return None;
    }
    Some(format!("{significant:0<point$}"))
}

#[cfg(test)]
mod tests {
    use super::whole;

    #[test]
    fn whole_numbers_have_one_decimal_text() {
        for (json, text) in [
            ("0", "0"),
            ("-0", "0"),
            ("0.0", "0"),
            ("0e5", "0"),
            ("42", "42"),
            ("-7", "-7"),
            ("42.0", "42"),
            ("4200", "4200"),
            ("4.2e1", "42"),
            ("4.2E+3", "4200"),
            ("-4200e-2", "-42"),
            ("0.001e3", "1"),
            ("1e+16", "10000000000000000"),
            (
                "123456789012345678901234567890",
                "123456789012345678901234567890",
            ),
        ] {
            assert_eq!(whole(json).as_deref(), Some(text), "{json}");
        }
        for none in [
            "4.5",
            "42e-1",
            "1e-1",
            "1e999",
            "1e99999999999999999999",
            "1e-99999999999999999999",
            "true",
            "null",
            "\"1\"",
            "[1]",
            "-",
            "",
        ] {
            assert_eq!(whole(none), None, "{none}");
        }
        let nines = "9".repeat(128);
        assert_eq!(whole(&nines).as_deref(), Some(&*nines));
        assert_eq!(whole(&"9".repeat(129)), None);
        assert_eq!(whole("1e127").map(|text| text.len()), Some(128));
        assert_eq!(whole("1e128"), None);
    }
}
