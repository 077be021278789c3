//! Verifying a webhook's signature.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::Mac;

use crate::Secrets;

/// How many seconds a webhook's timestamp may be off, either way and inclusive.
pub const TOLERANCE: i64 = 300;

/// The longest `webhook-id`, in bytes; OpenAI's have 35. It is a key of a table, which takes 2048.
const LONGEST_ID: usize = 256;

/// The longest `webhook-signature`, in bytes: room for some twenty signatures.
const LONGEST_SIGNATURE: usize = 1024;

/// A request's three headers of the standard, as they came.
#[derive(Clone, Copy, Debug, Default)]
pub struct Headers<'a> {
    /// `webhook-id`
    pub id: Option<&'a [u8]>,
    /// `webhook-timestamp`
    pub timestamp: Option<&'a [u8]>,
    /// `webhook-signature`
    pub signature: Option<&'a [u8]>,
}

/// A verified `webhook-id`: the same over all deliveries of an event. 1 to 256 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WebhookId(String);

impl WebhookId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a webhook is refused. For the log: the sender is told nothing but that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// A header is absent.
    #[error("the header {0} is missing")]
    Missing(&'static str),
    /// A header is not what the standard says it is.
    #[error("the header {0} is malformed")]
    Malformed(&'static str),
    /// More than [`TOLERANCE`] in the past.
    #[error("the timestamp is too old")]
    TooOld,
    /// More than [`TOLERANCE`] in the future.
    #[error("the timestamp is too far in the future")]
    TooNew,
    /// No signature fits any secret.
    #[error("no signature matches")]
    NoMatch,
}

impl Secrets {
    /// Verifies the signature over the raw `body`; `now` is in Unix seconds.
    ///
    /// Signed is `id.timestamp.body`. The timestamp must be a plain decimal number: what a sender signs and what a
    /// receiver reads are then one text (`+1750000000` and `01750000000` are read differently by published verifiers).
    ///
    /// # Errors
    /// Why it is refused.
    pub fn verify(&self, headers: Headers<'_>, body: &[u8], now: i64) -> Result<WebhookId, VerifyError> {
        let id = visible_ascii("webhook-id", headers.id, LONGEST_ID)?;
        let timestamp_text = visible_ascii("webhook-timestamp", headers.timestamp, 20)?;
        let signatures = headers.signature.ok_or(VerifyError::Missing("webhook-signature"))?;
        // Neither a version nor base64 has a comma: an entry with two is a header that was sent twice, and joined on the way.
        let joined = |entry: &[u8]| entry.split(|byte| *byte == b',').count() > 2;
        if signatures.len() > LONGEST_SIGNATURE || signatures.split(|byte| *byte == b' ').any(joined) {
            return Err(VerifyError::Malformed("webhook-signature"));
        }
        let timestamp = canonical_number(timestamp_text).ok_or(VerifyError::Malformed("webhook-timestamp"))?;
        if timestamp < now.saturating_sub(TOLERANCE) {
            return Err(VerifyError::TooOld);
        }
        if timestamp > now.saturating_add(TOLERANCE) {
            return Err(VerifyError::TooNew);
        }
        let given: Vec<Vec<u8>> = signatures
            .split(|byte| *byte == b' ')
            .filter_map(|entry| entry.strip_prefix(b"v1,"))
            .filter_map(|encoded| STANDARD.decode(encoded).ok())
            .collect();
        for mut mac in self.keys() {
            for part in [id.as_bytes(), b".", timestamp_text.as_bytes(), b".", body] {
                mac.update(part);
            }
            // `verify_slice` takes the same time however much of a signature is right.
            if given.iter().any(|signature| mac.clone().verify_slice(signature).is_ok()) {
                return Ok(WebhookId(id.to_owned()));
            }
        }
        Err(VerifyError::NoMatch)
    }
}

fn visible_ascii<'a>(name: &'static str, value: Option<&'a [u8]>, longest: usize) -> Result<&'a str, VerifyError> {
    let value = value.ok_or(VerifyError::Missing(name))?;
    let text = std::str::from_utf8(value).map_err(|_| VerifyError::Malformed(name))?;
    let fits = !text.is_empty() && text.len() <= longest && text.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { Ok(text) } else { Err(VerifyError::Malformed(name)) }
}

/// A number written in the only way that printing it would give.
fn canonical_number(text: &str) -> Option<i64> {
    let number: i64 = text.parse().ok()?;
    (number >= 0 && number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECRET: &str = "whsec_RdvaYFYUXuIFuEbvZHwMfYFhUf7aMYjYcmM24+Aj40c=";
    const ID: &str = "wh_685c059ae39c8190af8c71ed1022a24d";
    const TIMESTAMP: &str = "1750861210";
    const NOW: i64 = 1_750_861_210;
    const BODY: &str = r#"{"id": "evt_685c059ae3a481909bdc86819b066fb6", "object": "event", "created_at": 1750861210, "type": "response.completed", "data": {"id": "resp_123"}}"#;
    const SIGNATURE: &str = "v1,gUAg4R2hWouRZqRQG4uJypNS8YK885G838+EHb4nKBY=";

    fn headers<'a>(id: &'a str, timestamp: &'a str, signature: &'a str) -> Headers<'a> {
        Headers {
            id: Some(id.as_bytes()),
            timestamp: Some(timestamp.as_bytes()),
            signature: Some(signature.as_bytes()),
        }
    }

    fn verify(signature: &str, now: i64) -> Result<WebhookId, VerifyError> {
        Secrets::parse(SECRET).unwrap().verify(headers(ID, TIMESTAMP, signature), BODY.as_bytes(), now)
    }

    /// Signs as the published crate does, independently of the code under test.
    fn sign(secret: &str, id: &str, timestamp: i64, body: &[u8]) -> String {
        standardwebhooks::Webhook::new(secret).unwrap().sign(id, timestamp, body).unwrap()
    }

    #[test]
    fn openai_s_published_example_verifies() {
        assert_eq!(verify(SIGNATURE, NOW).unwrap().as_str(), ID);
    }

    #[test]
    fn any_of_several_signatures_and_secrets_is_enough() {
        let wrong = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        assert!(verify(&format!("{wrong} v1a,x v2,y garbage {SIGNATURE}"), NOW).is_ok());
        let both = Secrets::parse(&format!("raw:another {SECRET}")).unwrap();
        assert!(both.verify(headers(ID, TIMESTAMP, SIGNATURE), BODY.as_bytes(), NOW).is_ok());
    }

    #[test]
    fn a_raw_secret_is_the_key_itself() {
        let signature = sign("whsec_aHVzaA==", ID, NOW, BODY.as_bytes());
        let raw = Secrets::parse("raw:hush").unwrap();
        assert!(raw.verify(headers(ID, TIMESTAMP, &signature), BODY.as_bytes(), NOW).is_ok());
    }

    #[test]
    fn the_tolerance_is_five_minutes_both_ways_inclusive() {
        assert!(verify(SIGNATURE, NOW + TOLERANCE).is_ok());
        assert!(verify(SIGNATURE, NOW - TOLERANCE).is_ok());
        assert_eq!(verify(SIGNATURE, NOW + TOLERANCE + 1), Err(VerifyError::TooOld));
        assert_eq!(verify(SIGNATURE, NOW - TOLERANCE - 1), Err(VerifyError::TooNew));
        for extreme in [i64::MIN, i64::MAX] {
            assert!(verify(SIGNATURE, extreme).is_err());
        }
    }

    #[test]
    fn a_signature_that_does_not_fit_is_refused() {
        let whole = SIGNATURE.trim_start_matches("v1,");
        for bad in [
            String::new(),
            "v1,".to_owned(),
            whole.to_owned(),
            format!("v2,{whole}"),
            format!("v1,{}", &whole[..20]),
            format!("v1,{}", whole.trim_end_matches('=')),
            format!("v1, {whole}"),
            format!("v1,{}", whole.to_lowercase()),
            format!("v1,é{whole}"),
        ] {
            assert_eq!(verify(&bad, NOW), Err(VerifyError::NoMatch), "{bad}");
        }
    }

    #[test]
    fn changed_parts_are_noticed() {
        let secrets = Secrets::parse(SECRET).unwrap();
        let with_newline = format!("{BODY}\n");
        for (id, timestamp, body) in [
            ("wh_other", TIMESTAMP, BODY),
            (ID, "1750861211", BODY),
            (ID, TIMESTAMP, &BODY[1..]),
            (ID, TIMESTAMP, &with_newline),
            // A header sent twice arrives joined by a comma.
            ("wh_685c059ae39c8190af8c71ed1022a24d,wh_685c059ae39c8190af8c71ed1022a24d", TIMESTAMP, BODY),
        ] {
            let verified = secrets.verify(headers(id, timestamp, SIGNATURE), body.as_bytes(), NOW);
            assert_eq!(verified, Err(VerifyError::NoMatch), "{id} {timestamp}");
        }
    }

    #[test]
    fn missing_and_malformed_headers_are_named() {
        let secrets = Secrets::parse(SECRET).unwrap();
        let good = headers(ID, TIMESTAMP, SIGNATURE);
        let long = "x".repeat(LONGEST_ID + 1);
        let many = format!("{SIGNATURE} ").repeat(30);
        let [twice, twice_with_a_space] = [",", ", "].map(|comma| format!("{SIGNATURE}{comma}{SIGNATURE}"));
        for (headers, error) in [
            (Headers { id: None, ..good }, VerifyError::Missing("webhook-id")),
            (Headers { timestamp: None, ..good }, VerifyError::Missing("webhook-timestamp")),
            (Headers { signature: None, ..good }, VerifyError::Missing("webhook-signature")),
            (Headers { id: Some(b""), ..good }, VerifyError::Malformed("webhook-id")),
            (Headers { id: Some(b"wh\xff"), ..good }, VerifyError::Malformed("webhook-id")),
            (Headers { id: Some(b"w h"), ..good }, VerifyError::Malformed("webhook-id")),
            (Headers { id: Some(long.as_bytes()), ..good }, VerifyError::Malformed("webhook-id")),
            (Headers { signature: Some(many.as_bytes()), ..good }, VerifyError::Malformed("webhook-signature")),
            (Headers { signature: Some(twice.as_bytes()), ..good }, VerifyError::Malformed("webhook-signature")),
            (
                Headers { signature: Some(twice_with_a_space.as_bytes()), ..good },
                VerifyError::Malformed("webhook-signature"),
            ),
        ] {
            assert_eq!(secrets.verify(headers, BODY.as_bytes(), NOW), Err(error));
        }
        for timestamp in
            ["", "now", "-1", "+1750861210", "01750861210", "1750861210.5", " 1750861210", "99999999999999999999"]
        {
            let headers = Headers { timestamp: Some(timestamp.as_bytes()), ..good };
            let verified = secrets.verify(headers, BODY.as_bytes(), NOW);
            assert_eq!(verified, Err(VerifyError::Malformed("webhook-timestamp")), "{timestamp}");
        }
    }

    proptest! {
        #[test]
        fn what_the_published_crate_signs_verifies(
            key in prop::collection::vec(any::<u8>(), 1..64),
            id in "[!-~]{1,64}",
            // The crate signs and verifies text alone; bytes of any kind are ours to refuse later, as no event.
            body in "\\PC{0,200}",
            skew in -TOLERANCE..=TOLERANCE,
        ) {
            let secret = format!("whsec_{}", STANDARD.encode(&key));
            let signature = sign(&secret, &id, NOW, body.as_bytes());
            let verified = Secrets::parse(&secret).unwrap().verify(headers(&id, TIMESTAMP, &signature), body.as_bytes(), NOW + skew);
            prop_assert_eq!(verified, Ok(WebhookId(id)));
        }

        /// Headers around the truth, held against the published crate with its own clock (so the present second).
        /// Ours is the stricter only where the contract says so: non-canonical timestamps, ids that are not visible
        /// ASCII, doubled or overlong headers. It is never the laxer.
        #[test]
        fn the_published_crate_agrees(
            id in prop_oneof![Just("wh_1".to_owned()), "[ -~]{0,8}"],
            timestamp in prop_oneof![4 => Just(None), 1 => "[-+ 0-9.]{0,12}".prop_map(Some)],
            off in prop_oneof![Just(0_i64), -400_i64..400],
            list in prop::collection::vec(prop_oneof![
                2 => Just("v1,RIGHT".to_owned()),
                1 => Just("v1a,RIGHT".to_owned()),
                1 => Just("RIGHT".to_owned()),
                1 => "v1,[A-Za-z0-9+/]{0,44}={0,2}",
                1 => "[ -~]{0,12}",
            ], 0..4),
            changed in any::<bool>(),
        ) {
            let now = i64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()).unwrap();
            let signed_at = now + off;
            let right = sign(SECRET, "wh_1", signed_at, b"body");
            let list = list.join(" ").replace("RIGHT", right.trim_start_matches("v1,"));
            let timestamp = timestamp.unwrap_or_else(|| signed_at.to_string());
            let body: &[u8] = if changed { b"Body" } else { b"body" };

            let mut map = http::HeaderMap::new();
            map.insert("webhook-id", id.parse().unwrap());
            map.insert("webhook-timestamp", timestamp.parse().unwrap());
            map.insert("webhook-signature", list.parse().unwrap());
            let theirs = standardwebhooks::Webhook::new(SECRET).unwrap().verify(body, &map).is_ok();
            let ours = Secrets::parse(SECRET).unwrap().verify(headers(&id, &timestamp, &list), body, now).is_ok();
            // A second may pass between the two at the edges of the tolerance.
            prop_assume!(!(298..=302).contains(&off.abs()));
            let stricter = canonical_number(&timestamp).is_none()
                || visible_ascii("", Some(id.as_bytes()), LONGEST_ID).is_err()
                || list.split(' ').any(|entry| entry.matches(',').count() > 1);
            if stricter { prop_assert!(!ours) } else { prop_assert_eq!(ours, theirs) }
        }

        #[test]
        fn no_bytes_make_it_panic(
            id in prop::option::of(prop::collection::vec(any::<u8>(), 0..40)),
            timestamp in prop::option::of(prop::collection::vec(any::<u8>(), 0..40)),
            signature in prop::option::of(prop::collection::vec(any::<u8>(), 0..200)),
            body in prop::collection::vec(any::<u8>(), 0..100),
            now in any::<i64>(),
        ) {
            let headers = Headers { id: id.as_deref(), timestamp: timestamp.as_deref(), signature: signature.as_deref() };
            prop_assert!(Secrets::parse(SECRET).unwrap().verify(headers, &body, now).is_err());
            let _ = crate::Event::parse(&body);
        }
    }
}
