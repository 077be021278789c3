//! WebSocket messages from browsers: `subscribe`, `unsubscribe`, `ping`, and whatever else somebody sends.
//!
//! Answers are posted through `@connections`, so that the API needs no route responses.

mod message;

use aws_lambda_events::apigw::ApiGatewayWebsocketProxyRequest;
use clipbell_aws::{AwsError, Connections, Jobs, Posted, Push};
use clipbell_job::{Clock, JobId, ServerMessage};
use lambda_runtime::Error;
use serde_json::{Value, json};

pub use message::{ClientMessage, MessageError};

/// What the function works with.
#[derive(Debug)]
pub struct App {
    /// Who watches which job.
    pub connections: Connections,
    /// The jobs.
    pub jobs: Jobs,
    /// The way back to the browser.
    pub push: Push,
    /// The time.
    pub clock: Clock,
}

/// Follows one message and answers it.
///
/// # Errors
/// When a table can't be reached: API Gateway then tells the browser "Internal server error", with the request's id.
pub async fn handle(app: &App, event: ApiGatewayWebsocketProxyRequest) -> Result<Value, Error> {
    let connection = event.request_context.connection_id.ok_or("the event names no connection")?;
    let body = event.body.unwrap_or_default();
    let now = app.clock.now();
    match ClientMessage::parse(&body) {
        Ok(ClientMessage::Subscribe(job_id)) => subscribe(app, &connection, &job_id).await?,
        Ok(ClientMessage::Unsubscribe(job_id)) => {
            app.connections.unsubscribe(&job_id, &connection).await?;
            let timestamp = now.rfc3339();
            answer(app, &connection, &ServerMessage::Unsubscribed { job_id: &job_id, timestamp }).await?;
        }
        Ok(ClientMessage::Ping) => {
            answer(app, &connection, &ServerMessage::Pong { timestamp: now.rfc3339() }).await?;
        }
        Err(error) => {
            tracing::info!(connection_id = connection, code = error.code(), "message refused");
            refuse(app, &connection, None, &error.to_string(), error.code()).await?;
        }
    }
    Ok(json!({"statusCode": 200}))
}

/// ```text
/// the job finishes before the read      the job finishes after the read
/// subscribe: put, read ──▶ completed    subscribe: put, read ──▶ 80 %
/// job:       completed                  job:                        completed ──▶ notify finds the put
/// ```
async fn subscribe(app: &App, connection: &str, job_id: &JobId) -> Result<(), AwsError> {
    let now = app.clock.now();
    app.connections.subscribe(job_id, connection, now).await?;
    if let Some(job) = app.jobs.get(job_id, now).await? {
        tracing::info!(connection_id = connection, %job_id, version = job.version(), "subscribed");
        return answer(app, connection, &ServerMessage::subscribed(&job, now)).await;
    }
    app.connections.unsubscribe(job_id, connection).await?;
    refuse(app, connection, Some(job_id), "There is no job with this jobId.", "job_not_found").await
}

async fn refuse(app: &App, connection: &str, job_id: Option<&JobId>, error: &str, code: &str) -> Result<(), AwsError> {
    let job_id = job_id.map(JobId::as_str);
    let timestamp = app.clock.now().rfc3339();
    answer(app, connection, &ServerMessage::Error { job_id, error, code, timestamp }).await
}

async fn answer(app: &App, connection: &str, message: &ServerMessage<'_>) -> Result<(), AwsError> {
    // Our own types: maps with text keys, which always serialize.
    let bytes = serde_json::to_vec(message).unwrap_or_default();
    match app.push.post(connection, &bytes).await {
        // Gone: it left before its answer; what it subscribed to goes with `$disconnect`, or at the next post.
        Posted::Sent | Posted::Gone => Ok(()),
        Posted::Failed(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
