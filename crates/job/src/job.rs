//! The job: its row, its stages, and every step from one to the next.
//!
//! ```text
//! Waiting ──claim──▶ Submitting ──accepted──▶ Rendering ──claim──▶ Saving ──▶ Finished (completed)
//!    ▲                  │    │                   ▲  │                 │
//!    └──── not taken ───┘    └─ found again ─────┘  └── failed ──▶ Finished   (timeout and cancel: from anywhere)
//!                                                ▲                    │
//!                                                └──── save failed ───┘
//! ```

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{AttemptId, JobId, Millis};

/// Into how many partitions the index of open jobs is spread.
pub const SHARDS: u8 = 8;

/// How many entries a job's history keeps; the first (its creation) and the newest stay.
const HISTORY_LIMIT: usize = 32;

/// Progress that only the product itself says: 99 while the video is saved, 100 when it is.
const SAVING: u8 = 99;

/// The message of a job whose end was asked for.
const CANCELING: &str = "Canceling";

/// What the outside is told of a job's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Accepted; nothing is rendered yet.
    Queued,
    /// The provider renders, or the video is being saved.
    InProgress,
    /// The whole video is in the bucket.
    Completed,
    /// It ended without a video; the job's error says why.
    Failed,
    /// Ended at the caller's wish.
    Canceled,
}

impl Status {
    /// The word used in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }

    /// Whether nothing can follow.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Canceled)
    }
}

/// Why a job failed, for people and programs. `code` is stable over all providers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobError {
    /// Stable, `snake_case`; `docs/architecture.md` lists them.
    pub code: String,
    /// One sentence for a person.
    pub message: String,
    /// Whether asking for the same video again can help.
    pub retryable: bool,
}

impl JobError {
    /// An error of the product's own.
    pub fn new(code: &str, message: &str, retryable: bool) -> Self {
        Self { code: code.to_owned(), message: message.to_owned(), retryable }
    }
}

/// What the provider is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VideoRequest {
    /// Taken off the row once the provider has the job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// For example `sora-2`.
    pub model: String,
    /// Length in seconds, as text: `8`.
    pub seconds: String,
    /// `1280x720`.
    pub size: String,
    /// Where in the bucket the narration lies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio_key: Option<String>,
}

/// The video in our bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredVideo {
    /// `videos/<jobId>/<attempt>.mp4`.
    pub key: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// The thumbnail, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thumbnail_key: Option<String>,
    /// From when on the download answers 410.
    pub expires_at: Millis,
}

/// One line of what happened to a job, for operators.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// When.
    pub at: Millis,
    /// What, in a few words.
    pub what: String,
}

/// How far a job has come, inside. The outside sees [`Status`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Stage {
    /// Not submitted. `refusals` counts the times that the provider did not take it.
    Waiting {
        /// Submissions that certainly were not taken.
        refusals: u32,
    },
    /// A worker has claimed the submission. Until it has written the answer, the outcome is unknown.
    Submitting {
        /// The claim.
        attempt: AttemptId,
        /// When it was made.
        claimed_at: Millis,
        /// Until when its worker may still be at it.
        lease_until: Millis,
        /// When its worker learned that the outcome can't be known.
        #[serde(skip_serializing_if = "Option::is_none")]
        unknown_since: Option<Millis>,
    },
    /// The provider has the job.
    Rendering {
        /// Since when.
        since: Millis,
        /// Looks in a row that brought no answer.
        failed_looks: u32,
        /// Since when the provider says that there is no such video.
        #[serde(skip_serializing_if = "Option::is_none")]
        missing_since: Option<Millis>,
        /// Saves that did not succeed.
        failed_saves: u32,
        /// Since when the provider's file is none, or not there.
        #[serde(skip_serializing_if = "Option::is_none")]
        bad_since: Option<Millis>,
    },
    /// A worker has claimed the save.
    Saving {
        /// The claim; it names the object.
        attempt: AttemptId,
        /// Until when its worker may still be at it.
        lease_until: Millis,
        /// When the provider took the job.
        since: Millis,
        /// Saves that did not succeed before this one.
        failed_saves: u32,
        /// Since when the provider's file is none, or not there.
        #[serde(skip_serializing_if = "Option::is_none")]
        bad_since: Option<Millis>,
    },
    /// A terminal state.
    Finished,
}

