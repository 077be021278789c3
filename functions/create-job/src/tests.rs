//! Requests as API Gateway sends them, against a DynamoDB of the test's own, a queue and a bucket in memory.

use std::{collections::HashSet, time::Duration};

use clipbell_aws::WorkMessage;
use clipbell_job::{Millis, Status};
use clipbell_test_support::{
    Answer, Bucket, HandClock, NOON, Queue, Sent, Tables,
    event::HttpRequest,
    sample::{DEADLINES, open},
};

use super::*;

const BODY: &str = r#"{"scriptOrQuestion":"A bell in the morning"}"#;

struct World {
    app: App,
    tables: Tables,
    queue: Queue,
    bucket: Bucket,
    clock: HandClock,
}

impl World {
    async fn new() -> Self {
        Self::guarded_by(BearerToken::open()).await
    }

    async fn guarded_by(token: BearerToken) -> Self {
        let (tables, queue, bucket) = (Tables::start().await, Queue::start().await, Bucket::start().await);
        let clock = HandClock::at_noon();
        let app = App {
            jobs: tables.jobs.clone(),
            videos: bucket.videos(),
            queue: queue.work_queue(),
            ids: JobIdSecret::new("a secret for tests").unwrap(),
            token,
            defaults: Defaults { model: "sora-2".to_owned(), seconds: "8".to_owned(), size: "1280x720".to_owned() },
            clock: clock.clock(),
        };
        Self { app, tables, queue, bucket, clock }
    }

    async fn answer(&self, request: HttpRequest) -> Answer {
        Answer::of(handle(&self.app, request.event()).await)
    }

    /// Posts a body, with an idempotency key where one is given.
    async fn post(&self, key: Option<&str>, body: &str) -> Answer {
        let request = generate(body);
        self.answer(if let Some(key) = key { request.header("idempotency-key", key) } else { request }).await
    }

    /// The job that an answer tells of.
    async fn job(&self, answer: &Answer) -> Job {
        assert_eq!(answer.status, 202, "{}", answer.body);
        let id = answer.json()["jobId"].as_str().unwrap().parse().unwrap();
        self.tables.jobs.get(&id, self.clock.now()).await.unwrap().unwrap()
    }

    async fn jobs(&self) -> usize {
        self.tables.count(Tables::JOBS).await
    }
}

fn generate(body: &str) -> HttpRequest {
    // What fetch sends when a page names no type.
    HttpRequest::post("/api/generate", "renderVersion=v3", body).header("content-type", "text/plain;charset=UTF-8")
}

#[tokio::test]
async fn a_request_is_answered_with_a_job_that_is_durable_and_called() {
    let world = World::new().await;
    let answer = world.post(None, BODY).await;
    let job = world.job(&answer).await;
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
    assert_eq!((job.status(), job.next_check_at()), (Status::Queued, Some(NOON)));
    let asked = VideoRequest {
        prompt: Some("A bell in the morning".to_owned()),
        model: "sora-2".to_owned(),
        seconds: "8".to_owned(),
        size: "1280x720".to_owned(),
        audio_key: None,
    };
    assert_eq!(*job.request(), asked);
    let look = WorkMessage::Look { job_id: job.id().clone(), due: NOON };
    assert_eq!(world.queue.sent(), [Sent { message: look, delay: Duration::ZERO }]);
    assert!(world.bucket.objects().is_empty());
}

#[tokio::test]
async fn what_a_request_names_is_what_the_provider_will_be_asked() {
    let world = World::new().await;
    let body = r#"{"scriptOrQuestion":"A bell","model":"sora-2-pro","seconds":4,"size":"720x1280","unknown":[1]}"#;
    // API Gateway encodes what it does not take for text.
    let job = world.job(&world.answer(generate(body).base64()).await).await;
    let request = job.request();
    assert_eq!([&*request.model, &*request.seconds, &*request.size], ["sora-2-pro", "4", "720x1280"]);
}

#[tokio::test]
async fn without_a_key_every_request_is_a_new_job() {
    let world = World::new().await;
    let (one, two) = (world.post(None, BODY).await, world.post(None, BODY).await);
    assert_ne!(world.job(&one).await.id(), world.job(&two).await.id());
    assert_eq!(world.jobs().await, 2);
}

