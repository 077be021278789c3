//! `GET /api/status`.

use clipbell_aws::Jobs;
use clipbell_job::Clock;
use job_status::{App, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda_runtime::tracing::init_default_subscriber();
    let sdk = clipbell_aws::load_sdk_config().await;
    let app = App { jobs: Jobs::from_env(&sdk)?, clock: Clock::system() };
    clipbell_api::run(app, handle).await
}
