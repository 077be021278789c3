//! The audit trail: every webhook that came in with a good signature.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::{Client, types::ReturnValue};
use clipbell_job::{JobId, Millis};
use clipbell_webhook::{Event, WebhookId};
use serde::{Deserialize, Serialize};
use serde_dynamo::aws_sdk_dynamodb_1::from_item;

use crate::{
    AwsError,
    attribute::{Item, n, s},
    env::{self, EnvError},
};

const TABLE: &str = "webhook events";
const BY_DAY: &str = "by-day";
const BY_OUTCOME: &str = "by-outcome";

/// How long an event is kept. A provider tries for 72 hours; a duplicate must find the first for longer than that.
const KEPT_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How many days the list of deliveries walks back.
const DAYS_LISTED: u32 = 30;

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Stored; not yet looked at.
    Received,
    /// Of a type that is none of our business.
    Ignored,
    /// It changed its job.
    Applied,
    /// It moved nothing: its job was there already, or in another worker's hands.
    NoChange,
    /// No job had this video when it came. The job's own looks bring it home.
    Unmatched,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Ignored => "ignored",
            Self::Applied => "applied",
            Self::NoChange => "no_change",
            Self::Unmatched => "unmatched",
        }
    }
}

/// One row of the list of deliveries; without the body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredEvent {
    /// The `webhook-id` header: the same over all deliveries.
    pub webhook_id: String,
    /// The body's `id`.
    pub event_id: String,
    /// The body's `type`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The video it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub video_id: Option<String>,
    /// The job it was found to belong to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// What became of it.
    pub outcome: Outcome,
    /// How often it was delivered.
    pub deliveries: u64,
    /// First delivery, in milliseconds since 1970.
    pub received_at: Millis,
    /// Last delivery.
    pub last_received_at: Millis,
    /// When its outcome was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processed_at: Option<Millis>,
}

/// An event that nobody has looked at.
#[derive(Clone, Debug)]
pub struct UnprocessedEvent {
    /// Its `webhook-id`.
    pub webhook_id: String,
    /// The video it is about.
    pub video_id: String,
}

/// The webhook events table. Key: `webhookId`.
#[derive(Clone, Debug)]
pub struct WebhookEvents {
    client: Client,
    table: String,
}

impl WebhookEvents {
    /// The table of this name.
    pub fn new(sdk: &SdkConfig, table: String) -> Self {
        Self { client: Client::new(sdk), table }
    }

    /// The table that `WEBHOOK_EVENTS_TABLE` names.
    pub fn from_env(sdk: &SdkConfig) -> Result<Self, EnvError> {
        env::required("WEBHOOK_EVENTS_TABLE").map(|table| Self::new(sdk, table))
    }

