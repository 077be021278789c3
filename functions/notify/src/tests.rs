//! Batches of the stream as Lambda hands them over, against a DynamoDB of the test's own and browsers that keep what they
//! hear.

use clipbell_job::Millis;
use clipbell_test_support::{
    Browsers, HandClock, NOON, Reaction, Tables, event,
    sample::{self, DEADLINES, open},
};
use serde_json::{Value, json};

use super::*;

struct World {
    app: App,
    tables: Tables,
    browsers: Browsers,
}

impl World {
    async fn new() -> Self {
        let (tables, browsers) = (Tables::start().await, Browsers::start().await);
        let app =
            App { connections: tables.connections.clone(), push: browsers.push(), clock: HandClock::at_noon().clock() };
        Self { app, tables, browsers }
    }

    async fn watches(&self, connection: &str, job: &Job) {
        self.tables.connections.subscribe(job.id(), connection, NOON).await.unwrap();
    }

    /// Hands over a batch; gives the sequence numbers that failed.
    async fn tell(&self, records: &[Value]) -> Vec<String> {
        let answer = handle(&self.app, event::stream(records)).await;
        answer.batch_item_failures.into_iter().map(|failure| failure.item_identifier.unwrap()).collect()
    }

    async fn watchers(&self, job: &Job) -> Vec<String> {
        self.app.connections.subscribers(job.id()).next_page().await.unwrap().unwrap()
    }
}

fn later(seconds: i64) -> Millis {
    Millis(NOON.0 + seconds * 1000)
}

/// A job, and itself at 40 percent.
fn moving() -> (Job, Job) {
    let before = sample::rendering("video_1", NOON);
    let after = open(before.clone()).rendering(true, 40, later(10), later(5));
    (before, after)
}

#[tokio::test]
async fn everybody_who_watches_is_told_what_has_changed() {
    let world = World::new().await;
    let (before, after) = moving();
    for connection in ["c1", "c2"] {
        world.watches(connection, &before).await;
    }
    world.watches("c3", &sample::new_job(NOON)).await;
    assert!(world.tell(&[event::change(1, &before, &after)]).await.is_empty());
    let expected = json!({
        "type": "progress",
        "jobId": after.id(),
        "status": "in_progress",
        "progress": 40,
        "message": "Rendering",
        "version": after.version(),
        "createdAt": "2026-11-24T12:00:00.000Z",
        "updatedAt": "2026-11-24T12:00:05.000Z",
        "timestamp": "2026-11-24T12:00:00.000Z",
    });
    for connection in ["c1", "c2"] {
        assert_eq!(world.browsers.messages(connection), std::slice::from_ref(&expected));
    }
    assert_eq!(world.browsers.calls().all().len(), 2);
}

#[tokio::test]
async fn of_several_versions_in_one_batch_only_the_newest_is_told() {
    let world = World::new().await;
    let (queued, at_40) = moving();
    let at_60 = open(at_40.clone()).rendering(true, 60, later(15), later(10));
    let canceled = open(at_60.clone()).canceled(&DEADLINES, later(12));
    let (other_before, other_after) = moving();
    world.watches("c1", &queued).await;
    world.watches("c2", &other_before).await;
    let failed = world
        .tell(&[
            event::change(1, &queued, &at_40),
            event::change(2, &other_before, &other_after),
            event::change(3, &at_40, &at_60),
            event::change(4, &at_60, &canceled),
        ])
        .await;
    assert!(failed.is_empty());
    let told = world.browsers.messages("c1");
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((&told[0]["status"], &told[0]["version"]), (&"canceled".into(), &canceled.version().into()));
    assert_eq!(world.browsers.messages("c2")[0]["progress"], 40);
}

#[tokio::test]
async fn a_change_that_nobody_outside_sees_is_not_told() {
    let world = World::new().await;
    let job = sample::rendering("video_1", NOON);
    world.watches("c1", &job).await;
    let same = open(job.clone()).look_failed(later(10), later(5));
    assert!(world.tell(&[event::change(1, &job, &same)]).await.is_empty());
    assert!(world.browsers.calls().all().is_empty());
}

#[tokio::test]
async fn rows_that_come_or_go_and_rows_that_are_no_jobs_are_not_told() {
    let world = World::new().await;
    let (before, after) = moving();
    world.watches("c1", &before).await;
    let owner = |ttl| event::image(&json!({"jobId": "video#video_1", "ownedBy": before.id(), "ttl": ttl}));
    let failed = world
        .tell(&[
            event::stream_record("INSERT", 1, None, Some(&event::image(&before))),
            event::stream_record("REMOVE", 2, Some(&event::image(&after)), None),
            event::stream_record("MODIFY", 3, Some(&owner(1)), Some(&owner(2))),
        ])
        .await;
    assert!(failed.is_empty());
    assert!(world.browsers.calls().all().is_empty());
}

#[tokio::test]
async fn who_is_gone_is_forgotten_and_the_others_are_told() {
    let world = World::new().await;
    let (before, after) = moving();
    for connection in ["gone", "c1"] {
        world.watches(connection, &before).await;
    }
    world.browsers.react("gone", &[Reaction::Gone]);
    assert!(world.tell(&[event::change(1, &before, &after)]).await.is_empty());
    assert_eq!(world.browsers.messages("c1").len(), 1);
    assert_eq!(world.watchers(&before).await, ["c1"]);
    assert!(world.browsers.closed().is_empty());
}

