//! One story, from the browser's connection to the end of all that it set in motion.

use std::time::Duration;

use clipbell_job::JobId;
use tokio::time::Instant;

use crate::{
    cloud::Fate,
    guarantees,
    studio::{Plan, Webhooks},
    wire::{Call, Point},
    world::World,
};

/// When a story that has not come to its end is given up.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(3 * 60 * 60);

const ROUND: Duration = Duration::from_secs(60);

/// What happens, but for the fault.
#[derive(Clone, Copy, Debug)]
pub struct Story {
    /// Its name, for people.
    pub name: &'static str,
    /// What the provider does.
    pub plan: Plan,
    /// Whether narration comes with the request.
    pub audio: bool,
    /// What becomes of the messages of the work queue that anybody but `reconcile` sends, one after the other, and again from
    /// the first.
    pub fates: &'static [Fate],
    /// After what time the browser asks for the job's end.
    pub cancels_after: Option<Duration>,
}

impl Story {
    /// A small video, and everything goes well.
    pub const PLAIN: Self = Self {
        name: "plain",
        plan: Plan {
            webhooks: Webhooks::Sent,
            renders_for: Duration::from_secs(12),
            refusals: 0,
            fails: false,
            bytes: 1000,
        },
        audio: true,
        fates: &[Fate::Kept],
        cancels_after: None,
    };

    /// Plays it, with a fault at one of its calls or with none.
    ///
    /// # Panics
    /// When the story itself makes no sense: a browser that never gets through.
    pub async fn play(&self, point: Option<Point>) -> Played {
        let world = World::new(self, point);
        let mut ahead = Ahead::of(self);
        let job_id = self.open(&world).await;
        ahead.settle(&world, &job_id).await;
        world.watch(&job_id).await;
        let broken = guarantees::broken(&world, &job_id).await;
        let end = world
            .job(&job_id)
            .await
            .map(|job| (job.status(), job.message().to_owned(), job.error().cloned(), job.video().is_some()));
        Played { calls: world.wire.calls(), end: format!("{end:?}"), broken }
    }

    /// A browser asks for a video; three watch it, of which one leaves and one vanishes.
    async fn open(&self, world: &World) -> JobId {
        let job_id = world.generate(self.audio).await;
        world.watch(&job_id).await;
        world.watch(&job_id).await;
        world.leave().await;
        world.watch(&job_id).await;
        world.vanish();
        job_id
    }
}

/// What came of a story.
#[derive(Debug)]
pub struct Played {
    /// All outgoing calls, in order.
    pub calls: Vec<Call>,
    /// How the job ended, but for what differs each time: ids, times, how far a video had come that failed.
    pub end: String,
    /// Which guarantees were broken.
    pub broken: Vec<String>,
}

/// What is to come by itself.
pub(crate) struct Ahead {
    next_round: Instant,
    cancel_at: Option<Instant>,
}

impl Ahead {
    pub(crate) fn of(story: &Story) -> Self {
        let now = Instant::now();
        Self { next_round: now + ROUND, cancel_at: story.cancels_after.map(|after| now + after) }
    }

    /// Delivers and redelivers as AWS and the provider would, until nothing is left to do.
    pub(crate) async fn settle(&mut self, world: &World, job_id: &JobId) {
        let given_up_at = Instant::now() + GIVEN_UP_AFTER;
        while Instant::now() < given_up_at {
            let webhook_at = world.studio.next_webhook_at();
            if self.step(world).await {
                continue;
            }
            if webhook_at.is_some_and(|at| at <= Instant::now()) {
                world.webhook(world.studio.next_webhook().unwrap()).await;
            } else if self.cancel_at.is_some_and(|at| at <= Instant::now()) {
                let answered = world.cancel(job_id).await;
                self.cancel_at = (!answered).then(|| Instant::now() + Duration::from_secs(1));
            } else if webhook_at.is_none() && world.cloud.next_message_at().is_none() && world.is_at_rest(job_id).await
            {
                return;
            } else {
                let next = [world.cloud.next_message_at(), webhook_at, Some(self.next_round), self.cancel_at];
                tokio::time::sleep_until(next.into_iter().flatten().min().unwrap()).await;
            }
        }
    }

    /// The same until `stop`, but for the webhooks: they are held back.
    pub(crate) async fn play_until(&mut self, world: &World, stop: Instant) {
        while Instant::now() < stop {
            if !self.step(world).await {
                let next = [world.cloud.next_message_at(), Some(self.next_round), Some(stop)];
                tokio::time::sleep_until(next.into_iter().flatten().min().unwrap()).await;
            }
        }
    }

    /// Does one thing that is due and that AWS does by itself. Whether there was one.
    async fn step(&mut self, world: &World) -> bool {
        if world.has_news() {
            world.notify().await;
        } else if let Some(message) = world.cloud.receive() {
            world.advance(&message).await;
        } else if self.next_round <= Instant::now() {
            self.next_round += ROUND;
            world.reconcile().await;
        } else {
            return false;
        }
        true
    }
}
