//! The minute's round: whatever is overdue.

use clipbell_aws::{Jobs, WebhookEvents, WorkQueue};
use clipbell_job::Clock;
use lambda_runtime::{LambdaEvent, service_fn};
use reconcile::{App, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda_runtime::tracing::init_default_subscriber();
    let sdk = clipbell_aws::load_sdk_config().await;
    let app = &App {
        jobs: Jobs::from_env(&sdk)?,
        events: WebhookEvents::from_env(&sdk)?,
        queue: WorkQueue::from_env(&sdk)?,
        clock: Clock::system(),
    };
    lambda_runtime::run(service_fn(move |event: LambdaEvent<_>| handle(app, event.payload))).await
}
