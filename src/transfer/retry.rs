//! When to try again, how long to wait before, and when to give up.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::error::TransferError;
use super::limits::Cuts;
use super::progress::Meter;
use super::resources::Resources;
use super::tally::RetryReason;
use crate::store::{ErrorClass, Meaning, StoreError};

/// How long the waits are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The longest first wait; each further failure doubles it.
    pub base: Duration,
    /// No wait is longer.
    pub cap: Duration,
}

impl Default for RetryPolicy {
    /// With the default backoffLimit of 6 an outage of one to two minutes is ridden out:
    /// 2 + 4 + 8 + 16 + 32 + 60 seconds at most, half of it on average.
    fn default() -> Self {
        Self {
            base: Duration::from_secs(2),
            cap: Duration::from_secs(60),
        }
    }
}

impl RetryPolicy {
    /// Full jitter: anything from nothing to the ceiling, so that many deliveries which failed
    /// together don't come back together. A throttling store gets two doublings more.
    fn wait(self, class: ErrorClass, failures: u32, jitter: f64) -> Duration {
        let throttled = if class == ErrorClass::Throttled { 2 } else { 0 };
        let doublings = (failures.saturating_sub(1) + throttled).min(20);
        self.base
            .saturating_mul(1 << doublings)
            .min(self.cap)
            .mul_f64(jitter)
    }
}

/// Whether the same request may succeed later. The store blames the request for bytes that were damaged or cut off on
/// their way, but a second try can cure them.
pub(super) fn is_retryable(error: &StoreError) -> bool {
    let damaged = matches!(
        error.meaning(),
        Some(Meaning::ChecksumRefused | Meaning::BodyCutOff)
    );
    error.class != ErrorClass::Terminal || damaged
}

/// What a request is repeated for. A refusal that is repeated blames damaged bytes, but for the condition that nothing
/// is under the key.
pub(super) fn reason_of(error: &StoreError) -> RetryReason {
    match (error.class, error.meaning()) {
        (ErrorClass::Terminal, Some(Meaning::ConditionFailed | Meaning::Conflict)) => {
            RetryReason::Conflict
        }
        (ErrorClass::Terminal, _) => RetryReason::Damaged,
        (ErrorClass::Transient, _) => RetryReason::Unavailable,
        (ErrorClass::Throttled, _) => RetryReason::Throttled,
        (ErrorClass::Ambiguous, _) => RetryReason::Unanswered,
    }
}

/// A failure, as it is counted and told.
pub(super) struct Failure {
    pub(super) class: ErrorClass,
    /// As what the next try is counted.
    pub(super) reason: RetryReason,
    /// What was tried and what came back.
    pub(super) text: String,
}

/// What a request saw when it was sent.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    failures: u32,
    cuts: Cuts,
}

/// Consecutive failures of a delivery, without a newly confirmed part between them. Requests that were
/// under way together and fail together count once: one outage isn't eight.
pub(super) struct Attempts {
    policy: RetryPolicy,
    limit: u32,
    failures: AtomicU32,
    meter: Meter,
    resources: Resources,
}

impl Attempts {
    pub(super) fn new(policy: RetryPolicy, limit: u32, meter: Meter, resources: Resources) -> Self {
        Self {
            policy,
            limit,
            failures: AtomicU32::new(0),
            meter,
            resources,
        }
    }

    pub(super) fn limit(&self) -> u32 {
        self.limit
    }

    /// To be called before a request is sent.
    pub(super) fn begin(&self) -> Seen {
        Seen {
            failures: self.failures.load(Ordering::SeqCst),
            cuts: self.resources.destination().cuts(),
        }
    }

    /// A part, or a whole object, is newly confirmed.
    pub(super) fn confirmed(&self) {
        self.resources.confirmed();
        if self.failures.swap(0, Ordering::SeqCst) != 0 {
            self.meter.update(|progress| {
                progress.attempts = 0;
                progress.last_error = None;
            });
        }
    }

    /// The store gave no answer; that it failed is counted by [`Attempts::failed`].
    pub(super) fn unanswered(&self, seen: Seen) {
        self.resources.destination().unanswered(seen.cuts);
    }