impl Stage {
    /// The claim that a worker holds, or held until its lease ran out.
    fn claim(&self) -> Option<&AttemptId> {
        match self {
            Self::Submitting { attempt, .. } | Self::Saving { attempt, .. } => Some(attempt),
            Self::Waiting { .. } | Self::Rendering { .. } | Self::Finished => None,
        }
    }
}

/// How long things live; from configuration.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// From creation to `timeout`.
    pub job: Duration,
    /// How long a finished job's row is kept.
    pub row: Duration,
    /// How long the video can be downloaded.
    pub video: Duration,
}

/// A job: one row of the jobs table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    job_id: JobId,
    rev: u64,
    version: i64,
    status: Status,
    progress: u8,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<JobError>,
    created_at: Millis,
    updated_at: Millis,
    fingerprint: String,
    request: VideoRequest,
    provider: String,
    credentials: String,
    stage: Stage,
    #[serde(skip_serializing_if = "Option::is_none")]
    video_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shard: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_check_at: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel_requested_at: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    video: Option<StoredVideo>,
    history: Vec<HistoryEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<i64>,
    written_by: AttemptId,
}

/// What a new job is made of.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// Its id.
    pub job_id: JobId,
    /// What identifies the request, for idempotency.
    pub fingerprint: String,
    /// What the provider will be asked.
    pub request: VideoRequest,
    /// Which provider, pinned for the job's life.
    pub provider: String,
    /// The name of the credentials to use there.
    pub credentials: String,
}

impl Job {
    /// A job that waits to be submitted, due at once.
    pub fn new(new: NewJob, now: Millis) -> Self {
        Self {
            rev: 1,
            version: now.0,
            status: Status::Queued,
            progress: 0,
            message: "Waiting for the provider".to_owned(),
            error: None,
            created_at: now,
            updated_at: now,
            fingerprint: new.fingerprint,
            request: new.request,
            provider: new.provider,
            credentials: new.credentials,
            stage: Stage::Waiting { refusals: 0 },
            video_id: None,
            shard: Some(new.job_id.spread() % SHARDS),
            next_check_at: Some(now),
            cancel_requested_at: None,
            video: None,
            history: vec![HistoryEntry { at: now, what: "created".to_owned() }],
            ttl: None,
            written_by: AttemptId::random(),
            job_id: new.job_id,
        }
    }

