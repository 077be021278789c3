//! `POST /api/generate`.

use clipbell_aws::{Jobs, Videos, WorkQueue};
use clipbell_job::Clock;
use create_job::{App, Defaults, access_token, handle, job_id_secret};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda_runtime::tracing::init_default_subscriber();
    let sdk = clipbell_aws::load_sdk_config().await;
    let app = App {
        jobs: Jobs::from_env(&sdk)?,
        videos: Videos::from_env(&sdk)?,
        queue: WorkQueue::from_env(&sdk)?,
        ids: job_id_secret()?,
        token: access_token()?,
        defaults: Defaults::from_env(),
        clock: Clock::system(),
    };
    clipbell_api::run(app, handle).await
}
