//! The heart: one idempotent step of one job.
//!
//! A message on the work queue only calls it. It reads the job, does what the job's stage calls for (submit; ask the
//! provider; save the video), and writes the next row under the condition that nobody else has written since.

mod failure;
mod look;
pub mod mp4;
mod save;
mod schedule;
mod submit;

use std::time::Duration;

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent};
use clipbell_aws::{
    AwsError, Jobs, Outcome, Replaced, Videos, WebhookEvents, WorkMessage, WorkQueue,
    env::{self, EnvError},
};
use clipbell_job::{Clock, Deadlines, Job, JobError, JobId, Millis, OpenJob, Stage};
use clipbell_log::Chain;
use clipbell_provider::Provider;
use lambda_runtime::LambdaEvent;

/// By how much a lease outlasts the invocation that holds it.
const LEASE_MARGIN: Duration = Duration::from_secs(5);

/// How often a webhook's step is tried again when somebody else was first.
const WEBHOOK_TRIES: u32 = 3;

/// What the function works with.
#[derive(Debug)]
pub struct App {
    /// The jobs.
    pub jobs: Jobs,
    /// The audit trail.
    pub events: WebhookEvents,
    /// The bucket.
    pub videos: Videos,
    /// The work queue, for the next look.
    pub queue: WorkQueue,
    /// Times.
    pub settings: Settings,
    /// The present moment.
    pub clock: Clock,
}

/// Times, from the environment.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// `JOB_DEADLINE` (seconds, 24 h), `JOB_RETENTION_DAYS` (30), `VIDEO_RETENTION_DAYS` (30).
    pub deadlines: Deadlines,
    /// `PROVIDER_TIMEOUT` (seconds, 30): for a call to the provider, and for each piece of a file.
    pub provider_timeout: Duration,
}

impl Settings {
    /// From the environment.
    ///
    /// # Errors
    /// When a variable is no number.
    pub fn from_env() -> Result<Self, EnvError> {
        Ok(Self {
            deadlines: Deadlines {
                job: env::seconds_or("JOB_DEADLINE", 24 * 60 * 60)?,
                row: env::days_or("JOB_RETENTION_DAYS", 30)?,
                video: env::days_or("VIDEO_RETENTION_DAYS", 30)?,
            },
            provider_timeout: env::seconds_or("PROVIDER_TIMEOUT", 30)?,
        })
    }
}

/// Works off a batch of messages. One that failed comes back as such, and the queue repeats it.
pub async fn handle<P: Provider>(app: &App, provider: &P, batch: LambdaEvent<SqsEvent>) -> SqsBatchResponse {
    let until = Millis(i64::try_from(batch.context.deadline).unwrap_or(i64::MAX));
    let worker = Worker { app, provider, until };
    let mut answer = SqsBatchResponse::default();
    for message in batch.payload.records {
        let body = message.body.unwrap_or_default();
        let done = match serde_json::from_str(&body) {
            Ok(work) => worker.work(work).await.map_err(lambda_runtime::Error::from),
            // It fails until the queue puts it with the dead letters, where somebody can look at it.
            Err(error) => Err(error.into()),
        };
        if let Err(error) = done {
            tracing::error!(message_id = message.message_id, error = %Chain(&*error), "message failed");
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = message.message_id.unwrap_or_default();
            answer.batch_item_failures.push(failure);
        }
    }
    answer
}

/// One invocation.
struct Worker<'a, P> {
    app: &'a App,
    provider: &'a P,
    /// When the invocation is ended, whatever it is at.
    until: Millis,
}

/// What a step did.
enum Step {
    /// It has written this row.
    Written(Box<Job>),
    /// Somebody else was first; the row as it is now, where it is known.
    Lost(Option<Box<Job>>),
    /// There was nothing to do.
    Nothing,
}

