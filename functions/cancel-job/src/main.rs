//! `POST /api/cancel`.

use cancel_job::{App, handle};
use clipbell_aws::{Jobs, WorkQueue};
use clipbell_job::Clock;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda_runtime::tracing::init_default_subscriber();
    let sdk = clipbell_aws::load_sdk_config().await;
    let app = App { jobs: Jobs::from_env(&sdk)?, queue: WorkQueue::from_env(&sdk)?, clock: Clock::system() };
    clipbell_api::run(app, handle).await
}
