//! `init`: the smallest configuration file that works.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use super::{Answer, FAILED};

/// What is written.
const MINIMAL: &str = include_str!("../../config/minimal.toml");

/// Writes the file, unless there is one.
pub(super) fn init(path: &Path) -> Answer {
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .and_then(|mut file| file.write_all(MINIMAL.as_bytes()));
    let path = path.display();
    match written {
        Ok(()) => Answer::said(format!(
            "{path} is written. Set `url` to your backend, then run: sockgate serve --config {path}"
        )),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Answer::failed(FAILED, format!("{path} exists and is left as it is"))
        }
        Err(error) => Answer::failed(FAILED, format!("{path} cannot be written: {error}")),
    }
}
