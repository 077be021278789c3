use bytes::Bytes;

use super::{
    openai::{Server, VIDEO, mp4},
    *,
};

/// Over one part of 8 MB.
const LARGE: usize = 9 * 1024 * 1024;

/// The keys of the videos in the bucket.
fn videos(world: &World) -> Vec<String> {
    let videos = world.bucket.objects().into_iter().filter(|(_, object)| object.media_type == "video/mp4");
    videos.map(|(key, _)| key).collect()
}

#[tokio::test]
async fn a_large_video_goes_up_in_parts_and_arrives_byte_for_byte() {
    let world = World::new().await;
    let job = world.has_rendering(VIDEO).await;
    let server = Server::with_file(mp4(LARGE)).await;
    let job = world.step(&server.client(), job.id()).await;
    assert_eq!(job.status(), Status::Completed);
    let video = job.video().unwrap();
    assert_eq!(video.bytes, mp4(LARGE).len() as u64);
    assert!(world.bucket.objects()[&video.key].bytes == mp4(LARGE), "another file arrived");
    assert_eq!(world.bucket.calls().all().iter().filter(|call| *call == "UploadPart").count(), 2);
    assert_eq!(world.bucket.uploads_left(), 0);
}

#[tokio::test]
async fn a_thumbnail_that_can_t_be_had_or_stored_fails_nothing() {
    let world = World::new().await;
    let server = Server::with_file(mp4(LARGE)).await;
    let job = world.has_rendering(VIDEO).await;
    // The video itself goes up in parts.
    world.bucket.refuse("PutObject", 100);
    let job = world.step(&server.client(), job.id()).await;
    assert_eq!((job.status(), &job.video().unwrap().thumbnail_key), (Status::Completed, &None));

    let world = World::new().await;
    let job = world.has_rendering(VIDEO).await;
    server.lose_thumbnail();
    let job = world.step(&server.client(), job.id()).await;
    assert_eq!((job.status(), &job.video().unwrap().thumbnail_key), (Status::Completed, &None));
}

#[tokio::test]
async fn a_file_that_is_no_whole_video_is_never_called_completed() {
    let whole = mp4(1000);
    for (what, file) in [
        ("cut off", whole.slice(..whole.len() - 1)),
        ("empty", Bytes::new()),
        ("a page", Bytes::from_static(b"<html>Bad gateway</html>")),
        ("without media", whole.slice(..33)),
    ] {
        let world = World::new().await;
        let job = world.has_rendering(VIDEO).await;
        let server = Server::with_file(file).await;
        let first = world.step(&server.client(), job.id()).await;
        assert_eq!((first.status(), first.progress()), (Status::InProgress, 99), "{what}");
        assert_eq!(world.next_look_of(&first), Duration::from_secs(2));
        // Fetched again a few times: it may have been the line.
        let job = world.finish(&server.client(), job.id()).await;
        assert_eq!((why(&job), server.fetches()), ("invalid_video", 5), "{what}");
        assert!(world.clock.now().since(NOON) >= 20 * PROVIDER_TIMEOUT, "{what}");
        assert!(videos(&world).is_empty(), "{what} is in the bucket");
    }
}

#[tokio::test]
async fn a_provider_whose_files_are_away_for_a_while_loses_no_video() {
    let world = World::new().await;
    let job = world.has_rendering(VIDEO).await;
    let server = Server::with_file(Bytes::from_static(b"<html>Back soon</html>")).await;
    for _ in 0..4 {
        assert!(!world.step(&server.client(), job.id()).await.status().is_terminal());
    }
    server.set_file(mp4(1000));
    assert_eq!(world.step(&server.client(), job.id()).await.status(), Status::Completed);
}

#[tokio::test]
async fn a_job_whose_every_save_is_its_worker_s_end_has_an_end_of_its_own() {
    let world = World::new().await;
    let job = world.has_rendering(VIDEO).await.open().unwrap();
    let server = Server::with_file(mp4(1000)).await;
    let deadline = job.created_at().plus(DEADLINES.job);
    let before = job.claim_save(clipbell_job::AttemptId::random(), deadline.minus(Duration::from_secs(1)), NOON);
    world.tables.jobs.replace(&before, NOON).await.unwrap();

    // One more, beyond the deadline; its worker dies as well.
    world.clock.set(deadline);
    let last = sample::open(before).claim_save(
        clipbell_job::AttemptId::random(),
        deadline.plus(Duration::from_secs(300)),
        deadline,
    );
    world.tables.jobs.replace(&last, NOON).await.unwrap();
    assert_eq!(why(&world.step(&server.client(), job.id()).await), "timeout");
    assert_eq!(server.fetches(), 0);
}

