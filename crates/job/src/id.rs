//! Names of jobs and of attempts.

use std::{fmt, str::FromStr};

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

const PREFIX: &str = "job_";
const BYTES: usize = 16;

/// A job's id, `job_` and 32 lower-case hexadecimal digits.
///
/// It is a capability: whoever knows it may watch the job and download its video. Its 128 bits come from the system's
/// random generator, or from [`JobIdSecret::derive`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobId(String);

/// The text is not a job's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a job id is `job_` followed by 32 hexadecimal digits")]
pub struct InvalidJobId;

impl JobId {
    /// A fresh, unguessable id.
    pub fn random() -> Self {
        Self::from_bytes(&random_bytes::<BYTES>())
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        Self(format!("{PREFIX}{}", hex(bytes)))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A number that is spread evenly over all ids; for sharding.
    pub(crate) fn spread(&self) -> u8 {
        self.0
            .chars()
            .last()
            .and_then(|digit| digit.to_digit(16))
            .and_then(|digit| u8::try_from(digit).ok())
            .unwrap_or(0)
    }
}

impl FromStr for JobId {
    type Err = InvalidJobId;

    fn from_str(text: &str) -> Result<Self, InvalidJobId> {
        let digits = text.strip_prefix(PREFIX).ok_or(InvalidJobId)?;
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if digits.len() == 2 * BYTES && digits.bytes().all(is_digit) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidJobId)
        }
    }
}

impl TryFrom<String> for JobId {
    type Error = InvalidJobId;

    fn try_from(text: String) -> Result<Self, InvalidJobId> {
        text.parse()
    }
}

impl From<JobId> for String {
    fn from(id: JobId) -> Self {
        id.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The key from which ids are derived for callers that send an `Idempotency-Key`.
#[derive(Clone)]
pub struct JobIdSecret(Vec<u8>);

impl JobIdSecret {
    /// `None` when the secret is shorter than 16 bytes: ids derived from it could be guessed.
    pub fn new(secret: &str) -> Option<Self> {
        (secret.len() >= 16).then(|| Self(secret.as_bytes().to_vec()))
    }

    /// The one id for this caller and idempotency key: the first half of an HMAC-SHA256 over both.
    pub fn derive(&self, caller: &str, idempotency_key: &str) -> JobId {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104, section 2)")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("any key length");
        for part in ["job id", caller, idempotency_key] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        let digest = mac.finalize().into_bytes();
        JobId::from_bytes(digest.get(..BYTES).unwrap_or(&digest))
    }
}

impl fmt::Debug for JobIdSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JobIdSecret(…)")
    }
}

/// The name of one attempt at something: 16 hexadecimal digits.
///
/// Every conditional write carries one, so that a write that lost its condition to its own earlier try (the SDK tries
/// again by itself) can be told from one that lost to somebody else.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AttemptId(String);

impl AttemptId {
    /// A fresh one.
    pub fn random() -> Self {
        Self(hex(&random_bytes::<8>()))
    }

    /// The attempt as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[expect(clippy::expect_used, reason = "getrandom(2) on Linux fails only before the machine has booted")]
fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system's random generator");
    bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_id_parses_and_is_never_the_same_twice() {
        let (one, two) = (JobId::random(), JobId::random());
        assert_ne!(one, two);
        assert_eq!(one.as_str().parse(), Ok(one));
    }

    #[test]
    fn what_is_no_id_is_refused() {
        let good = "job_0123456789abcdef0123456789abcdef";
        assert!(good.parse::<JobId>().is_ok());
        let long = format!("{good}0");
        for bad in ["", "job_", "0123456789abcdef0123456789abcdef", &good.to_uppercase(), &good[..35], &long, "job_é"]
        {
            assert_eq!(bad.parse::<JobId>(), Err(InvalidJobId), "{bad}");
        }
    }

    #[test]
    fn the_same_caller_and_key_give_the_same_id_and_any_other_another() {
        let secret = JobIdSecret::new("0123456789abcdef").unwrap();
        let id = secret.derive("ann", "k1");
        assert_eq!(secret.derive("ann", "k1"), id);
        assert_ne!(secret.derive("ann", "k2"), id);
        assert_ne!(secret.derive("bob", "k1"), id);
        assert_ne!(secret.derive("annk", "1"), id);
        assert_ne!(JobIdSecret::new("0123456789abcdeF").unwrap().derive("ann", "k1"), id);
    }

    #[test]
    fn a_short_secret_is_refused_and_none_is_printed() {
        assert!(JobIdSecret::new("short").is_none());
        let secret = JobIdSecret::new("correct horse battery").unwrap();
        assert!(!format!("{secret:?}").contains("horse"));
    }
}
