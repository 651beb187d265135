//! The time that a delivery spends working: what `activeDeadlineSeconds` is held against. Pure.

use std::time::{Duration, Instant};

use super::judge::Report;
use crate::api::OutboundDelivery;

/// The longest pause until a look at a clock: the queue of reconciles takes no more than two years.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// How far the written time may be behind, where nothing else is written: what a killed operator forgets.
pub(super) const WRITE_INTERVAL: Duration = Duration::from_secs(10);

/// A clock that runs while a delivery works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WorkTime {
    before: Duration,
    since: Option<Instant>,
}

impl WorkTime {
    /// Runs from `now` on, from what was spent before.
    pub(super) const fn start(before: Duration, now: Instant) -> Self {
        Self {
            before,
            since: Some(now),
        }
    }

    /// What is spent at `now`.
    pub(super) fn spent(self, now: Instant) -> Duration {
        let running = self
            .since
            .map(|since| now.saturating_duration_since(since))
            .unwrap_or_default();
        self.before.saturating_add(running)
    }

    /// Stands still at `now`.
    pub(super) fn stop(self, now: Instant) -> Self {
        Self {
            before: self.spent(now),
            since: None,
        }
    }
}

/// What was spent by earlier runs, as the status has it. A retry of a failed delivery starts anew.
pub(super) fn before(delivery: &OutboundDelivery) -> Duration {
    if super::is_retry(delivery) {
        return Duration::ZERO;
    }
    let seconds = delivery
        .status
        .as_ref()
        .and_then(|status| status.active_seconds);
    Duration::from_secs(
        seconds
            .and_then(|seconds| seconds.try_into().ok())
            .unwrap_or_default(),
    )
}

/// What is left until the deadline; `None` without one.
pub(super) fn left(
    delivery: &OutboundDelivery,
    report: Option<&Report>,
    now: Instant,
) -> Option<Duration> {
    let limit = delivery.spec.active_deadline_seconds?;
    let limit = Duration::from_secs(limit.try_into().unwrap_or_default());
    let spent = report
        .and_then(|report| report.work)
        .map_or_else(|| before(delivery), |work| work.spent(now));
    Some(limit.saturating_sub(spent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_counts_only_while_it_runs() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let work = WorkTime::start(second, now);
        assert_eq!(work.spent(now), second);
        let stopped = work.stop(now + second * 2);
        assert_eq!(stopped.spent(now + second * 100), second * 3);
    }

    #[test]
    fn what_is_left_is_told_by_the_run_and_else_by_the_status() {
        let mut delivery: OutboundDelivery = serde_json::from_value(serde_json::json!({
            "apiVersion": "outbound.dev/v1alpha1", "kind": "OutboundDelivery", "metadata": {"name": "d"},
            "spec": {"destinationRef": {"name": "acme"}, "source": {"volume": {"path": "a"}}},
            "status": {"observedGeneration": 1, "activeSeconds": 30},
        }))
        .unwrap();
        let now = Instant::now();
        assert_eq!(left(&delivery, None, now), None);
        delivery.spec.active_deadline_seconds = Some(100);
        assert_eq!(left(&delivery, None, now), Some(Duration::from_secs(70)));
        let report = Report {
            work: Some(WorkTime::start(Duration::from_secs(99), now)),
            ..Report::default()
        };
        let later = now + Duration::from_secs(5);
        assert_eq!(left(&delivery, Some(&report), later), Some(Duration::ZERO));
    }
}
