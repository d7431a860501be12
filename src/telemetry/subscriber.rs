//! Log lines on standard error: text on a terminal, else one JSON object a line.
//!
//! Promises that an event is one line, whatever its fields hold: every character that could begin another line or steer a terminal
//! is written as `\u` and its number. That payloads, tokens and headers are in no field is up to who logs; the libraries
//! below the gateway are held at warnings, unless the operator's filter names them.

use std::io::{self, IsTerminal as _, Write};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::telemetry::log::{Format, Settings};

/// Sets up the log of the process; only the first call counts.
pub fn start(settings: &Settings) {
    let terminal = io::stderr().is_terminal();
    let json = match settings.format {
        Format::Auto => !terminal,
        Format::Text => false,
        Format::Json => true,
    };
    let (colored, level) = (terminal && !json, &settings.level);
    let lines = move || Lines {
        to: io::stderr(),
        colored,
    };
    if !install(level, json, colored, lines) {
        tracing::debug!("the log was set up before");
    }
}

fn install<W>(level: &str, json: bool, colored: bool, lines: W) -> bool
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter =
        EnvFilter::try_new(directives(level)).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colored)
        .with_writer(lines);
    if json {
        builder.json().flatten_event(true).try_init().is_ok()
    } else {
        builder.try_init().is_ok()
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
struct Lines<W> {
    to: W,
    /// Whether the formatter's own escape sequences are in them.
    colored: bool,
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        if text.iter().all(|byte| matches!(byte, b' '..=b'~')) {
            self.to.write_all(line)?;
        } else {
            let mut safe = escaped(&String::from_utf8_lossy(text), self.colored);
            safe.push('\n');
            self.to.write_all(safe.as_bytes())?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// The number of four digits is a valid escape in JSON, too. Escape itself is left where the formatter colours: it takes care of
/// those inside of fields.
fn escaped(text: &str, colored: bool) -> String {
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        let steers = c.is_control() && !(colored && c == '\u{1b}');
        // Line and paragraph separator; what changes the direction of writing.
        let misleads = matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if steers || misleads {
            safe += &format!("\\u{:04x}", u32::from(c));
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

    fn logged(json: bool, colored: bool) -> String {
        let buffer = Buffer::default();
        let to = buffer.clone();
        let lines = move || Lines {
            to: to.clone(),
            colored,
        };
        let layer = tracing_subscriber::fmt::layer()
            .with_ansi(colored)
            .with_writer(lines);
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
            let log = logged(json, false);
            let line = log.strip_suffix('\n').unwrap();
            let bad = |c: &char| c.is_control() || matches!(c, '\u{2028}' | '\u{202e}');
            assert_eq!(line.chars().find(bad), None, "{line}");
            assert!(line.contains('é'), "{line}");
        }
    }

    #[test]
    fn json_keeps_what_was_said() {
        let line: serde_json::Value = serde_json::from_str(&logged(true, false)).unwrap();
        assert_eq!(line["debug"], EVIL);
        assert_eq!(line["display"], EVIL);
        assert_eq!(line["level"], "INFO");
    }

    #[test]
    fn on_a_terminal_only_the_formatter_colours() {
        let log = logged(false, true);
        assert!(log.contains('\u{1b}'), "{log:?}");
        assert!(!log.contains("\u{1b}[31m"), "{log:?}");
        assert_eq!(log.lines().count(), 1, "{log:?}");
    }

    #[test]
    fn libraries_only_warn_unless_a_filter_names_them() {
        assert_eq!(directives("debug"), "warn,sockgate=debug");
        assert_eq!(directives("error"), "error");
        assert_eq!(directives("hyper=trace"), "hyper=trace");
    }
}
