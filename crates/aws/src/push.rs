//! Posting to browsers: API Gateway's `@connections`.

use std::time::Duration;

use aws_config::{SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_apigatewaymanagement::{Client, primitives::Blob};

use crate::{
    AwsError,
    env::{self, EnvError},
};

/// The WebSocket API's `@connections`.
#[derive(Clone, Debug)]
pub struct Push {
    client: Client,
}

/// What became of a post.
#[derive(Debug)]
pub enum Posted {
    /// API Gateway has taken it.
    Sent,
    /// There is no such connection any more.
    Gone,
    /// It could not be delivered, after retries.
    Failed(AwsError),
}

impl Push {
    /// `endpoint` is the `@connections` base URL: `https://{api}.execute-api.{region}.amazonaws.com/ws`.
    ///
    /// A try takes 1.5 s at most and is repeated twice on 429 and 5xx: a connection that hangs holds up nobody else,
    /// and itself costs 5 s at most, and as much again to be closed.
    pub fn new(sdk: &SdkConfig, endpoint: &str) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(1))
            .operation_attempt_timeout(Duration::from_millis(1500))
            .operation_timeout(Duration::from_secs(5))
            .build();
        let config = aws_sdk_apigatewaymanagement::config::Builder::from(sdk)
            .endpoint_url(endpoint)
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_max_attempts(3).with_initial_backoff(Duration::from_millis(50)))
            .build();
        Self { client: Client::from_conf(config) }
    }

    /// The endpoint that `WEBSOCKET_ENDPOINT` names.
    pub fn from_env(sdk: &SdkConfig) -> Result<Self, EnvError> {
        env::required("WEBSOCKET_ENDPOINT").map(|endpoint| Self::new(sdk, &endpoint))
    }

    /// Posts `message` to one connection.
    pub async fn post(&self, connection_id: &str, message: &[u8]) -> Posted {
        let data = Blob::new(message);
        match self.client.post_to_connection().connection_id(connection_id).data(data).send().await {
            Ok(_) => Posted::Sent,
            Err(error) if error.as_service_error().is_some_and(aws_sdk_apigatewaymanagement::operation::post_to_connection::PostToConnectionError::is_gone_exception) => Posted::Gone,
            Err(error) => Posted::Failed(AwsError::call("PostToConnection", error)),
        }
    }

    /// Closes a connection, so that its client comes back and gets the present state. One that is gone is no error.
    pub async fn close(&self, connection_id: &str) -> Result<(), AwsError> {
        match self.client.delete_connection().connection_id(connection_id).send().await {
            Ok(_) => Ok(()),
            Err(error) if error.as_service_error().is_some_and(aws_sdk_apigatewaymanagement::operation::delete_connection::DeleteConnectionError::is_gone_exception) => Ok(()),
            Err(error) => Err(AwsError::call("DeleteConnection", error)),
        }
    }
}