    /// The job's id.
    pub fn id(&self) -> &JobId {
        &self.job_id
    }
    /// The revision that this row has; every write makes it one more.
    pub fn rev(&self) -> u64 {
        self.rev
    }
    /// The public version: it grows exactly when something public changes.
    pub fn version(&self) -> i64 {
        self.version
    }
    /// The public status.
    pub fn status(&self) -> Status {
        self.status
    }
    /// 0 to 100.
    pub fn progress(&self) -> u8 {
        self.progress
    }
    /// One sentence for a person.
    pub fn message(&self) -> &str {
        &self.message
    }
    /// Why it failed.
    pub fn error(&self) -> Option<&JobError> {
        self.error.as_ref()
    }
    /// When it was created.
    pub fn created_at(&self) -> Millis {
        self.created_at
    }
    /// When something public last changed.
    pub fn updated_at(&self) -> Millis {
        self.updated_at
    }
    /// What identifies its request.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
    /// What the provider is asked for.
    pub fn request(&self) -> &VideoRequest {
        &self.request
    }
    /// How far it has come, inside.
    pub fn stage(&self) -> &Stage {
        &self.stage
    }
    /// The provider's name for the video.
    pub fn video_id(&self) -> Option<&str> {
        self.video_id.as_deref()
    }
    /// When the job wants to be looked at next; none when it is finished.
    pub fn next_check_at(&self) -> Option<Millis> {
        self.next_check_at
    }
    /// When its caller asked for its end; none when nobody did.
    pub fn cancel_requested_at(&self) -> Option<Millis> {
        self.cancel_requested_at
    }
    /// Whether somebody asked for its end.
    pub fn is_cancel_requested(&self) -> bool {
        self.cancel_requested_at.is_some()
    }
    /// Whether this row holds the very claim that `earlier` holds: what came of it may still be written.
    pub fn holds_claim_of(&self, earlier: &Self) -> bool {
        self.stage.claim().is_some_and(|claim| earlier.stage.claim() == Some(claim))
    }
    /// The video in our bucket.
    pub fn video(&self) -> Option<&StoredVideo> {
        self.video.as_ref()
    }
    /// What happened so far.
    pub fn history(&self) -> &[HistoryEntry] {
        &self.history
    }
    /// The write that made this row.
    pub fn written_by(&self) -> &AttemptId {
        &self.written_by
    }
    /// Whether the row is past its time to live: it counts as absent although the table may delete it days later.
    pub fn is_gone(&self, now: Millis) -> bool {
        self.ttl.is_some_and(|ttl| ttl <= now.unix_seconds())
    }
    /// When the row goes, in Unix seconds; only a finished job's does.
    pub fn ttl(&self) -> Option<i64> {
        self.ttl
    }

    /// The job as one that may still change, or the job back when it is finished.
    ///
    /// # Errors
    /// The unchanged job, when it is finished.
    pub fn open(self) -> Result<OpenJob, Box<Self>> {
        if self.status.is_terminal() { Err(Box::new(self)) } else { Ok(OpenJob(self)) }
    }

    fn shows_the_same_as(&self, other: &Self) -> bool {
        (self.status, self.progress, &self.message, &self.error)
            == (other.status, other.progress, &other.message, &other.error)
    }
}

/// A job that is not finished: the only thing that can take a step.
///
/// Each step gives the next row, one revision on. It takes effect when it is written under the condition that the row
/// still has the revision that was read.
#[derive(Clone, Debug)]
pub struct OpenJob(Job);

impl std::ops::Deref for OpenJob {
    type Target = Job;

    fn deref(&self) -> &Job {
        &self.0
    }
}

impl OpenJob {
    /// A worker takes the submission on itself until `lease_until`.
    #[must_use]
    pub fn claim_submission(&self, attempt: AttemptId, lease_until: Millis, now: Millis) -> Job {
        self.step(now, Some(lease_until), Some("submitting"), |job| {
            job.stage = Stage::Submitting { attempt, claimed_at: now, lease_until, unknown_since: None };
        })
    }

    /// The provider certainly did not take it: again at `next`.
    #[must_use]
    pub fn submission_not_taken(&self, refusals: u32, next: Millis, now: Millis) -> Job {
        self.step(now, Some(next), Some("the provider did not take it yet"), |job| {
            job.stage = Stage::Waiting { refusals };
        })
    }

    /// The claim's worker ended without knowing the outcome: look in the provider's list at `next`.
    #[must_use]
    pub fn submission_unknown(&self, next: Millis, now: Millis) -> Job {
        self.step(now, Some(next), Some("outcome of the submission unknown"), |job| {
            if let Stage::Submitting { unknown_since, .. } = &mut job.stage {
                *unknown_since = Some(now);
            }
        })
    }

    /// The provider's list did not tell: look again at `next`.
    #[must_use]
    pub fn submission_still_unknown(&self, next: Millis, now: Millis) -> Job {
        self.step(now, Some(next), None, |_| ())
    }

