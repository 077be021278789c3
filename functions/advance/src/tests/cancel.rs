use clipbell_job::JobError;
use clipbell_provider::{CancelError, Content, ReadError, Submission, SubmitError, Variant, Video, VideoState};

use super::{
    openai::{Server, VIDEO, mp4},
    studio::{Read, Studio, Submitted},
    *,
};

const RENDERING: Read = Read::State(VideoState::Rendering(40));

/// A provider in the middle of whose submission, or whose first fetch of the file, somebody asks for the job's end.
struct Meanwhile<'a, P> {
    provider: &'a P,
    world: &'a World,
    id: &'a JobId,
    /// Whether the worker's write of the video has taken effect by then, and its answer is lost.
    unheard: bool,
}

impl<P: Provider> Provider for Meanwhile<'_, P> {
    async fn submit(&self, submission: &Submission<'_>) -> Result<Video, SubmitError> {
        let answer = self.provider.submit(submission).await;
        if let (true, Ok(video)) = (self.unheard, &answer) {
            let submitted = sample::open(self.world.job(self.id).await).submitted(&video.id, NOON, NOON);
            self.world.tables.jobs.replace_submitted(&submitted, i64::MAX / 1000, NOON).await.unwrap();
        }
        self.world.ask_to_cancel(self.id).await;
        answer
    }

    async fn video(&self, id: &str) -> Result<Video, ReadError> {
        self.provider.video(id).await
    }

    async fn videos_since(&self, since: i64) -> Result<Vec<Video>, ReadError> {
        self.provider.videos_since(since).await
    }

    async fn content(&self, id: &str, variant: Variant) -> Result<Content, ReadError> {
        if variant == Variant::Video && !self.world.job(self.id).await.is_cancel_requested() {
            self.world.ask_to_cancel(self.id).await;
        }
        self.provider.content(id, variant).await
    }

    async fn cancel(&self, id: &str) -> Result<(), CancelError> {
        self.provider.cancel(id).await
    }
}

impl World {
    /// A job of this video whose end was asked for.
    async fn has_canceling(&self, video_id: &str) -> Job {
        let job = self.has_rendering(video_id).await;
        self.ask_to_cancel(job.id()).await
    }

    /// The provider, with somebody who asks for the job's end in the middle of its work.
    fn in_the_middle_of<'a, P>(&'a self, provider: &'a P, id: &'a JobId) -> Meanwhile<'a, P> {
        Meanwhile { provider, world: self, id, unheard: false }
    }

    /// One step of a job whose end is asked for in the middle of its submission.
    async fn step_canceled_meanwhile(&self, studio: &Studio, id: &JobId) -> Job {
        self.step(&self.in_the_middle_of(studio, id), id).await
    }
}

#[tokio::test]
async fn a_job_that_waits_is_canceled_without_any_submission() {
    let world = World::new().await;
    let (fresh, refused) = (world.has(sample::new_job(NOON)).await, world.has(sample::new_job(NOON)).await);
    let studio = Studio::plans(&[Submitted::NotTaken(Some(600))]);
    world.step(&studio, refused.id()).await;
    for id in [fresh.id(), refused.id()] {
        let asked = world.ask_to_cancel(id).await;
        let canceled = world.step(&studio, id).await;
        assert_eq!((canceled.status(), canceled.message()), (Status::Canceled, "Canceled"));
        assert_eq!((canceled.version(), &canceled.request().prompt), (asked.version() + 1, &None));
        assert_eq!(world.clock.now(), NOON, "at once");
    }
    assert_eq!(studio.prompts().len(), 1);
}

