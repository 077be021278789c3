//! `POST /api/webhook/video-events`: the provider's signed webhook. Verify, store, call the worker, 200.

use std::time::Duration;

use clipbell_api::{ApiError, json};
use clipbell_aws::{Outcome, Secret, WebhookEvents, WorkMessage, WorkQueue};
use clipbell_job::Clock;
use clipbell_log::Chain;
use clipbell_webhook::{Event, EventKind, Headers, Secrets};
use lambda_http::{Body, Request, Response, http::StatusCode};

/// The largest body, in bytes. An event of OpenAI's has some 150.
const LARGEST_BODY: usize = 256 * 1024;

/// What the function works with.
#[derive(Debug)]
pub struct App {
    /// The audit trail.
    pub events: WebhookEvents,
    /// The work queue.
    pub queue: WorkQueue,
    /// `OPENAI_WEBHOOK_SECRET`.
    pub secret: Secret,
    /// The time.
    pub clock: Clock,
}

/// Answers one delivery: exactly 200 `{"received":true}` once it is stored.
///
/// # Errors
/// 400 `invalid_signature` for whatever is wrong with the headers, 400 `invalid_event`, 413, and 503 when the event could
/// not be stored, so that the provider tries again.
pub async fn handle(app: &App, request: Request) -> Result<Response<Body>, ApiError> {
    let body: &[u8] = request.body();
    if body.len() > LARGEST_BODY {
        let message = "The body is over 256 KB.";
        return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message));
    }
    let now = app.clock.now();
    let header = |name: &str| request.headers().get(name).map(lambda_http::http::HeaderValue::as_bytes);
    let headers = Headers {
        id: header("webhook-id"),
        timestamp: header("webhook-timestamp"),
        signature: header("webhook-signature"),
    };
    let secrets = Secrets::parse(&app.secret.value().await).map_err(ApiError::unavailable)?;
    let webhook_id = secrets.verify(headers, body, now.unix_seconds()).map_err(|cause| {
        ApiError::bad_request("invalid_signature", "The signature of this webhook is not valid.").caused_by(cause)
    })?;
    let invalid = || ApiError::bad_request("invalid_event", "The body of this webhook is not an event.");
    let event = Event::parse(body).map_err(|cause| invalid().caused_by(cause))?;
    let text = std::str::from_utf8(body).map_err(|cause| invalid().caused_by(cause))?;

    let is_ours = matches!(event.kind, EventKind::VideoCompleted | EventKind::VideoFailed);
    let outcome = if is_ours { Outcome::Received } else { Outcome::Ignored };
    let before = app.events.store(&webhook_id, &event, text, outcome, now).await?;
    tracing::info!(
        webhook_id = webhook_id.as_str(),
        event_type = event.kind.as_str(),
        video_id = event.video_id,
        duplicate = before.is_some(),
        ?outcome,
        "webhook stored"
    );
    // A duplicate of an event that nobody has looked at calls once more: the first call may have been lost.
    if let (true, None | Some(Outcome::Received), Some(video_id)) = (is_ours, before, event.video_id) {
        let call = WorkMessage::Webhook { webhook_id: webhook_id.as_str().to_owned(), video_id };
        if let Err(error) = app.queue.send(&call, Duration::ZERO).await {
            tracing::warn!(
                webhook_id = webhook_id.as_str(),
                error = %Chain(&error),
                "webhook stored, its worker not called"
            );
        }
    }
    Ok(json(StatusCode::OK, &serde_json::json!({"received": true})))
}

#[cfg(test)]
mod tests;
