//! Requests as API Gateway sends them, against a DynamoDB of the test's own and a queue in memory.

use std::time::Duration;

use clipbell_aws::WorkMessage;
use clipbell_job::{JobId, Millis};
use clipbell_test_support::{Answer, HandClock, NOON, Queue, Sent, Tables, event::HttpRequest, sample};

use super::*;

/// When the wish comes.
const LATER: Millis = Millis(NOON.0 + 3_000);

struct World {
    app: App,
    tables: Tables,
    queue: Queue,
    clock: HandClock,
}

impl World {
    /// At [`LATER`].
    async fn new() -> Self {
        let (tables, queue, clock) = (Tables::start().await, Queue::start().await, HandClock::at_noon());
        clock.set(LATER);
        let app = App { jobs: tables.jobs.clone(), queue: queue.work_queue(), clock: clock.clock() };
        Self { app, tables, queue, clock }
    }

    async fn has(&self, job: Job) -> Job {
        self.tables.jobs.create(&job, NOON).await.unwrap();
        job
    }

    /// The row as it is now.
    async fn job(&self, id: &JobId) -> Job {
        self.tables.jobs.get(id, NOON).await.unwrap().unwrap()
    }

    async fn ask(&self, query: &str) -> Answer {
        Answer::of(handle(&self.app, HttpRequest::post("/api/cancel", query, "").event()).await)
    }

    async fn cancel(&self, job: &Job) -> Answer {
        self.ask(&format!("jobId={}&renderVersion=v3", job.id())).await
    }
}

/// The look that a row waits for, and after what time it arrives.
fn look(job: &Job, delay: Duration) -> Sent {
    Sent { message: WorkMessage::next_look(job).unwrap(), delay }
}

#[tokio::test]
async fn an_unfinished_job_is_marked_and_its_worker_called_at_once() {
    for job in [sample::new_job(NOON), sample::rendering("video_1", NOON)] {
        let world = World::new().await;
        let job = world.has(job).await;
        let answer = world.cancel(&job).await;
        assert_eq!((answer.status, answer.header("cache-control")), (202, "no-store"));
        let expected = serde_json::json!({
            "jobId": job.id(),
            "status": "queued",
            "progress": 0,
            "message": "Canceling",
            "version": job.version() + 1,
            "createdAt": "2026-11-24T12:00:00.000Z",
            "updatedAt": "2026-11-24T12:00:03.000Z",
        });
        assert_eq!(answer.json(), expected);
        let marked = world.job(job.id()).await;
        assert_eq!((marked.cancel_requested_at(), marked.next_check_at()), (Some(LATER), Some(LATER)));
        assert_eq!(world.queue.sent(), [look(&marked, Duration::ZERO)]);
    }
}

#[tokio::test]
async fn a_worker_that_holds_the_job_is_followed_when_its_lease_is_over() {
    let world = World::new().await;
    let job = world.has(sample::submitting(NOON)).await;
    assert_eq!(world.cancel(&job).await.status, 202);
    let marked = world.job(job.id()).await;
    assert!(marked.holds_claim_of(&job), "its worker still writes what came of it");
    assert_eq!(marked.next_check_at(), job.next_check_at());
    assert_eq!(world.queue.sent(), [look(&marked, Duration::from_secs(57))]);
}

#[tokio::test]
async fn asking_twice_is_the_same_as_once_and_calls_the_worker_again() {
    let world = World::new().await;
    let job = world.has(sample::rendering("video_1", NOON)).await;
    let first = world.cancel(&job).await;
    let marked = world.job(job.id()).await;
    world.clock.advance(Duration::from_secs(10));
    let second = world.cancel(&job).await;
    assert_eq!((second.status, second.json()), (202, first.json()));
    assert_eq!(world.job(job.id()).await, marked);
    assert_eq!(world.queue.sent(), [look(&marked, Duration::ZERO), look(&marked, Duration::ZERO)]);
}

