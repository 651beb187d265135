//! The end of a delivery that worked for longer than it may: its run is stopped, its uploads are aborted.

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt as _;
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;

use super::abandon;
use super::judge::{Report, Stage, Verdict};
use super::outcome::{End, Outcome};
use crate::api::{DeliveryReason, OutboundDelivery};
use crate::controllers::context::Context;
use crate::controllers::error::ReconcileError;
use crate::controllers::request_of;
use crate::controllers::supervisor::{Handle, Standing};

/// How long aborting may take.
const ABORT_TIME: Duration = Duration::from_secs(60);

/// One look at a delivery whose time is over, and whose run has not ended for good.
pub(super) async fn reconcile(
    context: &Arc<Context>,
    delivery: &OutboundDelivery,
    standing: Standing<Report, Outcome>,
) -> Result<Action, ReconcileError> {
    let uid = delivery.uid().unwrap_or_default();
    let report = match standing {
        Standing::Running(report) if report.stage == Stage::GivingUp => {
            return super::write(context, delivery, Some(&report), &Verdict::Working).await;
        }
        Standing::Running(_) => {
            super::stop(context, delivery);
            return Ok(Action::await_change());
        }
        Standing::Stopping => return Ok(Action::await_change()),
        Standing::Ended(outcome) => outcome.report,
        Standing::Absent => Report::default(),
    };
    context.runs.forget(&uid);
    let object = ObjectRef::from_obj(&DeserializeGuard(Ok(delivery.clone())));
    let (owned, of) = (context.clone(), delivery.clone());
    context
        .runs
        .start(&uid, object, |handle| give_up(owned, of, report, handle));
    Ok(Action::await_change())
}

async fn give_up(
    context: Arc<Context>,
    delivery: OutboundDelivery,
    report: Report,
    handle: Handle<Report>,
) -> Outcome {
    let report = Report {
        stage: Stage::GivingUp,
        ..report
    };
    handle.report.send_replace(report.clone());
    let left = abandon::abandon_kept(&context, &delivery, ABORT_TIME).await;
    abandon::report(&context, &delivery, &left).await;
    let limit = delivery.spec.active_deadline_seconds.unwrap_or_default();
    let message = format!(
        "it worked for longer than spec.activeDeadlineSeconds, {limit} s; its uploads were aborted: \
         allow more, then ask for a retry by a new value of outbound.dev/requestedAt"
    );
    Outcome {
        report,
        request: request_of(&delivery.metadata),
        end: End::Failed(DeliveryReason::DeadlineExceeded, message),
    }
}
