//! Asking the provider how far a video is.

use clipbell_aws::AwsError;
use clipbell_job::{OpenJob, Stage};
use clipbell_log::Chain;
use clipbell_provider::{Provider, ReadError, VideoState};

use crate::{Step, Worker, failure, schedule};

/// How many answers in a row that there is no such video are believed to be a mistake: right after its creation, some
/// servers don't know a video yet.
const NOT_FOUND_BELIEVED_AFTER: u32 = 4;

impl<P: Provider> Worker<'_, P> {
    pub(crate) async fn look(&self, job: OpenJob) -> Result<Step, AwsError> {
        let answer = self.provider.video(job.video_id().unwrap_or_default()).await;
        let now = self.now();
        let next = match answer {
            Ok(video) => match video.state {
                VideoState::Completed => return self.save(job).await,
                VideoState::Failed(error) => job.failed(error, self.deadlines(), now),
                VideoState::Canceled => job.canceled(self.deadlines(), now),
                VideoState::Queued | VideoState::Rendering(_) if self.is_late(&job) => {
                    job.failed(failure::timeout(), self.deadlines(), now)
                }
                VideoState::Queued => job.rendering(false, 0, self.next_look(&job), now),
                VideoState::Rendering(percent) => job.rendering(true, percent, self.next_look(&job), now),
            },
            Err(error) => {
                tracing::warn!(job_id = %job.id(), error = %Chain(&error), "the provider did not say how far the video is");
                let (failed_looks, retry_after) = (failed_looks(&job), retry_after(&error));
                if self.is_late(&job) {
                    job.failed(failure::timeout(), self.deadlines(), now)
                } else if matches!(error, ReadError::NotFound) && failed_looks >= NOT_FOUND_BELIEVED_AFTER {
                    job.failed(failure::video_lost(), self.deadlines(), now)
                } else {
                    job.look_failed(self.next(&job, schedule::retry_delay(failed_looks, retry_after)), now)
                }
            }
        };
        self.write(next).await
    }

    fn next_look(&self, job: &OpenJob) -> clipbell_job::Millis {
        let age = match *job.stage() {
            Stage::Rendering { since, .. } | Stage::Saving { since, .. } => self.now().since(since),
            _ => std::time::Duration::ZERO,
        };
        self.next(job, schedule::look_delay(age))
    }
}

fn failed_looks(job: &OpenJob) -> u32 {
    if let Stage::Rendering { failed_looks, .. } = *job.stage() { failed_looks } else { 0 }
}

fn retry_after(error: &ReadError) -> Option<std::time::Duration> {
    if let ReadError::Unavailable { retry_after, .. } = error { *retry_after } else { None }
}
