//! Two workers at once, in an order of our choosing.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use clipbell_test_support::HandClock;
use tokio::sync::Notify;

/// In what order two workers make their calls: the one that begins makes `calls` of them, the other one `calls_between`,
/// then the first all that it has left, and then the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// Which of the two begins: 0 or 1.
    pub first: usize,
    /// How many calls it makes before it stands still.
    pub calls: usize,
    /// How many calls the other one makes before it stands still in its turn.
    pub calls_between: usize,
}

/// Whose turn it is.
#[derive(Clone)]
pub(crate) struct Turns(Arc<Shared>);

struct Shared {
    inside: Mutex<Inside>,
    changed: Notify,
    clock: HandClock,
    stands_still: Duration,
}

struct Inside {
    legs: VecDeque<Leg>,
    stood_still: Vec<usize>,
}

struct Leg {
    worker: usize,
    calls: usize,
}

tokio::task_local! {
    static WORKER: usize;
}

impl Turns {
    /// The first worker stands still for so long, by `clock`.
    pub(crate) fn new(order: Order, clock: HandClock, stands_still: Duration) -> Self {
        let second = 1 - order.first;
        let leg = |worker, calls| Leg { worker, calls };
        let legs = VecDeque::from([
            leg(order.first, order.calls),
            leg(second, order.calls_between),
            leg(order.first, usize::MAX),
            leg(second, usize::MAX),
        ]);
        let inside = Inside { legs, stood_still: Vec::new() };
        Self(Arc::new(Shared { inside: Mutex::new(inside), changed: Notify::new(), clock, stands_still }))
    }

    /// Runs all that one of the two does.
    pub(crate) async fn worker<T>(&self, worker: usize, work: impl Future<Output = T>) -> T {
        let done = WORKER.scope(worker, work).await;
        self.0.inside.lock().unwrap().legs.retain(|leg| leg.worker != worker);
        self.0.changed.notify_waiters();
        done
    }

    /// Waits until the worker that asks may make its next call.
    pub(crate) async fn wait(&self) {
        let worker = WORKER.with(|worker| *worker);
        loop {
            let changed = self.0.changed.notified();
            if self.may_call(worker) {
                return;
            }
            changed.await;
        }
    }

    fn may_call(&self, worker: usize) -> bool {
        let mut inside = self.0.inside.lock().unwrap();
        while let Some(leg) = inside.legs.front_mut().filter(|leg| leg.worker == worker) {
            if leg.calls > 0 {
                leg.calls -= 1;
                return true;
            }
            inside.legs.pop_front();
            if inside.stood_still.is_empty() {
                self.0.clock.advance(self.0.stands_still);
            }
            inside.stood_still.push(worker);
            self.0.changed.notify_waiters();
        }
        false
    }

    /// Whether this worker stood still before it was done.
    pub(crate) fn stood_still(&self, worker: usize) -> bool {
        self.0.inside.lock().unwrap().stood_still.contains(&worker)
    }
}
