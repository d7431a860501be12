//! What an operator sets about logs (TOML table `log`).

/// Format and level of the log on standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Format.
    pub format: Format,
    /// A level, or a filter in the syntax of `tracing-subscriber`.
    pub level: Box<str>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            format: Format::Auto,
            level: "info".into(),
        }
    }
}

/// Format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Format {
    /// Text on a terminal, else JSON.
    #[default]
    Auto,
    /// Text.
    Text,
    /// One JSON object a line.
    Json,
}
