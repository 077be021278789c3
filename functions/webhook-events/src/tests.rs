//! Requests as API Gateway sends them, against a DynamoDB of the test's own.

use clipbell_job::{JobId, Millis};
use clipbell_test_support::{Answer, HandClock, NOON, Tables, event::HttpRequest};

use super::*;

const TOKEN: &str = "operators-only-0123";

struct World {
    app: App,
    tables: Tables,
}

impl World {
    async fn new() -> Self {
        let (tables, clock) = (Tables::start().await, HandClock::at_noon());
        let token = BearerToken::required(TOKEN.to_owned());
        Self { app: App { events: tables.events.clone(), token, clock: clock.clock() }, tables }
    }

    async fn delivered(&self, id: &str, now: Millis) {
        let body =
            format!(r#"{{"id":"evt_{id}","type":"video.completed","data":{{"id":"video_1"}},"secret":"prompt"}}"#);
        self.tables.deliver(id, &body, now).await.unwrap();
    }

    async fn ask(&self, query: &str, authorization: Option<&str>) -> Answer {
        let mut request = HttpRequest::get("/api/webhook/events", query);
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        Answer::of(handle(&self.app, request.event()).await)
    }

    async fn list(&self, query: &str) -> Vec<serde_json::Value> {
        let answer = self.ask(query, Some(&format!("Bearer {TOKEN}"))).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()["events"].as_array().unwrap().clone()
    }
}

#[tokio::test]
async fn an_operator_sees_what_became_of_each_delivery_and_no_body() {
    let world = World::new().await;
    let job = JobId::random();
    world.delivered("wh_1", NOON).await;
    world.delivered("wh_1", Millis(NOON.0 + 1000)).await;
    world.tables.events.record_outcome("wh_1", Outcome::Applied, Some(&job), Millis(NOON.0 + 2000)).await.unwrap();
    let expected = serde_json::json!({
        "webhookId": "wh_1",
        "eventId": "evt_wh_1",
        "type": "video.completed",
        "videoId": "video_1",
        "jobId": job,
        "outcome": "applied",
        "deliveries": 2,
        "receivedAt": "2026-11-24T12:00:00.000Z",
        "lastReceivedAt": "2026-11-24T12:00:01.000Z",
        "processedAt": "2026-11-24T12:00:02.000Z",
    });
    assert_eq!(world.list("").await, [expected]);
}

#[tokio::test]
async fn the_newest_come_first_and_no_more_than_were_asked_for() {
    let world = World::new().await;
    for number in 0..105 {
        world.delivered(&format!("wh_{number}"), Millis(NOON.0 - 1000 * number)).await;
    }
    let ids = async |query| {
        let events = world.list(query).await.into_iter();
        events.map(|event| event["webhookId"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let newest: Vec<String> = (0..100).map(|number| format!("wh_{number}")).collect();
    assert_eq!(ids("").await, newest);
    assert_eq!(ids("limit=100").await, newest);
    assert_eq!(ids("limit=2").await, newest[..2]);
}

#[tokio::test]
async fn only_who_has_the_operators_token_is_let_in() {
    let world = World::new().await;
    world.delivered("wh_1", NOON).await;
    for authorization in [None, Some(""), Some("Bearer"), Some("Bearer wrong"), Some(TOKEN)] {
        let answer = world.ask("", authorization).await;
        assert_eq!(answer.error(), (401, "unauthorized".to_owned()), "{authorization:?}");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
    }
}

#[tokio::test]
async fn an_impossible_limit_is_refused() {
    let world = World::new().await;
    for limit in ["0", "101", "-1", "many", "", "1.5", "99999999999999999999"] {
        let answer = world.ask(&format!("limit={limit}"), Some(&format!("Bearer {TOKEN}"))).await;
        assert_eq!(answer.error(), (400, "invalid_limit".to_owned()), "{limit}");
    }
}

#[tokio::test]
async fn a_table_that_can_t_be_read_is_503() {
    let world = World::new().await;
    world.tables.drop_table(Tables::WEBHOOK_EVENTS).await;
    let answer = world.ask("", Some(&format!("Bearer {TOKEN}"))).await;
    assert_eq!(answer.error(), (503, "unavailable".to_owned()));
}
