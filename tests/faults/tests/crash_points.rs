//! Every outgoing call of every function, failed in every way, one at a time. A new call joins by itself.

#![allow(clippy::unwrap_used)]

use std::{collections::BTreeSet, time::Duration};

use clipbell_fault_tests::{Fate, Fault, Plan, Played, Point, Story, Webhooks};

/// The functions that a plain job comes by. The two others have stories of their own.
const FLOWS_OF_PLAIN: [&str; 7] =
    ["advance", "create-job", "notify", "webhook", "ws-connect", "ws-disconnect", "ws-message"];

const LARGE_VIDEO: Story = Story {
    name: "a large video, and no webhook",
    plan: Plan { webhooks: Webhooks::Lost, bytes: 9 * 1024 * 1024, ..Story::PLAIN.plan },
    audio: false,
    ..Story::PLAIN
};

const WEBHOOK_OFTEN: Story = Story {
    name: "the webhook again and again",
    plan: Plan { webhooks: Webhooks::SentOften, ..Story::PLAIN.plan },
    audio: false,
    ..Story::PLAIN
};

const PREMATURE: Story = Story {
    name: "the webhook too early, the submission refused at first",
    plan: Plan { webhooks: Webhooks::Premature, refusals: 2, ..Story::PLAIN.plan },
    audio: false,
    ..Story::PLAIN
};

const FAILING: Story =
    Story { name: "the video fails", plan: Plan { fails: true, ..Story::PLAIN.plan }, audio: false, ..Story::PLAIN };

const MESSAGES_LOST: Story =
    Story { name: "every message of the work queue lost", fates: &[Fate::Lost], audio: false, ..Story::PLAIN };

const CANCELED: Story = Story {
    name: "canceled while it renders",
    cancels_after: Some(Duration::from_secs(7)),
    audio: false,
    ..Story::PLAIN
};

#[test]
fn a_plain_job_survives_any_fault() {
    survives(Story::PLAIN, &Fault::ANYWHERE, &FLOWS_OF_PLAIN);
}

#[test]
fn a_submission_and_a_save_survive_any_fault_of_the_provider() {
    survives(Story::PLAIN, &Fault::ANYWHERE, &["provider submit", "provider video", "provider content"]);
}

#[test]
fn a_plain_job_survives_whatever_aws_answers() {
    survives(Story::PLAIN, &Fault::OF_AWS, &FLOWS_OF_PLAIN);
}

#[test]
fn a_large_video_survives_any_fault_of_its_worker() {
    survives(LARGE_VIDEO, &Fault::ANYWHERE, &["advance"]);
}

#[test]
fn a_large_video_survives_whatever_the_bucket_answers() {
    survives(LARGE_VIDEO, &Fault::OF_AWS, &["S3 CreateMultipartUpload", "S3 UploadPart", "S3 CompleteMultipartUpload"]);
}

#[test]
fn a_webhook_that_comes_again_and_again_survives_any_fault() {
    survives(WEBHOOK_OFTEN, &Fault::ANYWHERE, &["webhook", "advance"]);
}

#[test]
fn a_refused_submission_and_a_premature_webhook_survive_any_fault() {
    survives(PREMATURE, &Fault::ANYWHERE, &["webhook", "advance"]);
}

#[test]
fn a_video_that_fails_survives_any_fault() {
    survives(FAILING, &Fault::ANYWHERE, &["webhook", "advance", "notify"]);
}

#[test]
fn a_job_whose_messages_are_lost_survives_any_fault() {
    survives(MESSAGES_LOST, &Fault::ANYWHERE, &["reconcile", "advance", "webhook"]);
}

#[test]
fn a_job_whose_messages_are_lost_survives_whatever_aws_answers_to_reconcile() {
    survives(MESSAGES_LOST, &Fault::OF_AWS, &["reconcile"]);
}

#[test]
fn a_job_that_is_canceled_survives_any_fault() {
    survives(CANCELED, &Fault::ANYWHERE, &["cancel-job", "advance", "webhook"]);
}

#[test]
fn a_job_that_is_canceled_survives_whatever_aws_answers() {
    survives(CANCELED, &Fault::OF_AWS, &["cancel-job", "advance"]);
}

/// A function that is new has to be meant by a story.
#[test]
fn every_function_has_points() {
    let calls = [Story::PLAIN, MESSAGES_LOST, CANCELED].iter().flat_map(|story| play(story, None).calls);
    let flows: BTreeSet<_> = calls.map(|call| call.flow).collect();
    let meant = FLOWS_OF_PLAIN.into_iter().chain(["cancel-job", "reconcile"]);
    assert_eq!(flows, meant.collect());
}

/// Plays the story once unharmed, and then once for each fault at each call of these functions, or of these names.
fn survives(story: Story, faults: &[Fault], meant: &[&str]) {
    let unharmed = play(&story, None);
    assert!(unharmed.broken.is_empty(), "{} without any fault: {:#?}", story.name, unharmed.broken);
    let mut broken = Vec::new();
    for meant in meant {
        let mut points = 0;
        let calls = unharmed.calls.iter().enumerate();
        for (number, call) in calls.filter(|(_, call)| call.flow == *meant || call.name == *meant) {
            for &fault in faults.iter().filter(|fault| fault.can_befall(call)) {
                points += 1;
                let played = play(&story, Some(Point { call: number, fault }));
                let place = format!("{fault:?} at call {number}, {} of {}", call.name, call.flow);
                broken.extend(played.broken.into_iter().map(|violation| format!("{place}: {violation}")));
            }
        }
        println!("{}: {points} points in {meant}", story.name);
        assert!(points > 0, "{}: no points in {meant}", story.name);
    }
    assert!(broken.is_empty(), "{}: {} broken\n{}", story.name, broken.len(), broken.join("\n"));
}

fn play(story: &Story, point: Option<Point>) -> Played {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(story.play(point))
}
