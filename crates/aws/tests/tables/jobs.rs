use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use clipbell_aws::{Created, Replaced, Submitted};
use clipbell_job::{Job, JobId, Millis, SHARDS, Status};
use clipbell_test_support::{
    NOON, Tables,
    sample::{self, DEADLINES, open},
};

const LATER: Millis = Millis(NOON.0 + 60_000);

/// The row as it is now.
async fn row(tables: &Tables, id: &JobId) -> Job {
    tables.jobs.get(id, NOON).await.unwrap().unwrap()
}

/// The job, written.
async fn written(tables: &Tables, job: Job) -> Job {
    assert!(matches!(tables.jobs.create(&job, NOON).await.unwrap(), Created::New));
    job
}

#[tokio::test]
async fn a_job_is_read_as_it_was_written_at_every_stage() {
    let tables = Tables::start().await;
    for job in [
        sample::new_job(NOON),
        sample::submitting(NOON),
        sample::rendering("video_1", NOON),
        sample::completed(NOON),
        sample::failed(NOON),
        sample::canceled(NOON),
    ] {
        let job = written(&tables, job).await;
        assert_eq!(row(&tables, job.id()).await, job);
    }
    assert!(tables.jobs.get(&JobId::random(), NOON).await.unwrap().is_none());
}

#[tokio::test]
async fn of_two_jobs_with_one_id_the_second_is_told_of_the_first() {
    let tables = Tables::start().await;
    let first = written(&tables, sample::new_job(NOON)).await;
    let second = sample::new_job_with_id(first.id().clone(), LATER);
    match tables.jobs.create(&second, LATER).await.unwrap() {
        Created::Exists(job) => assert_eq!(*job, first),
        Created::New => panic!("the second replaced the first"),
    }
    assert_eq!(row(&tables, first.id()).await, first);
}

#[tokio::test]
async fn the_sdk_s_own_second_try_of_a_creation_counts_as_won() {
    let tables = Tables::start().await;
    let job = written(&tables, sample::new_job(NOON)).await;
    // The first try took effect and its answer was lost: the SDK writes the very same row again.
    assert!(matches!(tables.jobs.create(&job, NOON).await.unwrap(), Created::New));
}

#[tokio::test]
async fn a_row_past_its_time_to_live_is_absent_although_it_is_still_there() {
    let tables = Tables::start().await;
    let old = written(&tables, sample::canceled(NOON)).await;
    let ttl = Millis(old.ttl().unwrap() * 1000);
    let just_before = ttl.minus(Duration::from_secs(1));
    assert!(tables.jobs.get(old.id(), just_before).await.unwrap().is_some());
    let again = sample::new_job_with_id(old.id().clone(), just_before);
    assert!(matches!(tables.jobs.create(&again, just_before).await.unwrap(), Created::Exists(_)));

    assert!(tables.jobs.get(old.id(), ttl).await.unwrap().is_none());
    let again = sample::new_job_with_id(old.id().clone(), ttl);
    assert!(matches!(tables.jobs.create(&again, ttl).await.unwrap(), Created::New));
    assert!(again.version() > old.version(), "a client that keeps the highest version sees the new job");
    assert_eq!(tables.jobs.get(old.id(), ttl).await.unwrap().unwrap(), again);
}

#[tokio::test]
async fn of_two_steps_from_one_revision_the_first_is_written_and_the_second_learns_of_it() {
    let tables = Tables::start().await;
    let job = open(written(&tables, sample::rendering("video_1", NOON)).await);
    let first = job.rendering(true, 40, LATER, NOON);
    let second = job.rendering(true, 60, LATER, NOON);
    assert!(matches!(tables.jobs.replace(&first, NOON).await.unwrap(), Replaced::Written));
    match tables.jobs.replace(&second, NOON).await.unwrap() {
        Replaced::Conflict(Some(newer)) => assert_eq!(*newer, first),
        other => panic!("{other:?}"),
    }
    assert_eq!(row(&tables, job.id()).await, first);
}

