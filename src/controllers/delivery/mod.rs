//! `OutboundDelivery`: observe, decide what it waits for, start or stop its run, write where it stands.

mod abandon;
mod bucket;
mod cleanup;
mod expire;
mod finalizer;
mod gate;
mod judge;
mod known;
mod lighten;
mod notices;
mod orphans;
mod outcome;
mod place;
mod planning;
mod prepare;
mod preview;
mod request;
mod run;
mod source;
mod tidy;
mod ttl;
mod wanted;
mod work_time;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::runtime::events::EventType;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt as _};

use super::context::Context;
use super::error::ReconcileError;
use super::supervisor::{Standing, Supervisor};
use super::{events, request_of, status};
use crate::api::{ConditionType, DeliveryReason, DeliveryStatus, OutboundDelivery};
use gate::Gate;
pub(crate) use gate::not_ready;
use judge::{Difference, Facts, Verdict};
pub(crate) use judge::{Report, Stage};
pub(crate) use known::KnownLedgers;
pub(crate) use lighten::lighten;
use outcome::Outcome;
pub(crate) use preview::preview;
pub use preview::{Preview, Then, Unplanned};
use work_time::{WRITE_INTERVAL, WorkTime};

/// How long the cache may be behind our own write before a look is worth while.
const CACHE_LAG: Duration = Duration::from_millis(200);

/// How often a delivery that lost its access looks whether it is proved again.
const ACCESS_LOOK: Duration = Duration::from_millis(500);

/// A delivery as the watch sees it, be it readable or not.
pub(crate) type Guarded = DeserializeGuard<OutboundDelivery>;

/// The deliveries that run, how far they are, and how they ended.
pub(crate) type Runs = Supervisor<ObjectRef<Guarded>, Report, Outcome>;

/// The clean-ups of deliveries that are being deleted, and what they had to leave.
pub(crate) type Cleanups = Supervisor<ObjectRef<Guarded>, (), Vec<String>>;

/// One look at a delivery.
///
/// # Errors
/// When the apiserver doesn't take a write.
pub(crate) async fn reconcile(
    object: Arc<Guarded>,
    context: Arc<Context>,
) -> Result<Action, ReconcileError> {
    let delivery = match &object.0 {
        Ok(delivery) => delivery,
        Err(invalid) => {
            tracing::warn!(error = %invalid, "a delivery can't be read and is left alone");
            return Ok(Action::await_change());
        }
    };
    let uid = delivery.uid().unwrap_or_default();
    if delivery.metadata.deletion_timestamp.is_some() {
        return cleanup::reconcile(&context, delivery).await;
    }
    if is_finished(delivery) {
        return tidy::tidy(&context, delivery).await;
    }
    if delivery.spec.suspend == Some(true) {
        let message = "spec.suspend is set: uploads stay open and go on when it is unset";
        return hold(&context, delivery, Verdict::Suspended(message.to_owned())).await;
    }
    let gate = match gate::look(&context, delivery) {
        Ok(gate) => gate,
        Err(verdict) => return hold(&context, delivery, verdict).await,
    };
    let standing = context.runs.standing(&uid);
    if is_overdue(delivery, &standing) {
        return expire::reconcile(&context, delivery, standing).await;
    }
    match standing {
        Standing::Ended(outcome) => conclude(&context, delivery, &gate, outcome).await,
        Standing::Stopping => Ok(Action::await_change()),
        Standing::Running(report) if gate.still_fits(&report) => {
            let (destination, limits) = (gate.destination_uid(), gate.resolved().limits);
            context.resources.limit(destination, limits);
            let action = write(&context, delivery, Some(&report), &Verdict::Working).await?;
            Ok(before_deadline(delivery, &report, action))
        }
        // The mode was changed: uploads of the other identity can't go on.
        Standing::Running(_) => {
            stop(&context, delivery);
            Ok(Action::await_change())
        }
        Standing::Absent => match gate.may_begin(delivery) {
            Ok(()) => begin(&context, delivery, gate).await,
            Err(verdict) => write(&context, delivery, None, &verdict).await,
        },
    }
}

/// Whether the delivery worked for as long as it may, and no run of it has come to its end.
fn is_overdue(delivery: &OutboundDelivery, standing: &Standing<Report, Outcome>) -> bool {
    let report = match standing {
        Standing::Running(report) => Some(report),
        Standing::Ended(outcome) if outcome.is_final() => return false,
        Standing::Ended(outcome) => Some(&outcome.report),
        Standing::Stopping | Standing::Absent => None,
    };
    let left = work_time::left(delivery, report, Instant::now());
    left.is_some_and(|left| left.is_zero())
}