#[tokio::test]
async fn a_video_that_is_rendered_is_stopped_and_its_job_canceled() {
    for read in [Read::State(VideoState::Queued), RENDERING] {
        let world = World::new().await;
        let asked = world.has_canceling("video_1").await;
        let studio = Studio::with("video_1", read);
        let canceled = world.step(&studio, asked.id()).await;
        assert_eq!((canceled.status(), canceled.version()), (Status::Canceled, asked.version() + 1));
        assert_eq!((studio.told_to_stop(), world.clock.now()), (vec!["video_1".to_owned()], NOON));
        // Its webhook comes all the same.
        let event = world.webhook(&studio, "wh_1", "video_1").await;
        assert_eq!((event.outcome, world.job(asked.id()).await), (Outcome::NoChange, canceled));
    }
}

#[tokio::test]
async fn the_openai_client_deletes_the_video() {
    let world = World::new().await;
    let asked = world.has_canceling(VIDEO).await;
    let server = Server::start().await;
    server.render("in_progress", 40);
    assert_eq!(world.step(&server.client(), asked.id()).await.status(), Status::Canceled);
    assert_eq!(server.asked(), ["GET /v1/videos/video_1", "DELETE /v1/videos/video_1"]);
}

#[tokio::test]
async fn a_provider_that_does_not_stop_keeps_no_job_from_its_end() {
    let world = World::new().await;
    let asked = world.has_canceling("video_1").await;
    let studio = Studio::with("video_1", RENDERING);
    studio.goes_on();
    assert_eq!(world.step(&studio, asked.id()).await.status(), Status::Canceled);
    assert_eq!(studio.told_to_stop(), ["video_1"]);
}

#[tokio::test]
async fn where_the_provider_was_first_its_end_counts() {
    let world = World::new().await;
    let asked = world.has_canceling(VIDEO).await;
    let server = Server::with_file(mp4(1000)).await;
    let done = world.step(&server.client(), asked.id()).await;
    assert_eq!((done.status(), server.fetches()), (Status::Completed, 1));
    assert!(server.asked().iter().all(|call| !call.starts_with("DELETE")), "{:?}", server.asked());

    let asked = world.has_canceling("video_2").await;
    let error = JobError::new("content_rejected", "Not this.", false);
    let studio = Studio::with("video_2", Read::State(VideoState::Failed(error)));
    assert_eq!(why(&world.step(&studio, asked.id()).await), "content_rejected");
    assert!(studio.told_to_stop().is_empty());

    for (video, read) in [("video_3", Read::State(VideoState::Canceled)), ("video_4", Read::NotFound)] {
        let asked = world.has_canceling(video).await;
        let studio = Studio::with(video, read);
        assert_eq!(world.step(&studio, asked.id()).await.status(), Status::Canceled);
        assert!(studio.told_to_stop().is_empty());
    }
}

#[tokio::test]
async fn a_provider_that_can_t_be_read_is_asked_a_few_times_before_the_job_is_canceled_anyway() {
    let world = World::new().await;
    let asked = world.has_canceling("video_1").await;
    let studio = Studio::with("video_1", Read::Unavailable(None));
    for seconds in [2, 4, 8, 16] {
        let looked = world.step(&studio, asked.id()).await;
        assert_eq!((looked.message(), looked.version()), ("Canceling", asked.version()));
        assert_eq!(world.next_look_of(&looked), Duration::from_secs(seconds));
        assert!(studio.told_to_stop().is_empty(), "it may have finished first");
    }
    assert_eq!(world.step(&studio, asked.id()).await.status(), Status::Canceled);
    assert_eq!(studio.told_to_stop(), ["video_1"], "it may still be at it");
}

#[tokio::test]
async fn a_job_that_is_to_be_canceled_outlives_its_deadline_no_more_than_others() {
    for read in [RENDERING, Read::Unavailable(None)] {
        let world = World::new().await;
        let asked = world.has_canceling("video_1").await;
        world.clock.advance(DEADLINES.job);
        let studio = Studio::with("video_1", read);
        assert_eq!(world.step(&studio, asked.id()).await.status(), Status::Canceled);
        assert_eq!(studio.told_to_stop(), ["video_1"]);
    }
}

