//! `POST /api/generate`: creates a job and answers 202 after one durable write (two with narration).

mod request;

use bytes::Bytes;
use clipbell_api::{ApiError, BearerToken, json, render_version};
use clipbell_aws::{
    Created, Jobs, Videos, WorkQueue,
    env::{self, EnvError},
};
use clipbell_job::{Clock, Job, JobId, JobIdSecret, NewJob, VideoRequest};
use clipbell_log::Chain;
use lambda_http::{Body, Request, RequestExt, Response, http::StatusCode, request::RequestContext};

pub use request::{Audio, GenerateRequest, RequestError};

/// The longest `Idempotency-Key`, in bytes.
const LONGEST_KEY: usize = 255;

/// What the function works with.
#[derive(Debug)]
pub struct App {
    /// The jobs.
    pub jobs: Jobs,
    /// The bucket; narration goes there.
    pub videos: Videos,
    /// The work queue.
    pub queue: WorkQueue,
    /// Derives ids from idempotency keys.
    pub ids: JobIdSecret,
    /// Who may ask for a video.
    pub token: BearerToken,
    /// What a request that says nothing gets.
    pub defaults: Defaults,
    /// The time.
    pub clock: Clock,
}

/// Model, length and size of a video when the request names none.
#[derive(Debug)]
pub struct Defaults {
    /// `VIDEO_MODEL`, or `sora-2`.
    pub model: String,
    /// `VIDEO_SECONDS`, or `8`.
    pub seconds: String,
    /// `VIDEO_SIZE`, or `1280x720`.
    pub size: String,
}

impl Defaults {
    /// From the environment.
    pub fn from_env() -> Self {
        Self {
            model: env::or("VIDEO_MODEL", "sora-2"),
            seconds: env::or("VIDEO_SECONDS", "8"),
            size: env::or("VIDEO_SIZE", "1280x720"),
        }
    }
}

/// The token in `ACCESS_TOKEN`. Without one the function starts only on a local stack (`AWS_ENDPOINT_URL` is set).
pub fn access_token() -> Result<BearerToken, EnvError> {
    match env::optional("ACCESS_TOKEN") {
        Some(token) => Ok(BearerToken::required(token)),
        None if env::optional("AWS_ENDPOINT_URL").is_some() => Ok(BearerToken::open()),
        None => Err(EnvError::Missing("ACCESS_TOKEN".to_owned())),
    }
}

/// The secret in `JOB_ID_SECRET`.
pub fn job_id_secret() -> Result<JobIdSecret, EnvError> {
    let name = "JOB_ID_SECRET";
    JobIdSecret::new(&env::required(name)?).ok_or_else(|| EnvError::invalid(name, "it has fewer than 16 bytes"))
}

/// Answers one request.
///
/// # Errors
/// 400, 401, 413 and 422 as the contract says; 503 when the job could not be stored.
pub async fn handle(app: &App, request: Request) -> Result<Response<Body>, ApiError> {
    app.token.check(&request)?;
    render_version(&request)?;
    let key = idempotency_key(&request)?;
    let wanted = GenerateRequest::parse(request.body()).map_err(|error| {
        let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
        ApiError::new(status, error.code(), error.to_string())
    })?;
    let id = key.map_or_else(JobId::random, |key| app.ids.derive(&caller(&request), &key));
    let job = create(app, id, wanted).await?;
    Ok(json(StatusCode::ACCEPTED, &job.view()))
}

async fn create(app: &App, job_id: JobId, wanted: GenerateRequest) -> Result<Job, ApiError> {
    let fingerprint = wanted.fingerprint();
    let audio_key = match wanted.audio {
        Some(audio) => Some(store_audio(app, &job_id, audio).await?),
        None => None,
    };
    let request = VideoRequest {
        prompt: Some(wanted.script_or_question),
        model: wanted.model.unwrap_or_else(|| app.defaults.model.clone()),
        seconds: wanted.seconds.unwrap_or_else(|| app.defaults.seconds.clone()),
        size: wanted.size.unwrap_or_else(|| app.defaults.size.clone()),
        audio_key,
    };
    let new = NewJob {
        job_id,
        fingerprint,
        request,
        provider: "openai".to_owned(),
        credentials: "OPENAI_API_KEY".to_owned(),
    };
    let now = app.clock.now();
    let job = Job::new(new, now);
    match app.jobs.create(&job, now).await? {
        Created::New => {}
        Created::Exists(first) if first.fingerprint() == job.fingerprint() => return Ok(*first),
        Created::Exists(_) => {
            return Err(ApiError::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                "This Idempotency-Key was used before with another request: use a new key for a new video.",
            ));
        }
    }
    // The job is durable: a call to the worker that does not get through delays it until `reconcile` sees it.
    match app.queue.send_next_look(&job, now).await {
        Ok(()) => tracing::info!(job_id = %job.id(), "job created"),
        Err(error) => {
            tracing::warn!(job_id = %job.id(), error = %Chain(&error), "job created, its worker not called");
        }
    }
    Ok(job)
}

/// Under a name made of its content, so that a second request with the same key never replaces the first one's.
async fn store_audio(app: &App, job_id: &JobId, audio: Audio) -> Result<String, ApiError> {
    let key = format!("audio/{job_id}/{}", audio.digest());
    let media_type = audio.media_type.as_deref().unwrap_or("application/octet-stream");
    app.videos.put(&key, media_type, Bytes::from(audio.bytes)).await?;
    Ok(key)
}

/// Who asks, where an authorizer in front of the API says so: idempotency keys of two callers are then never the same.
fn caller(request: &Request) -> String {
    let Some(RequestContext::ApiGatewayV2(context)) = request.request_context_ref() else { return String::new() };
    let claims = context.authorizer.as_ref().and_then(|authorizer| authorizer.jwt.as_ref()).map(|jwt| &jwt.claims);
    claims.and_then(|claims| claims.get("sub")).cloned().unwrap_or_default()
}

fn idempotency_key(request: &Request) -> Result<Option<String>, ApiError> {
    let Some(value) = request.headers().get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().unwrap_or_default();
    if key.is_empty() || key.len() > LONGEST_KEY || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        let message = format!("An Idempotency-Key is 1 to {LONGEST_KEY} visible ASCII characters.");
        return Err(ApiError::bad_request("invalid_idempotency_key", message));
    }
    Ok(Some(key.to_owned()))
}

#[cfg(test)]
mod tests;
