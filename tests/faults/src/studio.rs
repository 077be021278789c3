//! The provider.

use std::{sync::Mutex, time::Duration};

use clipbell_job::{Clock, JobError, Millis};
use clipbell_provider::{
    CancelError, Content, Provider, ReadError, Submission, SubmitError, Variant, Video, VideoState,
};
use tokio::time::Instant;

use crate::wire::Wire;

/// What becomes of the webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Webhooks {
    /// Sent at the end of the rendering.
    Sent,
    /// Sent twice at the end, and once an hour later.
    SentOften,
    /// Never sent.
    Lost,
    /// Sent at once, long before the end that it tells of.
    Premature,
    /// Sent as these say.
    At(&'static [Hook]),
}

/// A webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hook {
    /// How many seconds after the submission it is delivered. Two of the same truth are two deliveries of one event.
    pub after: u64,
    /// Whether it says the opposite of what is true.
    pub lies: bool,
}

/// What the provider does.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Webhooks.
    pub webhooks: Webhooks,
    /// How long a video renders.
    pub renders_for: Duration,
    /// How often a submission is refused with 429 first.
    pub refusals: usize,
    /// Whether the video fails.
    pub fails: bool,
    /// The file's length in bytes, about.
    pub bytes: usize,
}

pub(crate) struct Studio {
    wire: Wire,
    clock: Clock,
    plan: Plan,
    inside: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    refused: usize,
    videos: Vec<(Video, Millis)>,
    /// Whether the product has had the video stopped.
    stopped: bool,
    webhooks: Vec<Delivery>,
}

/// A webhook that waits to be delivered.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) webhook_id: String,
    pub(crate) body: String,
    due: Instant,
    tries: u32,
}

impl Studio {
    pub(crate) fn new(wire: Wire, clock: Clock, plan: Plan) -> Self {
        Self { wire, clock, plan, inside: Mutex::default() }
    }

    /// The videos that were paid for.
    pub(crate) fn videos(&self) -> usize {
        self.inside.lock().unwrap().videos.len()
    }

    pub(crate) fn fails(&self) -> bool {
        self.plan.fails
    }

    /// The whole file.
    pub(crate) fn file(&self) -> Vec<u8> {
        let a_box = |kind: &[u8; 4], length: usize| {
            let size = u32::try_from(8 + length).unwrap().to_be_bytes();
            [&size[..], kind, &vec![7; length]].concat()
        };
        [a_box(b"ftyp", 8), a_box(b"moov", 32), a_box(b"mdat", self.plan.bytes)].concat()
    }

    /// Whether the product has had the video stopped.
    pub(crate) fn was_stopped(&self) -> bool {
        self.inside.lock().unwrap().stopped
    }

    /// When the next webhook is due.
    pub(crate) fn next_webhook_at(&self) -> Option<Instant> {
        self.inside.lock().unwrap().webhooks.iter().map(|delivery| delivery.due).min()
    }

    /// The next webhook, for its delivery.
    pub(crate) fn next_webhook(&self) -> Option<Delivery> {
        let mut inside = self.inside.lock().unwrap();
        let next = inside.webhooks.iter().enumerate().min_by_key(|(_, delivery)| delivery.due)?.0;
        Some(inside.webhooks.remove(next))
    }

    /// It was not answered with 200: it is delivered again, later and later.
    pub(crate) fn deliver_again(&self, delivery: Delivery) {
        let due = Instant::now() + Duration::from_secs(1 << delivery.tries.min(10));
        let again = Delivery { due, tries: delivery.tries + 1, ..delivery };
        self.inside.lock().unwrap().webhooks.push(again);
    }

    async fn call<T>(&self, name: &str, effect: impl AsyncFnOnce() -> T) -> Option<T> {
        self.wire.call(name, effect, |trouble| panic!("{trouble:?} is no answer of the provider's")).await
    }