#[tokio::test]
async fn the_sdk_s_own_second_try_of_a_step_counts_as_won() {
    let tables = Tables::start().await;
    let job = open(written(&tables, sample::rendering("video_1", NOON)).await);
    let next = job.rendering(true, 40, LATER, NOON);
    for _ in 0..2 {
        assert!(matches!(tables.jobs.replace(&next, NOON).await.unwrap(), Replaced::Written));
    }
}

#[tokio::test]
async fn a_step_of_a_job_that_is_gone_makes_no_row() {
    let tables = Tables::start().await;
    let next = open(sample::rendering("video_1", NOON)).rendering(true, 40, LATER, NOON);
    assert!(matches!(tables.jobs.replace(&next, NOON).await.unwrap(), Replaced::Conflict(None)));
    assert!(tables.jobs.get(next.id(), NOON).await.unwrap().is_none());
}

#[tokio::test]
async fn a_finished_job_is_changed_by_nobody_who_read_it_before() {
    let tables = Tables::start().await;
    let job = open(written(&tables, sample::rendering("video_1", NOON)).await);
    let finished = job.canceled(&DEADLINES, NOON);
    assert!(matches!(tables.jobs.replace(&finished, NOON).await.unwrap(), Replaced::Written));
    let zombie = job.rendering(true, 90, LATER, LATER);
    assert!(matches!(tables.jobs.replace(&zombie, LATER).await.unwrap(), Replaced::Conflict(Some(_))));
    assert_eq!(row(&tables, job.id()).await.status(), Status::Canceled);
}

#[tokio::test]
async fn a_video_and_its_job_are_written_together() {
    let tables = Tables::start().await;
    let job = open(written(&tables, sample::submitting(NOON)).await);
    assert_eq!(tables.jobs.owner_of("video_1").await.unwrap(), None);
    let submitted = job.submitted("video_1", LATER, NOON);
    assert!(matches!(tables.jobs.replace_submitted(&submitted, 9, NOON).await.unwrap(), Submitted::Written));
    assert_eq!(row(&tables, job.id()).await, submitted);
    assert_eq!(tables.jobs.owner_of("video_1").await.unwrap().as_ref(), Some(job.id()));
    let key = AttributeValue::S("video#video_1".to_owned());
    let owner = tables.client.get_item().table_name(Tables::JOBS).key("jobId", key).send().await.unwrap();
    assert_eq!(owner.item.unwrap()["ttl"], AttributeValue::N("9".to_owned()), "it does not stay for ever");
}

#[tokio::test]
async fn a_video_that_another_job_has_leaves_both_jobs_as_they_are() {
    let tables = Tables::start().await;
    let first = open(written(&tables, sample::submitting(NOON)).await).submitted("video_1", LATER, NOON);
    tables.jobs.replace_submitted(&first, 9, NOON).await.unwrap();
    let second = open(written(&tables, sample::submitting(NOON)).await);
    let taken = tables.jobs.replace_submitted(&second.submitted("video_1", LATER, NOON), 9, NOON).await.unwrap();
    assert!(matches!(taken, Submitted::VideoTaken));
    assert_eq!(row(&tables, second.id()).await, *second);
    assert_eq!(tables.jobs.owner_of("video_1").await.unwrap().as_ref(), Some(first.id()));
}

#[tokio::test]
async fn a_job_that_was_changed_meanwhile_gets_no_video() {
    let tables = Tables::start().await;
    let job = open(written(&tables, sample::submitting(NOON)).await);
    let canceled = job.canceled(&DEADLINES, NOON);
    tables.jobs.replace(&canceled, NOON).await.unwrap();
    let late = tables.jobs.replace_submitted(&job.submitted("video_1", LATER, NOON), 9, NOON).await.unwrap();
    assert!(matches!(late, Submitted::Conflict(Some(row)) if *row == canceled));
    assert_eq!(row(&tables, job.id()).await, canceled);
    assert_eq!(tables.jobs.owner_of("video_1").await.unwrap(), None);
}

