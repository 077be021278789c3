//! `GET /api/status`: a job's present state, the polling fallback.

use clipbell_api::{ApiError, job_id, json, render_version, text_header};
use clipbell_aws::Jobs;
use clipbell_job::Clock;
use lambda_http::{
    Body, Request, Response,
    http::{HeaderMap, StatusCode, header},
};

/// What the function works with.
#[derive(Debug)]
pub struct App {
    /// The jobs.
    pub jobs: Jobs,
    /// The time.
    pub clock: Clock,
}

/// Answers one request: 200 with the state, or 304 when the caller has it already.
///
/// # Errors
/// 400 and 404 as the contract says; 503 when the table can't be read.
pub async fn handle(app: &App, request: Request) -> Result<Response<Body>, ApiError> {
    render_version(&request)?;
    let id = job_id(&request)?;
    let job = app.jobs.get(&id, app.clock.now()).await?.ok_or_else(ApiError::job_not_found)?;
    let etag = format!("\"{}\"", job.version());
    let mut response = if has(request.headers(), &etag) {
        let mut unchanged = Response::new(Body::Empty);
        *unchanged.status_mut() = StatusCode::NOT_MODIFIED;
        unchanged
    } else {
        json(StatusCode::OK, &job.view())
    };
    text_header(&mut response, header::ETAG, &etag);
    // Kept by the browser, but asked about every time.
    text_header(&mut response, header::CACHE_CONTROL, "private, no-cache");
    Ok(response)
}

/// Whether `If-None-Match` names the tag, by the weak comparison that RFC 9110 (13.1.2) asks for.
fn has(headers: &HeaderMap, etag: &str) -> bool {
    let tags = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    tags.flat_map(|value| value.split(',')).map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
}

#[cfg(test)]
mod tests;
