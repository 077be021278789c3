//! Jobs at every stage.

use std::time::Duration;

use clipbell_job::{AttemptId, Deadlines, Job, JobError, JobId, Millis, NewJob, OpenJob, StoredVideo, VideoRequest};

/// 24 hours for a job, 30 days for its row, 30 days for its video.
pub const DEADLINES: Deadlines = Deadlines {
    job: Duration::from_secs(24 * 60 * 60),
    row: Duration::from_secs(30 * 24 * 60 * 60),
    video: Duration::from_secs(30 * 24 * 60 * 60),
};

/// A job that has just been created.
pub fn new_job(now: Millis) -> Job {
    new_job_with_id(JobId::random(), now)
}

/// A job of this id that has just been created.
pub fn new_job_with_id(job_id: JobId, now: Millis) -> Job {
    let request = VideoRequest {
        prompt: Some("A bell in the morning".to_owned()),
        model: "sora-2".to_owned(),
        seconds: "8".to_owned(),
        size: "1280x720".to_owned(),
        audio_key: None,
    };
    let new = NewJob {
        job_id,
        fingerprint: "f".to_owned(),
        request,
        provider: "openai".to_owned(),
        credentials: "OPENAI_API_KEY".to_owned(),
    };
    Job::new(new, now)
}

/// The job as one that may still change.
///
/// # Panics
/// When it is finished.
pub fn open(job: Job) -> OpenJob {
    job.open().expect("an open job")
}

/// A job whose submission a worker has claimed for a minute.
pub fn submitting(now: Millis) -> Job {
    open(new_job(now)).claim_submission(AttemptId::random(), now.plus(Duration::from_secs(60)), now)
}

/// A job that the provider has under `video_id`, to be looked at in five seconds.
pub fn rendering(video_id: &str, now: Millis) -> Job {
    open(submitting(now)).submitted(video_id, now.plus(Duration::from_secs(5)), now)
}

/// A job whose video is in the bucket for 30 days, with a thumbnail.
pub fn completed(now: Millis) -> Job {
    let job = open(rendering("video_1", now));
    let attempt = AttemptId::random();
    let key = |ending: &str| format!("videos/{}/{attempt}.{ending}", job.id());
    let video = StoredVideo {
        key: key("mp4"),
        bytes: 1_000_000,
        thumbnail_key: Some(key("webp")),
        expires_at: now.plus(DEADLINES.video),
    };
    let saving = open(job.claim_save(attempt.clone(), now.plus(Duration::from_secs(60)), now));
    saving.completed(video, &DEADLINES, now)
}

/// A job that the provider could not do.
pub fn failed(now: Millis) -> Job {
    let error = JobError::new("render_failed", "The provider could not make this video.", true);
    open(rendering("video_1", now)).failed(error, &DEADLINES, now)
}

/// A job that was canceled.
pub fn canceled(now: Millis) -> Job {
    open(new_job(now)).canceled(&DEADLINES, now)
}
