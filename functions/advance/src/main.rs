//! The work queue's consumer: takes one job one step on.

use advance::{App, Settings, handle};
use clipbell_aws::{Jobs, Secret, Videos, WebhookEvents, WorkQueue, env};
use clipbell_job::Clock;
use clipbell_provider::OpenAi;
use lambda_runtime::{LambdaEvent, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda_runtime::tracing::init_default_subscriber();
    let sdk = clipbell_aws::load_sdk_config().await;
    let settings = Settings::from_env()?;
    let api_key = &Secret::from_env("OPENAI_API_KEY", &sdk).await?;
    let base_url = env::or("OPENAI_BASE_URL", "https://api.openai.com/v1");
    let openai = &OpenAi::new(&base_url, &api_key.value().await, settings.provider_timeout)
        .map_err(|error| env::EnvError::invalid("OPENAI_BASE_URL", error))?;
    let app = &App {
        jobs: Jobs::from_env(&sdk)?,
        events: WebhookEvents::from_env(&sdk)?,
        videos: Videos::from_env(&sdk)?,
        queue: WorkQueue::from_env(&sdk)?,
        settings,
        clock: Clock::system(),
    };
    lambda_runtime::run(service_fn(move |event: LambdaEvent<_>| async move {
        let provider = openai.with_api_key(&api_key.value().await);
        Ok::<_, lambda_runtime::Error>(handle(app, &provider, event).await)
    }))
    .await
}
