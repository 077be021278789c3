//! Everything that a story is played with, and what can happen in it: each a run of one function.

use std::{
    cell::{Cell, RefCell},
    sync::Arc,
    time::Duration,
};

use advance::Settings;
use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use clipbell_api::BearerToken;
use clipbell_aws::{Connections, Jobs, Push, Secret, Videos, WebhookEvents, WorkQueue};
use clipbell_job::{Clock, Deadlines, Job, JobId, JobIdSecret, Millis};
use clipbell_test_support::{
    Answer, HandClock, WEBHOOK_SECRET,
    event::{self, HttpRequest},
    sign,
};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    cloud::{Cloud, HIDDEN_FOR, Message},
    story::Story,
    studio::{Delivery, Studio},
    wire::{Point, Wire},
};

/// The SDK's endpoint: an address, so that S3's keys are paths. Nothing ever connects to it.
const NOWHERE: &str = "http://127.0.0.1:1";

/// How often a browser tries something that failed.
const BROWSER_TRIES: usize = 10;

const DEADLINES: Deadlines = Deadlines {
    job: Duration::from_secs(60 * 60),
    row: Duration::from_secs(30 * 86_400),
    video: Duration::from_secs(30 * 86_400),
};

/// Everything that a story is played with.
pub(crate) struct World {
    pub(crate) cloud: Arc<Cloud>,
    pub(crate) studio: Studio,
    pub(crate) wire: Wire,
    /// When it began: tokio's time runs on from there, and the clock with it.
    pub(crate) clock_at_begin: HandClock,
    clock: Clock,
    /// For looking, uncounted and without faults.
    jobs: Jobs,
    pub(crate) events: WebhookEvents,
    pub(crate) connections: Connections,
    functions: Functions,
    undelivered: RefCell<Vec<Value>>,
    /// Every row that the job had, in DynamoDB's JSON.
    pub(crate) rows: RefCell<Vec<Value>>,
    pub(crate) watchers: RefCell<Vec<Watcher>>,
    connections_made: Cell<usize>,
    /// What a browser or the provider had to try again.
    pub(crate) noticed: RefCell<Vec<String>>,
    /// Whether somebody asks for the job's end.
    pub(crate) cancels: Cell<bool>,
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
#[derive(Clone)]
pub(crate) struct Watcher {
    pub(crate) connection: String,
    /// Whether it was there to the end; else it left in the middle.
    pub(crate) stayed: bool,
}

impl World {
    pub(crate) fn new(story: &Story, point: Option<Point>) -> Self {
        let (begun, clock_at_begin) = (Instant::now(), HandClock::at_noon());
        let at_begin = clock_at_begin.clone();
        let clock = Clock::from_fn(move || at_begin.now().plus(begun.elapsed()));
        let cloud = Arc::new(Cloud::new(story.fates));
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
            clock_at_begin,
            jobs: jobs(&unharmed),
            events: events(&unharmed),
            connections: Connections::new(&unharmed, "ConnectionsTable".to_owned()),
            clock,
            functions,
            undelivered: RefCell::default(),
            rows: RefCell::default(),
            watchers: RefCell::default(),
            connections_made: Cell::default(),
            noticed: RefCell::default(),
            cancels: Cell::default(),
        }
    }

    pub(crate) fn now(&self) -> Millis {
        self.clock.now()
    }

    pub(crate) async fn job(&self, job_id: &JobId) -> Option<Job> {
        self.jobs.get(job_id, self.now()).await.unwrap()
    }

    /// Whether the job is finished and every event looked at.
    pub(crate) async fn is_at_rest(&self, job_id: &JobId) -> bool {
        let job = self.job(job_id).await;
        let unprocessed = self.events.unprocessed(Millis(i64::MAX), 1).await.unwrap();
        job.is_none_or(|job| job.status().is_terminal()) && unprocessed.is_empty()
    }

