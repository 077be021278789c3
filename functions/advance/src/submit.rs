//! Submitting a job, and finding it again when nobody knows whether it was taken.

use std::time::Duration;

use clipbell_aws::{AwsError, Submitted};
use clipbell_job::{AttemptId, Job, Millis, OpenJob};
use clipbell_log::Chain;
use clipbell_provider::{Provider, ReadError, Submission, SubmitError, Video};

use crate::{Step, Worker, failure, log, schedule};

/// By how much the provider's clock may differ from ours.
const CLOCK_SKEW: Duration = Duration::from_secs(10);

/// How long an answered submission may take to be written, on top of the provider's time-out.
const WRITTEN_WITHIN: Duration = Duration::from_secs(5);

/// How long a claim may take. After a longer one too little may be left of the invocation, and what is cut off in the middle of
/// a submission has an unknown outcome.
const CLAIMED_WITHIN: Duration = Duration::from_secs(15);

/// What the provider's list says of a submission whose outcome is unknown.
enum Found {
    /// This is it.
    One(Video),
    /// It may still show.
    NotYet,
    /// It can't be told.
    Unclear,
}

impl<P: Provider> Worker<'_, P> {
    /// ```text
    /// two workers, one job                            a worker that dies
    /// A: claim (rev 1 → 2) ──▶ submit ──▶ written     A: claim (rev 1 → 2) ──▶ submit ──▶ ✗
    /// B: claim (rev 1 → 2) ──▶ lost: no submission    B: after A's lease: find it in the list, or give up
    /// ```
    pub(crate) async fn submit(&self, job: OpenJob, refusals: u32) -> Result<Step, AwsError> {
        if job.is_cancel_requested() || self.is_late(&job) {
            return self.write(self.give_up(&job, failure::timeout())).await;
        }
        let claimed_at = self.now();
        let claim = job.claim_submission(AttemptId::random(), self.lease_until(), claimed_at);
        let job = match self.claim(&claim).await? {
            Ok(job) => job,
            Err(lost) => return Ok(lost),
        };
        let now = self.now();
        if now.since(claimed_at) > CLAIMED_WITHIN {
            tracing::warn!(job_id = %job.id(), "claiming the submission took long: put off");
            return self
                .write_outcome(job, |job| job.submission_not_taken(refusals, self.next(job, Duration::ZERO), now))
                .await;
        }
        let submitted = self.provider.submit(&submission_of(&job)).await;
        let error = match submitted {
            Ok(video) => return self.write_submitted(job, &video).await,
            Err(error) => error,
        };
        tracing::warn!(job_id = %job.id(), error = %Chain(&error), "not submitted");
        let now = self.now();
        self.write_outcome(job, |job| match &error {
            SubmitError::NotTaken { retry_after, .. } => {
                let next = self.next_unless_canceled(job, schedule::retry_delay(refusals, *retry_after));
                job.submission_not_taken(refusals.saturating_add(1), next, now)
            }
            SubmitError::Refused(error) => job.failed(error.clone(), self.deadlines(), now),
            SubmitError::Unknown(_) => job.submission_unknown(self.next(job, self.settled_after()), now),
        })
        .await
    }

    /// Looks for a submission of unknown outcome in the provider's list.
    pub(crate) async fn find_again(
        &self,
        job: OpenJob,
        (claimed_at, lease_until): (Millis, Millis),
        unknown_since: Option<Millis>,
    ) -> Result<Step, AwsError> {
        let Some(unknown_since) = unknown_since else {
            // The claim's worker is gone without a word.
            return self.write(job.submission_unknown(self.next(&job, schedule::FIRST_LOOK), self.now())).await;
        };
        let mut delay = schedule::look_delay(self.now().since(unknown_since));
        let found = match self.provider.videos_since(claimed_at.minus(CLOCK_SKEW).unix_seconds()).await {
            Ok(videos) => self.pick(&job, videos, lease_until, unknown_since).await?,
            // A server without a list is as good as one whose list is empty.
            Err(ReadError::NotFound) => self.pick(&job, Vec::new(), lease_until, unknown_since).await?,
            Err(error) => {
                tracing::warn!(job_id = %job.id(), error = %Chain(&error), "the provider's list could not be read");
                delay = delay.max(error.retry_after().unwrap_or_default());
                Found::NotYet
            }
        };
        match found {
            Found::One(video) => self.write_submitted(job, &video).await,
            Found::NotYet if !self.is_late(&job) => {
                let next = self.next(&job, delay);
                self.write(job.submission_still_unknown(next, self.now())).await
            }
            Found::NotYet | Found::Unclear => self.write(self.give_up(&job, failure::submit_outcome_unknown())).await,
        }
    }

    /// The one video that can only be this job's: asked for in the same words, created while the claim was held, and
    /// nobody else's. A video that is younger than a submission and its write can take may be another job's that is
    /// just being written, so it is left alone until it has settled.
    async fn pick(
        &self,
        job: &Job,
        videos: Vec<Video>,
        lease_until: Millis,
        unknown_since: Millis,
    ) -> Result<Found, AwsError> {
        let asked = submission_of(job);
        // A worker that died without a word is noticed late: nothing is its own that was made after its lease.
        let latest = unknown_since.min(lease_until).plus(CLOCK_SKEW).unix_seconds();
        let mut candidates = Vec::new();
        for video in videos {
            let Some(created_at) = video.created_at.filter(|at| *at <= latest && video.is_of(&asked)) else { continue };
            let owner = self.app.jobs.owner_of(&video.id).await?;
            if owner.is_none_or(|owner| owner == *job.id()) {
                candidates.push((created_at, video));
            }
        }
        let settled = self.now().minus(self.settled_after()).unix_seconds();
        if candidates.iter().any(|(created_at, _)| *created_at > settled) {
            return Ok(Found::NotYet);
        }
        let one = candidates.pop();
        Ok(match one {
            Some((_, video)) if candidates.is_empty() => Found::One(video),
            _ if self.now() < unknown_since.plus(self.sought_for()) => Found::NotYet,
            _ => Found::Unclear,
        })
    }

    /// Writes that the job has this video; on a newer row, too, that still holds the claim ([`Worker::write_outcome`]): what
    /// was paid for is not lost by somebody who asks for the job's end meanwhile.
    async fn write_submitted(&self, mut job: OpenJob, video: &Video) -> Result<Step, AwsError> {
        let owned_until = self.deadline_of(&job).plus(self.deadlines().row).plus(self.deadlines().job).unix_seconds();
        loop {
            let now = self.now();
            let next = job.submitted(&video.id, self.next_unless_canceled(&job, schedule::FIRST_LOOK), now);
            match self.insist(|| self.app.jobs.replace_submitted(&next, owned_until, now)).await? {
                Submitted::Written => {
                    log(&next);
                    self.send_next_look(&next).await;
                    return Ok(Step::Written(Box::new(next)));
                }
                Submitted::VideoTaken => {
                    tracing::error!(job_id = %job.id(), video_id = video.id, "the video belongs to another job");
                    let unknown = |job: &OpenJob| job.submission_unknown(self.next(job, self.settled_after()), now);
                    return self.write_outcome(job, unknown).await;
                }
                Submitted::Conflict(Some(newer)) if newer.holds_claim_of(&job) => match newer.open() {
                    Ok(newer) => job = newer,
                    Err(finished) => return Ok(Step::Lost(Some(finished))),
                },
                // The answer to the write was lost, and somebody has taken the next step since.
                Submitted::Conflict(Some(newer)) if newer.video_id() == Some(&video.id) => {
                    return Ok(Step::Lost(Some(newer)));
                }
                Submitted::Conflict(newer) => {
                    tracing::error!(job_id = %job.id(), video_id = video.id, "submitted, but the job was changed meanwhile");
                    return Ok(Step::Lost(newer));
                }
            }
        }
    }

    /// From which age on, by the provider's clock, a video whose submission was answered has been written to its job, if the
    /// database was there.
    fn settled_after(&self) -> Duration {
        self.app.settings.provider_timeout + WRITTEN_WITHIN + CLOCK_SKEW
    }

    /// For how long a submission of unknown outcome is looked for.
    fn sought_for(&self) -> Duration {
        self.settled_after() * 2
    }
}

fn submission_of(job: &Job) -> Submission<'_> {
    let request = job.request();
    Submission {
        prompt: request.prompt.as_deref().unwrap_or_default(),
        model: &request.model,
        seconds: &request.seconds,
        size: &request.size,
    }
}
