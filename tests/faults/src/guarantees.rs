//! What must hold at the end of every story. The numbers are those of `docs/guarantees.md`.

use std::time::Duration;

use clipbell_aws::Outcome;
use clipbell_job::{JobId, Status};
use serde_json::Value;

use crate::{
    cloud::HIDDEN_FOR,
    wire::{Call, Fault, Trouble},
    world::World,
};

/// Whether nobody can know that nothing was submitted: the submission itself was struck, or the worker that had claimed it
/// died, or could write nothing for as long as it lived. A single fault, after which the SDK tries again by itself, is no
/// excuse: a claim must not be mistaken for another's.
fn may_stay_unknown(world: &World) -> bool {
    world
        .wire
        .struck()
        .is_some_and(|(call, fault)| call.flow == "advance" && (call.name == "provider submit" || !fault.is_passing()))
}

/// What does not hold.
pub(crate) async fn broken(world: &World, job_id: &JobId) -> Vec<String> {
    let mut broken = Vec::new();
    let mut must = |holds: bool, what: String| {
        if !holds {
            broken.push(what);
        }
    };
    let Some(job) = world.job(job_id).await else {
        return vec!["1: a job that was answered with 202 is not there".to_owned()];
    };
    let code = job.error().map_or("", |error| error.code.as_str());
    must(job.status().is_terminal(), format!("1: the job is still {:?}: {:?}", job.status(), job.history()));

    let videos = world.studio.videos();
    must(videos <= 1, format!("2: {videos} videos were paid for"));
    let outcome_holds = match (videos, world.studio.fails()) {
        // Who asked for the end has it, or the video that was finished first.
        _ if world.cancels.get() => matches!(job.status(), Status::Canceled | Status::Completed),
        (0, _) => code == "submit_outcome_unknown" && may_stay_unknown(world),
        (_, true) => code == "content_rejected",
        (_, false) => job.status() == Status::Completed,
    };
    must(
        outcome_holds,
        format!("2: {videos} videos, and the job ended as {:?} {code}: {:?}", job.status(), job.history()),
    );

    world.has_news();
    for event in world.events.latest(100, world.now()).await.unwrap() {
        must(event.outcome != Outcome::Received, format!("3: {} was never looked at", event.webhook_id));
    }
    must(world.cloud.dead_letters() == 0, "4: a message lies with the dead letters".to_owned());

    for rows in world.rows.borrow().windows(2) {
        let [before, after] = rows else { continue };
        let number = |row: &Value, name: &str| row[name]["N"].as_str().unwrap().parse::<i64>().unwrap();
        let status = |row: &Value| row["status"]["S"].as_str().unwrap().to_owned();
        let was = status(before);
        must(!matches!(&*was, "completed" | "failed" | "canceled"), format!("4: {was} was written over"));
        must(number(before, "rev") + 1 == number(after, "rev"), "7: a write on a row that it had not read".to_owned());
        must(number(before, "progress") <= number(after, "progress"), "4: progress went back".to_owned());
        let is_same = ["status", "progress", "message", "error"].iter().all(|field| before[field] == after[field]);
        let (older, newer) = (number(before, "version"), number(after, "version"));
        must(if is_same { older == newer } else { older < newer }, format!("4: version {older}, then {newer}"));
    }

    for watcher in world.watchers.borrow().iter() {
        let heard = world.cloud.heard(&watcher.connection);
        let mut newest: Option<&Value> = None;
        let mut by_version: Vec<&Value> = heard.iter().filter(|message| message["version"].is_i64()).collect();
        by_version.sort_by_key(|message| message["version"].as_i64());
        for message in by_version {
            if let Some(before) = newest {
                let (was, is) = (before["progress"].as_u64(), message["progress"].as_u64());
                must(was <= is, format!("4: progress went from {was:?} back to {is:?}"));
                let same = before["version"] != message["version"] || before["status"] == message["status"];
                must(same, format!("4: two states under version {}", message["version"]));
                let is_over = before["downloadUrl"].is_string() || before["error"].is_object();
                must(!is_over || before["status"] == message["status"], "4: a terminal state changed".to_owned());
            }
            newest = Some(message);
        }
        let told = heard.iter().any(|message| message["status"] == job.status().as_str());
        let there = watcher.stayed && world.cloud.is_connected(&watcher.connection);
        must(told || !there, format!("5: {} was told {heard:?} and never the end", watcher.connection));
    }

    if let Some(video) = job.video() {
        let whole = world.cloud.object(&video.key) == Some(world.studio.file());
        must(whole, format!("6: {} is not the whole video", video.key));
    }
    must((job.status() == Status::Completed) == job.video().is_some(), "6: completed without a video".to_owned());

    let struck = world.wire.struck();
    if struck.as_ref().is_none_or(|(call, fault)| call.is_to_aws() && fault.is_passing()) {
        let noticed = world.noticed.borrow();
        must(noticed.is_empty(), format!("a fault that passes was noticed outside: {noticed:?}"));
    }
    let (uploads, stopped) = (world.cloud.unfinished_uploads(), world.studio.was_stopped());
    must(
        uploads == 0 || struck.as_ref().is_some_and(may_leave_an_upload),
        format!("{uploads} uploads were left behind"),
    );
    let is_rendered_for_nobody = videos > 0 && job.status() == Status::Canceled && !stopped;
    let was_not_heard = struck.is_some_and(|(call, _)| call.name == "provider cancel");
    must(!is_rendered_for_nobody || was_not_heard, "8: canceled, and the provider goes on".to_owned());
    broken
}

/// Whether nobody is left who could abort an upload, or who knows of it.
fn may_leave_an_upload((call, fault): &(Call, Fault)) -> bool {
    match fault {
        Fault::DiesBefore | Fault::DiesAfter => true,
        Fault::Once(trouble) | Fault::All(trouble) => match call.name.as_str() {
            "S3 CreateMultipartUpload" => *trouble == Trouble::AnswerLost,
            "S3 AbortMultipartUpload" => !fault.is_passing(),
            _ => false,
        },
    }
}

/// What does not hold after a meeting of two workers, in which nothing failed.
pub(crate) async fn broken_by_meeting(world: &World, job_id: &JobId, stood_still: Duration) -> Vec<String> {
    let mut broken = Vec::new();
    // Who outlives his lease finds it taken, and has stored a file for nothing.
    let most = if stood_still > HIDDEN_FOR { 2 } else { 1 };
    let stored = world.cloud.stored_videos();
    if stored > most {
        broken.push(format!("7: {stored} files were stored"));
    }
    let mut subscribers = world.connections.subscribers(job_id);
    while let Some(page) = subscribers.next_page().await.unwrap() {
        let left = page.into_iter().filter(|connection| !world.cloud.is_connected(connection));
        broken.extend(left.map(|connection| format!("{connection} is gone, and its subscription is not")));
    }
    broken
}
