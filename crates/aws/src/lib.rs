//! The AWS side: the three tables, the work queue, the bucket, the browsers' connections, and configuration.
//!
//! Each type here is one resource of `template.yaml` and speaks in the product's own terms.

mod attribute;
mod connections;
pub mod env;
mod error;
mod jobs;
mod push;
mod sdk;
mod secret;
mod videos;
mod webhook_events;
mod work_queue;

pub use connections::Connections;
pub use error::AwsError;
pub use jobs::{Created, Jobs, Overdue, Replaced, Submitted};
pub use push::{Posted, Push};
pub use sdk::load_sdk_config;
pub use secret::Secret;
pub use videos::{VideoUpload, Videos};
pub use webhook_events::{Outcome, StoredEvent, UnprocessedEvent, WebhookEvents};
pub use work_queue::{WorkMessage, WorkQueue};
