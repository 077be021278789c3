//! How the SDK is set up in tests.

use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig};
use aws_sdk_dynamodb::config::{AsyncSleep, Credentials, SharedCredentialsProvider, Sleep};

/// Configuration for clients of the server at `endpoint`: credentials and a region of nobody's, and nothing from the
/// environment.
///
/// All that the SDK waits for (time-outs, the gaps between its tries) takes a quarter of its time, so that a test of
/// three tries against a server that hangs takes a second.
pub fn sdk_config(endpoint: &str) -> SdkConfig {
    let credentials = Credentials::new("AKIATEST", "test", None, None, "tests");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .endpoint_url(endpoint)
        .retry_config(RetryConfig::standard().with_initial_backoff(Duration::from_millis(100)))
        .sleep_impl(Quarter)
        .build()
}

/// Sleeps for a quarter of the time.
#[derive(Debug)]
struct Quarter;

impl AsyncSleep for Quarter {
    fn sleep(&self, duration: Duration) -> Sleep {
        Sleep::new(tokio::time::sleep(duration / 4))
    }
}