    /// The provider has the job under `video_id`. The prompt leaves the row.
    #[must_use]
    pub fn submitted(&self, video_id: &str, next: Millis, now: Millis) -> Job {
        self.step(now, Some(next), Some("submitted"), |job| {
            job.stage = rendering_again(now, 0, None);
            job.video_id = Some(video_id.to_owned());
            job.request.prompt = None;
            if !job.is_cancel_requested() {
                "Queued at the provider".clone_into(&mut job.message);
            }
        })
    }

    /// The provider renders; `percent` is what it says (0 to 100). Neither progress nor status ever goes back.
    #[must_use]
    pub fn rendering(&self, started: bool, percent: u8, next: Millis, now: Millis) -> Job {
        self.step(now, Some(next), None, |job| {
            job.reset_failed_looks();
            if started || job.status == Status::InProgress {
                job.status = Status::InProgress;
                job.progress = job.progress.max(percent.min(SAVING - 1));
                if job.progress < SAVING && !job.is_cancel_requested() {
                    "Rendering".clone_into(&mut job.message);
                }
            }
        })
    }

    /// The provider gave no answer: look again at `next`.
    #[must_use]
    pub fn look_failed(&self, next: Millis, now: Millis) -> Job {
        self.step(now, Some(next), None, |job| match &job.stage {
            Stage::Rendering { .. } => job.count_failed_look(),
            // The lease of a claim ran out: its worker is gone, and so is its save.
            Stage::Saving { since, failed_saves, bad_since, .. } => {
                job.stage = rendering_again(*since, failed_saves.saturating_add(1), *bad_since);
                job.count_failed_look();
            }
            _ => (),
        })
    }

    /// The provider says that there is no such video: look again at `next`.
    #[must_use]
    pub fn look_found_nothing(&self, next: Millis, now: Millis) -> Job {
        let before = if let Stage::Rendering { missing_since, .. } = self.stage { missing_since } else { None };
        let mut job = self.look_failed(next, now);
        if let Stage::Rendering { missing_since, .. } = &mut job.stage {
            *missing_since = before.or(Some(now));
        }
        job
    }

    /// The provider has the video: a worker takes the save on itself until `lease_until`.
    #[must_use]
    pub fn claim_save(&self, attempt: AttemptId, lease_until: Millis, now: Millis) -> Job {
        self.step(now, Some(lease_until), Some("saving"), |job| {
            let (since, failed_saves, bad_since) = match job.stage {
                Stage::Rendering { since, failed_saves, bad_since, .. } => (since, failed_saves, bad_since),
                // The lease of an earlier claim ran out: its worker is gone, and so is its save.
                Stage::Saving { since, failed_saves, bad_since, .. } => {
                    (since, failed_saves.saturating_add(1), bad_since)
                }
                _ => (now, 0, None),
            };
            job.stage = Stage::Saving { attempt, lease_until, since, failed_saves, bad_since };
            job.status = Status::InProgress;
            job.progress = SAVING;
            "Saving the video".clone_into(&mut job.message);
        })
    }

    /// The save did not succeed: again at `next`.
    #[must_use]
    pub fn save_failed(&self, why: &str, next: Millis, now: Millis) -> Job {
        self.step(now, Some(next), Some(why), |job| {
            if let Stage::Saving { since, failed_saves, .. } = job.stage {
                job.stage = rendering_again(since, failed_saves.saturating_add(1), None);
            }
        })
    }

    /// What the provider gave for the video was none: again at `next`.
    #[must_use]
    pub fn file_was_bad(&self, why: &str, next: Millis, now: Millis) -> Job {
        let before = if let Stage::Saving { bad_since, .. } = self.stage { bad_since } else { None };
        let mut job = self.save_failed(why, next, now);
        if let Stage::Rendering { bad_since, .. } = &mut job.stage {
            *bad_since = before.or(Some(now));
        }
        job
    }

