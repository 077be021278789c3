//! The secrets that webhooks are signed with.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit};
use sha2::Sha256;

/// The secrets that are valid at the moment: one, or several while one is rotated.
#[derive(Clone)]
pub struct Secrets(Vec<Hmac<Sha256>>);

/// A secret that can't be used. Never holds the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecret {
    /// There is none.
    #[error("no webhook secret is given")]
    Missing,
    /// It starts with neither prefix.
    #[error("a webhook secret starts with whsec_ (a base64 key follows) or raw: (the key itself follows)")]
    Prefix,
    /// What follows `whsec_` is not base64.
    #[error("what follows whsec_ is not standard base64")]
    Base64,
    /// There is nothing after the prefix: everybody could sign with an empty key.
    #[error("a webhook secret is empty")]
    Empty,
}

impl Secrets {
    /// Reads secrets that are separated by white space: each `whsec_` and a base64 key, or `raw:` and the key itself.
    ///
    /// # Errors
    /// When there is none, or one of them can't be used: better no start than one with a hole.
    pub fn parse(text: &str) -> Result<Self, InvalidSecret> {
        let keys = text.split_whitespace().map(key_of).collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() { Err(InvalidSecret::Missing) } else { Ok(Self(keys)) }
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = Hmac<Sha256>> {
        self.0.iter().cloned()
    }
}

fn key_of(secret: &str) -> Result<Hmac<Sha256>, InvalidSecret> {
    let key = if let Some(encoded) = secret.strip_prefix("whsec_") {
        STANDARD.decode(encoded).map_err(|_| InvalidSecret::Base64)?
    } else if let Some(raw) = secret.strip_prefix("raw:") {
        raw.as_bytes().to_vec()
    } else {
        return Err(InvalidSecret::Prefix);
    };
    if key.is_empty() {
        return Err(InvalidSecret::Empty);
    }
    // HMAC takes a key of any length (RFC 2104, section 2).
    Hmac::new_from_slice(&key).map_err(|_| InvalidSecret::Empty)
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({} of them)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_or_several_secrets_are_read() {
        assert_eq!(Secrets::parse("whsec_MDEyMw==").unwrap().0.len(), 1);
        assert_eq!(Secrets::parse(" whsec_MDEyMw==\nraw:whsec_as it is ").unwrap_err(), InvalidSecret::Prefix);
        assert_eq!(Secrets::parse(" whsec_MDEyMw==\n raw:whsec_x ").unwrap().0.len(), 2);
    }

    #[test]
    fn a_secret_that_protects_nothing_is_refused() {
        for (secret, error) in [
            ("", InvalidSecret::Missing),
            (" \n", InvalidSecret::Missing),
            ("whsec_", InvalidSecret::Empty),
            ("raw:", InvalidSecret::Empty),
            ("MDEyMw==", InvalidSecret::Prefix),
            ("whsec_%%%", InvalidSecret::Base64),
            ("whsec_MDEyMw", InvalidSecret::Base64),
            ("whsec_MDEyMw== whsec_", InvalidSecret::Empty),
        ] {
            assert_eq!(Secrets::parse(secret).unwrap_err(), error, "{secret:?}");
        }
    }

    #[test]
    fn no_secret_is_printed() {
        assert_eq!(format!("{:?}", Secrets::parse("raw:hush").unwrap()), "Secrets(1 of them)");
    }
}
