//! Two workers at once.

use std::time::Duration;

use clipbell_job::JobId;
use tokio::time::Instant;

use crate::{
    guarantees,
    story::{Ahead, Story},
    turns::{Order, Turns},
    world::World,
};

/// What a worker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// A browser asks for the video.
    Generate,
    /// A browser connects and subscribes.
    Subscribe,
    /// The browser that came last leaves, and API Gateway says so.
    Leave,
    /// A browser asks for the job's end.
    Cancel,
    /// The provider delivers its next webhook.
    Webhook,
    /// The newest call of a webhook is worked off.
    Hint,
    /// The newest look is worked off, whoever else may have it in hand.
    Look,
    /// The news of the jobs table's stream is told.
    Notify,
    /// A round of `reconcile`.
    Reconcile,
}

/// A story in which two workers are at it at once, each with several acts in a row.
#[derive(Clone, Copy, Debug)]
pub struct Meeting {
    /// Its name, for people.
    pub name: &'static str,
    /// The story.
    pub story: Story,
    /// How long after the job was made they begin; none: before it is.
    pub after: Option<Duration>,
    /// What they do.
    pub workers: [&'static [Act]; 2],
    /// How long the one that begins stands still.
    pub stands_still: Duration,
}

/// What came of a meeting.
#[derive(Debug)]
pub struct Met {
    /// Whether the one that began stood still before it was done.
    pub first_stood_still: bool,
    /// Whether the other one did, while the first stood still.
    pub other_stood_still: bool,
    /// Which guarantees were broken.
    pub broken: Vec<String>,
}

impl Meeting {
    /// Two workers at a small video, from when it is to be looked at and is done.
    pub const AT_THE_END: Self = Self {
        name: "",
        story: Story { audio: false, ..Story::PLAIN },
        after: Some(Duration::from_secs(15)),
        workers: [&[], &[]],
        stands_still: Duration::ZERO,
    };

    /// Plays it with the calls of the two in this order, and then on to the story's end.
    pub async fn play(&self, order: Order) -> Met {
        let world = World::new(&self.story, None);
        let mut ahead = Ahead::of(&self.story);
        let mut job_id = None;
        if let Some(after) = self.after {
            let begun = Instant::now();
            let opened = world.generate(self.story.audio).await;
            world.watch(&opened).await;
            ahead.play_until(&world, begun + after).await;
            job_id = Some(opened);
        }

        let turns = Turns::new(order, world.clock_at_begin.clone(), self.stands_still);
        world.wire.take_turns(Some(turns.clone()));
        let work = |number: usize| Box::pin(turns.worker(number, self.work(&world, number, job_id.clone())));
        let (made_by_one, made_by_other) = tokio::join!(work(0), work(1));
        world.wire.take_turns(None);

        let mut broken = Vec::new();
        if made_by_one != made_by_other {
            broken.push("2: one idempotency key, two jobs".to_owned());
        }
        let job_id = made_by_one.unwrap();
        ahead.settle(&world, &job_id).await;
        broken.extend(guarantees::broken(&world, &job_id).await);
        broken.extend(guarantees::broken_by_meeting(&world, &job_id, self.stands_still).await);
        Met {
            first_stood_still: turns.stood_still(order.first),
            other_stood_still: turns.stood_still(1 - order.first),
            broken,
        }
    }

    /// All that one of the two does. Gives the job.
    async fn work(&self, world: &World, number: usize, mut job_id: Option<JobId>) -> Option<JobId> {
        for act in self.workers[number] {
            let job = || job_id.as_ref().expect("a job, for this act");
            match act {
                Act::Generate => job_id = Some(world.generate(self.story.audio).await),
                Act::Subscribe => world.watch(job()).await,
                Act::Leave => world.leave().await,
                Act::Cancel => assert!(world.cancel(job()).await, "not canceled"),
                Act::Webhook => {
                    if let Some(webhook) = world.studio.next_webhook() {
                        world.webhook(webhook).await;
                    }
                }
                Act::Hint | Act::Look => {
                    let kind = if *act == Act::Hint { "webhook" } else { "look" };
                    if let Some(message) = world.cloud.newest(kind) {
                        world.advance(&message).await;
                    }
                }
                Act::Notify => world.notify().await,
                Act::Reconcile => world.reconcile().await,
            }
        }
        job_id
    }
}
