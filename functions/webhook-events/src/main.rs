//! `GET /api/webhook/events`.

use clipbell_api::BearerToken;
use clipbell_aws::{WebhookEvents, env};
use clipbell_job::Clock;
use webhook_events::{App, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda_runtime::tracing::init_default_subscriber();
    let sdk = clipbell_aws::load_sdk_config().await;
    let app = App {
        events: WebhookEvents::from_env(&sdk)?,
        token: BearerToken::required(env::required("OPERATOR_TOKEN")?),
        clock: Clock::system(),
    };
    clipbell_api::run(app, handle).await
}
