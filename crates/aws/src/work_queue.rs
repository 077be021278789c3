//! The work queue: each message calls `advance` to one job.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_sqs::{Client, config::timeout::TimeoutConfig, types::SendMessageBatchRequestEntry};
use clipbell_job::{Job, JobId, Millis};
use serde::{Deserialize, Serialize};

use crate::{
    AwsError,
    env::{self, EnvError},
};

/// SQS holds a message back for 15 minutes at most.
const LONGEST_DELAY: Duration = Duration::from_secs(900);

/// What `advance` is asked to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum WorkMessage {
    /// Look at a job, if it still wants to be looked at at `due`.
    ///
    /// Whoever writes a row's `nextCheckAt` sends the one message that carries it. A message whose `due` is not the
    /// row's is of an older chain and is dropped, so that a job has one chain of looks however often messages are
    /// doubled.
    Look {
        /// The job.
        job_id: JobId,
        /// The row's `nextCheckAt`.
        due: Millis,
    },
    /// A webhook came: look at the job that has this video, now.
    Webhook {
        /// The event's key in the audit trail.
        webhook_id: String,
        /// The provider's name for the video.
        video_id: String,
    },
}

impl WorkMessage {
    /// The look that this row waits for; none when the job is finished.
    pub fn next_look(job: &Job) -> Option<Self> {
        job.next_check_at().map(|due| Self::Look { job_id: job.id().clone(), due })
    }
}

/// The work queue.
#[derive(Clone, Debug)]
pub struct WorkQueue {
    client: Client,
    url: String,
}

impl WorkQueue {
    /// The queue at this URL. A send gives up after 3 s in all: its caller holds a browser or a provider waiting, and
    /// `reconcile` makes up for a message that was not sent.
    pub fn new(sdk: &SdkConfig, url: String) -> Self {
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(Duration::from_secs(1))
            .operation_timeout(Duration::from_secs(3))
            .build();
        let config = aws_sdk_sqs::config::Builder::from(sdk).timeout_config(timeouts).build();
        Self { client: Client::from_conf(config), url }
    }

    /// The queue that `WORK_QUEUE_URL` names.
    pub fn from_env(sdk: &SdkConfig) -> Result<Self, EnvError> {
        env::required("WORK_QUEUE_URL").map(|url| Self::new(sdk, url))
    }

    /// Sends a message that arrives after `delay` (whole seconds, rounded up).
    pub async fn send(&self, message: &WorkMessage, delay: Duration) -> Result<(), AwsError> {
        let call = "SendMessage (work queue)";
        let body = serde_json::to_string(message).map_err(|error| AwsError::Call { call, source: Box::new(error) })?;
        let delay = delay.min(LONGEST_DELAY).as_millis().div_ceil(1000);
        self.client
            .send_message()
            .queue_url(&self.url)
            .message_body(body)
            .delay_seconds(i32::try_from(delay).unwrap_or(0))
            .send()
            .await
            .map(drop)
            .map_err(|error| AwsError::call(call, error))
    }

    /// Sends the look that this row waits for, when it waits for one. One that is further away than a message can be is
    /// left to `reconcile`, so that none comes too early.
    pub async fn send_next_look(&self, job: &Job, now: Millis) -> Result<(), AwsError> {
        match (WorkMessage::next_look(job), job.next_check_at()) {
            (Some(message), Some(due)) if due.since(now) <= LONGEST_DELAY => self.send(&message, due.since(now)).await,
            _ => Ok(()),
        }
    }

    /// Sends messages that arrive at once, ten in a call. Gives how many were sent; those that SQS did not take are logged.
    pub async fn send_all(&self, messages: &[WorkMessage]) -> Result<usize, AwsError> {
        let call = "SendMessageBatch (work queue)";
        let mut sent = 0;
        for batch in messages.chunks(10) {
            let entry =
                |(index, message): (usize, &WorkMessage)| -> Result<_, Box<dyn std::error::Error + Send + Sync>> {
                    let body = serde_json::to_string(message)?;
                    Ok(SendMessageBatchRequestEntry::builder().id(index.to_string()).message_body(body).build()?)
                };
            let entries = batch.iter().enumerate().map(entry).collect::<Result<Vec<_>, _>>();
            let entries = entries.map_err(|source| AwsError::Call { call, source })?;
            let request = self.client.send_message_batch().queue_url(&self.url).set_entries(Some(entries));
            let answer = request.send().await.map_err(|error| AwsError::call(call, error))?;
            sent += answer.successful().len();
            for failed in answer.failed() {
                tracing::warn!(code = failed.code(), "a message was not taken: reconcile sends it again");
            }
        }
        Ok(sent)
    }
}
