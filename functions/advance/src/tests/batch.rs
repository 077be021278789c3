use super::{
    studio::{Read, Studio, Submitted},
    *,
};

#[tokio::test]
async fn a_message_that_can_t_be_read_comes_back_and_the_good_one_beside_it_is_done() {
    let world = World::new().await;
    let job = world.has(sample::new_job(NOON)).await;
    let studio = Studio::plans(&[Submitted::Taken("video_1")]);
    let look = body(&WorkMessage::next_look(&job).unwrap());
    let bodies = ["hello".to_owned(), look, "{}".to_owned(), r#"{"kind":"dance"}"#.to_owned()];
    assert_eq!(world.hand(&studio, &bodies).await, ["message-0", "message-2", "message-3"]);
    assert_eq!(world.job(job.id()).await.video_id(), Some("video_1"));
}

#[tokio::test]
async fn a_message_whose_table_can_t_be_read_comes_back() {
    let world = World::new().await;
    let job = world.has(sample::new_job(NOON)).await;
    world.tables.drop_table(Tables::JOBS).await;
    let bodies = [body(&WorkMessage::next_look(&job).unwrap()), body(&hint("wh_1", "video_1"))];
    let studio = Studio::default();
    assert_eq!(world.hand(&studio, &bodies).await, ["message-0", "message-1"]);
    assert_eq!(studio.asked(), 0);
}

#[tokio::test]
async fn a_look_of_an_older_chain_does_nothing() {
    let world = World::new().await;
    let job = world.has_rendering("video_1").await;
    let studio = Studio::with("video_1", Read::State(clipbell_provider::VideoState::Rendering(40)));
    let due = job.next_check_at().unwrap();
    for other in [NOON, Millis(due.0 - 1), Millis(due.0 + 1)] {
        world.call(&studio, &WorkMessage::Look { job_id: job.id().clone(), due: other }).await;
    }
    assert_eq!(studio.asked(), 0);
    assert_eq!(world.job(job.id()).await, job);
    assert!(world.queue.sent().is_empty());
}

#[tokio::test]
async fn a_look_for_a_job_that_is_finished_or_gone_is_done_with() {
    let world = World::new().await;
    let studio = Studio::default();
    for job in [sample::completed(NOON), sample::failed(NOON), sample::canceled(NOON)] {
        let job = world.has(job).await;
        world.call(&studio, &WorkMessage::Look { job_id: job.id().clone(), due: NOON }).await;
        assert_eq!(world.job(job.id()).await, job);
    }
    world.call(&studio, &WorkMessage::Look { job_id: JobId::random(), due: NOON }).await;
    assert_eq!(studio.asked(), 0);
}

#[tokio::test]
async fn a_message_that_comes_twice_submits_once() {
    let world = World::new().await;
    let job = world.has(sample::new_job(NOON)).await;
    let studio = Studio::plans(&[Submitted::Taken("video_1")]);
    let look = body(&WorkMessage::next_look(&job).unwrap());
    // In one batch, and at once in two.
    let (doubled, single) = ([look.clone(), look.clone()], [look]);
    let failed = tokio::join!(world.hand(&studio, &doubled), world.hand(&studio, &single));
    assert!(failed.0.is_empty() && failed.1.is_empty());
    assert_eq!(studio.prompts(), ["A bell in the morning"]);
    assert_eq!(world.job(job.id()).await.video_id(), Some("video_1"));
}

#[tokio::test]
async fn a_queue_that_is_down_stops_no_step() {
    let world = World::new().await;
    let job = world.has(sample::new_job(NOON)).await;
    world.queue.break_down();
    let studio = Studio::plans(&[Submitted::Taken("video_1")]);
    let job = world.step(&studio, job.id()).await;
    assert_eq!(job.video_id(), Some("video_1"));
    let overdue = world.tables.jobs.overdue(NOON.plus(Duration::from_secs(60)), 10).await.unwrap();
    assert_eq!(overdue[0].next_check_at, job.next_check_at().unwrap(), "reconcile finds it");
}