#[tokio::test]
async fn a_file_that_broke_off_once_is_fetched_again_and_leaves_nothing_behind() {
    let world = World::new().await;
    let job = world.has_rendering(VIDEO).await;
    let whole = mp4(LARGE);
    let server = Server::with_file(whole.slice(..whole.len() - 1)).await;
    world.step(&server.client(), job.id()).await;
    assert_eq!(world.bucket.calls().all().iter().filter(|call| *call == "AbortMultipartUpload").count(), 1);
    assert_eq!(world.bucket.uploads_left(), 0);
    server.set_file(whole);
    let job = world.step(&server.client(), job.id()).await;
    assert_eq!(job.status(), Status::Completed);
    assert_eq!(videos(&world), [job.video().unwrap().key.as_str()]);
}

#[tokio::test]
async fn a_part_that_the_bucket_refused_once_is_sent_again() {
    let world = World::new().await;
    let job = world.has_rendering(VIDEO).await;
    let server = Server::with_file(mp4(LARGE)).await;
    world.bucket.refuse("UploadPart", 1);
    let job = world.step(&server.client(), job.id()).await;
    assert_eq!(job.status(), Status::Completed);
    assert!(world.bucket.objects()[&job.video().unwrap().key].bytes == mp4(LARGE), "another file arrived");
    assert_eq!(server.fetches(), 1, "it is not fetched again");
}

#[tokio::test]
async fn a_bucket_that_is_down_for_a_while_delays_the_video_and_loses_nothing() {
    let world = World::new().await;
    let job = world.has_rendering(VIDEO).await;
    let server = Server::with_file(mp4(LARGE)).await;
    // As often as the SDK tries.
    world.bucket.refuse("CompleteMultipartUpload", 4);
    let waits = world.step(&server.client(), job.id()).await;
    assert_eq!((waits.status(), waits.progress()), (Status::InProgress, 99));
    assert_eq!(world.bucket.uploads_left(), 0);
    assert_eq!(world.step(&server.client(), job.id()).await.status(), Status::Completed);
}

#[tokio::test]
async fn a_save_that_its_invocation_has_no_time_for_is_put_off() {
    let world = World::new().await;
    let job = world.has_rendering(VIDEO).await;
    let server = Server::with_file(mp4(LARGE)).await;
    world.clock.set(job.next_check_at().unwrap());
    let look = body(&WorkMessage::next_look(&job).unwrap());
    let until = world.clock.now().plus(LEASE_MARGIN);
    let answer = handle(&world.app, &server.client(), event::sqs(&[look], until)).await;
    assert!(answer.batch_item_failures.is_empty());
    let waits = world.job(job.id()).await;
    assert_eq!((waits.status(), waits.progress()), (Status::InProgress, 99));
    assert_eq!(world.step(&server.client(), job.id()).await.status(), Status::Completed);
}

#[tokio::test]
async fn a_save_whose_worker_died_is_waited_for_and_then_made_under_a_key_of_its_own() {
    let world = World::new().await;
    let job = world.has_rendering(VIDEO).await.open().unwrap();
    let server = Server::with_file(mp4(1000)).await;
    let lease_until = NOON.plus(Duration::from_secs(60));
    let attempt = clipbell_job::AttemptId::random();
    let saving = job.claim_save(attempt.clone(), lease_until, NOON);
    world.tables.jobs.replace(&saving, NOON).await.unwrap();

    // A webhook comes while it may still be at it.
    let event = world.webhook(&server.client(), "wh_1", VIDEO).await;
    assert_eq!((event.outcome, server.fetches()), (Outcome::NoChange, 0));

    let done = world.step(&server.client(), job.id()).await;
    assert_eq!(done.status(), Status::Completed);
    assert!(!done.video().unwrap().key.contains(attempt.as_str()));

    // The dead wakes up.
    let zombie = saving.open().unwrap().save_failed("it took too long", NOON, NOON);
    assert!(matches!(world.tables.jobs.replace(&zombie, NOON).await.unwrap(), Replaced::Conflict(Some(_))));
    assert_eq!(world.job(job.id()).await, done);
}
