//! Properties of every history that a job can have: any steps in any order, at any times.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use clipbell_job::{
    AttemptId, Deadlines, Job, JobError, JobId, JobView, Millis, NewJob, OpenJob, Status, StoredVideo, VideoRequest,
};
use proptest::{collection::vec, prelude::*};

/// Every step that an open job can take.
#[derive(Clone, Debug)]
enum Step {
    ClaimSubmission,
    SubmissionNotTaken { refusals: u32 },
    SubmissionUnknown,
    SubmissionStillUnknown,
    Submitted { video_id: String },
    Rendering { started: bool, percent: u8 },
    LookFailed,
    ClaimSave,
    SaveFailed { why: String },
    CancelRequested,
    Completed { bytes: u64, thumbnail: bool },
    Failed { code: String, retryable: bool },
    Canceled,
}

fn step() -> impl Strategy<Value = Step> {
    let goes_on = prop_oneof![
        Just(Step::ClaimSubmission),
        any::<u32>().prop_map(|refusals| Step::SubmissionNotTaken { refusals }),
        Just(Step::SubmissionUnknown),
        Just(Step::SubmissionStillUnknown),
        "\\PC{1,12}".prop_map(|video_id| Step::Submitted { video_id }),
        (any::<bool>(), any::<u8>()).prop_map(|(started, percent)| Step::Rendering { started, percent }),
        (any::<bool>(), 0_u8..=100).prop_map(|(started, percent)| Step::Rendering { started, percent }),
        Just(Step::LookFailed),
        Just(Step::ClaimSave),
        "\\PC{0,12}".prop_map(|why| Step::SaveFailed { why }),
        Just(Step::CancelRequested),
    ];
    let ends = prop_oneof![
        (any::<u64>(), any::<bool>()).prop_map(|(bytes, thumbnail)| Step::Completed { bytes, thumbnail }),
        ("[a-z_]{1,12}", any::<bool>()).prop_map(|(code, retryable)| Step::Failed { code, retryable }),
        Just(Step::Canceled),
    ];
    prop_oneof![40 => goes_on, 1 => ends]
}

fn moment() -> impl Strategy<Value = Millis> {
    prop_oneof![4 => 1_700_000_000_000..1_900_000_000_000_i64, 1 => any::<i64>()].prop_map(Millis)
}

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![4 => 0..10_000_000_u64, 1 => any::<u64>()].prop_map(Duration::from_secs)
}

fn deadlines() -> impl Strategy<Value = Deadlines> {
    (duration(), duration(), duration()).prop_map(|(job, row, video)| Deadlines { job, row, video })
}

fn take(step: Step, job: &OpenJob, deadlines: &Deadlines, next: Millis, now: Millis) -> Job {
    match step {
        Step::ClaimSubmission => job.claim_submission(AttemptId::random(), next, now),
        Step::SubmissionNotTaken { refusals } => job.submission_not_taken(refusals, next, now),
        Step::SubmissionUnknown => job.submission_unknown(next, now),
        Step::SubmissionStillUnknown => job.submission_still_unknown(next, now),
        Step::Submitted { video_id } => job.submitted(&video_id, next, now),
        Step::Rendering { started, percent } => job.rendering(started, percent, next, now),
        Step::LookFailed => job.look_failed(next, now),
        Step::ClaimSave => job.claim_save(AttemptId::random(), next, now),
        Step::SaveFailed { why } => job.save_failed(&why, next, now),
        Step::CancelRequested => job.cancel_requested(now),
        Step::Completed { bytes, thumbnail } => {
            let key = format!("videos/{}/a.mp4", job.id());
            let thumbnail_key = thumbnail.then(|| format!("videos/{}/a.webp", job.id()));
            let expires_at = now.plus(deadlines.video);
            job.completed(StoredVideo { key, bytes, thumbnail_key, expires_at }, deadlines, now)
        }
        Step::Failed { code, retryable } => {
            job.failed(JobError::new(&code, "It did not work.", retryable), deadlines, now)
        }
        Step::Canceled => job.canceled(deadlines, now),
    }
}

