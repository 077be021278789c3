//! Whatever becomes of webhooks and of the work queue's messages, the job ends as it does when all goes well.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use clipbell_fault_tests::{Fate, Hook, Plan, Played, Story, Webhooks};
use proptest::{collection::vec, prelude::*, test_runner::Config};

const RENDERS_FOR: u64 = 40;

fn hook() -> impl Strategy<Value = Hook> {
    (0..3 * RENDERS_FOR, any::<bool>()).prop_map(|(after, lies)| Hook { after, lies })
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![Just(Fate::Kept), Just(Fate::Lost), Just(Fate::Doubled), (1..120_u64).prop_map(Fate::Late)]
}

fn story(fails: bool, hooks: Vec<Hook>, fates: Vec<Fate>) -> Story {
    let plan = Plan {
        webhooks: Webhooks::At(hooks.leak()),
        renders_for: Duration::from_secs(RENDERS_FOR),
        fails,
        ..Story::PLAIN.plan
    };
    Story { plan, fates: fates.leak(), audio: false, ..Story::PLAIN }
}

fn play(story: &Story) -> Played {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(story.play(None))
}

proptest! {
    #![proptest_config(Config { cases: 100, ..Config::default() })]

    #[test]
    fn any_history_ends_as_the_plain_one(fails: bool, hooks in vec(hook(), 0..5), fates in vec(fate(), 1..6)) {
        let plain = play(&story(fails, vec![Hook { after: RENDERS_FOR, lies: false }], vec![Fate::Kept]));
        let played = play(&story(fails, hooks, fates));
        prop_assert_eq!(played.end, plain.end);
        prop_assert!(played.broken.is_empty(), "{:#?}", played.broken);
    }
}
