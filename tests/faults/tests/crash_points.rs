//! Every outgoing call of every function, failed in every way, one at a time. A new call joins by itself.

#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use clipbell_fault_tests::{Call, Fault, Plan, Point, Story, Webhooks};

/// The functions that have to show up, each with at least one call.
const FLOWS: [&str; 9] = [
    "advance",
    "cancel-job",
    "create-job",
    "notify",
    "reconcile",
    "webhook",
    "ws-connect",
    "ws-disconnect",
    "ws-message",
];

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
    Story { name: "every message of the work queue lost", loses_messages: true, audio: false, ..Story::PLAIN };

const CANCELED: Story = Story {
    name: "canceled while it renders",
    cancels_after: Some(Duration::from_secs(7)),
    audio: false,
    ..Story::PLAIN
};

#[test]
fn a_plain_job_survives_any_fault() {
    survives(Story::PLAIN, &Fault::ANYWHERE, |_| true);
}

#[test]
fn a_plain_job_survives_whatever_aws_answers() {
    survives(Story::PLAIN, &Fault::OF_AWS, |_| true);
}

#[test]
fn a_large_video_survives_any_fault_of_its_worker() {
    survives(LARGE_VIDEO, &Fault::ANYWHERE, |call| call.flow == "advance");
}

#[test]
fn a_large_video_survives_whatever_the_bucket_answers() {
    survives(LARGE_VIDEO, &Fault::OF_AWS, |call| call.name.starts_with("S3 "));
}

#[test]
fn a_webhook_that_comes_again_and_again_survives_any_fault() {
    survives(WEBHOOK_OFTEN, &Fault::ANYWHERE, |call| matches!(call.flow, "webhook" | "advance"));
}

#[test]
fn a_refused_submission_and_a_premature_webhook_survive_any_fault() {
    survives(PREMATURE, &Fault::ANYWHERE, |call| matches!(call.flow, "webhook" | "advance"));
}

#[test]
fn a_video_that_fails_survives_any_fault() {
    survives(FAILING, &Fault::ANYWHERE, |call| matches!(call.flow, "webhook" | "advance" | "notify"));
}

#[test]
fn a_job_whose_messages_are_lost_survives_any_fault() {
    survives(MESSAGES_LOST, &Fault::ANYWHERE, |call| matches!(call.flow, "reconcile" | "advance" | "webhook"));
}

#[test]
fn a_job_whose_messages_are_lost_survives_whatever_aws_answers_to_reconcile() {
    survives(MESSAGES_LOST, &Fault::OF_AWS, |call| call.flow == "reconcile");
}

#[test]
fn a_job_that_is_canceled_survives_any_fault() {
    survives(CANCELED, &Fault::ANYWHERE, |call| matches!(call.flow, "cancel-job" | "advance" | "webhook"));
}

#[test]
fn a_job_that_is_canceled_survives_whatever_aws_answers() {
    survives(CANCELED, &Fault::OF_AWS, |call| matches!(call.flow, "cancel-job" | "advance"));
}

#[test]
fn every_function_has_points() {
    let stories = [Story::PLAIN, MESSAGES_LOST, CANCELED];
    let flows: BTreeSet<_> = stories.iter().flat_map(|story| play(story, None).0).map(|call| call.flow).collect();
    assert_eq!(flows, BTreeSet::from(FLOWS));
    // Two flows of one function's.
    let calls = play(&Story::PLAIN, None).0;
    for call in ["provider submit", "provider content"] {
        assert!(calls.iter().any(|made| made.name == call), "no {call}");
    }
}

/// Plays the story once unharmed, and then once for each fault at each of the calls that are meant.
fn survives(story: Story, faults: &[Fault], is_meant: impl Fn(&Call) -> bool) {
    let (calls, unharmed) = play(&story, None);
    assert!(unharmed.is_empty(), "{} without any fault: {unharmed:#?}", story.name);
    let mut points = BTreeMap::new();
    let mut broken = Vec::new();
    for (number, call) in calls.iter().enumerate().filter(|(_, call)| is_meant(call)) {
        for &fault in faults.iter().filter(|fault| fault.can_befall(call)) {
            *points.entry(call.flow).or_insert(0) += 1;
            let (_, violations) = play(&story, Some(Point { call: number, fault }));
            let place = format!("{fault:?} at call {number}, {} of {}", call.name, call.flow);
            broken.extend(violations.into_iter().map(|violation| format!("{place}: {violation}")));
        }
    }
    for (flow, count) in &points {
        println!("{}: {count} points in {flow}", story.name);
    }
    assert!(points.values().sum::<usize>() > 0, "no points");
    assert!(broken.is_empty(), "{}: {} broken\n{}", story.name, broken.len(), broken.join("\n"));
}

fn play(story: &Story, point: Option<Point>) -> (Vec<Call>, Vec<String>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(story.play(point))
}
