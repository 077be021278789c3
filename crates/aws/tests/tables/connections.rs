use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use clipbell_job::{JobId, Millis};
use clipbell_test_support::{NOON, Tables};

/// All subscribers of a job, and over how many pages they came.
async fn subscribers(tables: &Tables, job: &JobId) -> (BTreeSet<String>, usize) {
    let mut subscribers = tables.connections.subscribers(job);
    let (mut all, mut count, mut pages) = (BTreeSet::new(), 0, 0);
    while let Some(page) = subscribers.next_page().await.unwrap() {
        count += page.len();
        all.extend(page);
        pages += 1;
        assert!(pages <= 10, "the pages have no end");
    }
    assert_eq!(all.len(), count, "somebody is told twice");
    (all, pages)
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn subscribing_twice_is_once() {
    let tables = Tables::start().await;
    let job = JobId::random();
    for now in [NOON, Millis(NOON.0 + 1000)] {
        tables.connections.subscribe(&job, "c1", now).await.unwrap();
    }
    assert_eq!(subscribers(&tables, &job).await.0, set(&["c1"]));
    assert_eq!(tables.count(Tables::CONNECTIONS).await, 1);
}

#[tokio::test]
async fn a_job_s_subscribers_are_its_own_until_they_leave() {
    let tables = Tables::start().await;
    let (job, other) = (JobId::random(), JobId::random());
    for connection in ["c1", "c2"] {
        tables.connections.connect(connection, NOON).await.unwrap();
        tables.connections.subscribe(&job, connection, NOON).await.unwrap();
    }
    tables.connections.subscribe(&other, "c3", NOON).await.unwrap();
    assert_eq!(subscribers(&tables, &job).await.0, set(&["c1", "c2"]));
    tables.connections.unsubscribe(&job, "c1").await.unwrap();
    tables.connections.unsubscribe(&job, "never was there").await.unwrap();
    assert_eq!(subscribers(&tables, &job).await.0, set(&["c2"]));
    assert_eq!(subscribers(&tables, &other).await.0, set(&["c3"]));
}

#[tokio::test]
async fn subscribers_of_more_than_one_page_are_all_there() {
    let tables = Tables::start().await;
    let job = JobId::random();
    let names: Vec<String> = (0..5).map(|number| format!("c{number}")).collect();
    for name in &names {
        tables.connections.subscribe(&job, name, NOON).await.unwrap();
        // A page holds 1 MB: rows this large make two pages of five.
        tables
            .client
            .update_item()
            .table_name(Tables::CONNECTIONS)
            .key("jobId", AttributeValue::S(job.to_string()))
            .key("connectionId", AttributeValue::S(name.clone()))
            .update_expression("SET padding = :padding")
            .expression_attribute_values(":padding", AttributeValue::S("x".repeat(300_000)))
            .send()
            .await
            .unwrap();
    }
    let (found, pages) = subscribers(&tables, &job).await;
    assert_eq!(found, names.into_iter().collect());
    assert!(pages > 1, "the test needs more than one page");
}

#[tokio::test]
async fn who_disconnects_is_forgotten_with_all_subscriptions_and_nobody_else_is() {
    let tables = Tables::start().await;
    // One more than fits into one BatchWriteItem, the connection itself among them, and some.
    let jobs: Vec<JobId> = (0..30).map(|_| JobId::random()).collect();
    for connection in ["c1", "c2"] {
        tables.connections.connect(connection, NOON).await.unwrap();
    }
    for job in &jobs {
        tables.connections.subscribe(job, "c1", NOON).await.unwrap();
    }
    tables.connections.subscribe(&jobs[0], "c2", NOON).await.unwrap();
    tables.connections.disconnect("c1").await.unwrap();
    for job in &jobs[1..] {
        assert_eq!(subscribers(&tables, job).await.0, set(&[]));
    }
    assert_eq!(subscribers(&tables, &jobs[0]).await.0, set(&["c2"]));
    assert_eq!(tables.count(Tables::CONNECTIONS).await, 2, "the other connection and its subscription");
}

#[tokio::test]
async fn disconnecting_again_or_without_having_connected_is_no_error() {
    let tables = Tables::start().await;
    for _ in 0..2 {
        tables.connections.disconnect("c1").await.unwrap();
    }
    assert_eq!(tables.count(Tables::CONNECTIONS).await, 0);
}

#[tokio::test]
async fn what_a_disconnect_missed_goes_by_itself_a_little_after_two_hours() {
    let tables = Tables::start().await;
    tables.connections.connect("c1", NOON).await.unwrap();
    tables.connections.subscribe(&JobId::random(), "c1", NOON).await.unwrap();
    let rows = tables.client.scan().table_name(Tables::CONNECTIONS).send().await.unwrap();
    assert_eq!(rows.items().len(), 2);
    for row in rows.items() {
        let ttl: i64 = row["ttl"].as_n().unwrap().parse().unwrap();
        let after = ttl - NOON.unix_seconds();
        assert!((2 * 3600 + 60..3 * 3600).contains(&after), "{after} s");
    }
}
