//! Messages as API Gateway hands them over, against a DynamoDB of the test's own and browsers that keep what they hear.

use clipbell_job::Job;
use clipbell_test_support::{Browsers, HandClock, NOON, Reaction, Tables, event, sample};

use super::*;

struct World {
    app: App,
    tables: Tables,
    browsers: Browsers,
}

impl World {
    async fn new() -> Self {
        let (tables, browsers) = (Tables::start().await, Browsers::start().await);
        let app = App {
            connections: tables.connections.clone(),
            jobs: tables.jobs.clone(),
            push: browsers.push(),
            clock: HandClock::at_noon().clock(),
        };
        Self { app, tables, browsers }
    }

    async fn has(&self, job: Job) -> Job {
        self.tables.jobs.create(&job, NOON).await.unwrap();
        job
    }

    /// What `c1` hears when it says this.
    async fn say(&self, text: &str) -> Value {
        let answer = handle(&self.app, event::web_socket("$default", "c1", Some(text))).await.unwrap();
        assert_eq!(answer, json!({"statusCode": 200}));
        self.browsers.messages("c1").pop().unwrap()
    }

    async fn subscriptions(&self) -> usize {
        self.tables.count(Tables::CONNECTIONS).await
    }
}

fn action(action: &str, job_id: &JobId) -> String {
    json!({"action": action, "jobId": job_id}).to_string()
}

#[tokio::test]
async fn subscribing_is_answered_with_the_job_s_present_state() {
    let world = World::new().await;
    let job = world.has(sample::rendering("video_1", NOON)).await;
    let expected = json!({
        "type": "subscribed",
        "jobId": job.id(),
        "status": "queued",
        "progress": 0,
        "message": "Queued at the provider",
        "version": NOON.0 + 1,
        "createdAt": "2026-11-24T12:00:00.000Z",
        "updatedAt": "2026-11-24T12:00:00.000Z",
        "timestamp": "2026-11-24T12:00:00.000Z",
    });
    // Again is the same as once.
    for _ in 0..2 {
        assert_eq!(world.say(&action("subscribe", job.id())).await, expected);
        assert_eq!(world.subscriptions().await, 1);
    }
}

#[tokio::test]
async fn a_job_that_finished_before_is_told_at_once() {
    let world = World::new().await;
    let job = world.has(sample::completed(NOON)).await;
    let heard = world.say(&action("subscribe", job.id())).await;
    assert_eq!((&heard["type"], &heard["status"]), (&"subscribed".into(), &"completed".into()));
    assert!(heard["downloadUrl"].as_str().unwrap().starts_with("/api/download?"), "{heard}");
}

#[tokio::test]
async fn subscribing_to_a_job_that_is_not_there_says_so_and_leaves_nothing() {
    let world = World::new().await;
    let id = JobId::random();
    let heard = world.say(&action("subscribe", &id)).await;
    assert_eq!((&heard["type"], &heard["code"]), (&"error".into(), &"job_not_found".into()));
    assert_eq!(heard["jobId"], json!(id));
    assert_eq!(world.subscriptions().await, 0);
}

#[tokio::test]
async fn who_unsubscribes_is_told_and_forgotten() {
    let world = World::new().await;
    let job = world.has(sample::new_job(NOON)).await;
    world.say(&action("subscribe", job.id())).await;
    for _ in 0..2 {
        let heard = world.say(&action("unsubscribe", job.id())).await;
        let expected = json!({"type": "unsubscribed", "jobId": job.id(), "timestamp": "2026-11-24T12:00:00.000Z"});
        assert_eq!(heard, expected);
        assert_eq!(world.subscriptions().await, 0);
    }
}

#[tokio::test]
async fn a_ping_is_answered() {
    let world = World::new().await;
    let expected = json!({"type": "pong", "timestamp": "2026-11-24T12:00:00.000Z"});
    assert_eq!(world.say(r#"{"action":"ping"}"#).await, expected);
}

#[tokio::test]
async fn a_message_that_can_t_be_followed_is_answered_with_what_is_wrong() {
    let world = World::new().await;
    for (text, code) in [
        ("hello", "invalid_message"),
        ("[]", "invalid_message"),
        ("{}", "missing_action"),
        (r#"{"action":"dance"}"#, "unknown_action"),
        (r#"{"action":"subscribe"}"#, "missing_job_id"),
        (r#"{"action":"subscribe","jobId":"job_1"}"#, "invalid_job_id"),
        (r#"{"action":"unsubscribe","jobId":7}"#, "missing_job_id"),
    ] {
        let heard = world.say(text).await;
        assert_eq!((&heard["type"], &heard["code"]), (&"error".into(), &code.into()), "{text}");
        assert!(heard["error"].as_str().unwrap().ends_with('.'), "{heard}");
    }
    assert_eq!(world.subscriptions().await, 0);
}

#[tokio::test]
async fn who_has_left_before_the_answer_is_no_failure() {
    let world = World::new().await;
    let job = world.has(sample::new_job(NOON)).await;
    world.browsers.react("c1", &[Reaction::Gone]);
    let message = action("subscribe", job.id());
    assert!(handle(&world.app, event::web_socket("$default", "c1", Some(&message))).await.is_ok());
}

#[tokio::test]
async fn an_answer_that_is_throttled_is_tried_again() {
    let world = World::new().await;
    world.browsers.react("c1", &[Reaction::Throttled, Reaction::Broken, Reaction::Takes]);
    assert_eq!(world.say(r#"{"action":"ping"}"#).await["type"], "pong");
}

#[tokio::test]
async fn a_table_that_can_t_be_reached_is_an_error_of_ours() {
    let world = World::new().await;
    let job = world.has(sample::new_job(NOON)).await;
    world.tables.drop_table(Tables::CONNECTIONS).await;
    let message = action("subscribe", job.id());
    assert!(handle(&world.app, event::web_socket("$default", "c1", Some(&message))).await.is_err());
    assert!(world.browsers.calls().all().is_empty());
}
