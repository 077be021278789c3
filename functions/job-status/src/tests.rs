//! Requests as API Gateway sends them, against a DynamoDB of the test's own.

use std::time::Duration;

use clipbell_job::{Job, JobId};
use clipbell_test_support::{Answer, HandClock, NOON, Tables, event::HttpRequest, sample};

use super::*;

struct World {
    app: App,
    tables: Tables,
    clock: HandClock,
}

impl World {
    async fn new() -> Self {
        let (tables, clock) = (Tables::start().await, HandClock::at_noon());
        Self { app: App { jobs: tables.jobs.clone(), clock: clock.clock() }, tables, clock }
    }

    async fn has(&self, job: Job) -> Job {
        self.tables.jobs.create(&job, NOON).await.unwrap();
        job
    }

    async fn ask(&self, query: &str, if_none_match: Option<&str>) -> Answer {
        let mut request = HttpRequest::get("/api/status", query);
        if let Some(tags) = if_none_match {
            request = request.header("if-none-match", tags);
        }
        Answer::of(handle(&self.app, request.event()).await)
    }
}

fn of(id: &JobId) -> String {
    format!("jobId={id}&renderVersion=v3")
}

#[tokio::test]
async fn the_state_is_answered_with_its_version_as_its_tag() {
    let world = World::new().await;
    let job = world.has(sample::new_job(NOON)).await;
    let answer = world.ask(&of(job.id()), None).await;
    assert_eq!(answer.status, 200);
    let expected = serde_json::json!({
        "jobId": job.id(),
        "status": "queued",
        "progress": 0,
        "message": "Waiting for the provider",
        "version": NOON.0,
        "createdAt": "2026-11-24T12:00:00.000Z",
        "updatedAt": "2026-11-24T12:00:00.000Z",
    });
    assert_eq!(answer.json(), expected);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("etag"), format!("\"{}\"", NOON.0));
    assert_eq!(answer.header("cache-control"), "private, no-cache");
}

#[tokio::test]
async fn a_finished_job_says_where_its_video_is_or_why_there_is_none() {
    let world = World::new().await;
    let completed = world.has(sample::completed(NOON)).await;
    let answer = world.ask(&of(completed.id()), None).await.json();
    assert_eq!((&answer["status"], &answer["progress"]), (&"completed".into(), &100.into()));
    let download = format!("/api/download?jobId={}&renderVersion=v3", completed.id());
    assert_eq!(answer["downloadUrl"], download);

    let failed = world.has(sample::failed(NOON)).await;
    let answer = world.ask(&of(failed.id()), None).await.json();
    let error = serde_json::json!({
        "code": "render_failed", "message": "The provider could not make this video.", "retryable": true,
    });
    assert_eq!((&answer["status"], &answer["error"]), (&"failed".into(), &error));
    assert!(answer.get("downloadUrl").is_none());
}

#[tokio::test]
async fn who_has_this_version_already_is_told_so_without_a_body() {
    let world = World::new().await;
    let job = world.has(sample::rendering("video_1", NOON)).await;
    let tag = format!("\"{}\"", job.version());
    for tags in [tag.clone(), format!("W/{tag}"), format!("\"1\", {tag}"), "*".to_owned()] {
        let answer = world.ask(&of(job.id()), Some(&tags)).await;
        assert_eq!((answer.status, answer.body.as_str(), answer.header("etag")), (304, "", tag.as_str()), "{tags}");
    }
    let next = sample::open(job.clone()).rendering(true, 40, NOON, NOON);
    world.tables.jobs.replace(&next, NOON).await.unwrap();
    let answer = world.ask(&of(job.id()), Some(&tag)).await;
    assert_eq!((answer.status, &answer.json()["progress"]), (200, &40.into()));
}

#[tokio::test]
async fn a_job_that_is_not_there_or_no_longer_is_not_found() {
    let world = World::new().await;
    assert_eq!(world.ask(&of(&JobId::random()), None).await.error(), (404, "job_not_found".to_owned()));
    let job = world.has(sample::canceled(NOON)).await;
    assert_eq!(world.ask(&of(job.id()), None).await.status, 200);
    world.clock.advance(Duration::from_secs(30 * 24 * 60 * 60));
    // The table deletes an expired row hours later.
    assert_eq!(world.ask(&of(job.id()), None).await.error(), (404, "job_not_found".to_owned()));
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said() {
    let world = World::new().await;
    let id = JobId::random();
    for (query, code) in [
        (String::new(), "unsupported_render_version"),
        (format!("jobId={id}"), "unsupported_render_version"),
        (format!("jobId={id}&renderVersion="), "unsupported_render_version"),
        (format!("jobId={id}&renderVersion=v2"), "unsupported_render_version"),
        ("renderVersion=v3".to_owned(), "missing_job_id"),
        ("renderVersion=v3&jobId=".to_owned(), "missing_job_id"),
        ("renderVersion=v3&jobId=7".to_owned(), "invalid_job_id"),
        ("renderVersion=v3&jobId=video%23video_1".to_owned(), "invalid_job_id"),
        (format!("renderVersion=v3&jobId={}", id.as_str().to_uppercase()), "invalid_job_id"),
    ] {
        assert_eq!(world.ask(&query, None).await.error(), (400, code.to_owned()), "{query}");
    }
}

#[tokio::test]
async fn a_table_that_can_t_be_read_is_503_and_says_nothing_of_the_inside() {
    let world = World::new().await;
    world.tables.drop_table(Tables::JOBS).await;
    let answer = world.ask(&of(&JobId::random()), None).await;
    assert_eq!(answer.error(), (503, "unavailable".to_owned()));
    assert_eq!(answer.header("retry-after"), "1");
    assert!(!answer.body.contains("Table") && !answer.body.contains("GetItem"), "{}", answer.body);
}
