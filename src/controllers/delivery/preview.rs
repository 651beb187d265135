//! What a delivery would write, by the very steps that a run takes before its first byte.

use std::sync::Arc;

use kube::ResourceExt as _;
use tokio::sync::watch;

use super::gate::{self, Gate, not_ready};
use super::judge::{Report, Verdict};
use super::place::Place;
use super::planning::{self, NoPlan};
use super::request::{self, Rejected};
use crate::api::{DeliveryReason, OutboundDelivery};
use crate::controllers::context::Context;
use crate::controllers::offline::Tenancy;
use crate::controllers::tenancy;
use crate::plan::{PartLayout, Plan};

/// A delivery's plan, and what it means to send it.
#[derive(Clone, Debug)]
pub struct Preview {
    /// The plan.
    pub plan: Plan,
    /// The bucket that it goes to.
    pub bucket: String,
    /// The store, where it isn't AWS's own.
    pub endpoint: Option<String>,
    /// The parts of each object, in the plan's order: at most, where they are compressed.
    pub parts: Vec<PartLayout>,
    /// Bytes of part buffers, and of what compression takes, that the delivery holds at most.
    pub memory: u64,
}

/// Why there would be no plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unplanned {
    /// The reason, as the status has it.
    pub reason: DeliveryReason,
    /// What was tried, what came back, who must do what.
    pub message: String,
    /// What becomes of it.
    pub then: Then,
}

/// What becomes of a delivery without a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It fails.
    Fails,
    /// It goes on by itself once something else is the case.
    Waits,
    /// It waits until somebody acts.
    Stalls,
}

/// Looks at the destination as the gate does, but for its proof, then scans and plans.
pub(crate) async fn preview(
    context: &Arc<Context>,
    delivery: &OutboundDelivery,
    tenancy: Tenancy,
) -> Result<Preview, Unplanned> {
    let gate = gate::look(context, delivery).map_err(unplanned)?;
    if tenancy == Tenancy::Checked {
        is_allowed(context, &gate)?;
    }
    gate.may_compare(delivery).map_err(unplanned)?;
    let target = &gate.resolved().target;
    let request = request::read(delivery, target.prefix.clone(), gate.resolved().split_size)
        .map_err(rejected)?;
    let namespace = delivery.namespace().unwrap_or_default();
    let (report, _) = watch::channel(Report::default());
    let place = Place::of(context, &namespace, &request.wanted).map_err(rejected)?;
    let plan = planning::make(place, request, &report)
        .await
        .map_err(no_plan)?;
    let part_size = context.config.transfer.part_size;
    planning::require_memory(context, &plan, part_size).map_err(no_plan)?;
    let objects = plan.objects().iter();
    let parts = objects.map(|object| plan.compression().parts(object.len(), part_size));
    Ok(Preview {
        memory: context.resources.memory_for(&plan, part_size),
        bucket: target.bucket.as_str().to_owned(),
        endpoint: target
            .endpoint
            .as_ref()
            .map(|endpoint| endpoint.as_str().to_owned()),
        parts: parts.collect(),
        plan,
    })
}

fn rejected(rejected: Rejected) -> Unplanned {
    unplanned(Verdict::Failed(rejected.reason, rejected.message))
}

/// What the destination's proof would refuse before it asks the store.
fn is_allowed(context: &Context, gate: &Gate) -> Result<(), Unplanned> {
    let destination = gate.destination();
    let namespace = destination.namespace().unwrap_or_default();
    tenancy::check(&context.config, &namespace, &destination.spec).map_err(|denied| {
        let name = destination.name_any();
        let why = not_ready(&name, denied.reason.as_str(), &denied.message);
        unplanned(Verdict::Waiting(DeliveryReason::DestinationNotReady, why))
    })
}

fn unplanned(verdict: Verdict) -> Unplanned {
    let (reason, message, then) = match verdict {
        Verdict::Failed(reason, message) => (reason, message, Then::Fails),
        Verdict::Stalled(reason, message) => (reason, message, Then::Stalls),
        Verdict::Waiting(reason, message) => (reason, message, Then::Waits),
        Verdict::Suspended(message) => (DeliveryReason::Suspended, message, Then::Stalls),
        Verdict::Working | Verdict::Delivered(_) => {
            (DeliveryReason::Planning, String::new(), Then::Waits)
        }
    };
    Unplanned {
        reason,
        message,
        then,
    }
}

fn no_plan(error: NoPlan) -> Unplanned {
    unplanned(match error {
        NoPlan::Failed(reason, message) => Verdict::Failed(reason, message),
        NoPlan::Waiting(reason, message, _) => Verdict::Waiting(reason, message),
        // The operator tries it again, and counts an attempt.
        NoPlan::Transient(message) => Verdict::Waiting(DeliveryReason::Planning, message),
    })
}
