//! When to look again.

use std::time::Duration;

/// The first look after a submission, and the least between two.
pub(crate) const FIRST_LOOK: Duration = Duration::from_secs(5);

/// The most between two looks at a job that renders: where no webhook comes, this is how late its end is known.
const SLOWEST_LOOK: Duration = Duration::from_secs(30);

/// The most between two tries of something that failed.
const SLOWEST_TRY: Duration = Duration::from_secs(300);

/// The wait before the next look at a video that has been rendering for `age`: 5 s in its first minute, then a twelfth
/// of its age, at most 30 s.
pub(crate) fn look_delay(age: Duration) -> Duration {
    (age / 12).clamp(FIRST_LOOK, SLOWEST_LOOK)
}

/// The wait after `failures` failures in a row: 2 s, 4 s, 8 s … 5 min; longer where the provider asks for it.
pub(crate) fn retry_delay(failures: u32, retry_after: Option<Duration>) -> Duration {
    let backoff = Duration::from_secs(2).saturating_mul(2_u32.saturating_pow(failures)).min(SLOWEST_TRY);
    backoff.max(retry_after.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_grow_rarer_with_the_age_of_the_video() {
        let delays = [0, 30, 60, 120, 3600, 86_400].map(|age| look_delay(Duration::from_secs(age)).as_secs());
        assert_eq!(delays, [5, 5, 5, 10, 30, 30]);
    }

    #[test]
    fn retries_back_off_and_heed_the_provider() {
        let delays = [0, 1, 2, 7, 8, u32::MAX].map(|failures| retry_delay(failures, None).as_secs());
        assert_eq!(delays, [2, 4, 8, 256, 300, 300]);
        assert_eq!(retry_delay(0, Some(Duration::from_secs(60))).as_secs(), 60);
        assert_eq!(retry_delay(5, Some(Duration::from_secs(1))).as_secs(), 64);
    }
}
