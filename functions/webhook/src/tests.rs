//! Deliveries as API Gateway hands them over, against a DynamoDB of the test's own.

use clipbell_aws::StoredEvent;
use clipbell_test_support::{Answer, HandClock, NOON, Queue, Tables, WEBHOOK_SECRET, event::HttpRequest, sign};

use super::*;

const BODY: &str = r#"{"id":"evt_1","object":"event","type":"video.completed","data":{"id":"video_1"}}"#;
const INVALID_SIGNATURE: &str = r#"{"code":"invalid_signature","error":"The signature of this webhook is not valid."}"#;

struct World {
    app: App,
    tables: Tables,
    queue: Queue,
}

impl World {
    async fn new() -> Self {
        let (tables, queue, clock) = (Tables::start().await, Queue::start().await, HandClock::at_noon());
        let app = App {
            events: tables.events.clone(),
            queue: queue.work_queue(),
            secret: Secret::given(WEBHOOK_SECRET),
            clock: clock.clock(),
        };
        Self { app, tables, queue }
    }

    async fn deliver(&self, request: HttpRequest) -> Answer {
        Answer::of(handle(&self.app, request.event()).await)
    }

    async fn stored(&self) -> Vec<StoredEvent> {
        self.tables.events.latest(100, NOON).await.unwrap()
    }
}

/// What the provider sends.
fn delivery(id: &str, body: &[u8]) -> HttpRequest {
    signed(id, NOON.unix_seconds(), body)
}

fn signed(id: &str, timestamp: i64, body: &[u8]) -> HttpRequest {
    unsigned(body)
        .header("webhook-id", id)
        .header("webhook-timestamp", &timestamp.to_string())
        .header("webhook-signature", &sign(id, timestamp, body))
}

fn unsigned(body: &[u8]) -> HttpRequest {
    HttpRequest::post("/api/webhook/video-events", "", body).header("content-type", "application/json")
}

fn call(webhook_id: &str) -> WorkMessage {
    WorkMessage::Webhook { webhook_id: webhook_id.to_owned(), video_id: "video_1".to_owned() }
}

#[tokio::test]
async fn a_signed_event_is_stored_its_worker_called_and_the_answer_exactly_200() {
    let world = World::new().await;
    let answer = world.deliver(delivery("wh_1", BODY.as_bytes())).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"received":true}"#));
    let stored = world.stored().await;
    assert_eq!(stored.len(), 1);
    assert_eq!((stored[0].webhook_id.as_str(), stored[0].event_id.as_str()), ("wh_1", "evt_1"));
    assert_eq!((stored[0].outcome, stored[0].deliveries), (Outcome::Received, 1));
    let sent = world.queue.sent();
    assert_eq!(sent.len(), 1);
    assert_eq!((&sent[0].message, sent[0].delay), (&call("wh_1"), Duration::ZERO));
}

