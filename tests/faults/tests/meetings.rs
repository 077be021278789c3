//! Two workers at one job, their calls in every order with at most two switches from one to the other, and then to the
//! end. A new call joins by itself.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use clipbell_fault_tests::{Act, Meeting, Met, Order, Plan, Story, Webhooks};

/// Longer than a lease.
const LONG: Duration = Duration::from_secs(400);

const WITHOUT_WEBHOOK: Story =
    Story { plan: Plan { webhooks: Webhooks::Lost, ..Story::PLAIN.plan }, audio: false, ..Story::PLAIN };

#[test]
fn a_webhook_and_a_look() {
    holds(Meeting {
        name: "a webhook, and the look that is due",
        workers: [&[Act::Webhook, Act::Hint], &[Act::Look]],
        ..Meeting::AT_THE_END
    });
}

#[test]
fn a_submission_and_the_webhook_of_its_video() {
    let at_once = Plan { webhooks: Webhooks::Premature, renders_for: Duration::ZERO, ..Story::PLAIN.plan };
    for plan in [at_once, Plan { webhooks: Webhooks::Premature, ..Story::PLAIN.plan }] {
        holds(Meeting {
            name: "a submission, and the webhook of its video",
            story: Story { plan, audio: false, ..Story::PLAIN },
            after: Some(Duration::ZERO),
            workers: [&[Act::Look], &[Act::Webhook, Act::Hint]],
            ..Meeting::AT_THE_END
        });
    }
}

#[test]
fn a_subscription_and_the_completion() {
    holds(Meeting {
        name: "a browser that subscribes, and the end that it waits for",
        workers: [&[Act::Subscribe], &[Act::Webhook, Act::Hint, Act::Notify]],
        ..Meeting::AT_THE_END
    });
}

#[test]
fn a_disconnection_and_a_notification() {
    holds(Meeting {
        name: "a browser that leaves, and the end that it would be told",
        workers: [&[Act::Leave], &[Act::Webhook, Act::Hint, Act::Notify]],
        ..Meeting::AT_THE_END
    });
}

#[test]
fn two_deliveries_of_a_webhook() {
    holds(Meeting {
        name: "a webhook that is delivered twice at once",
        story: Story {
            plan: Plan { webhooks: Webhooks::SentOften, ..Story::PLAIN.plan },
            audio: false,
            ..Story::PLAIN
        },
        workers: [&[Act::Webhook, Act::Hint], &[Act::Webhook, Act::Hint]],
        ..Meeting::AT_THE_END
    });
}

#[test]
fn a_cancel_and_the_completion() {
    holds(Meeting {
        name: "a cancel, and the webhook of the finished video",
        workers: [&[Act::Cancel, Act::Look], &[Act::Webhook, Act::Hint]],
        ..Meeting::AT_THE_END
    });
}

#[test]
fn a_cancel_and_a_video_that_is_finished_meanwhile() {
    holds(Meeting {
        name: "a cancel, and a video that is finished meanwhile",
        after: Some(Duration::from_secs(11)),
        workers: [&[Act::Cancel, Act::Look], &[Act::Webhook, Act::Hint]],
        stands_still: Duration::from_secs(2),
        ..Meeting::AT_THE_END
    });
}

#[test]
fn a_cancel_and_the_submission() {
    holds(Meeting {
        name: "a cancel, and the submission",
        after: Some(Duration::ZERO),
        workers: [&[Act::Cancel, Act::Look], &[Act::Look]],
        ..Meeting::AT_THE_END
    });
}

#[test]
fn two_saves() {
    holds(Meeting {
        name: "a save that stood still beyond its lease, and the next one",
        story: Story { plan: Plan { bytes: 9 * 1024 * 1024, ..WITHOUT_WEBHOOK.plan }, ..WITHOUT_WEBHOOK },
        workers: [&[Act::Look], &[Act::Reconcile, Act::Look]],
        stands_still: LONG,
        ..Meeting::AT_THE_END
    });
}

#[test]
fn a_submission_that_stood_still_and_who_looks_for_it() {
    holds(Meeting {
        name: "a submission that stood still beyond its lease, and who looks for it",
        story: WITHOUT_WEBHOOK,
        after: Some(Duration::ZERO),
        workers: [&[Act::Look], &[Act::Reconcile, Act::Look, Act::Look]],
        stands_still: LONG,
    });
}

#[test]
fn a_message_that_is_delivered_twice() {
    for after in [0, 5, 15] {
        holds(Meeting {
            name: "a message of the work queue that is delivered twice at once",
            story: WITHOUT_WEBHOOK,
            after: Some(Duration::from_secs(after)),
            workers: [&[Act::Look], &[Act::Look]],
            ..Meeting::AT_THE_END
        });
    }
}

#[test]
fn two_requests_under_one_idempotency_key() {
    holds(Meeting {
        name: "two requests under one idempotency key",
        story: Story { audio: true, ..WITHOUT_WEBHOOK },
        after: None,
        workers: [&[Act::Generate, Act::Look], &[Act::Generate, Act::Look]],
        ..Meeting::AT_THE_END
    });
}

/// Plays the meeting in every order.
fn holds(meeting: Meeting) {
    let (mut orders, mut switched, mut broken) = (0, 0, Vec::new());
    for first in [0, 1] {
        'orders: for calls in 0.. {
            for calls_between in 0.. {
                let order = Order { first, calls, calls_between };
                let met = play(&meeting, order);
                orders += 1;
                broken.extend(met.broken.into_iter().map(|violation| format!("{order:?}: {violation}")));
                if !met.first_stood_still {
                    break 'orders;
                }
                if !met.other_stood_still {
                    break;
                }
                switched += 1;
            }
        }
    }
    println!("{}: {orders} orders", meeting.name);
    assert!(switched > 0, "the two never met");
    assert!(broken.is_empty(), "{}: {} broken\n{}", meeting.name, broken.len(), broken.join("\n"));
}

fn play(meeting: &Meeting, order: Order) -> Met {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(meeting.play(order))
}
