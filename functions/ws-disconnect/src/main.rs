//! WebSocket `$disconnect`.

use clipbell_aws::Connections;
use lambda_runtime::{LambdaEvent, service_fn};
use ws_disconnect::{App, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda_runtime::tracing::init_default_subscriber();
    let sdk = clipbell_aws::load_sdk_config().await;
    let app = &App { connections: Connections::from_env(&sdk)? };
    lambda_runtime::run(service_fn(move |event: LambdaEvent<_>| handle(app, event.payload))).await
}
