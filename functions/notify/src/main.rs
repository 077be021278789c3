//! Tells the browsers.

use clipbell_aws::{Connections, Push};
use clipbell_job::Clock;
use lambda_runtime::{LambdaEvent, service_fn};
use notify::{App, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda_runtime::tracing::init_default_subscriber();
    let sdk = clipbell_aws::load_sdk_config().await;
    let app = &App { connections: Connections::from_env(&sdk)?, push: Push::from_env(&sdk)?, clock: Clock::system() };
    lambda_runtime::run(service_fn(move |event: LambdaEvent<_>| async move {
        Ok::<_, lambda_runtime::Error>(handle(app, event.payload).await)
    }))
    .await
}
