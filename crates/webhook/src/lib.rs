//! The provider's signed webhooks: verifying them, and reading what they say.
//!
//! Signatures follow [Standard Webhooks](https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md),
//! events OpenAI's shape. Everything here is pure and takes any bytes without a panic.

mod event;
mod secret;
mod verify;

pub use event::{Event, EventKind, InvalidEvent};
pub use secret::{InvalidSecret, Secrets};
pub use verify::{Headers, TOLERANCE, VerifyError, WebhookId};
