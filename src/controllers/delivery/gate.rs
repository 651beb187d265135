//! What must be the case with the destination before a delivery begins, and while it runs.

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt as _;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::ObjectRef;

use super::judge::{Report, Verdict};
use crate::api::{
    ConditionType, DeliveryReason, IdentitySnapshot, IfExists, OutboundDelivery,
    OutboundDestination, PermissionMode, PlannedDestination, Status,
};
use crate::controllers::context::Context;
use crate::controllers::destination::{
    IDENTITY_FIELDS, Resolved, interval, learned_region, resolve,
};
use crate::store::ReadBack;

/// A destination that a delivery may look at: there, readable, not held, and the one that was planned for.
pub(super) struct Gate {
    destination: OutboundDestination,
    resolved: Resolved,
    planned: PlannedDestination,
}

/// Looks at the delivery's destination.
///
/// # Errors
/// What the delivery waits for, or who must act.
pub(super) fn look(context: &Arc<Context>, delivery: &OutboundDelivery) -> Result<Gate, Verdict> {
    let name = &delivery.spec.destination_ref.name;
    let waiting = |why: String| Verdict::Waiting(DeliveryReason::DestinationNotReady, why);
    let namespace = delivery.namespace().unwrap_or_default();
    let found = context
        .destination(&namespace, name)
        .filter(|guard| guard.0.is_ok());
    let Some(destination) = found.and_then(|guard| guard.0.as_ref().ok().cloned()) else {
        return Err(waiting(format!(
            "there is no OutboundDestination {name} in this namespace; create it"
        )));
    };
    if destination.metadata.deletion_timestamp.is_some() {
        return Err(waiting(format!(
            "OutboundDestination {name} is being deleted"
        )));
    }
    if destination.spec.suspend == Some(true) {
        return Err(waiting(format!(
            "OutboundDestination {name} is suspended; unset its spec.suspend"
        )));
    }
    let resolved = resolve(
        &context.config,
        &destination.spec,
        learned_region(&destination),
    )
    .map_err(|error| waiting(format!("OutboundDestination {name}: {error}")))?;
    let planned = PlannedDestination {
        uid: destination.uid().unwrap_or_default(),
        hash: resolved.identity_hash(),
    };
    let gate = Gate {
        destination,
        resolved,
        planned,
    };
    gate.is_the_planned_one(delivery)?;
    Ok(gate)
}

/// As whom a delivery writes: a change restarts the objects in flight, because an upload belongs to who began it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    mode: PermissionMode,
    role: Option<String>,
}

impl Access {
    pub(super) const fn mode(&self) -> PermissionMode {
        self.mode
    }

    pub(super) fn role(&self) -> Option<&str> {
        self.role.as_deref()
    }
}

impl From<&IdentitySnapshot> for Access {
    fn from(snapshot: &IdentitySnapshot) -> Self {
        Self {
            mode: snapshot.permission_mode,
            role: snapshot.role_arn.clone(),
        }
    }
}

impl Gate {
    /// A delivery never follows its destination to another place.
    fn is_the_planned_one(&self, delivery: &OutboundDelivery) -> Result<(), Verdict> {
        let planned = delivery
            .status
            .as_ref()
            .and_then(|status| status.destination.as_ref());
        if planned.is_none_or(|planned| planned.hash == self.planned.hash) {
            return Ok(());
        }
        let message = format!(
            "OutboundDestination {} names another {IDENTITY_FIELDS} than this delivery was planned for; change it \
             back, or delete this delivery and create another",
            self.destination.name_any()
        );
        Err(Verdict::Stalled(
            DeliveryReason::DestinationChanged,
            message,
        ))
    }

    /// Whether work may begin: only on access that is proved for the destination as it is now.
    pub(super) fn may_begin(&self, delivery: &OutboundDelivery) -> Result<(), Verdict> {
        self.may_compare(delivery)?;
        self.is_proved()
    }

    /// Whether we may look at what is there, where the delivery asks for that.
    pub(super) fn may_compare(&self, delivery: &OutboundDelivery) -> Result<(), Verdict> {
        let name = self.destination.name_any();
        let skips = delivery.spec.if_exists == Some(IfExists::Skip);
        if skips && self.resolved.read_back == ReadBack::WriteOnly {
            let why = format!(
                "spec.ifExists is Skip, which compares what is there, and OutboundDestination {name} is readBack: \
                 WriteOnly, so that we may not look; set its readBack to Granted, or create another delivery with \
                 ifExists: Fail"
            );
            return Err(Verdict::Stalled(DeliveryReason::DestinationNotReady, why));
        }
        Ok(())
    }

    fn is_proved(&self) -> Result<(), Verdict> {
        let name = self.destination.name_any();
        let ready = self
            .destination
            .status
            .as_ref()
            .and_then(|status| status.condition(ConditionType::Ready));
        let current = ready.filter(|ready| {
            Some(ready.observed_generation) == self.destination.metadata.generation
        });
        let why = match current {
            Some(ready) if ready.status == Status::True => return Ok(()),
            Some(ready) => not_ready(&name, &ready.reason, &ready.message),
            None => format!("OutboundDestination {name} is being verified"),
        };
        Err(Verdict::Waiting(DeliveryReason::DestinationNotReady, why))
    }

    /// Whether a run that began earlier may go on: new credentials are taken over, another mode or role is not.
    pub(super) fn still_fits(&self, report: &Report) -> bool {
        let began = report.access.as_ref();
        began.is_none_or(|access| *access == self.access())
    }

    pub(super) fn access(&self) -> Access {
        let spec = &self.destination.spec;
        Access {
            mode: spec.permission_mode,
            role: spec.assume_role.as_ref().map(|role| role.role_arn.clone()),
        }
    }

    pub(super) const fn destination(&self) -> &OutboundDestination {
        &self.destination
    }

    pub(super) const fn resolved(&self) -> &Resolved {
        &self.resolved
    }

    pub(super) const fn planned(&self) -> &PlannedDestination {
        &self.planned
    }

    pub(super) fn destination_uid(&self) -> &str {
        &self.planned.uid
    }

    pub(super) fn destination_ref(&self) -> ObjectRef<DeserializeGuard<OutboundDestination>> {
        ObjectRef::from_obj(&DeserializeGuard(Ok(self.destination.clone())))
    }

    pub(super) fn interval(&self) -> Duration {
        interval(&self.destination)
    }
}

/// What a delivery says of a destination that isn't ready.
pub(crate) fn not_ready(name: &str, reason: &str, message: &str) -> String {
    format!("OutboundDestination {name} is not ready: {reason}: {message}")
}

/// Consecutive attempts without a newly confirmed part, as the status has them.
pub(super) fn attempts(delivery: &OutboundDelivery) -> u32 {
    let attempts = delivery.status.as_ref().and_then(|status| status.attempts);
    attempts
        .and_then(|attempts| attempts.try_into().ok())
        .unwrap_or_default()
}
