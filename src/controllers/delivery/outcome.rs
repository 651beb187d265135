//! How a run ended, and what follows from it.

use std::time::{Duration, Instant};

use super::judge::{Delivered, Report, Verdict};
use super::request::Rejected;
use crate::api::DeliveryReason;

/// The longest pause before a destination that refused us is tried again, if its new proof succeeds.
const ACCESS_PAUSE: Duration = Duration::from_secs(10);

/// How a run ended.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// The last that it reported.
    pub(crate) report: Report,
    /// The value of `outbound.dev/requestedAt` when it began.
    pub(crate) request: Option<String>,
    pub(crate) end: End,
}

/// The end itself.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// All is there.
    Delivered(Box<Delivered>),
    /// The delivery ended without delivering.
    Failed(DeliveryReason, String),
    /// It goes on by itself at that time: something must appear, or come back.
    Waiting(DeliveryReason, String, Instant),
    /// The destination refused, at that time, what it allowed before. The delivery goes on once it is proved again.
    AccessLost(String, Instant),
    /// Something on our side failed; it goes on at that time.
    Interrupted(String, Instant),
    /// Stopped as asked.
    Stopped,
}

impl Outcome {
    pub(super) const fn is_final(&self) -> bool {
        matches!(self.end, End::Delivered(_) | End::Failed(..))
    }

    pub(super) const fn is_delivered(&self) -> bool {
        matches!(self.end, End::Delivered(_))
    }

    /// When the destination refused what it allowed before.
    pub(super) const fn access_lost_at(&self) -> Option<Instant> {
        match &self.end {
            End::AccessLost(_, at) => Some(*at),
            _ => None,
        }
    }

    /// When to begin again; `None` for a final end.
    pub(super) fn again_at(&self) -> Option<Instant> {
        match &self.end {
            End::Waiting(_, _, at) | End::Interrupted(_, at) => Some(*at),
            End::AccessLost(_, lost) => Some(*lost + ACCESS_PAUSE),
            End::Stopped => Some(Instant::now()),
            End::Delivered(_) | End::Failed(..) => None,
        }
    }

    /// The report and what the status says.
    pub(super) fn into_verdict(self) -> (Report, Verdict) {
        let mut report = self.report;
        let verdict = match self.end {
            End::Delivered(delivered) => Verdict::Delivered(delivered),
            End::Failed(reason, message) => Verdict::Failed(reason, message),
            End::Waiting(reason, message, _) => Verdict::Waiting(reason, message),
            End::AccessLost(message, _) => Verdict::Waiting(DeliveryReason::AccessLost, message),
            End::Interrupted(message, _) => {
                report.last_error = Some(message);
                Verdict::Working
            }
            End::Stopped => Verdict::Working,
        };
        (report, verdict)
    }
}

impl From<Rejected> for End {
    fn from(rejected: Rejected) -> Self {
        Self::Failed(rejected.reason, rejected.message)
    }
}
