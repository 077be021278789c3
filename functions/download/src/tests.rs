//! Requests as API Gateway sends them, against a DynamoDB of the test's own. Presigning asks nobody.

use clipbell_job::{AttemptId, JobId};
use clipbell_test_support::{
    Answer, Bucket, HandClock, NOON, Tables,
    event::HttpRequest,
    sample::{self, DEADLINES, open},
};

use super::*;

struct World {
    app: App,
    tables: Tables,
    clock: HandClock,
    bucket: Bucket,
}

impl World {
    async fn new() -> Self {
        let (tables, clock, bucket) = (Tables::start().await, HandClock::at_noon(), Bucket::start().await);
        let app = App { jobs: tables.jobs.clone(), videos: bucket.videos(), clock: clock.clock() };
        Self { app, tables, clock, bucket }
    }

    async fn has(&self, job: Job) -> Job {
        self.tables.jobs.create(&job, NOON).await.unwrap();
        job
    }

    async fn ask(&self, id: &JobId, more: &str, accept: Option<&str>) -> Answer {
        let mut request = HttpRequest::get("/api/download", &format!("jobId={id}&renderVersion=v3{more}"));
        if let Some(accept) = accept {
            request = request.header("accept", accept);
        }
        Answer::of(handle(&self.app, request.event()).await)
    }

    /// Asserts that `url` is a presigned one of the bucket's.
    fn assert_opens(&self, url: &str, key: &str, filename: &str, seconds: u64) {
        assert!(url.starts_with(&format!("{}/videos/{key}?", self.bucket.url())), "{url}");
        assert!(url.contains("X-Amz-Signature="), "{url}");
        assert!(url.contains(&format!("X-Amz-Expires={seconds}&")), "{url}");
        let disposition = format!("response-content-disposition=attachment%3B%20filename%3D%22{filename}%22");
        assert!(url.contains(&disposition), "{url}");
    }
}

#[tokio::test]
async fn a_finished_video_is_a_redirect_to_the_bucket_for_a_quarter_of_an_hour() {
    let world = World::new().await;
    let job = world.has(sample::completed(NOON)).await;
    for accept in [None, Some("*/*"), Some("text/html,application/xhtml+xml"), Some("application/jsonp")] {
        let answer = world.ask(job.id(), "", accept).await;
        assert_eq!((answer.status, answer.body.as_str()), (302, ""), "{accept:?}");
        assert_eq!(answer.header("cache-control"), "no-store");
        let filename = format!("video-{}.mp4", job.id());
        world.assert_opens(answer.header("location"), &job.video().unwrap().key, &filename, 900);
    }
    assert!(world.bucket.calls().all().is_empty(), "the bucket was asked");
}

#[tokio::test]
async fn a_program_gets_the_url_and_until_when_it_works() {
    let world = World::new().await;
    let job = world.has(sample::completed(NOON)).await;
    for accept in ["application/json", "text/html;q=0.5, application/json;q=0.9"] {
        let answer = world.ask(job.id(), "", Some(accept)).await;
        assert_eq!(answer.status, 200, "{accept}");
        let body = answer.json();
        assert_eq!(body["expiresAt"], "2026-11-24T12:15:00.000Z");
        let filename = format!("video-{}.mp4", job.id());
        world.assert_opens(body["url"].as_str().unwrap(), &job.video().unwrap().key, &filename, 900);
    }
}

#[tokio::test]
async fn the_thumbnail_is_a_variant_where_there_is_one() {
    let world = World::new().await;
    let job = world.has(sample::completed(NOON)).await;
    let answer = world.ask(job.id(), "&variant=thumbnail", None).await;
    let key = job.video().unwrap().thumbnail_key.as_deref().unwrap();
    world.assert_opens(answer.header("location"), key, &format!("video-{}.webp", job.id()), 900);
    assert_eq!(world.ask(job.id(), "&variant=video", None).await.status, 302);
    assert_eq!(world.ask(job.id(), "&variant=gif", None).await.error(), (400, "unknown_variant".to_owned()));

    let video = StoredVideo { thumbnail_key: None, ..job.video().unwrap().clone() };
    let saving = open(open(sample::rendering("video_2", NOON)).claim_save(AttemptId::random(), NOON, NOON));
    let bare = world.has(saving.completed(video, &DEADLINES, NOON)).await;
    assert_eq!(world.ask(bare.id(), "&variant=thumbnail", None).await.error(), (404, "no_thumbnail".to_owned()));
}

#[tokio::test]
async fn a_video_that_is_not_ready_says_when_to_come_back() {
    let world = World::new().await;
    let rendering = sample::rendering("video_1", NOON);
    let saving = open(sample::rendering("video_2", NOON)).claim_save(AttemptId::random(), NOON, NOON);
    for job in [sample::new_job(NOON), sample::submitting(NOON), rendering, saving] {
        let job = world.has(job).await;
        let answer = world.ask(job.id(), "", None).await;
        assert_eq!(answer.error(), (409, "not_ready".to_owned()), "{job:?}");
        assert_eq!(answer.header("retry-after"), "5");
    }
}

#[tokio::test]
async fn what_will_never_be_there_is_gone() {
    let world = World::new().await;
    let failed = world.has(sample::failed(NOON)).await;
    assert_eq!(world.ask(failed.id(), "", None).await.error(), (410, "job_failed".to_owned()));
    let canceled = world.has(sample::canceled(NOON)).await;
    assert_eq!(world.ask(canceled.id(), "", None).await.error(), (410, "job_canceled".to_owned()));
    assert_eq!(world.ask(&JobId::random(), "", None).await.error(), (404, "job_not_found".to_owned()));
}

#[tokio::test]
async fn no_url_outlives_its_video_and_an_expired_video_is_gone() {
    let world = World::new().await;
    // Its row is kept for longer than its video.
    let deadlines = clipbell_job::Deadlines { row: DEADLINES.row * 2, ..DEADLINES };
    let video = sample::completed(NOON).video().unwrap().clone();
    let saving = open(open(sample::rendering("video_2", NOON)).claim_save(AttemptId::random(), NOON, NOON));
    let job = world.has(saving.completed(video.clone(), &deadlines, NOON)).await;

    world.clock.set(video.expires_at.minus(Duration::from_secs(60)));
    let answer = world.ask(job.id(), "", None).await;
    world.assert_opens(answer.header("location"), &video.key, &format!("video-{}.mp4", job.id()), 60);
    world.clock.set(video.expires_at);
    assert_eq!(world.ask(job.id(), "", None).await.error(), (410, "video_expired".to_owned()));
}

#[tokio::test]
async fn a_request_without_a_version_or_a_job_is_refused() {
    let world = World::new().await;
    for (query, code) in [
        ("jobId=job_0123456789abcdef0123456789abcdef", "unsupported_render_version"),
        ("renderVersion=v3", "missing_job_id"),
        ("renderVersion=v3&jobId=..%2Fx", "invalid_job_id"),
    ] {
        let answer = Answer::of(handle(&world.app, HttpRequest::get("/api/download", query).event()).await);
        assert_eq!(answer.error(), (400, code.to_owned()), "{query}");
    }
}
