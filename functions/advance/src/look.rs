//! Asking the provider how far a video is.

use std::time::Duration;

use clipbell_aws::AwsError;
use clipbell_job::{Job, Millis, OpenJob, Stage};
use clipbell_log::Chain;
use clipbell_provider::{Provider, ReadError, VideoState};

use crate::{Step, Worker, failure, schedule};

/// For how long a provider has to say that there is no such video, and nothing else, before it is believed: right after a
/// creation some servers don't know a video yet, and a server that is being replaced answers 404 for a while.
const NOT_FOUND_BELIEVED_AFTER: Duration = Duration::from_secs(10 * 60);

/// After how many looks in a row without an answer one more ends a job that is to be canceled. Until then, the provider may
/// have finished it first.
const CANCELED_AFTER: u32 = 4;

impl<P: Provider> Worker<'_, P> {
    pub(crate) async fn look(&self, job: OpenJob) -> Result<Step, AwsError> {
        let answer = self.provider.video(job.video_id().unwrap_or_default()).await;
        let now = self.now();
        let next = match answer {
            Ok(video) => match video.state {
                VideoState::Completed if self.last_save_died(&job) => self.give_up(&job, failure::timeout()),
                VideoState::Completed => return self.save(job).await,
                VideoState::Failed(error) => job.failed(error, self.deadlines(), now),
                VideoState::Canceled => job.canceled(self.deadlines(), now),
                VideoState::Queued | VideoState::Rendering(_) if job.is_cancel_requested() => self.stop(&job).await,
                VideoState::Queued | VideoState::Rendering(_) if self.is_late(&job) => {
                    job.failed(failure::timeout(), self.deadlines(), now)
                }
                VideoState::Queued => job.rendering(false, 0, self.next_look(&job), now),
                VideoState::Rendering(percent) => job.rendering(true, percent, self.next_look(&job), now),
            },
            Err(error) => {
                tracing::warn!(job_id = %job.id(), error = %Chain(&error), "the provider did not say how far the video is");
                let (failed_looks, retry_after) = (failed_looks(&job), error.retry_after());
                let (is_not_there, is_late) = (matches!(error, ReadError::NotFound), self.is_late(&job));
                if job.is_cancel_requested() && is_not_there {
                    job.canceled(self.deadlines(), now)
                } else if job.is_cancel_requested() && (is_late || failed_looks >= CANCELED_AFTER) {
                    self.stop(&job).await
                } else if is_late {
                    job.failed(failure::timeout(), self.deadlines(), now)
                } else if is_not_there && missing_for(&job, now) >= NOT_FOUND_BELIEVED_AFTER {
                    job.failed(failure::video_lost(), self.deadlines(), now)
                } else {
                    let next = self.next(&job, schedule::retry_delay(failed_looks, retry_after));
                    if is_not_there { job.look_found_nothing(next, now) } else { job.look_failed(next, now) }
                }
            }
        };
        self.write(next).await
    }

    /// Has the provider stop, and then cancels the job, whatever the provider says to it. In this order a worker that dies in
    /// between leaves nothing that is rendered for nobody.
    async fn stop(&self, job: &OpenJob) -> Job {
        let video_id = job.video_id().unwrap_or_default();
        if let Err(error) = self.provider.cancel(video_id).await {
            tracing::warn!(job_id = %job.id(), video_id, error = %Chain(&error), "canceled, but the provider may go on");
        }
        job.canceled(self.deadlines(), self.now())
    }

    /// Whether a save that had time until the deadline and beyond was its worker's end. One more would be, too.
    fn last_save_died(&self, job: &OpenJob) -> bool {
        matches!(*job.stage(), Stage::Saving { lease_until, .. } if lease_until >= self.deadline_of(job))
    }

    fn next_look(&self, job: &OpenJob) -> Millis {
        let age = match *job.stage() {
            Stage::Rendering { since, .. } | Stage::Saving { since, .. } => self.now().since(since),
            _ => Duration::ZERO,
        };
        self.next(job, schedule::look_delay(age))
    }
}

fn failed_looks(job: &OpenJob) -> u32 {
    if let Stage::Rendering { failed_looks, .. } = *job.stage() { failed_looks } else { 0 }
}

fn missing_for(job: &OpenJob, now: Millis) -> Duration {
    match *job.stage() {
        Stage::Rendering { missing_since: Some(since), .. } => now.since(since),
        _ => Duration::ZERO,
    }
}