    fn take(&self, submission: &Submission<'_>) -> Video {
        let now = self.clock.now();
        let mut inside = self.inside.lock().unwrap();
        let id = format!("video_{}", inside.videos.len() + 1);
        let own = |text: &str| Some(text.to_owned());
        let video = Video {
            id: id.clone(),
            state: VideoState::Queued,
            created_at: Some(now.unix_seconds()),
            prompt: own(submission.prompt),
            model: own(submission.model),
            seconds: own(submission.seconds),
            size: own(submission.size),
        };
        inside.videos.push((video.clone(), now));
        let end = Instant::now() + self.plan.renders_for;
        let true_at = |due| (due, false);
        let dues = match self.plan.webhooks {
            Webhooks::Lost => vec![],
            Webhooks::Sent => vec![true_at(end)],
            Webhooks::Premature => vec![true_at(Instant::now())],
            Webhooks::SentOften => [end, end, end + Duration::from_secs(600)].map(true_at).to_vec(),
            Webhooks::At(hooks) => {
                hooks.iter().map(|hook| (Instant::now() + Duration::from_secs(hook.after), hook.lies)).collect()
            }
        };
        for (due, lies) in dues {
            let kind = if self.plan.fails == lies { "video.completed" } else { "video.failed" };
            let event = format!("{id}_{lies}");
            let body = format!(r#"{{"id":"evt_{event}","object":"event","type":"{kind}","data":{{"id":"{id}"}}}}"#);
            inside.webhooks.push(Delivery { webhook_id: format!("wh_{event}"), body, due, tries: 0 });
        }
        video
    }

    fn state(&self, begun: Millis) -> VideoState {
        let age = self.clock.now().since(begun);
        if age < self.plan.renders_for {
            let percent = age.as_millis() * 100 / self.plan.renders_for.as_millis();
            return VideoState::Rendering(u8::try_from(percent).unwrap());
        }
        if self.plan.fails {
            VideoState::Failed(JobError::new("content_rejected", "No.", false))
        } else {
            VideoState::Completed
        }
    }

    fn list(&self) -> Vec<Video> {
        let inside = self.inside.lock().unwrap();
        let videos = if inside.stopped { Vec::new() } else { inside.videos.clone() };
        drop(inside);
        videos.into_iter().map(|(video, begun)| Video { state: self.state(begun), ..video }).collect()
    }
}

impl Provider for Studio {
    async fn submit(&self, submission: &Submission<'_>) -> Result<Video, SubmitError> {
        let answer = self.call("provider submit", async || {
            let mut inside = self.inside.lock().unwrap();
            if inside.refused < self.plan.refusals {
                inside.refused += 1;
                return Err(SubmitError::NotTaken { retry_after: Some(Duration::from_secs(3)), source: "429".into() });
            }
            drop(inside);
            Ok(self.take(submission))
        });
        answer.await.unwrap_or_else(|| Err(SubmitError::Unknown("connection reset".into())))
    }

    async fn video(&self, id: &str) -> Result<Video, ReadError> {
        let answer = self.call("provider video", async || self.list().into_iter().find(|video| video.id == id));
        answer.await.ok_or_else(reset)?.ok_or(ReadError::NotFound)
    }

    async fn videos_since(&self, since: i64) -> Result<Vec<Video>, ReadError> {
        let mut videos = self.call("provider list", async || self.list()).await.ok_or_else(reset)?;
        videos.retain(|video| video.created_at.is_some_and(|at| at >= since));
        Ok(videos)
    }

    async fn cancel(&self, _: &str) -> Result<(), CancelError> {
        let answer = self.call("provider cancel", async || self.inside.lock().unwrap().stopped = true);
        answer.await.ok_or_else(|| CancelError("connection reset".into()))
    }

    async fn content(&self, _: &str, variant: Variant) -> Result<Content, ReadError> {
        let name = if variant == Variant::Video { "provider content" } else { "provider thumbnail" };
        let file = if variant == Variant::Video { self.file() } else { b"a picture".to_vec() };
        let response = http::Response::builder().header("content-type", "image/webp").body(file).unwrap();
        let answer = self.call(name, async || response).await.ok_or_else(reset)?;
        Ok(Content::new(answer.into(), Duration::from_secs(30)))
    }
}

fn reset() -> ReadError {
    ReadError::Unavailable { retry_after: None, source: "connection reset".into() }
}