#[tokio::test]
async fn a_post_that_is_throttled_or_fails_is_tried_again() {
    let world = World::new().await;
    let (before, after) = moving();
    world.watches("c1", &before).await;
    world.browsers.react("c1", &[Reaction::Throttled, Reaction::Broken, Reaction::Takes]);
    assert!(world.tell(&[event::change(1, &before, &after)]).await.is_empty());
    assert_eq!(world.browsers.messages("c1").len(), 1);
    assert!(world.browsers.closed().is_empty());
}

#[tokio::test]
async fn who_can_t_be_reached_after_the_last_try_is_closed_so_that_he_comes_back() {
    let world = World::new().await;
    let (before, after) = moving();
    for (connection, reaction) in [("throttled", Reaction::Throttled), ("broken", Reaction::Broken)] {
        world.watches(connection, &before).await;
        world.browsers.react(connection, &[reaction]);
    }
    world.watches("c1", &before).await;
    // Telling it again would help nobody: the record is done.
    assert!(world.tell(&[event::change(1, &before, &after)]).await.is_empty());
    let mut closed = world.browsers.closed();
    closed.sort();
    assert_eq!(closed, ["broken", "throttled"]);
    let posts = world.browsers.calls().all();
    let tries = posts.iter().filter(|call| call.connection == "broken" && call.message.is_some()).count();
    assert_eq!(tries, 3);
    assert_eq!(world.browsers.messages("c1").len(), 1);
}

#[tokio::test]
async fn a_connection_that_hangs_keeps_nobody_waiting_and_is_closed_in_the_end() {
    let world = World::new().await;
    let (before, after) = moving();
    let others: Vec<String> = (0..100).map(|number| format!("c{number}")).collect();
    for connection in others.iter().map(String::as_str).chain(["a hanging one"]) {
        world.watches(connection, &before).await;
    }
    world.browsers.react("a hanging one", &[Reaction::Hangs]);
    let records = [event::change(1, &before, &after)];
    let telling = world.tell(&records);
    tokio::pin!(telling);
    let all_others_told = world.browsers.calls().until(|calls| {
        calls.iter().filter(|call| call.message.is_some() && call.reaction == Reaction::Takes).count() == others.len()
    });
    tokio::select! {
        _ = all_others_told => {}
        _ = &mut telling => panic!("the hanging one was given up before the others were told"),
    }
    assert!(world.browsers.closed().is_empty());
    assert!(telling.await.is_empty());
    assert_eq!(world.browsers.closed(), ["a hanging one"]);
}

#[tokio::test]
async fn an_end_comes_back_while_somebody_knows_nothing_of_it_and_can_t_be_closed_either() {
    let world = World::new().await;
    let done = sample::completed(NOON);
    let before = open(sample::rendering("video_1", NOON)).look_failed(later(1), NOON);
    world.watches("c1", &done).await;
    world.browsers.react("c1", &[Reaction::Broken]);
    world.browsers.cannot_close("c1");
    assert_eq!(world.tell(&[event::change(1, &before, &done)]).await, ["1"]);
    // Progress is told with the next change.
    let (before, after) = moving();
    world.watches("c1", &before).await;
    assert!(world.tell(&[event::change(2, &before, &after)]).await.is_empty());
}

#[tokio::test]
async fn a_connection_that_hangs_keeps_no_other_job_waiting() {
    let world = World::new().await;
    let (mut records, mut waiting) = (Vec::new(), 0);
    for number in 1..=4 {
        let (before, after) = moving();
        records.push(event::change(number, &before, &after));
        let connection = format!("c{number}");
        world.watches(&connection, &before).await;
        if number % 2 == 0 {
            world.browsers.react(&connection, &[Reaction::Hangs]);
        } else {
            waiting += 1;
        }
    }
    let telling = world.tell(&records);
    tokio::pin!(telling);
    let others_told = world
        .browsers
        .calls()
        .until(|calls| calls.iter().filter(|call| call.reaction == Reaction::Takes).count() == waiting);
    tokio::select! {
        _ = others_told => {}
        _ = &mut telling => panic!("a hanging one was given up before the others were told"),
    }
    telling.await;
}

#[tokio::test]
async fn a_job_whose_subscribers_can_t_be_read_comes_back_and_others_do_not() {
    let world = World::new().await;
    let (before, after) = moving();
    world.tables.drop_table(Tables::CONNECTIONS).await;
    let silent = sample::rendering("video_2", NOON);
    let unchanged = open(silent.clone()).look_failed(later(10), later(5));
    let newest = open(after.clone()).rendering(true, 60, later(15), later(10));
    let failed = world
        .tell(&[
            event::change(7, &before, &after),
            event::change(8, &silent, &unchanged),
            event::change(9, &after, &newest),
        ])
        .await;
    assert_eq!(failed, ["9"]);
}

#[tokio::test]
async fn a_batch_that_is_repeated_tells_the_same_version_again() {
    let world = World::new().await;
    let (before, after) = moving();
    world.watches("c1", &before).await;
    for _ in 0..2 {
        assert!(world.tell(&[event::change(1, &before, &after)]).await.is_empty());
    }
    let told = world.browsers.messages("c1");
    assert_eq!(told[0], told[1]);
}
