//! Where a delivery without a cluster stands, and how it ended.

use serde_json::Value;

use super::objects::Key;
use crate::api::{
    Condition, ConditionType, DeliveryReason, DeliveryStatus, DestinationReason, LedgerState,
    OutboundDelivery, OutboundDestination, OutboundLedger, Status,
};
use crate::controllers::context::Context;
use crate::controllers::delivery::{Report, Stage, is_finished, not_ready};
use crate::controllers::supervisor::Standing as Task;

/// How far a delivery is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// `namespace/name`.
    pub label: String,
    /// What is done now; `None` while it waits.
    pub doing: Option<Doing>,
    /// Bytes that the store confirmed, and all.
    pub bytes: (u64, u64),
    /// Parts that the store confirmed, and all.
    pub parts: (u64, u64),
    /// Objects that are there and verified, and all.
    pub objects: (u64, u64),
    /// The last failure, until a part is confirmed after it.
    pub last_error: Option<String>,
}

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// The source is read for where to cut.
    Planning,
    /// Objects are sent.
    Uploading,
    /// The receipt is sent.
    Finalizing,
    /// Uploads are aborted.
    GivingUp,
}

/// How a delivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Everything is there.
    Delivered,
    /// It ended without delivering.
    Failed,
    /// It is held until somebody acts.
    Held,
    /// It was asked to stop.
    Interrupted,
    /// What it had open is given up.
    GivenUp,
}

/// A delivery that ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// With the status that the operator would have written.
    pub delivery: OutboundDelivery,
    /// How.
    pub end: End,
    /// The reason, as the status has it; `None` where no condition says why.
    pub reason: Option<DeliveryReason>,
    /// What was tried, what came back, who must do what.
    pub message: String,
    /// What stays.
    pub left: Left,
}

/// What a delivery leaves in the bucket and in its ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Uploads that are open.
    pub uploads: usize,
    /// Objects that are there and verified.
    pub delivered: usize,
    /// Objects in all; 0 before there is a plan.
    pub objects: usize,
}

impl Left {
    /// What the ledgers of the delivery with that uid say.
    pub(super) fn of(ledgers: &[Value], uid: &str) -> Self {
        let mut left = Self::default();
        let ledgers = ledgers
            .iter()
            .filter(|ledger| ledger["spec"]["deliveryUid"] == uid);
        for ledger in ledgers {
            // One that can't be read knows nothing.
            let Ok(ledger) = serde_json::from_value::<OutboundLedger>(ledger.clone()) else {
                continue;
            };
            left.objects += ledger.spec.objects.len();
            let receipt = ledger.spec.header.map(|header| header.receipt);
            for object in ledger.spec.objects.iter().chain(&receipt) {
                match object.state {
                    LedgerState::Open | LedgerState::Completing => left.uploads += 1,
                    LedgerState::Delivered if object.sequence > 0 => left.delivered += 1,
                    LedgerState::Planned | LedgerState::Delivered => {}
                }
            }
        }
        left
    }
}

/// How far the delivery `key` with that uid is.
pub(super) fn standing(context: &Context, key: &Key, uid: &str) -> Standing {
    let (report, runs) = match context.runs.standing(uid) {
        Task::Running(report) => (Some(report), true),
        Task::Ended(outcome) => (Some(outcome.report), false),
        Task::Stopping | Task::Absent => (None, false),
    };
    let report = report.unwrap_or_else(Report::default);
    let progress = report.progress.unwrap_or_default();
    let count = |number: i64| u64::try_from(number).unwrap_or_default();
    Standing {
        label: format!("{}/{}", key.namespace, key.name),
        doing: runs.then_some(match report.stage {
            Stage::Looking | Stage::Planning => Doing::Planning,
            Stage::Uploading => Doing::Uploading,
            Stage::Finalizing => Doing::Finalizing,
            Stage::GivingUp => Doing::GivingUp,
        }),
        bytes: (count(progress.bytes_done), count(progress.bytes_total)),
        parts: (report.parts.done, report.parts.total),
        objects: (count(progress.objects_done), count(progress.objects_total)),
        last_error: report.last_error,
    }
}

/// Why a delivery goes no further: how it ended, the reason, and the message.
pub(super) type Verdict = (End, Option<DeliveryReason>, String);

/// Why the delivery goes no further, if it doesn't: as its conditions say, or its destination's.
pub(super) fn verdict(
    delivery: &OutboundDelivery,
    destination: Option<&OutboundDestination>,
) -> Option<Verdict> {
    let status = delivery.status.as_ref()?;
    let told = |end, condition: &Condition| {
        let reason = DeliveryReason::from_word(&condition.reason);
        Some((end, reason, condition.message.clone()))
    };
    if let Some(complete) = status.condition(ConditionType::Complete) {
        return told(End::Delivered, complete);
    }
    if is_finished(delivery) {
        return told(End::Failed, status.condition(ConditionType::Failed)?);
    }
    let ready = status.condition(ConditionType::Ready)?;
    let is_current = Some(status.observed_generation) == delivery.metadata.generation;
    if is_current && is_held(status, ready) {
        return told(End::Held, ready);
    }
    let waits = matches!(
        DeliveryReason::from_word(&ready.reason),
        Some(DeliveryReason::DestinationNotReady | DeliveryReason::AccessLost)
    );
    let theirs = destination.filter(|_| is_current && waits)?;
    let unusable = theirs.status.as_ref()?.condition(ConditionType::Ready)?;
    let suspended = unusable.reason == DestinationReason::Suspended.as_str();
    let held = unusable.status == Status::False || suspended;
    held.then(|| {
        let name = theirs.metadata.name.as_deref().unwrap_or_default();
        let message = not_ready(name, &unusable.reason, &unusable.message);
        let reason = DeliveryReason::DestinationNotReady;
        (End::Held, Some(reason), message)
    })
}

/// Whether nothing goes on by itself.
fn is_held(status: &DeliveryStatus, ready: &Condition) -> bool {
    let suspended = ready.reason == DeliveryReason::Suspended.as_str();
    status.condition(ConditionType::Stalled).is_some() || suspended
}