/// Looks again at the deadline, where there is one, and before it to write the time spent.
fn before_deadline(delivery: &OutboundDelivery, report: &Report, action: Action) -> Action {
    match work_time::left(delivery, Some(report), Instant::now()) {
        // A write that waits for its turn comes first, as turns are short.
        Some(left) if action == Action::await_change() => {
            // A moment later, or rounding would wake it a moment too early.
            Action::requeue(left.min(WRITE_INTERVAL) + Duration::from_millis(5))
        }
        _ => action,
    }
}

/// Done for good, unless a new value of `outbound.dev/requestedAt` asks a failed one to try again.
pub(crate) fn is_finished(delivery: &OutboundDelivery) -> bool {
    let Some(status) = &delivery.status else {
        return false;
    };
    let is_set = |type_| status.condition(type_).is_some();
    is_set(ConditionType::Complete)
        || is_set(ConditionType::Failed)
            && status.last_handled_request == request_of(&delivery.metadata)
}

/// Whether this run was asked for after the delivery had failed.
fn is_retry(delivery: &OutboundDelivery) -> bool {
    delivery
        .status
        .as_ref()
        .is_some_and(|status| status.condition(ConditionType::Failed).is_some())
}

/// Stops the run, where there is one, and says why once it stands still.
async fn hold(
    context: &Context,
    delivery: &OutboundDelivery,
    verdict: Verdict,
) -> Result<Action, ReconcileError> {
    let uid = delivery.uid().unwrap_or_default();
    match context.runs.standing(&uid) {
        Standing::Running(_) => {
            stop(context, delivery);
            return Ok(Action::await_change());
        }
        Standing::Stopping => return Ok(Action::await_change()),
        // What ended for good is concluded, even when it was to be held meanwhile.
        Standing::Ended(outcome) if outcome.is_final() => {
            return finish(context, delivery, outcome).await;
        }
        Standing::Ended(outcome) => {
            context.runs.forget(&uid);
            return write(context, delivery, Some(&outcome.report), &verdict).await;
        }
        Standing::Absent => {}
    }
    write(context, delivery, None, &verdict).await
}

/// Stops the run: parts in flight may land, and none begins.
fn stop(context: &Context, delivery: &OutboundDelivery) {
    context.runs.stop(&delivery.uid().unwrap_or_default());
    tracing::info!("the run is told to stop");
}

async fn begin(
    context: &Arc<Context>,
    delivery: &OutboundDelivery,
    gate: Gate,
) -> Result<Action, ReconcileError> {
    let uid = delivery.uid().unwrap_or_default();
    let report = Report {
        stage: Stage::of_new_run(delivery.status.as_ref()),
        access: Some(gate.access()),
        attempts: if is_retry(delivery) {
            0
        } else {
            gate::attempts(delivery)
        },
        work: Some(WorkTime::start(work_time::before(delivery), Instant::now())),
        ..Report::default()
    };
    write(context, delivery, Some(&report), &Verdict::Working).await?;
    let object = ObjectRef::from_obj(&DeserializeGuard(Ok(delivery.clone())));
    let (destination, limits) = (gate.destination_uid(), gate.resolved().limits);
    let work = run::Work {
        context: context.clone(),
        delivery: delivery.clone(),
        resources: context.resources.for_destination(destination, limits),
        gate,
        retry: is_retry(delivery),
    };
    context
        .runs
        .start(&uid, object, |handle| run::run(work, handle));
    Ok(Action::await_change())
}

/// What follows from how a run ended.
async fn conclude(
    context: &Arc<Context>,
    delivery: &OutboundDelivery,
    gate: &Gate,
    outcome: Outcome,
) -> Result<Action, ReconcileError> {
    let uid = delivery.uid().unwrap_or_default();
    if let Some(until) = outcome.again_at() {
        let asked_anew = request_of(&delivery.metadata) != outcome.request;
        let mut pause = until.saturating_duration_since(Instant::now());
        let lost = outcome.access_lost_at();
        let destination = gate.destination_uid();
        let is_back = lost.is_some_and(|lost| context.memory.verified_since(destination, lost));
        if pause.is_zero() || asked_anew || is_back {
            // The next run counts on from the time that stands in the status.
            write(context, delivery, Some(&outcome.report), &Verdict::Working).await?;
            context.runs.forget(&uid);
            return Ok(Action::requeue(CACHE_LAG));
        }
        if lost.is_some() {
            // A proof that changes nothing in the destination's status wakes nobody.
            pause = pause.min(ACCESS_LOOK);
            if ready_reason(delivery) != Some(DeliveryReason::AccessLost.as_str()) {
                context.memory.hurry(destination);
                context.proofs.nudge(gate.destination_ref());
            }
        }
        let (report, verdict) = outcome.into_verdict();
        write(context, delivery, Some(&report), &verdict).await?;
        return Ok(Action::requeue(pause));
    }
    if outcome.is_delivered() {
        context
            .memory
            .confirmed(gate.destination_uid(), gate.interval());
    }
    finish(context, delivery, outcome).await
}

