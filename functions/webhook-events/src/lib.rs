//! `GET /api/webhook/events`: the last webhook deliveries, for operators.

use clipbell_api::{ApiError, BearerToken, json, query};
use clipbell_aws::{Outcome, StoredEvent, WebhookEvents};
use clipbell_job::Clock;
use lambda_http::{Body, Request, Response, http::StatusCode};
use serde::Serialize;

/// How many events an answer holds at most.
const MOST: usize = 100;

/// What the function works with.
#[derive(Debug)]
pub struct App {
    /// The audit trail.
    pub events: WebhookEvents,
    /// Who may see it.
    pub token: BearerToken,
    /// The time.
    pub clock: Clock,
}

#[derive(Serialize)]
struct Answer {
    events: Vec<EventView>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EventView {
    webhook_id: String,
    event_id: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    video_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job_id: Option<String>,
    outcome: Outcome,
    deliveries: u64,
    received_at: String,
    last_received_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    processed_at: Option<String>,
}

impl From<StoredEvent> for EventView {
    fn from(event: StoredEvent) -> Self {
        Self {
            webhook_id: event.webhook_id,
            event_id: event.event_id,
            kind: event.kind,
            video_id: event.video_id,
            job_id: event.job_id,
            outcome: event.outcome,
            deliveries: event.deliveries,
            received_at: event.received_at.rfc3339(),
            last_received_at: event.last_received_at.rfc3339(),
            processed_at: event.processed_at.map(clipbell_job::Millis::rfc3339),
        }
    }
}

/// Answers one request: `{"events": [...]}`, newest first, without bodies.
///
/// # Errors
/// 401 without the operator's token, 400 for an impossible `limit`, 503 when the table can't be read.
pub async fn handle(app: &App, request: Request) -> Result<Response<Body>, ApiError> {
    app.token.check(&request)?;
    let limit = match query(&request, "limit") {
        None => MOST,
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (1..=MOST).contains(limit))
            .ok_or_else(|| ApiError::bad_request("invalid_limit", "limit is a number from 1 to 100."))?,
    };
    let events = app.events.latest(limit, app.clock.now()).await?;
    Ok(json(StatusCode::OK, &Answer { events: events.into_iter().map(EventView::from).collect() }))
}

#[cfg(test)]
mod tests;
