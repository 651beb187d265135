//! Whether a delivery's source answers: where it does, a small file is opened by the read itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long an answer is taken for a sign that the next file can be opened, too.
const FRESH: Duration = Duration::from_secs(1);

/// When the source last answered.
#[derive(Debug)]
pub(super) struct Answering {
    begun: Instant,
    /// Nanoseconds behind `begun`, from 1; 0 where it hasn't answered yet.
    last: AtomicU64,
}

impl Answering {
    /// Of a source that wasn't asked yet.
    pub(super) fn new() -> Self {
        Self {
            begun: Instant::now(),
            last: AtomicU64::new(0),
        }
    }

    /// It answered now.
    pub(super) fn answered(&self) {
        let now = u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.last.store(now.max(1), Ordering::Relaxed);
    }

    /// Whether it answered a moment ago.
    pub(super) fn is_fresh(&self) -> bool {
        let last = Duration::from_nanos(self.last.load(Ordering::Relaxed));
        !last.is_zero() && self.begun.elapsed().saturating_sub(last) < FRESH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_fresh_for_a_moment() {
        let mut source = Answering::new();
        assert!(!source.is_fresh());
        source.answered();
        assert!(source.is_fresh());
        source.begun -= 2 * FRESH;
        assert!(!source.is_fresh());
    }
}
