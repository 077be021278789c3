//! WebSocket `$connect`: notes who is there.

use aws_lambda_events::apigw::ApiGatewayWebsocketProxyRequest;
use clipbell_aws::Connections;
use clipbell_job::Clock;
use lambda_runtime::Error;
use serde_json::{Value, json};

/// What the function works with.
#[derive(Debug)]
pub struct App {
    /// The connections.
    pub connections: Connections,
    /// The time.
    pub clock: Clock,
}

/// Accepts one connection. Nothing can be posted to it before this has answered.
///
/// # Errors
/// When it could not be noted: API Gateway then refuses the connection, and the browser tries again.
pub async fn handle(app: &App, event: ApiGatewayWebsocketProxyRequest) -> Result<Value, Error> {
    let id = event.request_context.connection_id.ok_or("the event names no connection")?;
    app.connections.connect(&id, app.clock.now()).await?;
    tracing::info!(connection_id = id, "connected");
    Ok(json!({"statusCode": 200}))
}

#[cfg(test)]
mod tests;
