//! The provider's webhooks, signed.

use base64::{Engine, engine::general_purpose::STANDARD};
use clipbell_webhook::{Headers, Secrets, WebhookId};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::NOON;

/// The secret that [`sign`] signs with: the key `0123456789abcdef`.
pub const WEBHOOK_SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZg==";

/// The `webhook-signature` of a delivery, as the Standard Webhooks specification says; `timestamp` is in Unix seconds.
pub fn sign(id: &str, timestamp: i64, body: &[u8]) -> String {
    let signed = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
    let mac = Hmac::<Sha256>::new_from_slice(b"0123456789abcdef").unwrap().chain_update(signed).finalize();
    format!("v1,{}", STANDARD.encode(mac.into_bytes()))
}

/// A verified id. There is no way to one but a signature.
pub(crate) fn verified(id: &str) -> WebhookId {
    let (timestamp, signature) = (NOON.unix_seconds().to_string(), sign(id, NOON.unix_seconds(), b""));
    let headers = Headers {
        id: Some(id.as_bytes()),
        timestamp: Some(timestamp.as_bytes()),
        signature: Some(signature.as_bytes()),
    };
    Secrets::parse(WEBHOOK_SECRET).unwrap().verify(headers, b"", NOON.unix_seconds()).unwrap()
}