    /// The whole video is in the bucket.
    #[must_use]
    pub fn completed(&self, video: StoredVideo, deadlines: &Deadlines, now: Millis) -> Job {
        self.finish(now, deadlines, Status::Completed, "The video is ready", |job| {
            job.progress = 100;
            job.video = Some(video);
        })
    }

    /// It ends without a video.
    #[must_use]
    pub fn failed(&self, error: JobError, deadlines: &Deadlines, now: Millis) -> Job {
        self.finish(now, deadlines, Status::Failed, "The video could not be made", |job| job.error = Some(error))
    }

    /// Its caller asks for its end: due at once, or, while a worker holds it, when that worker's lease is over.
    #[must_use]
    pub fn cancel_requested(&self, now: Millis) -> Job {
        let next = match self.stage {
            Stage::Submitting { lease_until, unknown_since: None, .. } | Stage::Saving { lease_until, .. } => {
                lease_until
            }
            _ => now,
        };
        self.step(now, Some(next), Some("asked to cancel"), |job| {
            job.cancel_requested_at.get_or_insert(now);
            CANCELING.clone_into(&mut job.message);
        })
    }

    /// It ends at the caller's wish, or the provider's.
    #[must_use]
    pub fn canceled(&self, deadlines: &Deadlines, now: Millis) -> Job {
        self.finish(now, deadlines, Status::Canceled, "Canceled", |_| ())
    }

    fn finish(
        &self,
        now: Millis,
        deadlines: &Deadlines,
        status: Status,
        message: &str,
        change: impl FnOnce(&mut Job),
    ) -> Job {
        self.step(now, None, Some(status.as_str()), |job| {
            job.stage = Stage::Finished;
            job.status = status;
            message.clone_into(&mut job.message);
            job.request.prompt = None;
            job.shard = None;
            job.ttl = Some(now.plus(deadlines.row).unix_seconds());
            change(job);
        })
    }

    fn step(
        &self,
        now: Millis,
        next_check_at: Option<Millis>,
        history: Option<&str>,
        change: impl FnOnce(&mut Job),
    ) -> Job {
        let mut next = self.0.clone();
        change(&mut next);
        next.next_check_at = next_check_at;
        if let Some(what) = history {
            if next.history.len() >= HISTORY_LIMIT {
                next.history.remove(1);
            }
            next.history.push(HistoryEntry { at: now, what: what.to_owned() });
        }
        if !next.shows_the_same_as(&self.0) {
            next.version = next.version.saturating_add(1);
            next.updated_at = now;
        }
        next.rev = next.rev.saturating_add(1);
        next.written_by = AttemptId::random();
        next
    }
}

impl Job {
    fn count_failed_look(&mut self) {
        if let Stage::Rendering { failed_looks, missing_since, .. } = &mut self.stage {
            (*failed_looks, *missing_since) = (failed_looks.saturating_add(1), None);
        }
    }

    fn reset_failed_looks(&mut self) {
        if let Stage::Rendering { failed_looks, missing_since, .. } = &mut self.stage {
            (*failed_looks, *missing_since) = (0, None);
        }
    }
}

