//! `POST /api/webhook/video-events`.

use clipbell_aws::{Secret, WebhookEvents, WorkQueue};
use clipbell_job::Clock;
use clipbell_webhook::Secrets;
use webhook::{App, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda_runtime::tracing::init_default_subscriber();
    let sdk = clipbell_aws::load_sdk_config().await;
    let secret = Secret::from_env("OPENAI_WEBHOOK_SECRET", &sdk).await?;
    Secrets::parse(&secret.value().await).map_err(|error| format!("OPENAI_WEBHOOK_SECRET can't be used: {error}"))?;
    let app = App {
        events: WebhookEvents::from_env(&sdk)?,
        queue: WorkQueue::from_env(&sdk)?,
        secret,
        clock: Clock::system(),
    };
    clipbell_api::run(app, handle).await
}
