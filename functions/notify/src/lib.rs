//! The jobs stream's one consumer: tells every browser that watches a job what has changed.

use std::collections::BTreeMap;

use aws_lambda_events::{
    dynamodb::{Event, EventRecord},
    streams::{DynamoDbBatchItemFailure, DynamoDbEventResponse},
};
use clipbell_aws::{AwsError, Connections, Posted, Push};
use clipbell_job::{Clock, Job, JobId, ServerMessage};
use clipbell_log::Chain;
use futures_util::{StreamExt, stream};

/// Posts under way at once for a job. A post that hangs takes one of these places for its own time-out.
const POSTS_AT_ONCE: usize = 64;

/// Jobs told at once.
const JOBS_AT_ONCE: usize = 8;

/// What the function works with.
#[derive(Debug)]
pub struct App {
    /// Who watches which job.
    pub connections: Connections,
    /// The way to the browsers.
    pub push: Push,
    /// The time.
    pub clock: Clock,
}

/// A public change of a job, and the record that brought it.
struct Change {
    job: Job,
    sequence_number: Option<String>,
}

/// Tells the changes of one batch of the stream. A job whose subscribers could not be read comes back as a failed
/// record, and the stream repeats it; a browser that could not be reached does not.
pub async fn handle(app: &App, batch: Event) -> DynamoDbEventResponse {
    let changes = newest_changes(batch);
    let failures = stream::iter(changes.values()).map(|change| async move {
        let told = tell(app, &change.job).await;
        told.err().map(|error| {
            tracing::error!(job_id = %change.job.id(), error = %Chain(&error), "subscribers could not be read");
            change.sequence_number.clone()
        })
    });
    let failed: Vec<_> =
        failures.buffer_unordered(JOBS_AT_ONCE).filter_map(|failure| async { failure }).collect().await;
    let mut answer = DynamoDbEventResponse::default();
    answer.batch_item_failures = failed
        .into_iter()
        .map(|sequence_number| {
            let mut failure = DynamoDbBatchItemFailure::default();
            failure.item_identifier = sequence_number;
            failure
        })
        .collect();
    answer
}

/// For each job, the newest version of those records that changed something public.
fn newest_changes(batch: Event) -> BTreeMap<JobId, Change> {
    let mut changes: BTreeMap<JobId, Change> = BTreeMap::new();
    for record in batch.records {
        let Some(change) = public_change(record) else { continue };
        let newest = changes.get(change.job.id()).map(|newest| newest.job.version());
        if newest.is_none_or(|version| version < change.job.version()) {
            changes.insert(change.job.id().clone(), change);
        }
    }
    changes
}

fn public_change(record: EventRecord) -> Option<Change> {
    if record.event_name != "MODIFY" {
        return None;
    }
    let job = |image| serde_dynamo::from_item::<_, Job>(image);
    // Rows that say who owns a video are no jobs, and no news.
    let (before, after) = (job(record.change.old_image).ok()?, job(record.change.new_image).ok()?);
    (before.version() != after.version())
        .then_some(Change { job: after, sequence_number: record.change.sequence_number })
}

async fn tell(app: &App, job: &Job) -> Result<(), AwsError> {
    let message = ServerMessage::progress(job, app.clock.now());
    // Our own types: maps with text keys, which always serialize.
    let message = &serde_json::to_vec(&message).unwrap_or_default();
    let mut subscribers = app.connections.subscribers(job.id());
    let mut told = 0;
    while let Some(page) = subscribers.next_page().await? {
        told += page.len();
        stream::iter(page)
            .for_each_concurrent(POSTS_AT_ONCE, |connection| async move {
                post(app, job.id(), &connection, message).await;
            })
            .await;
    }
    tracing::info!(job_id = %job.id(), version = job.version(), status = job.status().as_str(), told, "told");
    Ok(())
}

async fn post(app: &App, job_id: &JobId, connection: &str, message: &[u8]) {
    let outcome = match app.push.post(connection, message).await {
        Posted::Sent => return,
        Posted::Gone => app.connections.unsubscribe(job_id, connection).await,
        Posted::Failed(error) => {
            tracing::warn!(
                connection_id = connection,
                error = %Chain(&error),
                "not reached: closing"
            );
            app.push.close(connection).await
        }
    };
    if let Err(error) = outcome {
        tracing::warn!(
            connection_id = connection,
            error = %Chain(&error),
            "left to its time to live"
        );
    }
}

#[cfg(test)]
mod tests;