impl<P: Provider> Worker<'_, P> {
    async fn work(&self, message: WorkMessage) -> Result<(), AwsError> {
        match message {
            WorkMessage::Look { job_id, due } => self.look_due(&job_id, due).await,
            WorkMessage::Webhook { webhook_id, video_id } => self.webhook(&webhook_id, &video_id).await,
        }
    }

    /// A look of the job's chain. One that is not the row's next is of an older chain and ends here.
    async fn look_due(&self, job_id: &JobId, due: Millis) -> Result<(), AwsError> {
        let Some(job) = self.app.jobs.get(job_id, self.now()).await? else {
            tracing::info!(%job_id, "a look for a job that is gone");
            return Ok(());
        };
        match job.open() {
            Ok(job) if job.next_check_at() == Some(due) => self.advance(job).await.map(drop),
            _ => Ok(()),
        }
    }

    /// A webhook is a hint: it only says when to look. What became of it goes into the audit trail.
    async fn webhook(&self, webhook_id: &str, video_id: &str) -> Result<(), AwsError> {
        // Written together with the job's own row, so a job that has this video is found.
        let owner = self.app.jobs.owner_of(video_id).await?;
        let job = match &owner {
            Some(job_id) => self.app.jobs.get(job_id, self.now()).await?,
            None => None,
        };
        let outcome = match job {
            Some(job) => self.look_now(job).await?,
            None => Outcome::Unmatched,
        };
        tracing::info!(webhook_id, video_id, job_id = owner.as_ref().map(JobId::as_str), ?outcome, "webhook processed");
        self.app.events.record_outcome(webhook_id, outcome, owner.as_ref(), self.now()).await
    }

    /// Takes a step now; again on the newer row when somebody else was first, because what he wrote may be older news
    /// than the webhook.
    async fn look_now(&self, mut job: Job) -> Result<Outcome, AwsError> {
        for _ in 0..WEBHOOK_TRIES {
            let Ok(open) = job.open() else { return Ok(Outcome::NoChange) };
            let before = (open.status(), std::mem::discriminant(open.stage()));
            match self.advance(open).await? {
                Step::Written(now) if (now.status(), std::mem::discriminant(now.stage())) != before => {
                    return Ok(Outcome::Applied);
                }
                Step::Written(_) | Step::Nothing | Step::Lost(None) => return Ok(Outcome::NoChange),
                Step::Lost(Some(newer)) => job = *newer,
            }
        }
        Ok(Outcome::NoChange)
    }

    /// The one step.
    async fn advance(&self, job: OpenJob) -> Result<Step, AwsError> {
        match *job.stage() {
            Stage::Waiting { refusals } => self.submit(job, refusals).await,
            Stage::Submitting { lease_until, unknown_since: None, .. } if self.now() < lease_until => Ok(Step::Nothing),
            Stage::Submitting { claimed_at, lease_until, unknown_since, .. } => {
                self.find_again(job, (claimed_at, lease_until), unknown_since).await
            }
            Stage::Saving { lease_until, .. } if self.now() < lease_until => Ok(Step::Nothing),
            Stage::Rendering { .. } | Stage::Saving { .. } => self.look(job).await,
            Stage::Finished => Ok(Step::Nothing),
        }
    }

    /// Writes the next row and sends no message, as a claim is written: should its worker die, `reconcile` sees it.
    async fn replace(&self, next: Job) -> Result<Step, AwsError> {
        match self.app.jobs.replace(&next, self.now()).await? {
            Replaced::Written => {
                log(&next);
                Ok(Step::Written(Box::new(next)))
            }
            Replaced::Conflict(row) => Ok(Step::Lost(row)),
        }
    }

    /// Writes a claim. Gives the job that holds it, or the step that came of it instead.
    async fn claim(&self, claim: &Job) -> Result<Result<OpenJob, Step>, AwsError> {
        let held = match self.insist(|| self.replace(claim.clone())).await? {
            Step::Written(row) => row,
            // The answer was lost, and somebody who asks for the job's end has marked the row since.
            Step::Lost(Some(newer)) if newer.holds_claim_of(claim) => newer,
            step => return Ok(Err(step)),
        };
        Ok(held.open().map_err(|finished| Step::Lost(Some(finished))))
    }

    /// Writes the next row, and sends the look that it waits for.
    async fn write(&self, next: Job) -> Result<Step, AwsError> {
        let step = self.replace(next).await?;
        if let Step::Written(job) = &step {
            self.send_next_look(job).await;
        }
        Ok(step)
    }

    /// Writes what came of a claim, and sends the look that waits for it; on a newer row, too, that still holds the claim.
    ///
    /// ```text
    /// worker: claim (rev 1 → 2) ──▶ save ─────────────────────────▶ completed if 2: refused ──▶ completed if 3
    /// cancel:                         └─ mark (rev 2 → 3): a wish, and no step of its own
    /// ```
    async fn write_outcome(&self, mut job: OpenJob, outcome: impl Fn(&OpenJob) -> Job) -> Result<Step, AwsError> {
        loop {
            let next = outcome(&job);
            match self.insist(|| self.write(next.clone())).await? {
                Step::Lost(Some(newer)) if newer.holds_claim_of(&job) => match newer.open() {
                    Ok(newer) => job = newer,
                    Err(finished) => return Ok(Step::Lost(Some(finished))),
                },
                step => return Ok(step),
            }
        }
    }

    async fn send_next_look(&self, job: &Job) {
        if let Err(error) = self.app.queue.send_next_look(job, self.now()).await {
            tracing::warn!(job_id = %job.id(), error = %Chain(&error), "the next look was not sent: reconcile will");
        }
    }

    /// A write that says what nobody else knows, and what was paid for: tried again for as long as the invocation lives.
    async fn insist<T, F>(&self, write: impl Fn() -> F) -> Result<T, AwsError>
    where
        F: Future<Output = Result<T, AwsError>>,
    {
        let mut wait = Duration::from_millis(200);
        loop {
            match write().await {
                Err(error) if self.now().plus(wait + LEASE_MARGIN) < self.until => {
                    tracing::warn!(error = %Chain(&error), "an outcome could not be written: trying again");
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                }
                result => return result,
            }
        }
    }

    fn now(&self) -> Millis {
        self.app.clock.now()
    }

    /// Until when a claim made now may hold: no worker outlives it.
    fn lease_until(&self) -> Millis {
        self.until.plus(LEASE_MARGIN)
    }

    fn deadline_of(&self, job: &Job) -> Millis {
        job.created_at().plus(self.app.settings.deadlines.job)
    }

    fn is_late(&self, job: &Job) -> bool {
        self.now() >= self.deadline_of(job)
    }

    /// The moment `delay` from now, or the job's deadline when that comes first.
    fn next(&self, job: &Job, delay: Duration) -> Millis {
        let now = self.now();
        now.plus(delay).min(self.deadline_of(job)).max(now)
    }

    /// The same for a step that puts the job down: at once, when its end was asked for meanwhile.
    fn next_unless_canceled(&self, job: &Job, delay: Duration) -> Millis {
        self.next(job, if job.is_cancel_requested() { Duration::ZERO } else { delay })
    }

    /// The end of a job for a reason that is not the provider's: what its caller asked for, when he did.
    fn give_up(&self, job: &OpenJob, error: JobError) -> Job {
        if job.is_cancel_requested() {
            job.canceled(self.deadlines(), self.now())
        } else {
            job.failed(error, self.deadlines(), self.now())
        }
    }

    fn deadlines(&self) -> &Deadlines {
        &self.app.settings.deadlines
    }
}

fn log(job: &Job) {
    tracing::info!(
        job_id = %job.id(),
        rev = job.rev(),
        version = job.version(),
        status = job.status().as_str(),
        progress = job.progress(),
        video_id = job.video_id(),
        code = job.error().map(|error| error.code.as_str()),
        "job written"
    );
}

#[cfg(test)]
mod tests;
