//! Batches of the work queue as Lambda hands them over, against a DynamoDB of the test's own, a queue and a bucket in
//! memory, and providers: [`studio::Studio`], which does as it is told, and two that the product's own client talks to over
//! a socket, [`openai::Server`] and the one of [`provider_misbehaves`].

mod batch;
mod cancel;
mod look;
mod openai;
mod provider_misbehaves;
mod save;
mod studio;
mod submit;

use clipbell_aws::StoredEvent;
use clipbell_job::Status;
use clipbell_test_support::{
    Bucket, HandClock, NOON, Queue, Tables, event,
    sample::{self, DEADLINES},
};

use super::*;

/// Bounds each call to the provider; a submission has settled 16 s after it and is looked for over 32 s.
const PROVIDER_TIMEOUT: Duration = Duration::from_secs(1);

struct World {
    app: App,
    tables: Tables,
    queue: Queue,
    bucket: Bucket,
    clock: HandClock,
}

impl World {
    async fn new() -> Self {
        let (tables, queue, bucket) = (Tables::start().await, Queue::start().await, Bucket::start().await);
        let clock = HandClock::at_noon();
        let app = App {
            jobs: tables.jobs.clone(),
            events: tables.events.clone(),
            videos: bucket.videos(),
            queue: queue.work_queue(),
            settings: Settings { deadlines: DEADLINES, provider_timeout: PROVIDER_TIMEOUT },
            clock: clock.clock(),
        };
        Self { app, tables, queue, bucket, clock }
    }

    async fn has(&self, job: Job) -> Job {
        self.tables.jobs.create(&job, NOON).await.unwrap();
        job
    }

    /// A job that the provider has, with the row that says whose the video is.
    async fn has_rendering(&self, video_id: &str) -> Job {
        let submitting = self.has(sample::submitting(NOON)).await.open().unwrap();
        let job = submitting.submitted(video_id, NOON.plus(Duration::from_secs(5)), NOON);
        self.tables.jobs.replace_submitted(&job, i64::MAX / 1000, NOON).await.unwrap();
        job
    }

    /// The row as it is now.
    async fn job(&self, id: &JobId) -> Job {
        self.tables.jobs.get(id, NOON).await.unwrap().unwrap()
    }

    /// Hands over a batch to an invocation of five minutes; gives the messages that failed.
    async fn hand<P: Provider>(&self, provider: &P, bodies: &[String]) -> Vec<String> {
        let until = self.clock.now().plus(Duration::from_secs(300));
        let answer = handle(&self.app, provider, event::sqs(bodies, until)).await;
        answer.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect()
    }

    /// Hands over one message, which has to be done with.
    async fn call<P: Provider>(&self, provider: &P, message: &WorkMessage) {
        let failed = self.hand(provider, &[body(message)]).await;
        assert!(failed.is_empty(), "{message:?} failed");
    }

    /// Waits until the job wants to be looked at, and looks.
    async fn step<P: Provider>(&self, provider: &P, id: &JobId) -> Job {
        let job = self.job(id).await;
        self.clock.set(job.next_check_at().expect("an open job").max(self.clock.now()));
        self.call(provider, &WorkMessage::next_look(&job).unwrap()).await;
        self.job(id).await
    }

    /// Steps until the job is finished.
    async fn finish<P: Provider>(&self, provider: &P, id: &JobId) -> Job {
        for _ in 0..100 {
            let job = self.step(provider, id).await;
            if job.status().is_terminal() {
                return job;
            }
        }
        panic!("a hundred looks, and {:?} is not finished", self.job(id).await);
    }

    /// Somebody asks for the job's end, as the function `cancel-job` does.
    async fn ask_to_cancel(&self, id: &JobId) -> Job {
        let asked = sample::open(self.job(id).await).cancel_requested(self.clock.now());
        assert!(matches!(self.tables.jobs.replace(&asked, NOON).await.unwrap(), Replaced::Written));
        asked
    }

    /// The webhook of a video's end came in, and calls.
    async fn webhook<P: Provider>(&self, provider: &P, webhook_id: &str, video_id: &str) -> StoredEvent {
        let event = format!(r#"{{"id":"evt_1","type":"video.completed","data":{{"id":"{video_id}"}}}}"#);
        self.tables.deliver(webhook_id, &event, self.clock.now()).await.unwrap();
        self.call(provider, &hint(webhook_id, video_id)).await;
        let events = self.tables.events.latest(100, self.clock.now()).await.unwrap();
        events.into_iter().find(|event| event.webhook_id == webhook_id).unwrap()
    }

    /// What the job's next look is, and after what time it arrives; that it was sent, too.
    fn next_look_of(&self, job: &Job) -> Duration {
        let look = WorkMessage::next_look(job).expect("an open job");
        self.queue.sent().into_iter().find(|sent| sent.message == look).expect("the next look is sent").delay
    }
}

fn body(message: &WorkMessage) -> String {
    serde_json::to_string(message).unwrap()
}

fn hint(webhook_id: &str, video_id: &str) -> WorkMessage {
    WorkMessage::Webhook { webhook_id: webhook_id.to_owned(), video_id: video_id.to_owned() }
}

/// The code of why a job failed.
fn why(job: &Job) -> &str {
    assert_eq!(job.status(), Status::Failed, "{job:?}");
    &job.error().expect("a failed job says why").code
}