    /// Counts a failure and waits before the next try; `stop` cuts the wait short.
    pub(super) async fn failed(
        &self,
        seen: Seen,
        failure: Failure,
        stop: &CancellationToken,
    ) -> Result<(), TransferError> {
        if failure.class == ErrorClass::Throttled {
            self.resources.destination().throttled(seen.cuts);
        }
        let next = seen.failures + 1;
        let counted =
            self.failures
                .compare_exchange(seen.failures, next, Ordering::SeqCst, Ordering::SeqCst);
        let failures = counted.map_or_else(|now| now.max(1), |_| next);
        self.meter.update(|progress| {
            progress.attempts = failures;
            progress.last_error = Some(failure.text.clone());
        });
        if failures > self.limit {
            let (limit, last) = (self.limit, failure.text);
            return Err(TransferError::BackoffLimitExceeded {
                failures,
                limit,
                last,
            });
        }
        let reason = failure.reason;
        self.meter.update(|progress| progress.tally.retried(reason));
        let wait = self.policy.wait(failure.class, failures, fastrand::f64());
        tracing::debug!(failures, ?wait, error = %failure.text, "trying again");
        tokio::select! {
            biased;
            () = stop.cancelled() => Err(TransferError::Stopped),
            () = tokio::time::sleep(wait) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::super::progress::Progress;
    use super::*;

    const QUICK: RetryPolicy = RetryPolicy {
        base: Duration::from_micros(1),
        cap: Duration::from_micros(2),
    };

    fn attempts(policy: RetryPolicy, limit: u32) -> (Attempts, watch::Receiver<Progress>) {
        let (sender, progress) = watch::channel(Progress::default());
        let resources = Resources::new(1 << 20, 8);
        (
            Attempts::new(policy, limit, Meter::new(sender), resources),
            progress,
        )
    }

    fn failure() -> Failure {
        Failure {
            class: ErrorClass::Transient,
            reason: RetryReason::Unavailable,
            text: "UploadPart: 503".to_owned(),
        }
    }

    #[tokio::test]
    async fn gives_up_over_the_limit_and_a_confirmed_part_starts_the_count_again() {
        let (attempts, progress) = attempts(QUICK, 2);
        let stop = CancellationToken::new();
        for round in 0..3 {
            for _ in 0..2 {
                attempts
                    .failed(attempts.begin(), failure(), &stop)
                    .await
                    .unwrap();
            }
            assert_eq!(progress.borrow().attempts, 2, "round {round}");
            assert_eq!(
                progress.borrow().last_error.as_deref(),
                Some("UploadPart: 503")
            );
            attempts.confirmed();
            assert_eq!(progress.borrow().attempts, 0);
            assert_eq!(progress.borrow().last_error, None);
        }
        attempts
            .failed(attempts.begin(), failure(), &stop)
            .await
            .unwrap();
        attempts
            .failed(attempts.begin(), failure(), &stop)
            .await
            .unwrap();
        let last = attempts
            .failed(attempts.begin(), failure(), &stop)
            .await
            .unwrap_err();
        assert!(matches!(
            last,
            TransferError::BackoffLimitExceeded { failures: 3, limit: 2, last } if last == "UploadPart: 503"
        ));
    }

    #[tokio::test]
    async fn failures_of_one_outage_count_once() {
        let (attempts, progress) = attempts(QUICK, 1);
        let stop = CancellationToken::new();
        let seen: Vec<_> = (0..8).map(|_| attempts.begin()).collect();
        for seen in seen {
            attempts.failed(seen, failure(), &stop).await.unwrap();
        }
        assert_eq!(progress.borrow().attempts, 1);
        let retries = progress.borrow().tally.retries(RetryReason::Unavailable);
        assert_eq!(retries, 8, "each is tried again");
    }

    #[tokio::test]
    async fn stopping_cuts_a_wait_short() {
        let hour = Duration::from_secs(3600);
        let (attempts, _progress) = attempts(
            RetryPolicy {
                base: hour,
                cap: hour,
            },
            6,
        );
        let stop = CancellationToken::new();
        stop.cancel();
        let waited = attempts.failed(attempts.begin(), failure(), &stop).await;
        assert!(matches!(waited, Err(TransferError::Stopped)));
    }

    #[test]
    fn waits_double_up_to_the_cap_and_longer_for_a_throttling_store() {
        let policy = RetryPolicy {
            base: Duration::from_secs(1),
            cap: Duration::from_secs(60),
        };
        let seconds = |class, failures| policy.wait(class, failures, 1.0).as_secs();
        let waits: Vec<_> = (1..=8).map(|n| seconds(ErrorClass::Transient, n)).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(seconds(ErrorClass::Throttled, 1), 4);
        assert_eq!(seconds(ErrorClass::Ambiguous, u32::MAX), 60);
        assert_eq!(policy.wait(ErrorClass::Transient, 3, 0.0), Duration::ZERO);
    }

    fn error(code: &str, class: ErrorClass) -> StoreError {
        StoreError {
            action: "UploadPart",
            code: code.to_owned(),
            message: String::new(),
            status: Some(400),
            class,
            request_id: None,
            region: None,
            denial: crate::store::Denial::default(),
        }
    }

    #[test]
    fn what_is_tried_again_is_counted_by_its_cause() {
        for (code, class, reason) in [
            ("BadDigest", ErrorClass::Terminal, RetryReason::Damaged),
            ("IncompleteBody", ErrorClass::Terminal, RetryReason::Damaged),
            (
                "ConditionalRequestConflict",
                ErrorClass::Terminal,
                RetryReason::Conflict,
            ),
            (
                "PreconditionFailed",
                ErrorClass::Terminal,
                RetryReason::Conflict,
            ),
            (
                "InternalError",
                ErrorClass::Ambiguous,
                RetryReason::Unanswered,
            ),
            ("SlowDown", ErrorClass::Throttled, RetryReason::Throttled),
            (
                "ServiceUnavailable",
                ErrorClass::Transient,
                RetryReason::Unavailable,
            ),
        ] {
            assert_eq!(reason_of(&error(code, class)), reason, "{code}");
        }
    }

    #[test]
    fn tells_what_a_second_try_can_cure() {
        for damaged in ["BadDigest", "InvalidDigest", "IncompleteBody"] {
            assert!(
                is_retryable(&error(damaged, ErrorClass::Terminal)),
                "{damaged}"
            );
        }
        assert!(is_retryable(&error("SlowDown", ErrorClass::Throttled)));
        assert!(!is_retryable(&error("AccessDenied", ErrorClass::Terminal)));
        assert!(!is_retryable(&error("NoSuchUpload", ErrorClass::Terminal)));
    }
}