#[tokio::test]
async fn a_video_that_was_paid_for_is_not_lost_by_a_wish_in_the_middle_of_its_submission() {
    let world = World::new().await;
    let job = world.has(sample::new_job(NOON)).await;
    let studio = Studio::plans(&[Submitted::Taken("video_1")]);
    let taken = world.step_canceled_meanwhile(&studio, job.id()).await;
    assert_eq!((taken.video_id(), taken.message()), (Some("video_1"), "Canceling"));
    assert_eq!(world.tables.jobs.owner_of("video_1").await.unwrap().as_ref(), Some(job.id()));
    assert_eq!(world.next_look_of(&taken), Duration::ZERO, "its end does not wait for the first look");
    studio.set("video_1", RENDERING);
    assert_eq!(world.step(&studio, job.id()).await.status(), Status::Canceled);
    assert_eq!((studio.prompts().len(), studio.told_to_stop()), (1, vec!["video_1".to_owned()]));
}

#[tokio::test]
async fn a_video_that_was_written_unheard_before_the_wish_came_is_not_written_over() {
    let world = World::new().await;
    let job = world.has(sample::new_job(NOON)).await;
    let studio = Studio::plans(&[Submitted::Taken("video_1")]);
    let meanwhile = Meanwhile { unheard: true, ..world.in_the_middle_of(&studio, job.id()) };
    let marked = world.step(&meanwhile, job.id()).await;
    assert_eq!((marked.video_id(), marked.rev()), (Some("video_1"), job.rev() + 3), "claim, video, mark");
    studio.set("video_1", RENDERING);
    assert_eq!(world.step(&studio, job.id()).await.status(), Status::Canceled);
    assert_eq!((studio.prompts().len(), studio.told_to_stop()), (1, vec!["video_1".to_owned()]));
}

#[tokio::test]
async fn whatever_comes_of_a_submission_in_whose_middle_the_wish_came_is_kept() {
    let world = World::new().await;
    let job = world.has(sample::new_job(NOON)).await;
    let studio = Studio::plans(&[Submitted::NotTaken(Some(600))]);
    let not_taken = world.step_canceled_meanwhile(&studio, job.id()).await;
    assert_eq!(world.next_look_of(&not_taken), Duration::ZERO);
    assert_eq!(world.step(&studio, job.id()).await.status(), Status::Canceled);
    assert_eq!(studio.prompts().len(), 1, "it is not submitted again");

    let job = world.has(sample::new_job(NOON)).await;
    let refused = world.step_canceled_meanwhile(&Studio::plans(&[Submitted::Refused]), job.id()).await;
    assert_eq!(why(&refused), "content_rejected");
}

#[tokio::test]
async fn a_submission_of_unknown_outcome_is_found_again_and_then_canceled_there() {
    let world = World::new().await;
    let job = world.has(sample::new_job(NOON)).await;
    let studio = Studio::plans(&[Submitted::TakenUnheard("video_1")]);
    studio.set("video_1", RENDERING);
    let unknown = world.step_canceled_meanwhile(&studio, job.id()).await;
    assert_eq!((unknown.video_id(), unknown.message()), (None, "Canceling"));
    assert_eq!(world.step(&studio, job.id()).await.video_id(), Some("video_1"));
    assert_eq!(world.step(&studio, job.id()).await.status(), Status::Canceled);
    assert_eq!((studio.prompts().len(), studio.told_to_stop()), (1, vec!["video_1".to_owned()]));
}

#[tokio::test]
async fn a_submission_that_is_never_found_again_ends_as_its_caller_wished() {
    for deadline in [false, true] {
        let world = World::new().await;
        let job = world.has(sample::new_job(NOON)).await;
        let studio = Studio::plans(&[Submitted::LostUnheard]);
        world.step(&studio, job.id()).await;
        world.ask_to_cancel(job.id()).await;
        if deadline {
            world.clock.advance(DEADLINES.job);
        }
        assert_eq!(world.finish(&studio, job.id()).await.status(), Status::Canceled);
        assert_eq!(studio.prompts().len(), 1);
    }
}

