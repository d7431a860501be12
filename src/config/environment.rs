//! The environment variables of a process, as a value: so that tests can say what they are.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

/// Environment variables by name.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, OsString>);

/// Why a variable has no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VariableError {
    /// There is no such variable.
    #[error("is not set")]
    Missing,
    /// Its value is no text.
    #[error("is not valid UTF-8")]
    NotText,
}

impl Environment {
    /// The variables of this process; names that are no text are left out.
    pub fn of_process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .collect()
    }

    /// The text of a variable.
    pub fn text(&self, name: &str) -> Result<&str, VariableError> {
        self.0
            .get(name)
            .ok_or(VariableError::Missing)?
            .to_str()
            .ok_or(VariableError::NotText)
    }

    /// Names that begin with `prefix`, in order.
    pub(super) fn names<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .keys()
            .map(String::as_str)
            .filter(move |name| name.starts_with(prefix))
    }
}

/// Names only: many values are secrets.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl FromIterator<(String, OsString)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, OsString)>>(variables: I) -> Self {
        Self(variables.into_iter().collect())
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Environment {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(variables: I) -> Self {
        variables
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect()
    }
}
