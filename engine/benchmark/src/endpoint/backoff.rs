//! When to ask again.

use std::time::{Duration, SystemTime};

use cruxscope_statistics::SplitMix;

/// How often a request is tried, and how long the pauses are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryPolicy {
    /// At most so many tries.
    pub attempts: u32,
    /// The first pause; each further one is twice as long.
    pub first_pause: Duration,
    /// The longest pause, also where the server asks for a longer one.
    pub longest_pause: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 8,
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(120),
        }
    }
}

impl RetryPolicy {
    /// The pause after so many failed tries: half of it fixed, half by chance, so that many clients do not come back at the
    /// same moment. A server's own wish is a lower bound.
    pub(super) fn pause(&self, attempts: u32, retry_after: Option<Duration>, seed: u64) -> Duration {
        let doubled = self
            .first_pause
            .saturating_mul(1u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX));
        let share = SplitMix::new(seed ^ u64::from(attempts)).share();
        let pause = doubled.min(self.longest_pause).mul_f64(0.5 + 0.5 * share);
        pause.max(retry_after.unwrap_or_default().min(self.longest_pause))
    }
}

/// What `Retry-After` says, in seconds or as a date.
pub(super) fn retry_after(value: &str) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = httpdate::parse_http_date(value.trim()).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_with_jitter_up_to_a_limit() {
        let policy = RetryPolicy {
            attempts: 9,
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(20),
        };
        for attempts in 1..80 {
            let full = Duration::from_secs(2u64.saturating_pow(attempts - 1)).min(policy.longest_pause);
            for seed in 0..20 {
                let pause = policy.pause(attempts, None, seed);
                assert!(full / 2 <= pause && pause <= full, "{attempts} {pause:?}");
            }
        }
        let spread: std::collections::BTreeSet<Duration> = (0..20).map(|seed| policy.pause(3, None, seed)).collect();
        assert_eq!(spread.len(), 20);
        assert_eq!(policy.pause(1, Some(Duration::from_secs(7)), 1), Duration::from_secs(7));
        assert_eq!(policy.pause(1, Some(Duration::from_secs(7000)), 1), policy.longest_pause);
    }

    #[test]
    fn both_forms_of_retry_after() {
        assert_eq!(retry_after(" 3 "), Some(Duration::from_secs(3)));
        assert_eq!(retry_after("0.5"), Some(Duration::from_millis(500)));
        assert_eq!(retry_after("-1"), None);
        assert_eq!(retry_after("soon"), None);
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        let later = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(60));
        let wait = retry_after(&later).unwrap();
        assert!(wait > Duration::from_secs(50) && wait <= Duration::from_secs(60));
    }
}
