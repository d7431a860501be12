//! Log lines on standard error: text on a terminal, else one JSON object a line.
//!
//! Promises that an event is one line, whatever its fields hold: every character that could begin another line or steer a terminal
//! is written as `\u` and its number. There are no colours: their escape sequences could not be told from those of a field. That
//! payloads, tokens and headers are in no field is up to who logs; the libraries below the gateway are held at warnings, unless the
//! operator's filter names them.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write};

use tracing_subscriber::EnvFilter;

use crate::telemetry::log::{Format, Settings};

/// Sets up the log of the process; only the first call counts.
pub fn start(settings: &Settings) {
    let json = match settings.format {
        Format::Auto => !io::stderr().is_terminal(),
        Format::Text => false,
        Format::Json => true,
    };
    let filter = EnvFilter::try_new(directives(&settings.level));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|_| EnvFilter::new("info")))
        .with_ansi(false)
        .with_writer(|| Lines(io::stderr()));
    let started = if json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.try_init()
    };
    if started.is_err() {
        tracing::debug!("the log was set up before");
    }
}

/// A level is meant for the gateway; the libraries below it would drown the rest, so they only warn. A filter is taken as it is.
fn directives(level: &str) -> String {
    match level {
        "trace" | "debug" | "info" => format!("warn,sockgate={level}"),
        _ => level.to_owned(),
    }
}

/// Takes complete lines, one a write, as the formatter above gives them.
struct Lines<W>(W);

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        if text.iter().all(|byte| matches!(byte, b' '..=b'~')) {
            self.0.write_all(line)?;
        } else {
            let mut safe = escaped(&String::from_utf8_lossy(text));
            safe.push('\n');
            self.0.write_all(safe.as_bytes())?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The number of four digits is a valid escape in JSON, too.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        // Line and paragraph separator; what changes the direction of writing.
        let misleads = matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || misleads {
            // Writing to a string does not fail.
            write!(safe, "\\u{:04x}", u32::from(c)).ok();
        } else {
            safe.push(c);
        }
    }
    safe
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use std::sync::Arc;
    use tracing_subscriber::layer::SubscriberExt as _;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What a client could bring into a field.
    const EVIL: &str =
        "a\nb\r\u{1b}[31mred\u{7}\u{7f}\u{9b}2J\u{2028}\u{202e}{\"level\":\"ERROR\"} é";

    fn logged(json: bool) -> String {
        let buffer = Buffer::default();
        let to = buffer.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_writer(move || Lines(to.clone()));
        let log = || tracing::info!(debug = EVIL, display = %EVIL, "{EVIL}");
        if json {
            let layer = layer.json().flatten_event(true);
            tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        } else {
            tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        }
        let bytes = buffer.0.lock().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn an_event_is_one_line_without_control_characters() {
        for json in [false, true] {
            let log = logged(json);
            let line = log.strip_suffix('\n').unwrap();
            let bad = |c: &char| c.is_control() || matches!(c, '\u{2028}' | '\u{202e}');
            assert_eq!(line.chars().find(bad), None, "{line}");
            assert!(line.contains('é'), "{line}");
        }
    }

    #[test]
    fn json_keeps_what_was_said() {
        let line: serde_json::Value = serde_json::from_str(&logged(true)).unwrap();
        assert_eq!(line["debug"], EVIL);
        assert_eq!(line["display"], EVIL);
        assert_eq!(line["level"], "INFO");
    }

    #[test]
    fn libraries_only_warn_unless_a_filter_names_them() {
        assert_eq!(directives("debug"), "warn,sockgate=debug");
        assert_eq!(directives("error"), "error");
        assert_eq!(directives("hyper=trace"), "hyper=trace");
    }
}