#[tokio::test]
async fn a_body_that_api_gateway_has_encoded_is_verified_as_it_was_sent() {
    let world = World::new().await;
    // Line breaks and non-ASCII must come through untouched.
    let body = "{\r\n \"id\":\"evt_é\",\"type\":\"video.failed\",\"data\":{\"id\":\"video_1\"}}";
    let answer = world.deliver(delivery("wh_1", body.as_bytes()).base64()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(world.stored().await[0].event_id, "evt_é");
}

#[tokio::test]
async fn a_duplicate_is_counted_and_calls_the_worker_only_while_nobody_has_looked() {
    let world = World::new().await;
    for _ in 0..2 {
        assert_eq!(world.deliver(delivery("wh_1", BODY.as_bytes())).await.status, 200);
    }
    // The first call may have been lost.
    assert_eq!(world.queue.messages(), [call("wh_1"), call("wh_1")]);
    world.tables.events.record_outcome("wh_1", Outcome::Applied, None, NOON).await.unwrap();
    assert_eq!(world.deliver(delivery("wh_1", BODY.as_bytes())).await.status, 200);
    assert_eq!(world.queue.messages().len(), 2);
    let stored = world.stored().await;
    assert_eq!((stored.len(), stored[0].deliveries, stored[0].outcome), (1, 3, Outcome::Applied));
}

#[tokio::test]
async fn five_deliveries_at_once_are_one_event() {
    let world = World::new().await;
    let one = || world.deliver(delivery("wh_1", BODY.as_bytes()));
    let answers: [Answer; 5] = tokio::join!(one(), one(), one(), one(), one()).into();
    assert_eq!(answers.map(|answer| answer.status), [200; 5]);
    let stored = world.stored().await;
    assert_eq!((stored.len(), stored[0].deliveries), (1, 5));
}

#[tokio::test]
async fn every_bad_signature_gets_one_and_the_same_answer_and_leaves_no_trace() {
    let world = World::new().await;
    let (body, now) = (BODY.as_bytes(), NOON.unix_seconds());
    let good = delivery("wh_1", body);
    let cases = [
        ("no headers", unsigned(body)),
        ("another body", delivery("wh_1", b"{}").header("webhook-id", "wh_2")),
        ("another id", good.clone().header("webhook-id", "wh_2")),
        ("another time", good.clone().header("webhook-timestamp", &(now + 1).to_string())),
        ("no signature", good.clone().header("webhook-signature", "")),
        ("half a signature", good.clone().header("webhook-signature", "v1,")),
        ("nonsense", good.clone().header("webhook-signature", "v1,not base64 at all")),
        ("no number", good.clone().header("webhook-timestamp", "soon")),
        ("stale", signed("wh_1", now - 301, body)),
        ("future", signed("wh_1", now + 301, body)),
        ("an id that is too long", delivery(&"x".repeat(257), body)),
    ];
    for (what, request) in cases {
        let answer = world.deliver(request).await;
        assert_eq!((answer.status, answer.body.as_str()), (400, INVALID_SIGNATURE), "{what}");
    }
    assert!(world.stored().await.is_empty());
    assert!(world.queue.sent().is_empty());
}

#[tokio::test]
async fn five_minutes_early_or_late_is_still_in_time() {
    let world = World::new().await;
    for timestamp in [NOON.unix_seconds() - 300, NOON.unix_seconds() + 300] {
        assert_eq!(world.deliver(signed("wh_1", timestamp, BODY.as_bytes())).await.status, 200, "{timestamp}");
    }
}

#[tokio::test]
async fn what_is_signed_but_no_event_is_refused_and_not_stored() {
    let world = World::new().await;
    for body in [&b"hello"[..], b"[]", br#"{"id":"evt_1","type":"video.completed"}"#, b"\xff\xfe", b"\"\xc3\x28\""] {
        let answer = world.deliver(delivery("wh_1", body).base64()).await;
        assert_eq!(answer.error(), (400, "invalid_event".to_owned()), "{body:?}");
    }
    assert!(world.stored().await.is_empty());
}

#[tokio::test]
async fn an_event_of_another_type_is_stored_and_calls_nobody() {
    let world = World::new().await;
    let body = br#"{"id":"evt_1","type":"response.completed","data":{"id":"resp_1"}}"#;
    assert_eq!(world.deliver(delivery("wh_1", body)).await.status, 200);
    assert_eq!(world.stored().await[0].outcome, Outcome::Ignored);
    assert!(world.queue.sent().is_empty());
}

#[tokio::test]
async fn a_body_over_256_kb_is_refused_before_anything_else() {
    let world = World::new().await;
    let mut body = format!(r#"{{"id":"evt_1","type":"ping","data":"{}"}}"#, "x".repeat(300 * 1024)).into_bytes();
    assert_eq!(world.deliver(unsigned(&body)).await.error(), (413, "body_too_large".to_owned()));
    body.truncate(256 * 1024 + 1);
    assert_eq!(world.deliver(delivery("wh_1", &body)).await.status, 413);
    body.truncate(256 * 1024);
    assert_eq!(world.deliver(delivery("wh_1", &body)).await.error(), (400, "invalid_event".to_owned()));
}

#[tokio::test]
async fn an_event_that_can_t_be_stored_is_503_so_that_the_provider_tries_again() {
    let world = World::new().await;
    world.tables.drop_table(Tables::WEBHOOK_EVENTS).await;
    let answer = world.deliver(delivery("wh_1", BODY.as_bytes())).await;
    assert_eq!(answer.error(), (503, "unavailable".to_owned()));
    assert!(world.queue.sent().is_empty());
}

#[tokio::test]
async fn an_event_whose_worker_can_t_be_called_waits_in_the_audit_trail() {
    let world = World::new().await;
    world.queue.break_down();
    let answer = world.deliver(delivery("wh_1", BODY.as_bytes())).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"received":true}"#));
    let waiting = world.tables.events.unprocessed(NOON.plus(Duration::from_secs(1)), 10).await.unwrap();
    assert_eq!(waiting.len(), 1);
}
