//! The jobs table.

use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    Client,
    config::{
        interceptors::InterceptorContext,
        retry::{ClassifyRetry, RetryAction},
    },
    error::SdkError,
    operation::{put_item::PutItemError, transact_write_items::TransactWriteItemsError},
    types::{CancellationReason, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem},
};
use clipbell_job::{AttemptId, Job, JobId, Millis, SHARDS};
use serde_dynamo::aws_sdk_dynamodb_1::{from_item, to_item};

use crate::{
    AwsError,
    attribute::{Item, n, s},
    env::{self, EnvError},
};

const TABLE: &str = "jobs";
const OPEN_JOBS: &str = "open-jobs";

/// The jobs table: one row a job under `jobId`, and one row `video#<id>` for each video that a job owns.
#[derive(Clone, Debug)]
pub struct Jobs {
    client: Client,
    table: String,
}

/// What became of a new job's write.
#[derive(Debug)]
pub enum Created {
    /// It is written.
    New,
    /// The id is taken, by this job.
    Exists(Box<Job>),
}

/// What became of a step's write.
#[derive(Debug)]
pub enum Replaced {
    /// It took effect.
    Written,
    /// Somebody else was first; the row as it is now, or none when it is gone.
    Conflict(Option<Box<Job>>),
}

/// What became of the write that gives a job its video.
#[derive(Debug)]
pub enum Submitted {
    /// It took effect.
    Written,
    /// The video belongs to another job.
    VideoTaken,
    /// Somebody else changed the job first; the row as it is now, or none when it is gone.
    Conflict(Option<Box<Job>>),
}

/// An unfinished job whose time has come.
#[derive(Clone, Debug)]
pub struct Overdue {
    /// The job.
    pub job_id: JobId,
    /// When it wanted to be looked at.
    pub next_check_at: Millis,
}

impl Jobs {
    /// The table of this name.
    pub fn new(sdk: &SdkConfig, table: String) -> Self {
        let config = aws_sdk_dynamodb::config::Builder::from(sdk).retry_classifier(TransactionConflict).build();
        Self { client: Client::from_conf(config), table }
    }

    /// The table that `JOBS_TABLE` names.
    pub fn from_env(sdk: &SdkConfig) -> Result<Self, EnvError> {
        env::required("JOBS_TABLE").map(|table| Self::new(sdk, table))
    }

