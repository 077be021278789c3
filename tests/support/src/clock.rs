//! The time, set by hand.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use clipbell_job::{Clock, Millis};

/// 2026-11-24T12:00:00Z: where a [`HandClock`] begins.
pub const NOON: Millis = Millis(1_795_521_600_000);

/// A clock that stands until it is moved.
#[derive(Clone, Debug)]
pub struct HandClock(Arc<AtomicI64>);

impl HandClock {
    /// A clock at [`NOON`].
    pub fn at_noon() -> Self {
        Self(Arc::new(AtomicI64::new(NOON.0)))
    }

    /// The clock that the product asks.
    pub fn clock(&self) -> Clock {
        let now = self.0.clone();
        Clock::from_fn(move || Millis(now.load(Ordering::SeqCst)))
    }

    /// The present moment.
    pub fn now(&self) -> Millis {
        Millis(self.0.load(Ordering::SeqCst))
    }

    /// Sets it.
    pub fn set(&self, now: Millis) {
        self.0.store(now.0, Ordering::SeqCst);
    }

    /// Moves it on.
    pub fn advance(&self, by: Duration) {
        self.set(self.now().plus(by));
    }
}
