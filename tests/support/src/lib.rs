//! What stands in for AWS in the Rust tests: real servers on loopback, inside the test's own process.
//!
//! - [`Tables`]: DynamoDB (dynoxide) with the tables as `template.yaml` defines them.
//! - [`Queue`], [`Browsers`], [`Bucket`]: SQS, API Gateway's `@connections` and S3, as far as the product uses them. Each
//!   keeps what it was asked and can be told to misbehave.
//! - [`StandIn`]: the HTTP server under these, for a test that needs another.
//! - [`HandClock`]: the time, set by hand.
//! - [`event`]: events as AWS sends them; [`Answer`]: an HTTP answer as a caller sees it.
//! - [`sample`]: jobs at every stage.
//!
//! Nothing here sleeps: [`Calls::until`] waits for the thing itself, with a deadline.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod answer;
mod browsers;
mod bucket;
mod calls;
mod clock;
mod delivery;
pub mod event;
mod queue;
pub mod sample;
mod sdk;
mod stand_in;
mod tables;
mod template;

pub use answer::Answer;
pub use browsers::{Browsers, Heard, Reaction};
pub use bucket::{Bucket, Object};
pub use calls::{Calls, PATIENCE};
pub use clock::{HandClock, NOON};
pub use delivery::{WEBHOOK_SECRET, sign};
pub use queue::{Queue, Sent};
pub use sdk::sdk_config;
pub use stand_in::{Call, Reply, StandIn, reply};
pub use tables::Tables;
pub use template::Template;
