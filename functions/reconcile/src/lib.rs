//! Every minute: calls the worker to whatever is overdue, because its message was lost or its worker died.

use std::time::Duration;

use clipbell_aws::{Jobs, WebhookEvents, WorkMessage, WorkQueue};
use clipbell_job::{Clock, Millis};
use lambda_runtime::Error;
use serde::{Deserialize, Serialize};

/// How late something has to be: messages on their way need a moment.
const GRACE: Duration = Duration::from_secs(30);

/// The most that one round takes on, for each of the eight shards of open jobs and for the events.
const MOST: i32 = 1000;

/// What the function works with.
#[derive(Debug)]
pub struct App {
    /// The jobs.
    pub jobs: Jobs,
    /// The audit trail.
    pub events: WebhookEvents,
    /// The work queue.
    pub queue: WorkQueue,
    /// The time.
    pub clock: Clock,
}

/// What a round is asked for. The schedule sends an event without any of it.
#[derive(Debug, Default, Deserialize)]
pub struct Round {
    /// Take everything that is open as overdue; an operator's wish.
    #[serde(default)]
    pub all: bool,
}

/// What a round did.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Calls for overdue jobs.
    pub jobs: usize,
    /// Calls for events that nobody had looked at.
    pub events: usize,
}

/// Makes one round.
///
/// # Errors
/// When a table or the queue can't be reached; the next round comes in a minute.
pub async fn handle(app: &App, round: Round) -> Result<Report, Error> {
    let before = if round.all { Millis(i64::MAX) } else { app.clock.now().minus(GRACE) };
    let overdue = app.jobs.overdue(before, MOST).await?;
    let looks: Vec<_> =
        overdue.into_iter().map(|job| WorkMessage::Look { job_id: job.job_id, due: job.next_check_at }).collect();
    let jobs = app.queue.send_all(&looks).await?;

    let events = app.events.unprocessed(before, MOST).await?;
    let hints: Vec<_> = events
        .into_iter()
        .map(|event| WorkMessage::Webhook { webhook_id: event.webhook_id, video_id: event.video_id })
        .collect();
    let events = app.queue.send_all(&hints).await?;
    if jobs + events > 0 {
        tracing::warn!(jobs, events, "overdue work called again");
    }
    Ok(Report { jobs, events })
}

#[cfg(test)]
mod tests;
