//! Against a DynamoDB of the test's own, and a queue that keeps what is sent to it.

use clipbell_aws::Outcome;
use clipbell_job::Job;
use clipbell_test_support::{HandClock, NOON, Queue, Tables, sample};

use super::*;

struct World {
    app: App,
    tables: Tables,
    queue: Queue,
    clock: HandClock,
}

impl World {
    async fn new() -> Self {
        let (tables, queue, clock) = (Tables::start().await, Queue::start().await, HandClock::at_noon());
        let app = App {
            jobs: tables.jobs.clone(),
            events: tables.events.clone(),
            queue: queue.work_queue(),
            clock: clock.clock(),
        };
        Self { app, tables, queue, clock }
    }

    async fn has(&self, job: Job) -> Job {
        self.tables.jobs.create(&job, NOON).await.unwrap();
        job
    }

    /// A round as the schedule asks for one.
    async fn round(&self) -> Report {
        let event = serde_json::json!({
            "version": "0",
            "id": "1",
            "detail-type": "Scheduled Event",
            "source": "aws.scheduler",
            "account": "123456789012",
            "time": "2026-11-24T12:00:00Z",
            "region": "eu-central-1",
            "resources": ["arn:aws:scheduler:eu-central-1:123456789012:schedule/default/reconcile"],
            "detail": "{}",
        });
        handle(&self.app, serde_json::from_value(event).unwrap()).await.unwrap()
    }
}

async fn received(tables: &Tables, id: &str) {
    let body = r#"{"id":"evt_1","type":"video.completed","data":{"id":"video_1"}}"#;
    tables.deliver(id, body, NOON).await.unwrap();
}

#[tokio::test]
async fn a_job_whose_message_was_lost_is_called_half_a_minute_late_with_its_own_due_time() {
    let world = World::new().await;
    let job = world.has(sample::new_job(NOON)).await;
    for finished in [sample::completed(NOON), sample::failed(NOON), sample::canceled(NOON)] {
        world.has(finished).await;
    }
    world.clock.advance(Duration::from_secs(30));
    assert_eq!(world.round().await, Report { jobs: 0, events: 0 });
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(world.round().await, Report { jobs: 1, events: 0 });
    assert_eq!(world.queue.messages(), [WorkMessage::Look { job_id: job.id().clone(), due: NOON }]);
}

#[tokio::test]
async fn an_event_that_nobody_has_looked_at_is_called_again() {
    let world = World::new().await;
    received(&world.tables, "wh_1").await;
    received(&world.tables, "wh_2").await;
    world.tables.events.record_outcome("wh_2", Outcome::Unmatched, None, NOON).await.unwrap();
    assert_eq!(world.round().await, Report { jobs: 0, events: 0 });
    world.clock.advance(Duration::from_secs(31));
    assert_eq!(world.round().await, Report { jobs: 0, events: 1 });
    let call = WorkMessage::Webhook { webhook_id: "wh_1".to_owned(), video_id: "video_1".to_owned() };
    assert_eq!(world.queue.messages(), [call]);
}

#[tokio::test]
async fn an_operator_s_wish_calls_everything_that_is_open() {
    let world = World::new().await;
    let job = world.has(sample::rendering("video_1", NOON)).await;
    world.has(sample::canceled(NOON)).await;
    received(&world.tables, "wh_1").await;
    let wish = serde_json::from_str(r#"{"all":true}"#).unwrap();
    assert_eq!(handle(&world.app, wish).await.unwrap(), Report { jobs: 1, events: 1 });
    let due = job.next_check_at().unwrap();
    assert_eq!(world.queue.messages()[0], WorkMessage::Look { job_id: job.id().clone(), due });
}

#[tokio::test]
async fn more_jobs_than_fit_into_one_call_are_all_called() {
    let world = World::new().await;
    let mut jobs = Vec::new();
    for _ in 0..25 {
        jobs.push(world.has(sample::new_job(NOON)).await.id().clone());
    }
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(world.round().await, Report { jobs: 25, events: 0 });
    let mut called: Vec<_> = world
        .queue
        .messages()
        .into_iter()
        .map(|message| match message {
            WorkMessage::Look { job_id, .. } => job_id,
            WorkMessage::Webhook { .. } => panic!("no event is there"),
        })
        .collect();
    called.sort();
    jobs.sort();
    assert_eq!(called, jobs);
}

#[tokio::test]
async fn a_round_that_can_t_be_made_is_an_error_that_an_alarm_sees() {
    let world = World::new().await;
    world.has(sample::new_job(NOON)).await;
    world.clock.advance(Duration::from_secs(60));
    world.queue.break_down();
    assert!(handle(&world.app, Round::default()).await.is_err());
    world.tables.drop_table(Tables::JOBS).await;
    assert!(handle(&world.app, Round::default()).await.is_err());
}
