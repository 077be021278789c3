//! The `Retry-After` header (RFC 9110, section 10.2.3).

use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, RETRY_AFTER};

/// The longest wait that is taken at its word.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// How long to wait: the header gives seconds or a date. None when it is absent or neither.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match value.parse::<u32>() {
        Ok(seconds) => Duration::from_secs(seconds.into()),
        Err(_) => httpdate::parse_http_date(value).ok()?.duration_since(now).unwrap_or_default(),
    };
    Some(wait.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &str) -> Option<u64> {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]);
        let now = httpdate::parse_http_date("Tue, 24 Nov 2026 12:00:00 GMT").unwrap();
        retry_after(&headers, now).map(|wait| wait.as_secs())
    }

    #[test]
    fn seconds_and_dates_are_read_and_bounded() {
        assert_eq!(of("7"), Some(7));
        assert_eq!(of("0"), Some(0));
        assert_eq!(of("Tue, 24 Nov 2026 12:00:09 GMT"), Some(9));
        assert_eq!(of("Tue, 24 Nov 2026 11:00:00 GMT"), Some(0));
        assert_eq!(of("86400"), Some(3600));
        for nonsense in ["", "soon", "-1", "1.5", "99999999999999"] {
            assert_eq!(of(nonsense), None, "{nonsense}");
        }
    }
}