    /// The job as it is now (a consistent read), or none.
    pub async fn get(&self, id: &JobId, now: Millis) -> Result<Option<Job>, AwsError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("jobId", s(id.as_str()))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| AwsError::call("GetItem (jobs)", error))?;
        let job: Option<Job> = answer.item.map(job_from).transpose()?;
        Ok(job.filter(|job| !job.is_gone(now)))
    }

    /// Writes a new job, unless its id is taken.
    ///
    /// ```text
    /// two requests with one Idempotency-Key        the SDK's second try
    /// A: put if absent ──▶ New                     A: put if absent ──▶ written, answer lost
    /// B: put if absent ──▶ Exists(A's job)         A: put if absent ──▶ refused: by its own write, so New
    /// ```
    pub async fn create(&self, job: &Job, now: Millis) -> Result<Created, AwsError> {
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item_of(job)?))
            .condition_expression("attribute_not_exists(jobId) OR #ttl <= :now")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":now", n(now.unix_seconds()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let Err(error) = put else { return Ok(Created::New) };
        match self.row_that_refused(error, job.id(), now).await? {
            Some(existing) if existing.written_by() == job.written_by() => Ok(Created::New),
            Some(existing) => Ok(Created::Exists(existing)),
            // It was refused, and has gone since: trying again is the caller's.
            None => Err(AwsError::Call { call: "PutItem (jobs)", source: "the row went while it was written".into() }),
        }
    }

    /// Writes `next`, when the row still has the revision that `next` was made from.
    ///
    /// ```text
    /// webhook: read rev 7 ─────────────── write rev 8 if 7 ──▶ Written
    /// look:    read rev 7 ── write rev 8 if 7 ──▶ (too late) Conflict(rev 8)
    /// ```
    pub async fn replace(&self, next: &Job, now: Millis) -> Result<Replaced, AwsError> {
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item_of(next)?))
            .condition_expression("rev = :read")
            .expression_attribute_values(":read", n(next.rev().saturating_sub(1)))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let Err(error) = put else { return Ok(Replaced::Written) };
        match self.row_that_refused(error, next.id(), now).await? {
            Some(row) if row.written_by() == next.written_by() => Ok(Replaced::Written),
            row => Ok(Replaced::Conflict(row)),
        }
    }

    /// Writes `next`, the job that has just got its video, and with it that the video is its own: both or neither.
    ///
    /// The SDK sends one token with all its tries, so its own second try is no conflict. Neither is a second call after
    /// one whose answer was lost: the row that refuses it is then its own.
    pub async fn replace_submitted(&self, next: &Job, owned_until: i64, now: Millis) -> Result<Submitted, AwsError> {
        let build = |put: Result<Put, _>| put.map(|put| TransactWriteItem::builder().put(put).build());
        let owner = build(
            Put::builder()
                .table_name(&self.table)
                .item("jobId", s(&video_key(next.video_id().unwrap_or_default())))
                .item("ownedBy", s(next.id().as_str()))
                .item("ttl", n(owned_until))
                .condition_expression("attribute_not_exists(jobId) OR ownedBy = :me")
                .expression_attribute_values(":me", s(next.id().as_str()))
                .build(),
        );
        let job = build(
            Put::builder()
                .table_name(&self.table)
                .set_item(Some(item_of(next)?))
                .condition_expression("rev = :read")
                .expression_attribute_values(":read", n(next.rev().saturating_sub(1)))
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
                .build(),
        );
        let call = "TransactWriteItems (jobs)";
        let items = [owner, job].into_iter().collect::<Result<Vec<_>, _>>();
        let items = items.map_err(|error| AwsError::Call { call, source: Box::new(error) })?;
        match self.client.transact_write_items().set_transact_items(Some(items)).send().await {
            Ok(_) => Ok(Submitted::Written),
            Err(SdkError::ServiceError(refused)) => match refused_by_conditions(refused.err()) {
                [Some(_), _] => Ok(Submitted::VideoTaken),
                [None, Some(reason)] if is_written_by(reason.item(), next.written_by()) => Ok(Submitted::Written),
                [None, Some(reason)] => {
                    let row = match reason.item().cloned() {
                        Some(item) => Some(job_from(item)?),
                        None => self.get(next.id(), now).await?,
                    };
                    Ok(Submitted::Conflict(row.map(Box::new)))
                }
                [None, None] => Err(AwsError::call(call, SdkError::ServiceError(refused))),
            },
            Err(error) => Err(AwsError::call(call, error)),
        }
    }

    /// The job that has this video, when one does (a consistent read).
    pub async fn owner_of(&self, video_id: &str) -> Result<Option<JobId>, AwsError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("jobId", s(&video_key(video_id)))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| AwsError::call("GetItem (video owner)", error))?;
        Ok(answer.item.and_then(|item| item.get("ownedBy")?.as_s().ok()?.parse().ok()))
    }

    /// The unfinished jobs that were to be looked at before `before`, a shard after the other, at most `limit` of each.
    pub async fn overdue(&self, before: Millis, limit: i32) -> Result<Vec<Overdue>, AwsError> {
        let mut overdue = Vec::new();
        for shard in 0..SHARDS {
            let mut pages = self
                .client
                .query()
                .table_name(&self.table)
                .index_name(OPEN_JOBS)
                .key_condition_expression("#shard = :shard AND nextCheckAt < :before")
                .expression_attribute_names("#shard", "shard")
                .expression_attribute_values(":shard", n(shard))
                .expression_attribute_values(":before", n(before.0))
                .limit(limit)
                .into_paginator()
                .send();
            let mut found = 0;
            while let Some(page) = pages.next().await {
                let page = page.map_err(|error| AwsError::call("Query (open jobs)", error))?;
                found += page.count();
                overdue.extend(page.items().iter().filter_map(overdue_of));
                if found >= limit {
                    break;
                }
            }
        }
        Ok(overdue)
    }

    /// The row that made a conditional put fail, or the error when it failed for another reason.
    async fn row_that_refused(
        &self,
        error: SdkError<PutItemError>,
        id: &JobId,
        now: Millis,
    ) -> Result<Option<Box<Job>>, AwsError> {
        match error {
            SdkError::ServiceError(refused) if refused.err().is_conditional_check_failed_exception() => {
                let PutItemError::ConditionalCheckFailedException(refused) = refused.into_err() else {
                    return Ok(None);
                };
                match refused.item {
                    Some(item) => job_from(item).map(Box::new).map(Some),
                    None => Ok(self.get(id, now).await?.map(Box::new)),
                }
            }
            error => Err(AwsError::call("PutItem (jobs)", error)),
        }
    }
}

/// A put that meets a transaction on the same row is refused, and the SDK takes that for final. A moment later it is not.
#[derive(Debug)]
struct TransactionConflict;

impl ClassifyRetry for TransactionConflict {
    fn name(&self) -> &'static str {
        "transaction conflict"
    }

    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let error = context.output_or_error().and_then(Result::err).and_then(|error| error.as_operation_error());
        match error.and_then(|error| error.downcast_ref()) {
            Some(PutItemError::TransactionConflictException(_)) => RetryAction::throttling_error(),
            _ => RetryAction::NoActionIndicated,
        }
    }
}

/// For the two conditions of [`Jobs::replace_submitted`], those that refused, and why.
fn refused_by_conditions(error: &TransactWriteItemsError) -> [Option<&CancellationReason>; 2] {
    let TransactWriteItemsError::TransactionCanceledException(canceled) = error else { return [None; 2] };
    let reasons = canceled.cancellation_reasons();
    [0, 1].map(|index| reasons.get(index).filter(|reason| reason.code() == Some("ConditionalCheckFailed")))
}

fn is_written_by(row: Option<&Item>, attempt: &AttemptId) -> bool {
    row.and_then(|row| row.get("writtenBy")?.as_s().ok()).is_some_and(|by| by == attempt.as_str())
}

fn item_of(job: &Job) -> Result<Item, AwsError> {
    to_item(job).map_err(AwsError::malformed(TABLE))
}

fn job_from(item: Item) -> Result<Job, AwsError> {
    from_item(item).map_err(AwsError::malformed(TABLE))
}

fn job_id_of(item: &Item) -> Option<JobId> {
    item.get("jobId")?.as_s().ok()?.parse().ok()
}

fn overdue_of(item: &Item) -> Option<Overdue> {
    let next_check_at = Millis(item.get("nextCheckAt")?.as_n().ok()?.parse().ok()?);
    Some(Overdue { job_id: job_id_of(item)?, next_check_at })
}

fn video_key(video_id: &str) -> String {
    format!("video#{video_id}")
}