#[tokio::test]
async fn a_worker_that_holds_the_job_is_left_alone_and_followed_when_it_died() {
    let world = World::new().await;
    let job = world.has(sample::submitting(NOON)).await;
    let studio = Studio::with("video_1", RENDERING);
    studio.lists("video_1", 0);
    let asked = world.ask_to_cancel(job.id()).await;
    assert_eq!(asked.next_check_at(), job.next_check_at(), "the end of its lease");
    world.call(&studio, &WorkMessage::next_look(&asked).unwrap()).await;
    assert_eq!((studio.asked(), world.job(job.id()).await), (0, asked));

    assert_eq!(world.finish(&studio, job.id()).await.status(), Status::Canceled);
    assert_eq!((studio.prompts().len(), studio.told_to_stop()), (0, vec!["video_1".to_owned()]));
}

#[tokio::test]
async fn a_save_in_whose_middle_the_wish_came_completes_the_job() {
    let world = World::new().await;
    let job = world.has_rendering(VIDEO).await;
    let server = Server::with_file(mp4(1000)).await;
    let client = server.client();
    let done = world.step(&world.in_the_middle_of(&client, job.id()), job.id()).await;
    assert_eq!((done.status(), done.cancel_requested_at()), (Status::Completed, Some(world.clock.now())));
    let versions = done.version() - job.version();
    assert_eq!(versions, 3, "saving, canceling, completed");
    assert_eq!((server.fetches(), world.bucket.objects().len()), (1, 2));
    assert_eq!(world.bucket.objects()[&done.video().unwrap().key].bytes, mp4(1000));
}

#[tokio::test]
async fn a_save_that_failed_after_the_wish_is_tried_again_as_long_as_the_provider_has_the_video() {
    for lost in [false, true] {
        let world = World::new().await;
        let job = world.has_rendering(VIDEO).await;
        let server = Server::with_file(mp4(1000).slice(..1000)).await;
        let client = server.client();
        let again = world.step(&world.in_the_middle_of(&client, job.id()), job.id()).await;
        assert!(matches!(again.stage(), Stage::Rendering { failed_saves: 1, .. }), "{again:?}");
        assert_eq!((again.message(), again.progress()), ("Canceling", 99));
        let expected = if lost {
            client.cancel(VIDEO).await.unwrap();
            Status::Canceled
        } else {
            server.set_file(mp4(1000));
            Status::Completed
        };
        assert_eq!(world.step(&client, job.id()).await.status(), expected);
    }
}

#[tokio::test]
async fn a_file_that_is_none_ends_a_job_that_is_to_be_canceled_as_its_caller_wished() {
    let world = World::new().await;
    let job = world.has_canceling(VIDEO).await;
    let server = Server::with_file(mp4(1000).slice(..1000)).await;
    assert_eq!(world.finish(&server.client(), job.id()).await.status(), Status::Canceled);
    assert_eq!(server.fetches(), 5);
}

#[tokio::test]
async fn a_save_whose_worker_died_does_not_keep_a_job_from_being_canceled() {
    for (read, looks) in [(Read::Unavailable(None), 6), (Read::NotFound, 1)] {
        let world = World::new().await;
        let job = world.has_rendering("video_1").await.open().unwrap();
        let saving = job.claim_save(clipbell_job::AttemptId::random(), NOON.plus(Duration::from_secs(60)), NOON);
        world.tables.jobs.replace(&saving, NOON).await.unwrap();
        world.ask_to_cancel(job.id()).await;
        let studio = Studio::with("video_1", read);
        assert_eq!(world.finish(&studio, job.id()).await.status(), Status::Canceled);
        assert_eq!(studio.asked(), looks);
    }
}