/// What must hold of every row by itself.
fn check_row(job: &Job, created_at: Millis) {
    let finished = job.status().is_terminal();
    assert_eq!(job.progress() == 100, job.status() == Status::Completed, "100 percent, and only 100, is completed");
    assert_eq!(job.video().is_some(), job.status() == Status::Completed, "a video, and only one, is completed");
    assert_eq!(job.error().is_some(), job.status() == Status::Failed, "a failed job says why, and no other");
    assert_eq!(job.created_at(), created_at);

    let row = serde_json::to_value(job).unwrap();
    let has = |name: &str| row.get(name).is_some();
    assert_eq!((has("ttl"), has("shard"), has("nextCheckAt")), (finished, !finished, !finished), "{row}");
    assert!(row.as_object().unwrap().values().all(|value| !value.is_null()), "an index takes no null: {row}");
    assert!(!finished || job.request().prompt.is_none(), "a finished job keeps no prompt");

    assert!(job.history().len() <= 32);
    assert_eq!(job.history().first().map(|entry| (entry.what.as_str(), entry.at)), Some(("created", created_at)));

    let item: serde_dynamo::Item = serde_dynamo::to_item(job).unwrap();
    assert_eq!(&serde_dynamo::from_item::<_, Job>(item).unwrap(), job, "the same out of the table");
    assert_eq!(&serde_json::from_value::<Job>(row).unwrap(), job, "the same out of JSON");
}

/// What must hold between a row and the next.
fn check_step(before: &Job, after: &Job, now: Millis) {
    let shown =
        |job: &Job| serde_json::to_value(JobView { version: 0, updated_at: String::new(), ..job.view() }).unwrap();
    if shown(before) == shown(after) {
        assert_eq!((after.version(), after.updated_at()), (before.version(), before.updated_at()), "nothing is news");
    } else {
        assert!(after.version() > before.version(), "news has a higher version");
        assert_eq!(after.updated_at(), now);
    }
    assert!(after.progress() >= before.progress(), "{} after {}", after.progress(), before.progress());
    let rank = |status: Status| match status {
        Status::Queued => 0,
        Status::InProgress => 1,
        Status::Completed | Status::Failed | Status::Canceled => 2,
    };
    assert!(rank(after.status()) >= rank(before.status()), "{:?} after {:?}", after.status(), before.status());
    assert_eq!(after.rev(), before.rev() + 1);
    assert_ne!(after.written_by(), before.written_by());
    assert_eq!((after.id(), after.fingerprint()), (before.id(), before.fingerprint()));
    assert!(before.request().prompt.is_some() || after.request().prompt.is_none(), "a prompt does not come back");
    assert!(before.cancel_requested_at().is_none_or(|at| after.cancel_requested_at() == Some(at)));
}

proptest! {
    #[test]
    fn every_history_keeps_the_rules_of_a_job(
        // The version begins with this moment and counts on from there.
        created_at in 0..4_102_444_800_000_i64,
        audio in any::<bool>(),
        deadlines in deadlines(),
        steps in vec((step(), moment(), moment()), 0..80),
    ) {
        let created_at = Millis(created_at);
        let request = VideoRequest {
            prompt: Some("A bell".to_owned()),
            model: "sora-2".to_owned(),
            seconds: "8".to_owned(),
            size: "1280x720".to_owned(),
            audio_key: audio.then(|| "audio/a".to_owned()),
        };
        let new = NewJob {
            job_id: JobId::random(),
            fingerprint: "f".to_owned(),
            request,
            provider: "openai".to_owned(),
            credentials: "OPENAI_API_KEY".to_owned(),
        };
        let mut job = Job::new(new, created_at);
        check_row(&job, created_at);
        for (step, next, now) in steps {
            let finished = job.status().is_terminal();
            let open = match job.clone().open() {
                Ok(open) => open,
                Err(unchanged) => {
                    prop_assert!(finished && *unchanged == job, "a finished job takes no step");
                    break;
                }
            };
            prop_assert!(!finished);
            let after = take(step, &open, &deadlines, next, now);
            check_row(&after, created_at);
            check_step(&job, &after, now);
            job = after;
        }
    }

    #[test]
    fn a_finished_job_lives_exactly_as_long_as_the_deadlines_say(
        deadlines in deadlines(),
        now in moment(),
        later in moment(),
        how in prop_oneof![Just(Step::Canceled), Just(Step::Completed { bytes: 1, thumbnail: false })],
    ) {
        let request = VideoRequest {
            prompt: None,
            model: String::new(),
            seconds: String::new(),
            size: String::new(),
            audio_key: None,
        };
        let new = NewJob {
            job_id: JobId::random(),
            fingerprint: String::new(),
            request,
            provider: String::new(),
            credentials: String::new(),
        };
        let open = Job::new(new, Millis(0)).open().unwrap();
        let finished = take(how, &open, &deadlines, now, now);
        prop_assert!(!open.is_gone(later), "an open job never goes");
        prop_assert_eq!(finished.is_gone(later), now.plus(deadlines.row).unix_seconds() <= later.unix_seconds());
    }
}
