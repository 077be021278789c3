//! One story, from the browser's connection to the end of all that it set in motion.

use std::{sync::Arc, time::Duration};

use advance::Settings;
use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use clipbell_api::BearerToken;
use clipbell_aws::{Connections, Jobs, Push, Secret, Videos, WebhookEvents, WorkQueue};
use clipbell_job::{Clock, Deadlines, Job, JobId, JobIdSecret, Millis};
use clipbell_test_support::{
    Answer, NOON, WEBHOOK_SECRET,
    event::{self, HttpRequest},
    sign,
};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    cloud::{Cloud, HIDDEN_FOR, Message},
    guarantees,
    studio::{Delivery, Plan, Studio, Webhooks},
    wire::{Call, Point, Wire},
};

/// The SDK's endpoint: an address, so that S3's keys are paths. Nothing ever connects to it.
const NOWHERE: &str = "http://127.0.0.1:1";

/// A job's deadline.
const JOB_DEADLINE: Duration = Duration::from_secs(60 * 60);

/// When a story that has not come to its end is given up.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(3 * 60 * 60);

/// How often a browser tries something that failed.
const BROWSER_TRIES: usize = 10;

const DEADLINES: Deadlines =
    Deadlines { job: JOB_DEADLINE, row: Duration::from_secs(30 * 86_400), video: Duration::from_secs(30 * 86_400) };

/// What happens, but for the fault.
#[derive(Clone, Copy, Debug)]
pub struct Story {
    /// Its name, for people.
    pub name: &'static str,
    /// What the provider does.
    pub plan: Plan,
    /// Whether narration comes with the request.
    pub audio: bool,
    /// Whether the work queue loses whatever is sent to it by anybody but `reconcile`.
    pub loses_messages: bool,
    /// After what time the browser asks for the job's end.
    pub cancels_after: Option<Duration>,
}

impl Story {
    /// A small video, and everything goes well.
    pub const PLAIN: Self = Self {
        name: "plain",
        plan: Plan { webhooks: Webhooks::Sent, refusals: 0, fails: false, bytes: 1000 },
        audio: true,
        loses_messages: false,
        cancels_after: None,
    };
}

/// Everything that a story is played with.
pub struct World {
    pub(crate) cloud: Arc<Cloud>,
    pub(crate) studio: Studio,
    pub(crate) wire: Wire,
    clock: Clock,
    /// For looking, uncounted and without faults.
    pub(crate) jobs: Jobs,
    pub(crate) events: WebhookEvents,
    functions: Functions,
    undelivered: Vec<Value>,
    next_round: Instant,
    cancel_at: Option<Instant>,
    pub(crate) cancels: bool,
    pub(crate) watchers: Vec<Watcher>,
}

struct Functions {
    cancel_job: cancel_job::App,
    create_job: create_job::App,
    webhook: webhook::App,
    advance: advance::App,
    reconcile: reconcile::App,
    notify: notify::App,
    ws_connect: ws_connect::App,
    ws_message: ws_message::App,
    ws_disconnect: ws_disconnect::App,
}

/// A browser that watches the job.
pub(crate) struct Watcher {
    pub(crate) connection: String,
    /// Whether it was there to the end; else it left in the middle.
    pub(crate) stayed: bool,
}

impl World {
    /// Plays a story, with a fault at one of its calls or with none. Gives its calls, and what was broken.
    ///
    /// # Panics
    /// When the story itself makes no sense: a browser that never gets through.
    pub async fn play(story: &Story, point: Option<Point>) -> (Vec<Call>, Vec<String>) {
        let mut world = Self::new(story, point);
        let job_id = world.open(story).await;
        world.settle(&job_id).await;
        world.watch(&job_id).await;
        let broken = guarantees::broken(&world, &job_id).await;
        (world.wire.calls(), broken)
    }

