//! Why a job fails, where it is not the provider that says so. The codes are stable.

use clipbell_job::JobError;

/// It was not done by its deadline.
pub(crate) fn timeout() -> JobError {
    JobError::new("timeout", "The video was not ready in time.", true)
}

/// A submission was sent, and nobody can tell whether it was taken.
pub(crate) fn submit_outcome_unknown() -> JobError {
    let message = "It is not known whether the provider took this job, so it was not sent twice. Asking again makes a \
                   new video, which the provider may charge in addition.";
    JobError::new("submit_outcome_unknown", message, true)
}

/// The provider no longer has the video.
pub(crate) fn video_lost() -> JobError {
    JobError::new("video_lost", "The provider no longer has this video.", true)
}

/// What the provider sends for the video is none.
pub(crate) fn invalid_video() -> JobError {
    JobError::new("invalid_video", "The provider's file is not a whole MP4 video.", true)
}
