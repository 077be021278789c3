//! The video job and its rules.
//!
//! Everything here is pure: no network, no clock of its own. [`Job`] is the row of the jobs table, [`OpenJob`] is a
//! job that may still change and the only place from which it can, and [`JobView`] is what the outside sees of it.

mod clock;
mod id;
mod job;
mod view;

pub use clock::{Clock, Millis};
pub use id::{AttemptId, InvalidJobId, JobId, JobIdSecret};
pub use job::{
    Deadlines, HistoryEntry, Job, JobError, NewJob, OpenJob, SHARDS, Stage, Status, StoredVideo, VideoRequest,
};
pub use view::{JobView, ServerMessage};