#[tokio::test]
async fn requests_at_once_with_one_key_are_one_job() {
    let world = World::new().await;
    let one = || world.post(Some("k1"), BODY);
    let answers: [Answer; 6] = tokio::join!(one(), one(), one(), one(), one(), one()).into();
    let mut ids = HashSet::new();
    for answer in &answers {
        ids.insert(world.job(answer).await.id().clone());
    }
    assert_eq!((ids.len(), world.jobs().await), (1, 1));
    assert_eq!(world.queue.sent().len(), 1, "only who made the job calls its worker");
}

#[tokio::test]
async fn a_repeated_request_is_answered_with_the_job_as_it_is_now() {
    let world = World::new().await;
    let first = world.job(&world.post(Some("k1"), BODY).await).await;
    let canceled = open(first.clone()).canceled(&DEADLINES, world.clock.now());
    world.tables.jobs.replace(&canceled, NOON).await.unwrap();
    world.clock.advance(Duration::from_secs(3600));
    // Compared is what was asked, not how it was written; a default that changed since changes nothing.
    let again = world.post(Some("k1"), r#"{ "model": null, "scriptOrQuestion": "A bell in the morning" }"#).await;
    assert_eq!((again.status, &again.json()["status"]), (202, &"canceled".into()));
    assert_eq!(world.job(&again).await, canceled);
}

#[tokio::test]
async fn a_key_that_was_used_for_another_request_is_refused() {
    let world = World::new().await;
    let first = world.job(&world.post(Some("k1"), BODY).await).await;
    for other in [
        r#"{"scriptOrQuestion":"Two bells"}"#,
        r#"{"scriptOrQuestion":"A bell in the morning","model":"sora-2"}"#,
        r#"{"scriptOrQuestion":"A bell in the morning","audioBuffer":"AAEC"}"#,
    ] {
        assert_eq!(world.post(Some("k1"), other).await.error(), (422, "idempotency_key_reused".to_owned()), "{other}");
    }
    assert_eq!(world.tables.jobs.get(first.id(), NOON).await.unwrap().unwrap(), first);
    assert_eq!(
        world.job(&world.post(Some("k2"), r#"{"scriptOrQuestion":"Two bells"}"#).await).await.status(),
        Status::Queued
    );
}

#[tokio::test]
async fn a_key_is_free_again_once_its_job_is_past_its_time_to_live() {
    let world = World::new().await;
    let first = world.job(&world.post(Some("k1"), BODY).await).await;
    let canceled = open(first).canceled(&DEADLINES, NOON);
    world.tables.jobs.replace(&canceled, NOON).await.unwrap();
    world.clock.set(Millis(canceled.ttl().unwrap() * 1000));
    let second = world.job(&world.post(Some("k1"), r#"{"scriptOrQuestion":"Two bells"}"#).await).await;
    assert_eq!((second.id(), second.status()), (canceled.id(), Status::Queued));
    assert!(second.version() > canceled.version());
}

#[tokio::test]
async fn a_key_that_is_none_is_refused() {
    let world = World::new().await;
    for key in ["", &"x".repeat(256), "é"] {
        assert_eq!(world.post(Some(key), BODY).await.error(), (400, "invalid_idempotency_key".to_owned()), "{key}");
    }
    assert_eq!(world.post(Some(&"x".repeat(255)), BODY).await.status, 202);
}

#[tokio::test]
async fn narration_lies_in_the_bucket_and_not_on_the_row() {
    let world = World::new().await;
    let body = r#"{"scriptOrQuestion":"A bell","audioBuffer":"data:audio/mpeg;base64,AAEC"}"#;
    let job = world.job(&world.post(None, body).await).await;
    let key = job.request().audio_key.as_deref().unwrap();
    assert!(key.starts_with(&format!("audio/{}/", job.id())), "{key}");
    let objects = world.bucket.objects();
    assert_eq!((&*objects[key].bytes, objects[key].media_type.as_str()), (&[0, 1, 2][..], "audio/mpeg"));
    assert_eq!(objects.len(), 1);
}

#[tokio::test]
async fn a_refused_repetition_leaves_the_first_narration_as_it_is() {
    let world = World::new().await;
    let with_audio = |audio: &str| format!(r#"{{"scriptOrQuestion":"A bell","audioBuffer":"{audio}"}}"#);
    let job = world.job(&world.post(Some("k1"), &with_audio("AAEC")).await).await;
    assert_eq!(world.post(Some("k1"), &with_audio("AwQF")).await.status, 422);
    let key = job.request().audio_key.as_deref().unwrap();
    assert_eq!(&*world.bucket.objects()[key].bytes, &[0, 1, 2]);
}

#[tokio::test]
async fn a_bucket_that_is_down_makes_no_job() {
    let world = World::new().await;
    world.bucket.refuse("PutObject", 100);
    let answer = world.post(None, r#"{"scriptOrQuestion":"A bell","audioBuffer":"AAEC"}"#).await;
    assert_eq!(answer.error(), (503, "unavailable".to_owned()));
    assert_eq!(world.jobs().await, 0);
}

#[tokio::test]
async fn a_queue_that_is_down_delays_the_job_and_loses_nothing() {
    let world = World::new().await;
    world.queue.break_down();
    let job = world.job(&world.post(None, BODY).await).await;
    let overdue = world.tables.jobs.overdue(Millis(NOON.0 + 1), 10).await.unwrap();
    assert_eq!((overdue.len(), &overdue[0].job_id), (1, job.id()), "reconcile finds it");
}

#[tokio::test]
async fn a_table_that_is_down_is_503_and_calls_nobody() {
    let world = World::new().await;
    world.tables.drop_table(Tables::JOBS).await;
    assert_eq!(world.post(Some("k1"), BODY).await.error(), (503, "unavailable".to_owned()));
    assert!(world.queue.sent().is_empty());
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said_and_makes_no_job() {
    let world = World::new().await;
    let too_long = format!(r#"{{"scriptOrQuestion":"{}"}}"#, "é".repeat(32_001));
    for (body, status, code) in [
        ("", 400, "invalid_body"),
        ("hello", 400, "invalid_body"),
        ("[]", 400, "invalid_body"),
        ("{}", 400, "invalid_script"),
        (r#"{"scriptOrQuestion":7}"#, 400, "invalid_script"),
        (r#"{"scriptOrQuestion":" \n "}"#, 400, "invalid_script"),
        (&too_long, 400, "script_too_long"),
        (r#"{"scriptOrQuestion":"A bell","audioBuffer":{}}"#, 400, "invalid_audio"),
        (r#"{"scriptOrQuestion":"A bell","model":""}"#, 400, "invalid_option"),
        (&" ".repeat(5_500_001), 413, "body_too_large"),
    ] {
        let what = body.get(..body.len().min(60));
        assert_eq!(world.post(None, body).await.error(), (status, code.to_owned()), "{what:?}");
    }
    let audio = format!(r#"{{"scriptOrQuestion":"A bell","audioBuffer":"{}"}}"#, "A".repeat(5_400_000));
    let answer = world.post(None, &audio).await;
    assert_eq!(answer.error(), (413, "audio_too_large".to_owned()));
    assert!(answer.body.contains("4 MB"), "the limit is named: {}", answer.body);

    for query in ["", "renderVersion=v2", "renderversion=v3"] {
        let answer = world.answer(HttpRequest::post("/api/generate", query, BODY)).await;
        assert_eq!(answer.error(), (400, "unsupported_render_version".to_owned()), "{query}");
    }
    assert_eq!(world.jobs().await, 0);
    assert!(world.bucket.objects().is_empty());
}

#[tokio::test]
async fn only_who_has_the_access_token_may_ask_for_a_video() {
    let world = World::guarded_by(BearerToken::required("s3cret".to_owned())).await;
    assert_eq!(world.post(None, BODY).await.error(), (401, "unauthorized".to_owned()));
    let wrong = generate(BODY).header("authorization", "Bearer s3cre");
    assert_eq!(world.answer(wrong).await.error(), (401, "unauthorized".to_owned()));
    assert_eq!(world.jobs().await, 0);
    assert_eq!(world.answer(generate(BODY).header("authorization", "Bearer s3cret")).await.status, 202);
}