#[tokio::test]
async fn wishes_at_once_are_one() {
    let world = World::new().await;
    let job = world.has(sample::rendering("video_1", NOON)).await;
    let one = || world.cancel(&job);
    let answers: [Answer; 4] = tokio::join!(one(), one(), one(), one()).into();
    for answer in &answers {
        assert_eq!((answer.status, &answer.json()["version"]), (202, &(job.version() + 1).into()));
    }
    assert_eq!(world.job(job.id()).await.rev(), job.rev() + 1);
}

#[tokio::test]
async fn a_finished_job_is_answered_as_it_is() {
    let world = World::new().await;
    for job in [sample::completed(NOON), sample::failed(NOON), sample::canceled(NOON)] {
        let job = world.has(job).await;
        let answer = world.cancel(&job).await;
        assert_eq!((answer.status, answer.json()), (200, serde_json::to_value(job.view()).unwrap()));
        assert_eq!(world.job(job.id()).await, job);
    }
    assert!(world.queue.sent().is_empty());
}

#[tokio::test]
async fn a_worker_that_was_first_is_no_hindrance() {
    let world = World::new().await;
    let read = world.has(sample::rendering("video_1", NOON)).await;
    let newer = sample::open(read.clone()).rendering(true, 40, LATER, NOON);
    world.tables.jobs.replace(&newer, NOON).await.unwrap();
    let marked = mark(&world.app, read.clone()).await.unwrap();
    assert_eq!((marked.progress(), marked.version()), (40, newer.version() + 1));
    assert_eq!(world.job(read.id()).await, marked);

    // And one that has ended it is believed.
    let read = world.has(sample::rendering("video_2", NOON)).await;
    let ended = sample::open(read.clone()).canceled(&sample::DEADLINES, NOON);
    world.tables.jobs.replace(&ended, NOON).await.unwrap();
    assert_eq!(mark(&world.app, read).await.unwrap(), ended);
}

#[tokio::test]
async fn a_queue_that_is_down_loses_no_wish() {
    let world = World::new().await;
    let job = world.has(sample::rendering("video_1", NOON)).await;
    world.queue.break_down();
    assert_eq!(world.cancel(&job).await.status, 202);
    let overdue = world.tables.jobs.overdue(LATER.plus(Duration::from_secs(60)), 10).await.unwrap();
    assert_eq!(overdue[0].next_check_at, LATER, "reconcile finds it");
}

#[tokio::test]
async fn a_job_that_is_not_there_or_no_longer_is_not_found() {
    let world = World::new().await;
    let unknown = format!("jobId={}&renderVersion=v3", JobId::random());
    assert_eq!(world.ask(&unknown).await.error(), (404, "job_not_found".to_owned()));
    let job = world.has(sample::canceled(NOON)).await;
    world.clock.advance(Duration::from_secs(30 * 24 * 60 * 60));
    assert_eq!(world.cancel(&job).await.error(), (404, "job_not_found".to_owned()));
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said() {
    let world = World::new().await;
    let id = JobId::random();
    for (query, code) in [
        (format!("jobId={id}"), "unsupported_render_version"),
        (format!("jobId={id}&renderVersion=v2"), "unsupported_render_version"),
        ("renderVersion=v3".to_owned(), "missing_job_id"),
        ("renderVersion=v3&jobId=7".to_owned(), "invalid_job_id"),
        ("renderVersion=v3&jobId=video%23video_1".to_owned(), "invalid_job_id"),
    ] {
        assert_eq!(world.ask(&query).await.error(), (400, code.to_owned()), "{query}");
    }
}

#[tokio::test]
async fn a_table_that_can_t_be_reached_is_503_and_says_nothing_of_the_inside() {
    let world = World::new().await;
    world.tables.drop_table(Tables::JOBS).await;
    let answer = world.ask(&format!("jobId={}&renderVersion=v3", JobId::random())).await;
    assert_eq!(answer.error(), (503, "unavailable".to_owned()));
    assert_eq!(answer.header("retry-after"), "1");
    assert!(!answer.body.contains("Table") && !answer.body.contains("Item"), "{}", answer.body);
}
