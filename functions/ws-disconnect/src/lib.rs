//! WebSocket `$disconnect`: forgets a connection and its subscriptions.

use aws_lambda_events::apigw::ApiGatewayWebsocketProxyRequest;
use clipbell_aws::Connections;
use lambda_runtime::Error;
use serde_json::{Value, json};

/// What the function works with.
#[derive(Debug)]
pub struct App {
    /// The connections.
    pub connections: Connections,
}

/// Forgets one connection. API Gateway calls this as best it can: what it leaves behind goes when a post to it answers
/// 410, or by its time to live.
///
/// # Errors
/// When the table can't be reached.
pub async fn handle(app: &App, event: ApiGatewayWebsocketProxyRequest) -> Result<Value, Error> {
    let id = event.request_context.connection_id.ok_or("the event names no connection")?;
    app.connections.disconnect(&id).await?;
    tracing::info!(connection_id = id, "disconnected");
    Ok(json!({"statusCode": 200}))
}

#[cfg(test)]
mod tests;
