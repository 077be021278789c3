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

/// Tells the changes of one batch of the stream. A record comes back as failed, and the stream repeats it, when it can't be
/// read, when the job's subscribers can't be, or when a job has ended and a browser could neither be told nor closed.
pub async fn handle(app: &App, batch: Event) -> DynamoDbEventResponse {
    let (changes, mut failed) = newest_changes(batch);
    let told = stream::iter(changes.values()).map(|change| async move {
        let told = tell(app, &change.job).await;
        told.err().map(|error| {
            tracing::error!(job_id = %change.job.id(), error = %Chain(&error), "not everybody was told");
            change.sequence_number.clone()
        })
    });
    failed
        .extend(told.buffer_unordered(JOBS_AT_ONCE).filter_map(|failure| async { failure }).collect::<Vec<_>>().await);
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

/// For each job, the newest version of those records that changed something public; and the records that can't be read.
fn newest_changes(batch: Event) -> (BTreeMap<JobId, Change>, Vec<Option<String>>) {
    let (mut changes, mut unread) = (BTreeMap::<JobId, Change>::new(), Vec::new());
    for record in batch.records {
        let sequence_number = record.change.sequence_number.clone();
        match public_change(record) {
            Ok(Some(change)) => {
                let newest = changes.get(change.job.id()).map(|newest| newest.job.version());
                if newest.is_none_or(|version| version < change.job.version()) {
                    changes.insert(change.job.id().clone(), change);
                }
            }
            Ok(None) => {}
            // A row that a newer function has written, perhaps, while this one is about to be replaced.
            Err(error) => {
                tracing::error!(sequence_number, error = %Chain(&error), "a row of the stream can't be read");
                unread.push(sequence_number);
            }
        }
    }
    (changes, unread)
}

fn public_change(record: EventRecord) -> Result<Option<Change>, serde_dynamo::Error> {
    // Rows that say who owns a video are no jobs, and no news.
    let id = record.change.keys.get("jobId").cloned().map(serde_dynamo::from_attribute_value::<_, String>);
    let is_job = matches!(id, Some(Ok(id)) if id.parse::<JobId>().is_ok());
    if record.event_name != "MODIFY" || !is_job {
        return Ok(None);
    }
    let before: Job = serde_dynamo::from_item(record.change.old_image)?;
    let after: Job = serde_dynamo::from_item(record.change.new_image)?;
    let changed = before.version() != after.version();
    Ok(changed.then_some(Change { job: after, sequence_number: record.change.sequence_number }))
}

async fn tell(app: &App, job: &Job) -> Result<(), AwsError> {
    let message = ServerMessage::progress(job, app.clock.now());
    // Our own types: maps with text keys, which always serialize.
    let message = &serde_json::to_vec(&message).unwrap_or_default();
    let mut subscribers = app.connections.subscribers(job.id());
    let (mut told, mut unreached) = (0, None);
    while let Some(page) = subscribers.next_page().await? {
        told += page.len();
        let posts = stream::iter(page).map(|connection| async move { post(app, job.id(), &connection, message).await });
        let failures = posts.buffer_unordered(POSTS_AT_ONCE).filter_map(|post| async { post.err() });
        unreached = unreached.or(failures.collect::<Vec<_>>().await.pop());
    }
    tracing::info!(job_id = %job.id(), version = job.version(), status = job.status().as_str(), told, "told");
    match unreached {
        // Progress is told again with the next change; an end is not.
        Some(error) if job.status().is_terminal() => Err(error),
        _ => Ok(()),
    }
}

/// Posts to one browser. A failure means that it is there and knows nothing: neither told nor closed.
async fn post(app: &App, job_id: &JobId, connection: &str, message: &[u8]) -> Result<(), AwsError> {
    match app.push.post(connection, message).await {
        Posted::Sent => {}
        Posted::Gone => {
            if let Err(error) = app.connections.unsubscribe(job_id, connection).await {
                tracing::warn!(connection_id = connection, error = %Chain(&error), "left to its time to live");
            }
        }
        Posted::Failed(error) => {
            tracing::warn!(connection_id = connection, error = %Chain(&error), "not reached: closing");
            app.push.close(connection).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
