use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use clipbell_aws::{Outcome, StoredEvent};
use clipbell_job::{JobId, Millis};
use clipbell_test_support::{NOON, Tables};

const BODY: &str = r#"{"id":"evt_1","type":"video.completed","data":{"id":"video_1"}}"#;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn deliver(tables: &Tables, id: &str, body: &str, now: Millis) -> Option<Outcome> {
    tables.deliver(id, body, now).await.unwrap()
}

async fn listed(tables: &Tables, now: Millis) -> Vec<StoredEvent> {
    tables.events.latest(100, now).await.unwrap()
}

async fn row(tables: &Tables, id: &str) -> std::collections::HashMap<String, AttributeValue> {
    let key = AttributeValue::S(id.to_owned());
    let row = tables.client.get_item().table_name(Tables::WEBHOOK_EVENTS).key("webhookId", key).send().await.unwrap();
    row.item.unwrap()
}

#[tokio::test]
async fn a_first_delivery_is_stored_whole() {
    let tables = Tables::start().await;
    assert_eq!(deliver(&tables, "wh_1", BODY, NOON).await, None);
    let expected = StoredEvent {
        webhook_id: "wh_1".to_owned(),
        event_id: "evt_1".to_owned(),
        kind: "video.completed".to_owned(),
        video_id: Some("video_1".to_owned()),
        job_id: None,
        outcome: Outcome::Received,
        deliveries: 1,
        received_at: NOON,
        last_received_at: NOON,
        processed_at: None,
    };
    assert_eq!(listed(&tables, NOON).await, [expected]);
    let row = row(&tables, "wh_1").await;
    assert_eq!(row["body"], AttributeValue::S(BODY.to_owned()));
    let kept: i64 = row["ttl"].as_n().unwrap().parse::<i64>().unwrap() - NOON.unix_seconds();
    assert!(kept >= 7 * 24 * 60 * 60, "a duplicate after {kept} s would count as new");
}

#[tokio::test]
async fn a_duplicate_counts_and_changes_nothing_else() {
    let tables = Tables::start().await;
    deliver(&tables, "wh_1", BODY, NOON).await;
    let first = listed(&tables, NOON).await.remove(0);
    let tomorrow = NOON.plus(DAY);
    // Not even one that says something else: the first word stays.
    let other = r#"{"id":"evt_2","type":"video.failed","data":{"id":"video_2"}}"#;
    assert_eq!(deliver(&tables, "wh_1", other, tomorrow).await, Some(Outcome::Received));
    let expected = StoredEvent { deliveries: 2, last_received_at: tomorrow, ..first };
    assert_eq!(listed(&tables, tomorrow).await, [expected]);
    assert_eq!(row(&tables, "wh_1").await["body"], AttributeValue::S(BODY.to_owned()));
}

#[tokio::test]
async fn deliveries_in_parallel_are_counted_and_one_of_them_is_the_first() {
    let tables = Tables::start().await;
    let one = || deliver(&tables, "wh_1", BODY, NOON);
    let answers: [_; 5] = tokio::join!(one(), one(), one(), one(), one()).into();
    assert_eq!(answers.iter().filter(|before| before.is_none()).count(), 1, "{answers:?}");
    assert_eq!(listed(&tables, NOON).await[0].deliveries, 5);
}

#[tokio::test]
async fn the_first_word_on_what_became_of_an_event_stays() {
    let tables = Tables::start().await;
    deliver(&tables, "wh_1", BODY, NOON).await;
    let (job, later) = (JobId::random(), NOON.plus(DAY));
    tables.events.record_outcome("wh_1", Outcome::Applied, Some(&job), NOON).await.unwrap();
    tables.events.record_outcome("wh_1", Outcome::NoChange, None, later).await.unwrap();
    let event = listed(&tables, NOON).await.remove(0);
    assert_eq!(event.outcome, Outcome::Applied);
    assert_eq!(event.job_id.as_deref(), Some(job.as_str()));
    assert_eq!(event.processed_at, Some(NOON));
    assert_eq!(deliver(&tables, "wh_1", BODY, later).await, Some(Outcome::Applied));
}

