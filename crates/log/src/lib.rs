//! How errors are logged: `error = %Chain(&error)`.

use std::{error::Error, fmt};

/// An error with all its causes, in one line: `the video could not be stored: UploadPart failed: SlowDown: …`.
///
/// An error's own text never repeats its cause, and the JSON log writes the text alone.
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Outer(std::num::ParseIntError);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("no port")
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn causes_follow_the_error_in_one_line() {
        let error = Outer("x".parse::<u16>().unwrap_err());
        assert_eq!(Chain(&error).to_string(), "no port: invalid digit found in string");
    }
}