    /// A browser asks for a video until it has its 202, always under the same key.
    pub(crate) async fn generate(&self, with_audio: bool) -> JobId {
        let mut body = json!({"scriptOrQuestion": "A bell in the morning"});
        if with_audio {
            body["audioBuffer"] = "aGVsbG8=".into();
        }
        for _ in 0..BROWSER_TRIES {
            let request = HttpRequest::post("/api/generate", "renderVersion=v3", body.to_string());
            let request = request.header("idempotency-key", "one").event();
            let app = &self.functions.create_job;
            let answer = self.wire.invoke("create-job", async { Answer::of(create_job::handle(app, request).await) });
            match answer.await {
                Some(answer) if answer.status == 202 => {
                    return answer.json()["jobId"].as_str().unwrap().parse().unwrap();
                }
                answer => self.notice("generate", answer.map(|answer| answer.status)),
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        panic!("no 202 in {BROWSER_TRIES} tries");
    }

    /// A browser connects and subscribes until it is told the job's state.
    pub(crate) async fn watch(&self, job_id: &JobId) {
        let message = json!({"action": "subscribe", "jobId": job_id}).to_string();
        for _ in 0..BROWSER_TRIES {
            let number = self.connections_made.get();
            self.connections_made.set(number + 1);
            let connection = format!("connection-{number}");
            let connect = event::web_socket("$connect", &connection, None);
            let accepted =
                self.wire.invoke("ws-connect", ws_connect::handle(&self.functions.ws_connect, connect)).await;
            if !matches!(accepted, Some(Ok(_))) {
                self.notice("$connect", None);
                continue;
            }
            self.cloud.connect(&connection);
            let subscribe = event::web_socket("$default", &connection, Some(&message));
            let _ = self.wire.invoke("ws-message", ws_message::handle(&self.functions.ws_message, subscribe)).await;
            if self.cloud.heard(&connection).iter().any(|message| message["type"] == "subscribed") {
                self.watchers.borrow_mut().push(Watcher { connection, stayed: true });
                return;
            }
            // It was told nothing for a while: it connects anew.
            self.notice("subscribe", None);
            self.cloud.vanish(&connection);
        }
        panic!("not subscribed in {BROWSER_TRIES} tries");
    }

    /// The browser that came last is gone, and nobody says so. Gives its connection.
    pub(crate) fn vanish(&self) -> String {
        let mut watchers = self.watchers.borrow_mut();
        let leaving = watchers.last_mut().unwrap();
        leaving.stayed = false;
        self.cloud.vanish(&leaving.connection);
        leaving.connection.clone()
    }

    /// The browser that came last leaves.
    pub(crate) async fn leave(&self) {
        let gone = event::web_socket("$disconnect", &self.vanish(), None);
        let _ = self.wire.invoke("ws-disconnect", ws_disconnect::handle(&self.functions.ws_disconnect, gone)).await;
    }

    /// The browser asks for the job's end. Whether it was answered.
    pub(crate) async fn cancel(&self, job_id: &JobId) -> bool {
        self.cancels.set(true);
        let request = HttpRequest::post("/api/cancel", &format!("jobId={job_id}&renderVersion=v3"), "").event();
        let app = &self.functions.cancel_job;
        let answer = self.wire.invoke("cancel-job", async { Answer::of(cancel_job::handle(app, request).await) }).await;
        let status = answer.map(|answer| answer.status);
        let answered = matches!(status, Some(200 | 202));
        if !answered {
            self.notice("cancel", status);
        }
        answered
    }

    /// What is new in the jobs table's stream, and what was not told yet.
    pub(crate) fn has_news(&self) -> bool {
        let records = self.cloud.stream_records();
        let rows = records.iter().map(|record| record["dynamodb"]["NewImage"].clone());
        self.rows.borrow_mut().extend(rows.filter(|row| row["rev"].is_object()));
        self.undelivered.borrow_mut().extend(records);
        !self.undelivered.borrow().is_empty()
    }

    pub(crate) async fn notify(&self) {
        if !self.has_news() {
            return;
        }
        let records = self.undelivered.take();
        let batch = event::stream(&records);
        let told = self.wire.invoke("notify", notify::handle(&self.functions.notify, batch)).await;
        // A batch that failed in part is repeated from the first failed record on.
        let from = match told.map(|answer| answer.batch_item_failures).as_deref() {
            Some([]) => records.len(),
            Some([failure, ..]) => {
                let number = failure.item_identifier.clone().unwrap();
                records.iter().position(|record| record["dynamodb"]["SequenceNumber"] == *number).unwrap()
            }
            None => 0,
        };
        self.undelivered.borrow_mut().splice(0..0, records.into_iter().skip(from));
    }

    pub(crate) async fn reconcile(&self) {
        let round = reconcile::handle(&self.functions.reconcile, reconcile::Round::default());
        let _ = self.wire.invoke("reconcile", round).await;
    }

    /// A message of the work queue is worked off.
    pub(crate) async fn advance(&self, message: &Message) {
        let until = self.now().plus(HIDDEN_FOR);
        let batch = event::sqs(std::slice::from_ref(&message.body), until);
        let work = tokio::time::timeout(HIDDEN_FOR, advance::handle(&self.functions.advance, &self.studio, batch));
        if let Some(Ok(answer)) = self.wire.invoke("advance", work).await
            && answer.batch_item_failures.is_empty()
        {
            self.cloud.delete(message);
        }
    }

    /// The provider delivers a webhook; again later, where it is not answered with 200.
    pub(crate) async fn webhook(&self, delivery: Delivery) {
        let timestamp = self.now().unix_seconds();
        let request = HttpRequest::post("/api/webhook/video-events", "", delivery.body.clone())
            .header("webhook-id", &delivery.webhook_id)
            .header("webhook-timestamp", &timestamp.to_string())
            .header("webhook-signature", &sign(&delivery.webhook_id, timestamp, delivery.body.as_bytes()))
            .event();
        let app = &self.functions.webhook;
        let answer = self.wire.invoke("webhook", async { Answer::of(webhook::handle(app, request).await) }).await;
        let status = answer.map(|answer| answer.status);
        if status != Some(200) {
            self.notice("webhook", status);
            self.studio.deliver_again(delivery);
        }
    }

    fn notice(&self, what: &str, status: Option<u16>) {
        self.noticed.borrow_mut().push(format!("{what}: {status:?}"));
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
