//! A message of constant length in which only numbers change, so that sending and checking need no memory.

/// Digits of a number.
pub const DIGITS: usize = 7;
/// The first number with so many digits: an id of Socket.IO has no zeros in front.
pub const FIRST: u32 = 1_000_000;

/// Where a marker of [`DIGITS`] times `#` is in a template.
///
/// # Panics
/// Where there is none.
pub fn place(template: &[u8]) -> usize {
    let marker = [b'#'; DIGITS];
    let mut windows = template.windows(DIGITS);
    windows
        .position(|w| w == marker)
        .expect("a template has its marker")
}

/// Writes a number at a place.
pub fn write(text: &mut [u8], place: usize, mut number: u32) {
    for digit in text[place..place + DIGITS].iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).expect("a digit");
        number /= 10;
    }
}

/// An argument of so many bytes, or a little more, that begins with this text.
pub fn argument(begin: &str, bytes: usize) -> String {
    let mut text = format!("{begin} ");
    while text.len() < bytes {
        text.push(char::from(
            b'a' + u8::try_from(text.len() % 26).expect("below 26"),
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_place() {
        let mut text = *b"a#######b";
        let at = place(&text);
        write(&mut text, at, 1_234_567);
        assert_eq!(&text, b"a1234567b");
        write(&mut text, at, 42);
        assert_eq!(&text, b"a0000042b");
        assert_eq!(FIRST.to_string().len(), DIGITS);
    }

    #[test]
    fn an_argument_has_its_length() {
        assert_eq!(argument("m", 128).len(), 128);
        assert_eq!(argument("longer than that", 3), "longer than that ");
    }
}
