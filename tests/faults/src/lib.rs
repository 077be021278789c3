//! The whole product inside one test: every function, on a DynamoDB of real expressions, with a queue, a bucket,
//! browsers and a provider, without a socket and without waiting.
//!
//! Every outgoing call of every function goes over one wire, which counts it and can let it fail: before its effect,
//! after it (the answer is lost), or together with the worker that made it. Faults lie below the SDK's own retries.
//! [`World`] plays one [`Story`] from the browser's connection to the end of all jobs, redelivers as AWS would, and says
//! which guarantee of `docs/guarantees.md` was broken.
//!
//! Time is tokio's, paused: it moves on by itself to the next thing that is due.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod cloud;
mod guarantees;
mod studio;
mod wire;
mod world;

pub use studio::{Plan, Webhooks};
pub use wire::{Call, Fault, Point};
pub use world::{Story, World};
