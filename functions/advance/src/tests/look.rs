use clipbell_job::JobError;
use clipbell_provider::VideoState;

use super::{
    openai::Server,
    studio::{Read, Studio},
    *,
};

fn state(state: VideoState) -> Studio {
    Studio::with("video_1", Read::State(state))
}

#[tokio::test]
async fn a_job_goes_from_prompt_to_file_with_the_openai_client_over_a_socket() {
    let world = World::new().await;
    let server = Server::start().await;
    let client = server.client();
    let id = world.has(sample::new_job(NOON)).await.id().clone();
    let mut told = vec![world.job(&id).await.version()];
    for (provider, progress, expected) in [
        ("queued", 0, (Status::Queued, 0)),
        ("queued", 0, (Status::Queued, 0)),
        ("in_progress", 40, (Status::InProgress, 40)),
        ("in_progress", 100, (Status::InProgress, 98)),
        ("completed", 100, (Status::Completed, 100)),
    ] {
        server.render(provider, progress);
        let job = world.step(&client, &id).await;
        assert_eq!((job.status(), job.progress()), expected);
        told.push(job.version());
    }
    assert!(told.is_sorted(), "versions only grow: {told:?}");

    let job = world.job(&id).await;
    let video = job.video().unwrap();
    let objects = world.bucket.objects();
    assert_eq!((&objects[&video.key].bytes, &*objects[&video.key].media_type), (&openai::mp4(1000), "video/mp4"));
    assert_eq!(video.bytes, openai::mp4(1000).len() as u64);
    let thumbnail = video.thumbnail_key.as_deref().unwrap();
    assert_eq!((&*objects[thumbnail].bytes, &*objects[thumbnail].media_type), (&b"RIFF"[..], "image/webp"));
    assert_eq!(objects.len(), 2);
    assert_eq!(video.expires_at, world.clock.now().plus(DEADLINES.video));
    assert_eq!(server.asked().iter().filter(|call| *call == "POST /v1/videos").count(), 1);
    let history: Vec<_> = job.history().iter().map(|entry| entry.what.as_str()).collect();
    assert_eq!(history, ["created", "submitting", "submitted", "saving", "completed"]);
}

#[tokio::test]
async fn a_look_that_brings_nothing_new_is_followed_by_the_next_and_told_nobody() {
    let world = World::new().await;
    let job = world.has_rendering("video_1").await;
    let looked = world.step(&state(VideoState::Queued), job.id()).await;
    assert_eq!((looked.version(), looked.rev()), (job.version(), job.rev() + 1));
    assert_eq!(world.next_look_of(&looked), Duration::from_secs(5));
}

#[tokio::test]
async fn a_video_that_failed_or_was_canceled_ends_its_job() {
    let world = World::new().await;
    let job = world.has_rendering("video_1").await;
    let error = JobError::new("content_rejected", "Not this.", false);
    let job = world.step(&state(VideoState::Failed(error.clone())), job.id()).await;
    assert_eq!((why(&job), job.error()), ("content_rejected", Some(&error)));

    let job = world.has_rendering("video_2").await;
    let studio = Studio::with("video_2", Read::State(VideoState::Canceled));
    assert_eq!(world.step(&studio, job.id()).await.status(), Status::Canceled);
}

#[tokio::test]
async fn a_provider_that_does_not_answer_is_asked_more_and_more_rarely_and_nobody_is_told() {
    let world = World::new().await;
    let job = world.has_rendering("video_1").await;
    let studio = Studio::with("video_1", Read::Unavailable(None));
    for seconds in [2, 4, 8] {
        let looked = world.step(&studio, job.id()).await;
        assert_eq!((looked.version(), world.next_look_of(&looked)), (job.version(), Duration::from_secs(seconds)));
    }
    studio.set("video_1", Read::Unavailable(Some(600)));
    assert_eq!(world.next_look_of(&world.step(&studio, job.id()).await), Duration::from_secs(600));
    studio.set("video_1", Read::State(VideoState::Rendering(40)));
    assert_eq!(world.step(&studio, job.id()).await.progress(), 40);
}

#[tokio::test]
async fn a_video_that_the_provider_does_not_know_is_lost_only_when_it_keeps_saying_so() {
    let world = World::new().await;
    let job = world.has_rendering("video_1").await;
    let studio = Studio::with("video_1", Read::NotFound);
    assert_eq!(why(&world.finish(&studio, job.id()).await), "video_lost");
    assert!(world.clock.now().since(NOON) >= Duration::from_secs(10 * 60));
}

#[tokio::test]
async fn a_provider_that_was_away_and_then_knows_no_video_for_a_moment_loses_nothing() {
    let world = World::new().await;
    let job = world.has_rendering("video_1").await;
    for read in [Read::Unavailable(None), Read::NotFound, Read::State(VideoState::Rendering(50)), Read::NotFound] {
        let studio = Studio::with("video_1", read);
        for _ in 0..4 {
            assert!(!world.step(&studio, job.id()).await.status().is_terminal());
        }
    }
}

