//! The whole product inside one test: every function, on a DynamoDB of real expressions, with a queue, a bucket,
//! browsers and a provider, without a socket and without waiting.
//!
//! Every outgoing call of every function goes over one wire, which counts it and can let it fail: before its effect,
//! after it (the answer is lost), with an answer of AWS's that it is not done, or together with the worker that made it.
//! Faults lie below the SDK's own retries. The wire can also make two workers take turns, call by call.
//!
//! A [`Story`] goes from the browser's connection to the end of all jobs, with redelivery as AWS would do it; a [`Meeting`]
//! is a story in which two workers are at it at once. Both say which guarantee of `docs/guarantees.md` was broken.
//!
//! Time is tokio's, paused: it moves on by itself to the next thing that is due.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod cloud;
mod guarantees;
mod meeting;
mod story;
mod studio;
mod turns;
mod wire;
mod world;

pub use cloud::Fate;
pub use meeting::{Act, Meeting, Met};
pub use story::{Played, Story};
pub use studio::{Hook, Plan, Webhooks};
pub use turns::Order;
pub use wire::{Call, Fault, Point, Trouble};
