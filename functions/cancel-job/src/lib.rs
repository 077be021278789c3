//! `POST /api/cancel`: asks for the end of an unfinished job.
//!
//! It only marks the job and calls its worker. What becomes of it, `advance` decides, who alone asks the provider.

use clipbell_api::{ApiError, job_id, json, render_version};
use clipbell_aws::{Jobs, Replaced, WorkQueue};
use clipbell_job::{Clock, Job};
use clipbell_log::Chain;
use lambda_http::{Body, Request, Response, http::StatusCode};

/// How often the mark is tried on a newer row, when a worker was first.
const TRIES: u32 = 5;

/// What the function works with.
#[derive(Debug)]
pub struct App {
    /// The jobs.
    pub jobs: Jobs,
    /// The work queue.
    pub queue: WorkQueue,
    /// The time.
    pub clock: Clock,
}

/// Answers one request, with the job's state: 202 when its end is asked for, 200 when it is finished already.
///
/// # Errors
/// 400 and 404 as the contract says; 503 when the wish could not be stored.
pub async fn handle(app: &App, request: Request) -> Result<Response<Body>, ApiError> {
    render_version(&request)?;
    let id = job_id(&request)?;
    let job = app.jobs.get(&id, app.clock.now()).await?.ok_or_else(ApiError::job_not_found)?;
    let job = mark(app, job).await?;
    if job.status().is_terminal() {
        return Ok(json(StatusCode::OK, &job.view()));
    }
    // The mark is durable: a call to the worker that does not get through delays the end until `reconcile` sees it.
    match app.queue.send_next_look(&job, app.clock.now()).await {
        Ok(()) => tracing::info!(job_id = %job.id(), version = job.version(), "asked to cancel"),
        Err(error) => {
            tracing::warn!(job_id = %job.id(), error = %Chain(&error), "asked to cancel, its worker not called");
        }
    }
    Ok(json(StatusCode::ACCEPTED, &job.view()))
}

/// The job, marked as one whose end is asked for, or finished.
///
/// ```text
/// cancel: read rev 7 ───────────────────── mark if 7 ──▶ refused, with rev 8: mark if 8 ──▶ marked, or finished by 8
/// worker: read rev 7 ── write rev 8 if 7
/// ```
async fn mark(app: &App, mut job: Job) -> Result<Job, ApiError> {
    for _ in 0..TRIES {
        if job.is_cancel_requested() {
            return Ok(job);
        }
        let open = match job.open() {
            Ok(open) => open,
            Err(finished) => return Ok(*finished),
        };
        let now = app.clock.now();
        let marked = open.cancel_requested(now);
        job = match app.jobs.replace(&marked, now).await? {
            Replaced::Written => return Ok(marked),
            Replaced::Conflict(newer) => *newer.ok_or_else(ApiError::job_not_found)?,
        };
    }
    Err(ApiError::unavailable("others wrote the job, again and again"))
}

#[cfg(test)]
mod tests;