#[tokio::test]
async fn a_provider_that_was_away_between_two_moments_of_not_knowing_a_video_loses_nothing() {
    let world = World::new().await;
    let job = world.has_rendering("video_1").await;
    world.step(&Studio::with("video_1", Read::NotFound), job.id()).await;
    while world.clock.now() < NOON.plus(Duration::from_secs(15 * 60)) {
        world.step(&Studio::with("video_1", Read::Unavailable(None)), job.id()).await;
    }
    let job = world.step(&Studio::with("video_1", Read::NotFound), job.id()).await;
    assert!(!job.status().is_terminal());
}

#[tokio::test]
async fn a_job_past_its_deadline_ends_after_one_last_look() {
    let world = World::new().await;
    for read in [Read::State(VideoState::Rendering(90)), Read::Unavailable(None), Read::NotFound] {
        let job = world.has_rendering("video_1").await;
        world.clock.set(job.created_at().plus(DEADLINES.job));
        let studio = Studio::with("video_1", read);
        assert_eq!(why(&world.step(&studio, job.id()).await), "timeout");
        assert_eq!(studio.asked(), 1);
        // The next round's video is another one.
        let key = aws_sdk_dynamodb::types::AttributeValue::S("video#video_1".to_owned());
        world.tables.client.delete_item().table_name(Tables::JOBS).key("jobId", key).send().await.unwrap();
        world.clock.set(NOON);
    }
}

#[tokio::test]
async fn a_video_that_is_done_at_the_last_look_is_saved_all_the_same() {
    let world = World::new().await;
    let job = world.has_rendering(openai::VIDEO).await;
    let server = Server::with_file(openai::mp4(1000)).await;
    world.clock.set(job.created_at().plus(DEADLINES.job));
    assert_eq!(world.step(&server.client(), job.id()).await.status(), Status::Completed);
}

#[tokio::test]
async fn no_look_is_later_than_the_deadline() {
    let world = World::new().await;
    let job = world.has_rendering("video_1").await;
    let deadline = job.created_at().plus(DEADLINES.job);
    world.clock.set(deadline.minus(Duration::from_secs(1)));
    let looked = world.step(&state(VideoState::Rendering(90)), job.id()).await;
    assert_eq!(looked.next_check_at(), Some(deadline));
}

#[tokio::test]
async fn a_webhook_brings_the_job_home_before_its_look_and_the_trail_says_so() {
    let world = World::new().await;
    let job = world.has_rendering(openai::VIDEO).await;
    let server = Server::with_file(openai::mp4(1000)).await;
    let event = world.webhook(&server.client(), "wh_1", openai::VIDEO).await;
    assert_eq!(event.outcome, Outcome::Applied);
    assert_eq!((event.job_id.as_deref(), event.processed_at), (Some(job.id().as_str()), Some(NOON)));
    let done = world.job(job.id()).await;
    assert_eq!(done.status(), Status::Completed);

    // Late, and once more: nothing changes.
    let late = world.webhook(&server.client(), "wh_2", openai::VIDEO).await;
    assert_eq!(late.outcome, Outcome::NoChange);
    world.call(&server.client(), &hint("wh_1", openai::VIDEO)).await;
    assert_eq!(world.job(job.id()).await, done);
    assert_eq!(server.fetches(), 1);
}

#[tokio::test]
async fn a_webhook_says_when_to_look_and_not_what_to_believe() {
    let world = World::new().await;
    let job = world.has_rendering("video_1").await;
    // It says completed; the provider itself does not.
    let event = world.webhook(&state(VideoState::Queued), "wh_1", "video_1").await;
    assert_eq!(event.outcome, Outcome::NoChange);
    assert_eq!(world.job(job.id()).await.status(), Status::Queued);
    let event = world.webhook(&state(VideoState::Rendering(40)), "wh_2", "video_1").await;
    assert_eq!(event.outcome, Outcome::Applied);
    assert_eq!(world.job(job.id()).await.progress(), 40);
}

#[tokio::test]
async fn a_webhook_of_a_video_that_no_job_has_is_unmatched_and_asks_nobody() {
    let world = World::new().await;
    // Its job is still being submitted.
    world.has(sample::submitting(NOON)).await;
    let studio = Studio::default();
    let event = world.webhook(&studio, "wh_1", "video_1").await;
    assert_eq!((event.outcome, event.job_id), (Outcome::Unmatched, None));
    assert_eq!(studio.asked(), 0);
}

#[tokio::test]
async fn a_webhook_and_a_look_at_once_save_the_video_once() {
    let world = World::new().await;
    let job = world.has_rendering(openai::VIDEO).await;
    let server = Server::with_file(openai::mp4(1000)).await;
    let client = server.client();
    world.clock.set(job.next_check_at().unwrap());
    let look = [body(&WorkMessage::next_look(&job).unwrap())];
    let hint = [body(&hint("wh_1", openai::VIDEO))];
    let (one, two, three) =
        tokio::join!(world.hand(&client, &look), world.hand(&client, &hint), world.hand(&client, &hint));
    assert!(one.is_empty() && two.is_empty() && three.is_empty());
    assert_eq!(world.job(job.id()).await.status(), Status::Completed);
    assert_eq!((server.fetches(), world.bucket.objects().len()), (1, 2));
}