/// Writes a final end; it is tidied up after once the cache has it. Who asked for another try behind the run's last word
/// gets one, though nobody tidied up yet.
async fn finish(
    context: &Context,
    delivery: &OutboundDelivery,
    outcome: Outcome,
) -> Result<Action, ReconcileError> {
    let status = delivery.status.as_ref();
    let answered = status.and_then(|status| status.last_handled_request.clone());
    let mut request = request_of(&delivery.metadata);
    if !outcome.is_delivered() && request != outcome.request && request != answered {
        if is_retry(delivery) {
            context.runs.forget(&delivery.uid().unwrap_or_default());
            return Ok(Action::requeue(Duration::ZERO));
        }
        request = answered;
    }
    let (report, verdict) = outcome.into_verdict();
    answer(context, delivery, request, Some(&report), &verdict).await?;
    Ok(Action::requeue(CACHE_LAG))
}

fn ready_reason(delivery: &OutboundDelivery) -> Option<&str> {
    let ready = delivery.status.as_ref()?.condition(ConditionType::Ready)?;
    Some(&ready.reason)
}

/// [`answer`]s what is asked now.
async fn write(
    context: &Context,
    delivery: &OutboundDelivery,
    report: Option<&Report>,
    verdict: &Verdict,
) -> Result<Action, ReconcileError> {
    let request = request_of(&delivery.metadata);
    answer(context, delivery, request, report, verdict).await
}

/// Writes where the delivery stands, in answer to `request`, when that differs; mere progress waits for its turn.
async fn answer(
    context: &Context,
    delivery: &OutboundDelivery,
    request: Option<String>,
    report: Option<&Report>,
    verdict: &Verdict,
) -> Result<Action, ReconcileError> {
    let old = delivery.status.clone().unwrap_or_default();
    let facts = Facts {
        old: &old,
        generation: delivery.metadata.generation.unwrap_or_default(),
        request,
        report,
        spent: report
            .and_then(|report| report.work)
            .map(|work| work.spent(Instant::now())),
        now: Timestamp::now(),
    };
    let new = judge::status(&facts, verdict);
    match judge::difference(&old, &new) {
        Difference::None => return Ok(Action::await_change()),
        Difference::Progress => {
            if let Err(wait) = context.progress_turns.take() {
                return Ok(Action::requeue(wait));
            }
        }
        Difference::More => {}
    }
    let api: Api<OutboundDelivery> = Api::namespaced(
        context.client.clone(),
        &delivery.namespace().unwrap_or_default(),
    );
    status::write(&api, delivery, &new)
        .await
        .map_err(ReconcileError::from_status)?;
    tell(context, delivery, &old, &new).await;
    Ok(Action::await_change())
}

/// Why it came to its end between the two.
fn ended(old: &DeliveryStatus, new: &DeliveryStatus) -> Option<DeliveryReason> {
    let end = |status: &DeliveryStatus| {
        let complete = status.condition(ConditionType::Complete);
        let end = complete.or_else(|| status.condition(ConditionType::Failed));
        end.map(|end| end.reason.clone())
    };
    let word = end(new).filter(|_| end(old).is_none())?;
    DeliveryReason::from_word(&word)
}

/// One Event and one line in the log when the reason changes.
async fn tell(
    context: &Context,
    delivery: &OutboundDelivery,
    old: &DeliveryStatus,
    new: &DeliveryStatus,
) {
    let reason = |status: &DeliveryStatus| {
        status
            .condition(ConditionType::Ready)
            .map(|ready| ready.reason.clone())
    };
    let Some(ready) = new.condition(ConditionType::Ready) else {
        return;
    };
    if reason(old).as_deref() == Some(&ready.reason) {
        return;
    }
    let stalled = new.condition(ConditionType::Stalled).is_some();
    let lost = ready.reason == DeliveryReason::AccessLost.as_str();
    let type_ = if stalled || lost {
        EventType::Warning
    } else {
        EventType::Normal
    };
    if let Some(ended) = ended(old, new) {
        context.observers.metrics.finished(ended);
    }
    tracing::info!(reason = ready.reason, why = ready.message, "delivery");
    // Each word of a status of ours is one.
    if let Some(reason) = DeliveryReason::from_word(&ready.reason) {
        let (recorder, message) = (&context.recorder, &ready.message);
        events::publish(recorder, delivery, type_, reason, message).await;
    }
}