#[tokio::test]
async fn our_own_second_try_to_give_a_job_its_video_counts_as_won() {
    let tables = Tables::start().await;
    let job = open(written(&tables, sample::submitting(NOON)).await);
    let submitted = job.submitted("video_1", LATER, NOON);
    // The SDK's tries share a token; when all their answers are lost, the worker calls again with another.
    for _ in 0..2 {
        assert!(matches!(tables.jobs.replace_submitted(&submitted, 9, NOON).await.unwrap(), Submitted::Written));
    }
}

#[tokio::test]
async fn overdue_are_exactly_the_unfinished_jobs_whose_time_has_come() {
    let tables = Tables::start().await;
    let mut due = Vec::new();
    let mut shards_left: Vec<u8> = (0..SHARDS).collect();
    // Two of each shard: ids are random, so a shard comes up sooner or later.
    while !shards_left.is_empty() || due.len() < 2 * usize::from(SHARDS) {
        let job = sample::rendering(&format!("video_{}", due.len()), NOON);
        let shard = u8::from_str_radix(&job.id().as_str()[35..], 16).unwrap() % SHARDS;
        shards_left.retain(|left| *left != shard);
        due.push((job.id().clone(), job.next_check_at().unwrap()));
        written(&tables, job).await;
    }
    for finished in [sample::completed(NOON), sample::failed(NOON), sample::canceled(NOON)] {
        written(&tables, finished).await;
    }
    let not_yet = open(sample::new_job(NOON)).rendering(true, 40, LATER, NOON);
    written(&tables, not_yet.clone()).await;

    let overdue = async |before| {
        let found = tables.jobs.overdue(before, 1000).await.unwrap().into_iter();
        let mut found: Vec<_> = found.map(|job| (job.job_id, job.next_check_at)).collect();
        found.sort();
        found
    };
    due.sort();
    assert_eq!(overdue(NOON).await, []);
    assert_eq!(overdue(LATER).await, due);
    due.push((not_yet.id().clone(), LATER));
    due.sort();
    assert_eq!(overdue(Millis(i64::MAX)).await, due);
}

#[tokio::test]
async fn a_job_that_finishes_is_overdue_no_longer() {
    let tables = Tables::start().await;
    let job = open(written(&tables, sample::rendering("video_1", NOON)).await);
    assert_eq!(tables.jobs.overdue(LATER, 1000).await.unwrap().len(), 1);
    tables.jobs.replace(&job.canceled(&DEADLINES, NOON), NOON).await.unwrap();
    assert!(tables.jobs.overdue(LATER, 1000).await.unwrap().is_empty());
}

#[tokio::test]
async fn of_many_overdue_jobs_each_shard_gives_those_that_wait_longest() {
    let tables = Tables::start().await;
    for second in 0..40 {
        written(&tables, sample::new_job(NOON.plus(Duration::from_secs(second)))).await;
    }
    let found = tables.jobs.overdue(LATER, 1).await.unwrap();
    assert!(found.len() <= usize::from(SHARDS), "{found:?}");
    assert!(found.iter().any(|job| job.next_check_at == NOON), "{found:?}");
}

#[tokio::test]
async fn a_table_that_can_t_be_reached_is_an_error_and_no_absence() {
    let tables = Tables::start().await;
    let job = written(&tables, sample::new_job(NOON)).await;
    tables.drop_table(Tables::JOBS).await;
    assert!(tables.jobs.get(job.id(), NOON).await.is_err());
    assert!(tables.jobs.create(&job, NOON).await.is_err());
    assert!(tables.jobs.replace(&job, NOON).await.is_err());
    assert!(tables.jobs.replace_submitted(&sample::rendering("video_1", NOON), 9, NOON).await.is_err());
    assert!(tables.jobs.owner_of("video_1").await.is_err());
    assert!(tables.jobs.overdue(LATER, 10).await.is_err());
}