    fn new(story: &Story, point: Option<Point>) -> Self {
        let begun = Instant::now();
        let clock = Clock::from_fn(move || NOON.plus(begun.elapsed()));
        let cloud = Arc::new(Cloud::new(story.loses_messages));
        let wire = Wire::new(cloud.clone(), point);
        let sdk = sdk_config(wire.clone());
        let unharmed = sdk_config(Wire::new(cloud.clone(), None));
        let jobs = |sdk| Jobs::new(sdk, "JobsTable".to_owned());
        let events = |sdk| WebhookEvents::new(sdk, "WebhookEventsTable".to_owned());
        let connections = Connections::new(&sdk, "ConnectionsTable".to_owned());
        let videos = Videos::new(&sdk, "videos".to_owned());
        let queue = WorkQueue::new(&sdk, format!("{NOWHERE}/0/work"));
        let push = Push::new(&sdk, &format!("{NOWHERE}/ws"));
        let settings = Settings { deadlines: DEADLINES, provider_timeout: Duration::from_secs(30) };
        let defaults =
            create_job::Defaults { model: "sora-2".to_owned(), seconds: "8".to_owned(), size: "1280x720".to_owned() };
        let functions = Functions {
            cancel_job: cancel_job::App { jobs: jobs(&sdk), queue: queue.clone(), clock: clock.clone() },
            create_job: create_job::App {
                jobs: jobs(&sdk),
                videos: videos.clone(),
                queue: queue.clone(),
                ids: JobIdSecret::new("a secret for tests").unwrap(),
                token: BearerToken::open(),
                defaults,
                clock: clock.clone(),
            },
            webhook: webhook::App {
                events: events(&sdk),
                queue: queue.clone(),
                secret: Secret::given(WEBHOOK_SECRET),
                clock: clock.clone(),
            },
            advance: advance::App {
                jobs: jobs(&sdk),
                events: events(&sdk),
                videos,
                queue: queue.clone(),
                settings,
                clock: clock.clone(),
            },
            reconcile: reconcile::App { jobs: jobs(&sdk), events: events(&sdk), queue, clock: clock.clone() },
            notify: notify::App { connections: connections.clone(), push: push.clone(), clock: clock.clone() },
            ws_connect: ws_connect::App { connections: connections.clone(), clock: clock.clone() },
            ws_message: ws_message::App {
                connections: connections.clone(),
                jobs: jobs(&sdk),
                push,
                clock: clock.clone(),
            },
            ws_disconnect: ws_disconnect::App { connections },
        };
        Self {
            studio: Studio::new(wire.clone(), clock.clone(), story.plan),
            cloud,
            wire,
            jobs: jobs(&unharmed),
            events: events(&unharmed),
            clock,
            functions,
            undelivered: Vec::new(),
            next_round: begun + Duration::from_secs(60),
            cancel_at: story.cancels_after.map(|after| begun + after),
            cancels: story.cancels_after.is_some(),
            watchers: Vec::new(),
        }
    }

    pub(crate) fn now(&self) -> Millis {
        self.clock.now()
    }

    /// A browser asks for a video until it has its 202; three watch it, of which one leaves and one vanishes.
    async fn open(&mut self, story: &Story) -> JobId {
        let job_id = self.generate(story).await;
        for _ in 0..3 {
            self.watch(&job_id).await;
        }
        let leaving = self.watchers[1].connection.clone();
        self.watchers[1].stayed = false;
        self.cloud.vanish(&leaving);
        let gone = event::web_socket("$disconnect", &leaving, None);
        let _ = self.wire.invoke("ws-disconnect", ws_disconnect::handle(&self.functions.ws_disconnect, gone)).await;
        self.watchers[2].stayed = false;
        self.cloud.vanish(&self.watchers[2].connection);
        job_id
    }