/// The stage of a video that the provider has and nobody saves.
fn rendering_again(since: Millis, failed_saves: u32, bad_since: Option<Millis>) -> Stage {
    Stage::Rendering { since, failed_looks: 0, missing_since: None, failed_saves, bad_since }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINES: Deadlines =
        Deadlines { job: Duration::from_secs(60), row: Duration::from_secs(600), video: Duration::from_secs(300) };
    const NOW: Millis = Millis(1_000_000);

    fn new_job() -> OpenJob {
        let request = VideoRequest {
            prompt: Some("A bell".to_owned()),
            model: "sora-2".to_owned(),
            seconds: "8".to_owned(),
            size: "1280x720".to_owned(),
            audio_key: None,
        };
        let new = NewJob {
            job_id: JobId::random(),
            fingerprint: "f".to_owned(),
            request,
            provider: "openai".to_owned(),
            credentials: "OPENAI_API_KEY".to_owned(),
        };
        OpenJob(Job::new(new, NOW))
    }

    fn at(seconds: i64) -> Millis {
        Millis(NOW.0 + seconds * 1000)
    }

    fn rendering() -> OpenJob {
        new_job()
            .claim_submission(AttemptId::random(), at(30), at(0))
            .open()
            .unwrap()
            .submitted("video_1", at(5), at(1))
            .open()
            .unwrap()
    }

    #[test]
    fn the_version_grows_exactly_when_something_public_changes() {
        let job = rendering();
        let same = job.look_failed(at(10), at(5));
        assert_eq!(same.version(), job.version());
        assert_eq!(same.updated_at(), job.updated_at());
        assert_eq!(same.rev(), job.rev() + 1);
        let moved = job.rendering(true, 40, at(10), at(5));
        assert_eq!(moved.version(), job.version() + 1);
        assert_eq!(moved.updated_at(), at(5));
    }

    #[test]
    fn progress_and_status_never_go_back() {
        let far = rendering().rendering(true, 80, at(10), at(5)).open().unwrap();
        let back = far.rendering(false, 10, at(15), at(10));
        assert_eq!((back.progress(), back.status()), (80, Status::InProgress));
    }

    #[test]
    fn a_hundred_percent_is_said_only_with_the_video_in_the_bucket() {
        let done = rendering().rendering(true, 100, at(10), at(5)).open().unwrap();
        assert_eq!(done.progress(), 98);
        let saving = done.claim_save(AttemptId::random(), at(60), at(6)).open().unwrap();
        assert_eq!((saving.progress(), saving.status()), (99, Status::InProgress));
        let video = StoredVideo { key: "k".to_owned(), bytes: 1, thumbnail_key: None, expires_at: at(300) };
        let finished = saving.completed(video, &DEADLINES, at(7));
        assert_eq!((finished.progress(), finished.status()), (100, Status::Completed));
    }

    #[test]
    fn a_save_that_failed_keeps_99_percent() {
        let saving = rendering().claim_save(AttemptId::random(), at(60), at(6)).open().unwrap();
        let again = saving.save_failed("truncated", at(10), at(8));
        assert_eq!(again.progress(), 99);
        assert!(matches!(again.stage(), Stage::Rendering { failed_saves: 1, .. }));
        let looked = again.open().unwrap().rendering(true, 50, at(20), at(10));
        assert_eq!((looked.progress(), looked.message()), (99, "Saving the video"));
    }

    #[test]
    fn only_a_finished_job_has_a_ttl_and_it_leaves_the_index_of_open_ones() {
        let job = rendering();
        assert!(job.ttl().is_none() && job.shard.is_some() && job.next_check_at().is_some());
        let failed = job.failed(JobError::new("timeout", "Too late.", true), &DEADLINES, at(60));
        assert_eq!(failed.ttl(), Some(at(660).unix_seconds()));
        assert!(failed.shard.is_none() && failed.next_check_at().is_none());
        assert!(!failed.is_gone(at(659)) && failed.is_gone(at(660)));
        assert!(failed.open().is_err());
    }

    #[test]
    fn the_prompt_leaves_the_row_once_the_provider_has_the_job() {
        assert_eq!(rendering().request().prompt, None);
        assert_eq!(new_job().canceled(&DEADLINES, at(1)).request().prompt, None);
    }

    #[test]
    fn a_wish_to_cancel_is_told_at_once_kept_by_every_step_and_ends_nothing_by_itself() {
        let asked = rendering().cancel_requested(at(2));
        assert_eq!((asked.cancel_requested_at(), asked.next_check_at()), (Some(at(2)), Some(at(2))));
        assert_eq!((asked.status(), asked.message()), (Status::Queued, "Canceling"));
        assert_eq!((asked.version(), asked.rev()), (rendering().version() + 1, rendering().rev() + 1));
        let saving = asked.open().unwrap().claim_save(AttemptId::random(), at(60), at(6)).open().unwrap();
        let failed = saving.save_failed("truncated", at(10), at(8)).open().unwrap();
        assert_eq!(failed.look_failed(at(20), at(10)).cancel_requested_at(), Some(at(2)));
        let video = StoredVideo { key: "k".to_owned(), bytes: 1, thumbnail_key: None, expires_at: at(300) };
        assert_eq!(saving.completed(video, &DEADLINES, at(7)).status(), Status::Completed);
    }

    #[test]
    fn a_job_that_a_worker_holds_and_is_to_be_canceled_is_due_when_the_lease_is_over() {
        let claimed = new_job().claim_submission(AttemptId::random(), at(30), at(0)).open().unwrap();
        let asked = claimed.cancel_requested(at(1)).open().unwrap();
        assert_eq!((asked.next_check_at(), asked.message()), (Some(at(30)), "Canceling"));
        // The worker's answer neither takes the wish back nor hides it.
        let taken = asked.submitted("video_1", at(2), at(2)).open().unwrap();
        assert_eq!((taken.cancel_requested_at(), taken.message()), (Some(at(1)), "Canceling"));
        assert_eq!(
            claimed.submission_unknown(at(9), at(2)).open().unwrap().cancel_requested(at(3)).next_check_at(),
            Some(at(3))
        );
        let saving = rendering().claim_save(AttemptId::random(), at(60), at(6)).open().unwrap();
        assert_eq!(saving.cancel_requested(at(7)).next_check_at(), Some(at(60)));
    }

    #[test]
    fn a_claim_is_held_until_another_step_is_taken() {
        let claimed = new_job().claim_submission(AttemptId::random(), at(30), at(0)).open().unwrap();
        assert!(claimed.cancel_requested(at(1)).holds_claim_of(&claimed));
        assert!(claimed.submission_unknown(at(9), at(1)).holds_claim_of(&claimed));
        assert!(!claimed.submission_not_taken(1, at(9), at(1)).holds_claim_of(&claimed));
        assert!(!claimed.submitted("video_1", at(9), at(1)).holds_claim_of(&claimed));
        assert!(!claimed.canceled(&DEADLINES, at(1)).holds_claim_of(&claimed));
        let saving = rendering().claim_save(AttemptId::random(), at(60), at(6)).open().unwrap();
        assert!(!saving.claim_save(AttemptId::random(), at(120), at(60)).holds_claim_of(&saving));
        assert!(!rendering().holds_claim_of(&rendering()), "nobody holds it");
    }

    #[test]
    fn a_look_that_failed_puts_down_a_save_whose_worker_is_gone() {
        let saving = rendering().claim_save(AttemptId::random(), at(60), at(6)).open().unwrap();
        let looked = saving.look_failed(at(70), at(60));
        assert!(matches!(looked.stage(), Stage::Rendering { failed_looks: 1, failed_saves: 1, .. }), "{looked:?}");
        assert_eq!((looked.version(), looked.progress()), (saving.version(), SAVING));
    }

    #[test]
    fn history_is_bounded_and_keeps_the_creation() {
        let mut job = rendering();
        for second in 0..100 {
            job = job.save_failed("again", at(second + 1), at(second)).open().unwrap();
        }
        assert_eq!(job.history().len(), HISTORY_LIMIT);
        assert_eq!(job.history()[0].what, "created");
    }

    #[test]
    fn a_row_without_optional_fields_carries_no_nulls() {
        let row = serde_json::to_value(&*new_job()).unwrap();
        assert!(row.as_object().unwrap().values().all(|value| !value.is_null()));
        let back: Job = serde_json::from_value(row).unwrap();
        assert!(back.video_id().is_none());
    }
}
