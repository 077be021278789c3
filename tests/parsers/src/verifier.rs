//! The webhook's headers and body.

use clipbell_webhook::{Headers, Secrets, TOLERANCE};

use crate::Verdict;

/// The secret, the moment and the id of OpenAI's published example, whose signature is in the corpus.
const SECRET: &str = "whsec_RdvaYFYUXuIFuEbvZHwMfYFhUf7aMYjYcmM24+Aj40c=";
const NOW: i64 = 1_750_861_210;

/// This word in the signature header becomes the right signature in base64: no fuzzer guesses one.
const RIGHT: &[u8] = b"RIGHT";

/// Reads `id\ntimestamp\nsignature\nbody`; headers whose line is not there are absent.
///
/// It verifies exactly when the rules below say so, with the published `standardwebhooks` crate to sign.
pub fn verifier(input: &[u8]) -> Verdict {
    let mut parts = input.splitn(4, |byte| *byte == b'\n');
    let [id, timestamp, signature] = [parts.next(), parts.next(), parts.next()];
    let body = parts.next().unwrap_or_default();
    let right = id.zip(timestamp).and_then(|(id, timestamp)| sign(id, timestamp, body));
    let signature = signature.map(|list| match &right {
        Some(right) => replace(list, RIGHT, right.as_bytes()),
        None => list.to_vec(),
    });

    let headers = Headers { id, timestamp, signature: signature.as_deref() };
    let secrets = Secrets::parse(&format!("raw:another {SECRET}")).unwrap();
    let verified = secrets.verify(headers, body, NOW);
    let fits = id.is_some_and(is_id)
        && timestamp.is_some_and(is_timely)
        && signature.as_deref().zip(right).is_some_and(|(list, right)| holds(list, &right));
    assert_eq!(verified.is_ok(), fits, "{verified:?}");

    let Ok(verified) = verified else { return Verdict::Refused };
    assert_eq!(Some(verified.as_str().as_bytes()), id);
    // Every part counts.
    let with_more = [body, b" "].concat();
    assert!(secrets.verify(headers, &with_more, NOW).is_err(), "a longer body");
    assert!(Secrets::parse("raw:another").unwrap().verify(headers, body, NOW).is_err(), "another secret");
    for without in [
        Headers { id: None, ..headers },
        Headers { timestamp: None, ..headers },
        Headers { signature: None, ..headers },
    ] {
        assert!(secrets.verify(without, body, NOW).is_err(), "a header less");
    }
    for far in [i64::MIN, NOW - 3 * TOLERANCE, NOW + 3 * TOLERANCE, i64::MAX] {
        assert!(secrets.verify(headers, body, far).is_err(), "at {far}");
    }
    Verdict::Taken
}

/// The right signature in base64, for headers and a body that are text.
fn sign(id: &[u8], timestamp: &[u8], body: &[u8]) -> Option<String> {
    let id = std::str::from_utf8(id).ok()?;
    let timestamp = std::str::from_utf8(timestamp).ok()?.parse().ok()?;
    let signature = standardwebhooks::Webhook::new(SECRET).unwrap().sign(id, timestamp, body).ok()?;
    Some(signature.strip_prefix("v1,").unwrap().to_owned())
}

fn is_id(id: &[u8]) -> bool {
    (1..=256).contains(&id.len()) && id.iter().all(|byte| (b'!'..=b'~').contains(byte))
}

/// A plain decimal number, at most five minutes off.
fn is_timely(timestamp: &[u8]) -> bool {
    let digits = timestamp.iter().all(u8::is_ascii_digit) && (timestamp == b"0" || !timestamp.starts_with(b"0"));
    let number = std::str::from_utf8(timestamp).ok().and_then(|text| text.parse::<i64>().ok());
    digits && number.is_some_and(|number| number.abs_diff(NOW) <= TOLERANCE.unsigned_abs())
}

/// At most 1024 bytes, no entry with two commas (a header sent twice), and one that is right.
fn holds(list: &[u8], right: &str) -> bool {
    let entries = || list.split(|byte| *byte == b' ');
    list.len() <= 1024
        && entries().all(|entry| entry.split(|byte| *byte == b',').count() <= 2)
        && entries().any(|entry| entry == [b"v1,", right.as_bytes()].concat())
}

fn replace(text: &[u8], word: &[u8], by: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.windows(word.len()).position(|window| window == word) {
        replaced.extend_from_slice(&rest[..at]);
        replaced.extend_from_slice(by);
        rest = &rest[at + word.len()..];
    }
    replaced.extend_from_slice(rest);
    replaced
}
