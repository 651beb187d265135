//! What is the case at the moment of a look.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::api::{DeliveryReason, DestinationReason, Phase, Status};

/// The word for an object that the operator hasn't said anything of yet.
const UNSEEN: &str = "Unseen";

/// Counts of the objects as they are now, from all who know some.
#[derive(Debug, Default)]
pub struct Sample {
    pub(super) destinations: BTreeMap<(&'static str, &'static str), i64>,
    pub(super) deliveries: BTreeMap<(&'static str, &'static str), i64>,
    pub(super) oldest_proof: Duration,
    pub(super) runs: i64,
    pub(super) buffers: i64,
}

impl Sample {
    /// One more destination; no reason where its status has none of ours.
    pub fn destination(&mut self, ready: Status, reason: Option<DestinationReason>) {
        let ready = match ready {
            Status::True => "True",
            Status::False => "False",
            Status::Unknown => "Unknown",
        };
        let reason = reason.map_or(UNSEEN, DestinationReason::as_str);
        *self.destinations.entry((ready, reason)).or_default() += 1;
    }

    /// One more delivery; no phase and reason where its status has none of ours.
    pub fn delivery(&mut self, phase: Option<Phase>, reason: Option<DeliveryReason>) {
        let phase = match phase {
            None => UNSEEN,
            Some(Phase::Pending) => "Pending",
            Some(Phase::Planning) => "Planning",
            Some(Phase::Uploading) => "Uploading",
            Some(Phase::Finalizing) => "Finalizing",
            Some(Phase::Complete) => "Complete",
            Some(Phase::Failed) => "Failed",
            Some(Phase::Suspended) => "Suspended",
        };
        let reason = reason.map_or(UNSEEN, DeliveryReason::as_str);
        *self.deliveries.entry((phase, reason)).or_default() += 1;
    }

    /// A destination that is to be verified was last verified that long ago.
    pub fn verified_ago(&mut self, ago: Duration) {
        self.oldest_proof = self.oldest_proof.max(ago);
    }

    /// So many deliveries more are at work.
    pub fn runs(&mut self, count: usize) {
        self.runs = self
            .runs
            .saturating_add(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Part buffers hold so many bytes more.
    pub fn buffers(&mut self, bytes: usize) {
        self.buffers = self
            .buffers
            .saturating_add(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}
