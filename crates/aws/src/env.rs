//! Environment variables: each is read once, at start, and every error names its variable.

use std::{
    fmt::{self, Display},
    str::FromStr,
    time::Duration,
};

/// A variable is missing or can't be used. Never holds a value: it may be a secret.
#[derive(PartialEq, Eq, thiserror::Error)]
pub enum EnvError {
    /// Not set, or empty.
    #[error("the environment variable {0} is not set")]
    Missing(String),
    /// Set to something that can't be used.
    #[error("the environment variable {name} can't be used: {problem}")]
    Invalid {
        /// The variable.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// The sentence: a `main` that fails prints its error's `Debug`.
impl fmt::Debug for EnvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl EnvError {
    /// `name` is set to something that can't be used.
    pub fn invalid(name: &str, problem: impl Display) -> Self {
        Self::Invalid { name: name.to_owned(), problem: problem.to_string() }
    }
}

/// The value of `name`, or none when it is not set or empty.
pub fn optional(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The value of `name`.
pub fn required(name: &str) -> Result<String, EnvError> {
    optional(name).ok_or_else(|| EnvError::Missing(name.to_owned()))
}

/// The value of `name`, or `default`.
pub fn or(name: &str, default: &str) -> String {
    optional(name).unwrap_or_else(|| default.to_owned())
}

/// The value of `name` as a number, or `default`.
pub fn number_or<T: FromStr<Err: Display>>(name: &str, default: T) -> Result<T, EnvError> {
    optional(name).map_or(Ok(default), |value| value.parse().map_err(|error| EnvError::invalid(name, error)))
}

/// The value of `name` as a number of seconds, or `default`.
pub fn seconds_or(name: &str, default: u32) -> Result<Duration, EnvError> {
    number_or(name, default).map(|seconds| Duration::from_secs(u64::from(seconds)))
}

/// The value of `name` as a number of days, or `default`.
pub fn days_or(name: &str, default: u16) -> Result<Duration, EnvError> {
    number_or(name, default).map(|days| Duration::from_secs(u64::from(days) * 24 * 60 * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_its_variable() {
        let name = "CLIPBELL_TEST_SURELY_UNSET";
        assert_eq!(required(name).unwrap_err().to_string(), format!("the environment variable {name} is not set"));
        assert_eq!(seconds_or(name, 7), Ok(Duration::from_secs(7)));
        // PATH is set everywhere and is no number.
        assert!(days_or("PATH", 1).unwrap_err().to_string().contains("PATH"));
    }
}
