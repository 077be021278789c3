//! A secret from the environment, or from Secrets Manager.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use aws_config::SdkConfig;
use aws_sdk_secretsmanager::Client;
use clipbell_log::Chain;
use tokio::sync::Mutex;

use crate::{
    AwsError,
    env::{self, EnvError},
};

/// How long a fetched value is used before Secrets Manager is asked again: the time a rotation takes to arrive.
const KEPT_FOR: Duration = Duration::from_secs(300);

/// A secret that is read when it is used, so that a rotation needs no restart.
pub struct Secret(Source);

enum Source {
    Given(Arc<str>),
    SecretsManager { client: Client, arn: String, kept: Mutex<Kept> },
}

struct Kept {
    value: Arc<str>,
    since: Instant,
}

impl Secret {
    /// The secret in the variable `name`, or the one in Secrets Manager that `name_ARN` names, fetched at once.
    ///
    /// # Errors
    /// When neither variable is set, or Secrets Manager does not answer.
    pub async fn from_env(name: &str, sdk: &SdkConfig) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        if let Some(value) = env::optional(name) {
            return Ok(Self(Source::Given(value.into())));
        }
        let Some(arn) = env::optional(&format!("{name}_ARN")) else {
            return Err(EnvError::Missing(format!("{name} (or {name}_ARN)")).into());
        };
        let client = Client::new(sdk);
        let value = fetch(&client, &arn).await?;
        let kept = Mutex::new(Kept { value, since: Instant::now() });
        Ok(Self(Source::SecretsManager { client, arn, kept }))
    }

    /// A secret with this value.
    pub fn given(value: &str) -> Self {
        Self(Source::Given(value.into()))
    }

    /// The present value. When Secrets Manager can't be asked, the last one known.
    pub async fn value(&self) -> Arc<str> {
        match &self.0 {
            Source::Given(value) => value.clone(),
            Source::SecretsManager { client, arn, kept } => {
                let mut kept = kept.lock().await;
                if kept.since.elapsed() >= KEPT_FOR {
                    match fetch(client, arn).await {
                        Ok(value) => *kept = Kept { value, since: Instant::now() },
                        Err(error) => {
                            tracing::warn!(error = %Chain(&error), "Secrets Manager did not answer: the secret's last value stays in use");
                        }
                    }
                }
                kept.value.clone()
            }
        }
    }
}

async fn fetch(client: &Client, arn: &str) -> Result<Arc<str>, AwsError> {
    let call = "GetSecretValue";
    let answer = client.get_secret_value().secret_id(arn).send().await.map_err(|error| AwsError::call(call, error))?;
    let text = answer.secret_string.ok_or(AwsError::Call { call, source: "the secret holds no text".into() })?;
    Ok(text.into())
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
