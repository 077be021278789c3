//! `GET /api/download`: the way to a finished video in the bucket.

use std::time::Duration;

use clipbell_api::{ApiError, job_id, json, query, render_version, text_header};
use clipbell_aws::{Jobs, Videos};
use clipbell_job::{Clock, Job, Millis, Status, StoredVideo};
use lambda_http::{
    Body, Request, Response,
    http::{StatusCode, header},
};

/// How long a presigned URL works: long enough for a slow line to begin, short enough to be worthless when it leaks.
const URL_VALID_FOR: Duration = Duration::from_secs(15 * 60);

/// What the function works with.
#[derive(Debug)]
pub struct App {
    /// The jobs.
    pub jobs: Jobs,
    /// The bucket.
    pub videos: Videos,
    /// The time.
    pub clock: Clock,
}

/// Answers one request: 302 to a presigned URL, or `{"url", "expiresAt"}` for `Accept: application/json`.
///
/// # Errors
/// 400, 404, 409 (not ready; with `Retry-After`) and 410 (failed, or expired) as the contract says.
pub async fn handle(app: &App, request: Request) -> Result<Response<Body>, ApiError> {
    render_version(&request)?;
    let id = job_id(&request)?;
    let thumbnail = match query(&request, "variant").as_deref() {
        None | Some("" | "video") => false,
        Some("thumbnail") => true,
        Some(_) => {
            let message = "This variant is not known: it is video or thumbnail.";
            return Err(ApiError::bad_request("unknown_variant", message));
        }
    };
    let now = app.clock.now();
    let job = app.jobs.get(&id, now).await?.ok_or_else(ApiError::job_not_found)?;
    let video = finished_video(&job, now)?;
    let key = if thumbnail {
        let missing = || ApiError::new(StatusCode::NOT_FOUND, "no_thumbnail", "This video has no thumbnail.");
        video.thumbnail_key.as_deref().ok_or_else(missing)?
    } else {
        &video.key
    };
    let ending = key.rsplit_once('.').map_or("mp4", |(_, ending)| ending);
    let filename = format!("video-{id}.{ending}");
    let valid_for = URL_VALID_FOR.min(video.expires_at.since(now)).max(Duration::from_secs(1));
    let url = app.videos.presigned_url(key, &filename, valid_for).await?;
    if wants_json(&request) {
        let expires_at = now.plus(valid_for).rfc3339();
        return Ok(json(StatusCode::OK, &serde_json::json!({"url": url, "expiresAt": expires_at})));
    }
    let mut redirect = Response::new(Body::Empty);
    *redirect.status_mut() = StatusCode::FOUND;
    text_header(&mut redirect, header::LOCATION, &url);
    text_header(&mut redirect, header::CACHE_CONTROL, "no-store");
    Ok(redirect)
}

fn finished_video(job: &Job, now: Millis) -> Result<&StoredVideo, ApiError> {
    let gone = |code, message: &'static str| Err(ApiError::new(StatusCode::GONE, code, message));
    match (job.status(), job.video()) {
        (Status::Completed, Some(video)) if now < video.expires_at => Ok(video),
        (Status::Completed, _) => gone("video_expired", "This video has expired and is no longer kept."),
        (Status::Failed, _) => gone("job_failed", "This job failed: there is no video. Its status says why."),
        (Status::Canceled, _) => gone("job_canceled", "This job was canceled: there is no video."),
        (Status::Queued | Status::InProgress, _) => {
            let message = "The video is not ready yet. Try again in a few seconds.";
            Err(ApiError::new(StatusCode::CONFLICT, "not_ready", message).retry_after(5))
        }
    }
}

fn wants_json(request: &Request) -> bool {
    let accept = request.headers().get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accept
        .flat_map(|value| value.split(','))
        .any(|kind| kind.split(';').next().unwrap_or("").trim() == "application/json")
}

#[cfg(test)]
mod tests;