    /// Stores an event, or counts one more delivery of it. Gives the event's outcome so far: none on its first delivery.
    ///
    /// ```text
    /// two deliveries at once
    /// A: fields if absent, deliveries + 1 ──▶ 1, first
    /// B: fields if absent, deliveries + 1 ──▶ 2, changes nothing else
    /// ```
    pub async fn store(
        &self,
        webhook_id: &WebhookId,
        event: &Event,
        body: &str,
        outcome: Outcome,
        now: Millis,
    ) -> Result<Option<Outcome>, AwsError> {
        let mut update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("webhookId", s(webhook_id.as_str()))
            .expression_attribute_names("#type", "type")
            .expression_attribute_names("#day", "day")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":event", s(&event.id))
            .expression_attribute_values(":type", s(event.kind.as_str()))
            .expression_attribute_values(":body", s(body))
            .expression_attribute_values(":outcome", s(outcome.as_str()))
            .expression_attribute_values(":now", n(now.0))
            .expression_attribute_values(":day", s(&now.day()))
            .expression_attribute_values(":ttl", n(now.plus(KEPT_FOR).unix_seconds()))
            .expression_attribute_values(":one", n(1));
        let mut set = "SET eventId = if_not_exists(eventId, :event), #type = if_not_exists(#type, :type), \
             body = if_not_exists(body, :body), outcome = if_not_exists(outcome, :outcome), \
             receivedAt = if_not_exists(receivedAt, :now), #day = if_not_exists(#day, :day), \
             lastReceivedAt = :now, #ttl = :ttl"
            .to_owned();
        if let Some(video_id) = &event.video_id {
            set.push_str(", videoId = if_not_exists(videoId, :video)");
            update = update.expression_attribute_values(":video", s(video_id));
        }
        let answer = update
            .update_expression(set + " ADD deliveries :one")
            // The old row: on the first delivery, which is nearly every one, nothing, or what makes its key.
            .return_values(ReturnValue::AllOld)
            .send()
            .await
            .map_err(|error| AwsError::call("UpdateItem (webhook events)", error))?;
        let Some(old) = answer.attributes.filter(|row| row.contains_key("outcome")) else { return Ok(None) };
        let old: StoredEvent = from_item(old).map_err(AwsError::malformed(TABLE))?;
        Ok(Some(old.outcome))
    }

    /// Writes what became of an event. The first word stays, except that [`Outcome::Applied`] is the last one.
    ///
    /// ```text
    /// two deliveries at once, both still `received`
    /// A: claims the save ───────────────▶ completed ──▶ applied
    /// B: finds it claimed ──▶ no_change
    /// ```
    pub async fn record_outcome(
        &self,
        webhook_id: &str,
        outcome: Outcome,
        job_id: Option<&JobId>,
        now: Millis,
    ) -> Result<(), AwsError> {
        let weaker = if outcome == Outcome::Applied { Outcome::NoChange } else { Outcome::Received };
        let mut update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("webhookId", s(webhook_id))
            .condition_expression("outcome IN (:received, :weaker)")
            .expression_attribute_values(":received", s(Outcome::Received.as_str()))
            .expression_attribute_values(":weaker", s(weaker.as_str()))
            .expression_attribute_values(":outcome", s(outcome.as_str()))
            .expression_attribute_values(":now", n(now.0));
        let mut set = "SET outcome = :outcome, processedAt = :now".to_owned();
        if let Some(job_id) = job_id {
            set.push_str(", jobId = :job");
            update = update.expression_attribute_values(":job", s(job_id.as_str()));
        }
        match update.update_expression(set).send().await {
            Ok(_) => Ok(()),
            Err(error)
                if error.as_service_error().is_some_and(
                    aws_sdk_dynamodb::operation::update_item::UpdateItemError::is_conditional_check_failed_exception,
                ) =>
            {
                Ok(())
            }
            Err(error) => Err(AwsError::call("UpdateItem (webhook outcome)", error)),
        }
    }

    /// The last `limit` events, newest first, walking back over the days.
    pub async fn latest(&self, limit: usize, now: Millis) -> Result<Vec<StoredEvent>, AwsError> {
        let mut events = Vec::new();
        for days_back in 0..DAYS_LISTED {
            let day = now.minus(Duration::from_secs(u64::from(days_back) * 24 * 60 * 60)).day();
            let left = limit.saturating_sub(events.len());
            let mut rows = self
                .client
                .query()
                .table_name(&self.table)
                .index_name(BY_DAY)
                .key_condition_expression("#day = :day")
                .expression_attribute_names("#day", "day")
                .expression_attribute_values(":day", s(&day))
                .scan_index_forward(false)
                .limit(i32::try_from(left).unwrap_or(i32::MAX))
                .into_paginator()
                .items()
                .send();
            while let Some(row) = rows.next().await {
                let row: Item = row.map_err(|error| AwsError::call("Query (webhook events by day)", error))?;
                events.push(from_item(row).map_err(AwsError::malformed(TABLE))?);
                if events.len() >= limit {
                    return Ok(events);
                }
            }
        }
        Ok(events)
    }

    /// Events received before `before` that nobody has looked at, oldest first, at most `limit`.
    pub async fn unprocessed(&self, before: Millis, limit: i32) -> Result<Vec<UnprocessedEvent>, AwsError> {
        let answer = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(BY_OUTCOME)
            .key_condition_expression("outcome = :received AND receivedAt < :before")
            .expression_attribute_values(":received", s(Outcome::Received.as_str()))
            .expression_attribute_values(":before", n(before.0))
            .limit(limit)
            .send()
            .await
            .map_err(|error| AwsError::call("Query (unprocessed events)", error))?;
        let event = |row: &Item| {
            let text = |name: &str| row.get(name)?.as_s().ok().cloned();
            Some(UnprocessedEvent { webhook_id: text("webhookId")?, video_id: text("videoId")? })
        };
        Ok(answer.items().iter().filter_map(event).collect())
    }
}