#[tokio::test]
async fn what_became_of_an_event_that_is_not_there_makes_no_row() {
    let tables = Tables::start().await;
    tables.events.record_outcome("wh_1", Outcome::Unmatched, None, NOON).await.unwrap();
    assert_eq!(tables.count(Tables::WEBHOOK_EVENTS).await, 0);
}

#[tokio::test]
async fn the_list_is_newest_first_back_over_the_days_and_holds_no_bodies() {
    let tables = Tables::start().await;
    let days_ago = |days: u32, seconds: u64| NOON.minus(DAY * days).plus(Duration::from_secs(seconds));
    for (id, at) in [
        ("wh_old", days_ago(29, 0)),
        ("wh_forgotten", days_ago(31, 0)),
        ("wh_yesterday_1", days_ago(1, 1)),
        ("wh_yesterday_2", days_ago(1, 2)),
        ("wh_today_1", days_ago(0, 1)),
        ("wh_today_2", days_ago(0, 2)),
    ] {
        deliver(&tables, id, BODY, at).await;
    }
    let now = NOON.plus(Duration::from_secs(60));
    let ids = async |limit| {
        let events = tables.events.latest(limit, now).await.unwrap();
        events.into_iter().map(|event| event.webhook_id).collect::<Vec<_>>()
    };
    let newest_first = ["wh_today_2", "wh_today_1", "wh_yesterday_2", "wh_yesterday_1", "wh_old"];
    assert_eq!(ids(100).await, newest_first);
    assert_eq!(ids(3).await, newest_first[..3]);
    assert_eq!(ids(1).await, newest_first[..1]);
    let events = serde_json::to_string(&listed(&tables, now).await).unwrap();
    assert!(!events.contains("\"data\"") && !events.contains("body"), "{events}");
}

#[tokio::test]
async fn unprocessed_are_the_events_that_nobody_has_looked_at_for_a_while() {
    let tables = Tables::start().await;
    let at = |seconds| NOON.plus(Duration::from_secs(seconds));
    deliver(&tables, "wh_2", BODY, at(2)).await;
    deliver(&tables, "wh_1", BODY, at(1)).await;
    deliver(&tables, "wh_looked_at", BODY, at(0)).await;
    tables.events.record_outcome("wh_looked_at", Outcome::Unmatched, None, at(0)).await.unwrap();
    deliver(&tables, "wh_of_another_type", r#"{"id":"evt_9","type":"response.done"}"#, at(0)).await;
    deliver(&tables, "wh_just_now", BODY, at(60)).await;

    let unprocessed = async |before, limit| {
        let events = tables.events.unprocessed(before, limit).await.unwrap();
        events.into_iter().map(|event| (event.webhook_id, event.video_id)).collect::<Vec<_>>()
    };
    let event = |id: &str| (id.to_owned(), "video_1".to_owned());
    assert_eq!(unprocessed(at(60), 10).await, [event("wh_1"), event("wh_2")]);
    assert_eq!(unprocessed(at(60), 1).await, [event("wh_1")]);
    assert_eq!(unprocessed(at(0), 10).await, []);
    assert_eq!(unprocessed(at(61), 10).await.len(), 3);
}

#[tokio::test]
async fn a_table_that_can_t_be_reached_is_an_error() {
    let tables = Tables::start().await;
    tables.drop_table(Tables::WEBHOOK_EVENTS).await;
    assert!(tables.deliver("wh_1", BODY, NOON).await.is_err());
    assert!(tables.events.record_outcome("wh_1", Outcome::Applied, None, NOON).await.is_err());
    assert!(tables.events.latest(10, NOON).await.is_err());
    assert!(tables.events.unprocessed(NOON, 10).await.is_err());
}
