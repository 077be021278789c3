use super::{
    studio::{Studio, Submitted},
    *,
};

#[tokio::test]
async fn a_job_that_is_taken_has_its_video_and_is_looked_at_five_seconds_later() {
    let world = World::new().await;
    let job = world.has(sample::new_job(NOON)).await;
    let studio = Studio::plans(&[Submitted::Taken("video_1")]);
    let job = world.step(&studio, job.id()).await;
    assert_eq!((job.status(), job.message()), (Status::Queued, "Queued at the provider"));
    assert_eq!(job.request().prompt, None, "the prompt leaves the row");
    assert_eq!(world.tables.jobs.owner_of("video_1").await.unwrap().as_ref(), Some(job.id()));
    assert_eq!(world.next_look_of(&job), Duration::from_secs(5));
}

#[tokio::test]
async fn what_was_not_taken_is_submitted_again_when_the_provider_wants_it() {
    let world = World::new().await;
    let job = world.has(sample::new_job(NOON)).await;
    let studio =
        Studio::plans(&[Submitted::NotTaken(Some(60)), Submitted::NotTaken(None), Submitted::Taken("video_1")]);
    let waits = world.step(&studio, job.id()).await;
    assert_eq!((waits.status(), waits.version()), (Status::Queued, job.version()));
    assert_eq!(world.next_look_of(&waits), Duration::from_secs(60));
    let waits = world.step(&studio, job.id()).await;
    assert_eq!(world.next_look_of(&waits), Duration::from_secs(4), "a second failure waits for longer");
    assert_eq!(world.step(&studio, job.id()).await.video_id(), Some("video_1"));
    assert_eq!(studio.prompts().len(), 3);
}

#[tokio::test]
async fn a_submission_whose_claim_took_too_long_is_put_off() {
    let mut world = World::new().await;
    let job = world.has(sample::new_job(NOON)).await;
    let hand = world.clock.clone();
    // It goes on by as much whenever it is looked at.
    world.app.clock = Clock::from_fn(move || {
        hand.advance(Duration::from_secs(10));
        hand.now()
    });
    let waits = world.step(&Studio::default(), job.id()).await;
    assert_eq!((waits.status(), waits.stage()), (Status::Queued, &Stage::Waiting { refusals: 0 }));

    world.app.clock = world.clock.clock();
    let studio = Studio::plans(&[Submitted::Taken("video_1")]);
    assert_eq!(world.step(&studio, job.id()).await.video_id(), Some("video_1"));
}

#[tokio::test]
async fn what_is_refused_fails_with_the_reason() {
    let world = World::new().await;
    let job = world.has(sample::new_job(NOON)).await;
    let job = world.step(&Studio::plans(&[Submitted::Refused]), job.id()).await;
    assert_eq!(why(&job), "content_rejected");
    assert_eq!(job.request().prompt, None);
    assert!(job.ttl().is_some());
}

#[tokio::test]
async fn a_video_whose_answer_was_lost_is_found_again_and_not_paid_for_twice() {
    let world = World::new().await;
    let job = world.has(sample::new_job(NOON)).await;
    let studio = Studio::plans(&[Submitted::TakenUnheard("video_1")]);
    let unknown = world.step(&studio, job.id()).await;
    assert_eq!((unknown.status(), unknown.video_id()), (Status::Queued, None));
    // Not before a submission that was answered would certainly have been written.
    assert_eq!(world.next_look_of(&unknown), PROVIDER_TIMEOUT + Duration::from_secs(15));
    assert_eq!(world.step(&studio, job.id()).await.video_id(), Some("video_1"));
    assert_eq!(studio.prompts().len(), 1);
}

#[tokio::test]
async fn a_submission_that_can_t_be_found_again_fails_and_is_not_repeated() {
    let world = World::new().await;
    let job = world.has(sample::new_job(NOON)).await;
    let studio = Studio::plans(&[Submitted::LostUnheard]);
    // Others' videos, and one from before the claim.
    studio.lists("video_before", -60);
    studio.lists("video_after", 60);
    let job = world.finish(&studio, job.id()).await;
    assert_eq!(why(&job), "submit_outcome_unknown");
    assert!(job.error().unwrap().message.contains("not sent twice"));
    assert_eq!(studio.prompts().len(), 1);
}

#[tokio::test]
async fn of_two_videos_that_could_be_it_none_is_taken() {
    let world = World::new().await;
    let job = world.has(sample::new_job(NOON)).await;
    let studio = Studio::plans(&[Submitted::TakenUnheard("video_1")]);
    studio.lists("video_2", 0);
    assert_eq!(why(&world.finish(&studio, job.id()).await), "submit_outcome_unknown");
    for video in ["video_1", "video_2"] {
        assert_eq!(world.tables.jobs.owner_of(video).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_video_that_another_job_has_is_never_taken() {
    let world = World::new().await;
    let other = world.has_rendering("video_1").await;
    let job = world.has(sample::new_job(NOON)).await;
    let studio = Studio::plans(&[Submitted::LostUnheard]);
    studio.lists("video_1", 0);
    assert_eq!(why(&world.finish(&studio, job.id()).await), "submit_outcome_unknown");
    assert_eq!(world.tables.jobs.owner_of("video_1").await.unwrap().as_ref(), Some(other.id()));
}

#[tokio::test]
async fn a_worker_that_died_in_the_middle_is_waited_for_and_then_its_video_looked_for() {
    let world = World::new().await;
    let job = world.has(sample::submitting(NOON)).await;
    let studio = Studio::default();
    studio.lists("video_1", 0);
    // A redelivery, while it may still be at it.
    world.clock.advance(Duration::from_secs(59));
    world.call(&studio, &WorkMessage::next_look(&job).unwrap()).await;
    assert_eq!((studio.asked(), world.job(job.id()).await), (0, job.clone()));

    world.clock.advance(Duration::from_secs(1));
    let unknown = world.step(&studio, job.id()).await;
    assert_eq!(unknown.video_id(), None);
    assert_eq!(world.step(&studio, job.id()).await.video_id(), Some("video_1"));
    assert!(studio.prompts().is_empty(), "nothing is submitted");
}

#[tokio::test]
async fn a_job_past_its_deadline_is_not_submitted_any_more() {
    let world = World::new().await;
    let job = world.has(sample::new_job(NOON)).await;
    world.clock.advance(DEADLINES.job);
    let studio = Studio::default();
    assert_eq!(why(&world.step(&studio, job.id()).await), "timeout");
    assert_eq!(studio.asked(), 0);
}

#[tokio::test]
async fn a_video_that_was_made_after_a_dead_worker_s_lease_is_not_its_own() {
    let world = World::new().await;
    let job = world.has(sample::submitting(NOON)).await;
    let studio = Studio::default();
    studio.lists("video_1", 30 * 60);
    // Nobody looked for an hour.
    world.clock.advance(Duration::from_secs(60 * 60));
    assert_eq!(why(&world.finish(&studio, job.id()).await), "submit_outcome_unknown");
    assert_eq!(world.tables.jobs.owner_of("video_1").await.unwrap(), None);
}