    async fn generate(&self, story: &Story) -> JobId {
        let mut body = json!({"scriptOrQuestion": "A bell in the morning"});
        if story.audio {
            body["audioBuffer"] = "aGVsbG8=".into();
        }
        for _ in 0..BROWSER_TRIES {
            let request = HttpRequest::post("/api/generate", "renderVersion=v3", body.to_string());
            let request = request.header("idempotency-key", "one").event();
            let app = &self.functions.create_job;
            let answer = self.wire.invoke("create-job", async { Answer::of(create_job::handle(app, request).await) });
            if let Some(answer) = answer.await.filter(|answer| answer.status == 202) {
                return answer.json()["jobId"].as_str().unwrap().parse().unwrap();
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        panic!("no 202 in {BROWSER_TRIES} tries");
    }

    /// A browser connects and subscribes until it is told the job's state.
    async fn watch(&mut self, job_id: &JobId) {
        let message = json!({"action": "subscribe", "jobId": job_id}).to_string();
        for _ in 0..BROWSER_TRIES {
            let connection = format!("connection-{}", self.wire.calls().len());
            let connect = event::web_socket("$connect", &connection, None);
            let accepted =
                self.wire.invoke("ws-connect", ws_connect::handle(&self.functions.ws_connect, connect)).await;
            if !matches!(accepted, Some(Ok(_))) {
                continue;
            }
            self.cloud.connect(&connection);
            let subscribe = event::web_socket("$default", &connection, Some(&message));
            let _ = self.wire.invoke("ws-message", ws_message::handle(&self.functions.ws_message, subscribe)).await;
            if self.cloud.heard(&connection).iter().any(|message| message["type"] == "subscribed") {
                self.watchers.push(Watcher { connection, stayed: true });
                return;
            }
            // It was told nothing for a while: it connects anew.
            self.cloud.vanish(&connection);
        }
        panic!("not subscribed in {BROWSER_TRIES} tries");
    }

    /// Delivers and redelivers as AWS and the provider would, until nothing is left to do.
    async fn settle(&mut self, job_id: &JobId) {
        let given_up_at = Instant::now() + GIVEN_UP_AFTER;
        while Instant::now() < given_up_at {
            self.undelivered.extend(self.cloud.stream_records());
            let delivery = self.studio.next_delivery();
            if !self.undelivered.is_empty() {
                self.notify().await;
            } else if let Some(message) = self.cloud.receive() {
                self.advance(&message).await;
            } else if let Some(due) = delivery.as_ref().filter(|delivery| delivery.due <= Instant::now()) {
                self.webhook(due).await;
            } else if self.cancel_at.is_some_and(|at| at <= Instant::now()) {
                self.cancel(job_id).await;
            } else if self.next_round <= Instant::now() {
                self.next_round += Duration::from_secs(60);
                let round = reconcile::handle(&self.functions.reconcile, reconcile::Round::default());
                let _ = self.wire.invoke("reconcile", round).await;
            } else if delivery.is_none() && self.cloud.next_message_at().is_none() && self.is_at_rest(job_id).await {
                return;
            } else {
                let next = [
                    self.cloud.next_message_at(),
                    delivery.map(|delivery| delivery.due),
                    Some(self.next_round),
                    self.cancel_at,
                ];
                tokio::time::sleep_until(next.into_iter().flatten().min().unwrap()).await;
            }
        }
    }

    /// Whether the job is finished and every event looked at.
    async fn is_at_rest(&self, job_id: &JobId) -> bool {
        let job = self.job(job_id).await;
        let unprocessed = self.events.unprocessed(Millis(i64::MAX), 1).await.unwrap();
        job.is_none_or(|job| job.status().is_terminal()) && unprocessed.is_empty()
    }

    pub(crate) async fn job(&self, job_id: &JobId) -> Option<Job> {
        self.jobs.get(job_id, self.now()).await.unwrap()
    }

    /// The browser asks for the job's end, and again a second later where it was not answered.
    async fn cancel(&mut self, job_id: &JobId) {
        let request = HttpRequest::post("/api/cancel", &format!("jobId={job_id}&renderVersion=v3"), "").event();
        let app = &self.functions.cancel_job;
        let answer = self.wire.invoke("cancel-job", async { Answer::of(cancel_job::handle(app, request).await) }).await;
        let answered = answer.is_some_and(|answer| matches!(answer.status, 200 | 202));
        self.cancel_at = (!answered).then(|| Instant::now() + Duration::from_secs(1));
    }

    async fn notify(&mut self) {
        let batch = event::stream(&self.undelivered);
        let told = self.wire.invoke("notify", notify::handle(&self.functions.notify, batch)).await;
        // A batch that failed in part is repeated from the first failed record on.
        let failed = told.map(|answer| answer.batch_item_failures);
        match failed.as_deref() {
            Some([]) => self.undelivered.clear(),
            Some([failure, ..]) => {
                let number = failure.item_identifier.clone().unwrap();
                let from = self.undelivered.iter().position(|record| record["dynamodb"]["SequenceNumber"] == *number);
                self.undelivered.drain(..from.unwrap());
            }
            None => {}
        }
    }

    async fn advance(&self, message: &Message) {
        let until = self.now().plus(HIDDEN_FOR);
        let batch = event::sqs(std::slice::from_ref(&message.body), until);
        let work = tokio::time::timeout(HIDDEN_FOR, advance::handle(&self.functions.advance, &self.studio, batch));
        if let Some(Ok(answer)) = self.wire.invoke("advance", work).await
            && answer.batch_item_failures.is_empty()
        {
            self.cloud.delete(message);
        }
    }

    async fn webhook(&self, delivery: &Delivery) {
        let timestamp = self.now().unix_seconds();
        let request = HttpRequest::post("/api/webhook/video-events", "", delivery.body.clone())
            .header("webhook-id", &delivery.webhook_id)
            .header("webhook-timestamp", &timestamp.to_string())
            .header("webhook-signature", &sign(&delivery.webhook_id, timestamp, delivery.body.as_bytes()))
            .event();
        let app = &self.functions.webhook;
        let answer = self.wire.invoke("webhook", async { Answer::of(webhook::handle(app, request).await) }).await;
        self.studio.delivered(delivery, answer.map(|answer| answer.status));
    }
}

/// As the product sets its clients up (`clipbell_aws::load_sdk_config`), over the wire.
fn sdk_config(wire: Wire) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(Duration::from_secs(3))
        .operation_timeout(Duration::from_secs(8))
        .build();
    let credentials = Credentials::new("AKIATEST", "test", None, None, "tests");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .endpoint_url(NOWHERE)
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(3).with_initial_backoff(Duration::from_millis(100)))
        .http_client(wire)
        .build()
}
