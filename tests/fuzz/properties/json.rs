//! JSON (RFC 8259) as a slow, obvious parser: the judge of everything that cuts JSON by hand.
//!
//! It recurses, so it is for short texts. Scalars are kept as they were written.

use sockgate::protocol::socket_io::json;

/// A value. Strings are in their quotes, numbers and words as they stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    Scalar(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// The levels of lists and objects, 0 for a scalar.
    pub fn depth(&self) -> usize {
        let inside = match self {
            Self::Scalar(_) => return 0,
            Self::List(items) => items.iter().map(Self::depth).max(),
            Self::Object(members) => members.iter().map(|(_, value)| value.depth()).max(),
        };
        1 + inside.unwrap_or(0)
    }

    /// The last value of a key of an object, as JavaScript sees it.
    pub fn get(&self, name: &str) -> Option<&Self> {
        let Self::Object(members) = self else {
            return None;
        };
        let mut members = members.iter().rev();
        members
            .find(|(key, _)| means(key, name))
            .map(|(_, value)| value)
    }

    /// The items of a list.
    pub fn items(&self) -> Option<&[Self]> {
        match self {
            Self::List(items) => Some(items),
            Self::Scalar(_) | Self::Object(_) => None,
        }
    }

    /// Whether it is this word or number.
    pub fn is(&self, scalar: &str) -> bool {
        matches!(self, Self::Scalar(text) if text == scalar)
    }
}

/// The text of a string in its quotes, in the units of JavaScript; `None` for other values.
pub fn units(string: &str) -> Option<Vec<u16>> {
    let inside = string.strip_prefix('"')?.strip_suffix('"')?;
    let mut units = Vec::new();
    let mut characters = inside.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            units.extend(character.encode_utf16(&mut [0; 2]).iter());
            continue;
        }
        units.push(match characters.next()? {
            'b' => 8,
            't' => 9,
            'n' => 10,
            'f' => 12,
            'r' => 13,
            'u' => {
                let digits: String = characters.by_ref().take(4).collect();
                u16::from_str_radix(&digits, 16).ok()?
            }
            other => u16::try_from(u32::from(other)).ok()?,
        });
    }
    Some(units)
}

/// Whether a string in its quotes means this text.
pub fn means(string: &str, text: &str) -> bool {
    units(string).is_some_and(|units| units.into_iter().eq(text.encode_utf16()))
}

/// Parses a text as one value.
pub fn parse(text: &str) -> Option<Json> {
    let mut parser = Parser {
        text: text.as_bytes(),
        at: 0,
    };
    let value = parser.value()?;
    parser.space();
    (parser.at == text.len()).then_some(value)
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    fn space(&mut self) {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.text.get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    fn value(&mut self) -> Option<Json> {
        self.space();
        let start = self.at;
        match self.text.get(self.at)? {
            b'[' => return self.list(),
            b'{' => return self.object(),
            b'"' => self.string()?,
            b'-' | b'0'..=b'9' => self.number()?,
            _ => {
                let words = ["null", "true", "false"];
                let rest = &self.text[self.at..];
                let word = words
                    .iter()
                    .find(|word| rest.starts_with(word.as_bytes()))?;
                self.at += word.len();
            }
        }
        Some(Json::Scalar(self.since(start)))
    }

    fn since(&self, start: usize) -> String {
        let text = &self.text[start..self.at];
        String::from_utf8(text.to_vec()).expect("cut at ASCII characters")
    }

    fn list(&mut self) -> Option<Json> {
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if self.take(b']') {
            return Some(Json::List(items));
        }
        loop {
            items.push(self.value()?);
            self.space();
            if self.take(b']') {
                return Some(Json::List(items));
            }
            self.take(b',').then_some(())?;
        }
    }

    fn object(&mut self) -> Option<Json> {
        self.at += 1;
        let mut members = Vec::new();
        self.space();
        if self.take(b'}') {
            return Some(Json::Object(members));
        }
        loop {
            self.space();
            let start = self.at;
            self.string()?;
            let key = self.since(start);
            self.space();
            self.take(b':').then_some(())?;
            members.push((key, self.value()?));
            self.space();
            if self.take(b'}') {
                return Some(Json::Object(members));
            }
            self.take(b',').then_some(())?;
        }
    }

    fn string(&mut self) -> Option<()> {
        self.take(b'"').then_some(())?;
        loop {
            let byte = *self.text.get(self.at)?;
            self.at += 1;
            match byte {
                b'"' => return Some(()),
                b'\\' => {
                    let escape = *self.text.get(self.at)?;
                    self.at += 1;
                    match escape {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                        b'u' => {
                            let digits = self.text.get(self.at..self.at + 4)?;
                            digits.iter().all(u8::is_ascii_hexdigit).then_some(())?;
                            self.at += 4;
                        }
                        _ => return None,
                    }
                }
                0..0x20 => return None,
                _ => {}
            }
        }
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn number(&mut self) -> Option<()> {
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _signed = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Some(())
    }
}

/// Our way with JSON text agrees with the slow one: what is valid, how deep it is, and what stands in a list.
pub fn text(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let limit = text.len() % 9;
    let (valid, shallow, elements) = super::allocation::bounded(text.len(), || {
        (
            json::is_valid(text),
            json::nested_within(text, limit),
            json::elements(text),
        )
    });
    let parsed = parse(text);
    assert_eq!(valid, parsed.is_some());
    let Some(parsed) = parsed else {
        return;
    };
    assert_eq!(shallow, parsed.depth() <= limit);
    let items = elements.map(|elements| parse(&format!("[{elements}]")));
    assert_eq!(
        items,
        parsed.items().map(|items| Some(Json::List(items.to_vec())))
    );
    if let Some(elements) = elements {
        assert!(!elements.starts_with(char::is_whitespace) && !elements.ends_with(' '));
    }
}
