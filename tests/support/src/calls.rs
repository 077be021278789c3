//! What a stand-in was asked.

use std::time::Duration;

use tokio::sync::watch;

/// How long a test waits for something that has to happen. Nothing takes this long: it is for a machine that is busy.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What a stand-in was asked, in order.
#[derive(Debug)]
pub struct Calls<T>(watch::Sender<Vec<T>>);

impl<T: Clone> Calls<T> {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Vec::new()))
    }

    /// Adds a call.
    pub fn push(&self, call: T) {
        self.0.send_modify(|calls| calls.push(call));
    }

    /// All calls so far.
    pub fn all(&self) -> Vec<T> {
        self.0.borrow().clone()
    }

    /// Waits until the calls so far are what is wanted.
    ///
    /// # Panics
    /// When they are not within [`PATIENCE`].
    pub async fn until(&self, wanted: impl FnMut(&Vec<T>) -> bool) -> Vec<T> {
        let mut calls = self.0.subscribe();
        let met = tokio::time::timeout(PATIENCE, calls.wait_for(wanted)).await;
        met.expect("the calls that the test waits for").expect("the stand-in lives").clone()
    }
}

impl<T: Clone> Default for Calls<T> {
    fn default() -> Self {
        Self::new()
    }
}
