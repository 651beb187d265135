//! `OutboundDestination`: observe, decide whether a proof is due, start it, write what it brought.

mod capabilities;
mod judge;
mod limits;
mod memory;
mod once;
mod permissions;
mod proof;
mod resolve;
mod schedule;
mod settings;
mod trust;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::runtime::events::EventType;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt as _};
use tokio_util::sync::CancellationToken;

pub(crate) use capabilities::known;
pub(crate) use judge::Outcome;
pub(crate) use memory::{Memory, Question};
pub(crate) use once::{granted, proved};
pub(crate) use resolve::{
    IDENTITY_FIELDS, Resolved, acl_policy, addressing_style, learned_region, resolve,
};

use super::context::Context;
use super::error::ReconcileError;
use super::supervisor::Standing;
use super::{events, request_of, status};
use crate::api::{
    ConditionType, DestinationReason, DestinationStatus, OutboundDestination, Status,
};
use crate::store::RegionSource;
use judge::{Facts, Finding};

/// How often access is proved again when a destination names no interval.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(3600);

/// The proofs that run and what they brought.
pub(crate) type Proofs =
    super::supervisor::Supervisor<ObjectRef<DeserializeGuard<OutboundDestination>>, (), Outcome>;

/// One look at a destination.
///
/// # Errors
/// When the status can't be written.
pub(crate) async fn reconcile(
    object: Arc<DeserializeGuard<OutboundDestination>>,
    context: Arc<Context>,
) -> Result<Action, ReconcileError> {
    let destination = match &object.0 {
        Ok(destination) => destination,
        Err(invalid) => {
            tracing::warn!(error = %invalid, "a destination can't be read and is left alone");
            return Ok(Action::await_change());
        }
    };
    let uid = destination.uid().unwrap_or_default();
    if destination.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    if destination.spec.suspend == Some(true) {
        // A proof that runs is left to its end, so that its upload is aborted; what it brings is not written.
        if let Standing::Ended(_) = context.proofs.standing(&uid) {
            context.proofs.forget(&uid);
        }
        context.memory.forget(&uid);
        let old = destination.status.clone().unwrap_or_default();
        let suspended = judge::suspended(
            &old,
            facts(&context, destination, None),
            &question(destination),
            Timestamp::now(),
        );
        write(&context, destination, suspended).await?;
        return Ok(Action::await_change());
    }
    match context.proofs.standing(&uid) {
        Standing::Ended(outcome) if outcome.question == question(destination) => {
            settle(&context, destination, &outcome).await
        }
        Standing::Ended(_) => {
            context.proofs.forget(&uid);
            begin(&context, destination).await
        }
        // Its end comes as a trigger; what was changed meanwhile is proved then.
        Standing::Running(()) | Standing::Stopping => Ok(Action::await_change()),
        Standing::Absent => match due_in(&context, destination) {
            Some(pause) if !pause.is_zero() => {
                tell_deliveries(&context, destination).await?;
                Ok(Action::requeue(pause))
            }
            _ => begin(&context, destination).await,
        },
    }
}

/// Publishes what deliveries found out of the store, and that they saw our access to be there.
async fn tell_deliveries(
    context: &Context,
    destination: &OutboundDestination,
) -> Result<(), ReconcileError> {
    let uid = destination.uid().unwrap_or_default();
    let now = Timestamp::now();
    let mut status = destination.status.clone().unwrap_or_default();
    if status.observed_generation != generation(destination) {
        return Ok(());
    }
    if let Some(capabilities) = context.memory.learned(&uid, generation(destination)) {
        let facts = facts(context, destination, None);
        status = judge::learned(&status, facts, capabilities, now);
    }
    let seen = context.memory.proved_ago(&uid);
    if let Some(confirmed) = seen.and_then(|ago| judge::confirmed(&status, ago, now)) {
        status = confirmed;
    }
    write(context, destination, status).await
}

/// How long until the next proof; `None` when this generation or request wasn't answered yet.
fn due_in(context: &Context, destination: &OutboundDestination) -> Option<Duration> {
    let uid = destination.uid().unwrap_or_default();
    let question = question(destination);
    // What this process doesn't remember the status does.
    let proved = match context.memory.secret_version(&uid) {
        Some(remembered) => remembered,
        None => destination
            .status
            .as_ref()
            .and_then(|status| status.secret_version.clone()),
    };
    if context.secret_changed(destination, proved.as_deref()) {
        return None;
    }
    if let Some(pause) = context.memory.due_in(&uid, &question, Instant::now()) {
        return Some(pause);
    }
    let (ago, pause) = answered_before(destination, &question)?;
    context.memory.adopt(&uid, question, proved, ago, pause);
    Some(pause)
}

/// After a restart: a destination that was verified at this generation keeps its schedule; returns how long ago it was
/// and how long until the next proof.
fn answered_before(
    destination: &OutboundDestination,
    question: &Question,
) -> Option<(Duration, Duration)> {
    let status = destination.status.as_ref()?;
    let ready = status.condition(ConditionType::Ready)?;
    // An operator from before may not have looked what the store can do.
    let answered = ready.status == Status::True
        && status.capabilities.is_some()
        && ready.observed_generation == question.generation
        && status.last_handled_request == question.request;
    let verified: Timestamp = status
        .last_verified_time
        .as_ref()
        .filter(|_| answered)?
        .parse()
        .ok()?;
    let age = Timestamp::now().duration_since(verified).unsigned_abs();
    let uid = destination.metadata.uid.as_deref().unwrap_or_default();
    let pause = schedule::after_restart(uid, interval(destination), age);
    Some((age, pause))
}

/// Starts a proof. Only one that answers something new is said in the status: a periodic proof touches nothing.
async fn begin(
    context: &Arc<Context>,
    destination: &OutboundDestination,
) -> Result<Action, ReconcileError> {
    let old = destination.status.clone().unwrap_or_default();
    let unanswered = old
        .condition(ConditionType::AccessVerified)
        .map(|access| access.observed_generation)
        != Some(generation(destination))
        || old
            .condition(ConditionType::Ready)
            .is_some_and(|ready| ready.reason == DestinationReason::Suspended.as_str());
    if unanswered {
        let verifying = judge::verifying(
            &old,
            facts(context, destination, None),
            generation(destination),
            Timestamp::now(),
        );
        write(context, destination, verifying).await?;
    }
    let uid = destination.uid().unwrap_or_default();
    let (name, namespace) = (
        destination.name_any(),
        destination.namespace().unwrap_or_default(),
    );
    let object = ObjectRef::new(&name).within(&namespace);
    let (context_then, question) = (context.clone(), question(destination));
    context.proofs.start(&uid, object, |handle| async move {
        prove_in_turn(context_then, (&namespace, &name), question, &handle.stop).await
    });
    Ok(Action::await_change())
}

/// Proves the destination once it has its turn, as it is then: what was changed while it waited needs no proof of
/// its own.
async fn prove_in_turn(
    context: Arc<Context>,
    (namespace, name): (&str, &str),
    asked: Question,
    stop: &CancellationToken,
) -> Outcome {
    let work = || async {
        let now = context.destination(namespace, name)?;
        let destination = now.0.as_ref().ok()?;
        if destination.spec.suspend == Some(true) {
            return None;
        }
        let question = question(destination);
        Some(proof::prove(context.clone(), destination.clone(), question).await)
    };
    let proved = context.proof_queue.run(stop, work).await.flatten();
    // It is gone or held, or the operator ends: nobody reads what comes of it.
    proved.unwrap_or_else(|| Outcome::not_asked(asked))
}

/// Writes what a proof brought, and plans the next.
async fn settle(
    context: &Arc<Context>,
    destination: &OutboundDestination,
    outcome: &Outcome,
) -> Result<Action, ReconcileError> {
    let uid = destination.uid().unwrap_or_default();
    let old = destination.status.clone().unwrap_or_default();
    let unanswered = context.memory.unanswered_with_this(&uid, &outcome.question);
    let facts = facts(context, destination, outcome.region.as_deref());
    let judged = judge::judged(&old, facts, outcome, unanswered, Timestamp::now());
    let changed = ready_reason(&old) != ready_reason(&judged);
    let trusted = trust::news(&old, &judged);
    let note = judged
        .condition(ConditionType::Ready)
        .map(|ready| (ready.status, ready.reason.clone(), ready.message.clone()));
    write(context, destination, judged).await?;
    context.observers.metrics.proved(outcome.finding.reason());
    let pause = context.memory.ended(
        &uid,
        &outcome.question,
        outcome.secret_version.clone(),
        outcome.finding.ending(),
        interval(destination),
    );
    let orphan = match &outcome.finding {
        Finding::Orphaned(message) => Some(message.clone()),
        _ => None,
    };
    context.memory.set_orphan(&uid, orphan);
    if outcome.capabilities.is_some() {
        context.memory.forget_learned(&uid);
    }
    context.proofs.forget(&uid);
    if let Some((ready, reason, message)) = note.filter(|_| changed) {
        let type_ = if ready == Status::True {
            EventType::Normal
        } else {
            EventType::Warning
        };
        // Each word of a status of ours is one.
        if let Some(reason) = DestinationReason::from_word(&reason) {
            events::publish(&context.recorder, destination, type_, reason, &message).await;
        }
        let what = if ready == Status::True {
            "verified"
        } else {
            "not verified"
        };
        tracing::info!(reason, why = message, "destination {what}");
    }
    if let Some((type_, reason, message)) = trusted {
        tracing::info!(?reason, why = %message, "destination's trust");
        events::publish(&context.recorder, destination, type_, reason, &message).await;
    }
    Ok(Action::requeue(pause))
}

fn ready_reason(status: &DestinationStatus) -> Option<String> {
    let ready = status.condition(ConditionType::Ready)?;
    Some(format!("{:?} {}", ready.status, ready.reason))
}

async fn write(
    context: &Context,
    destination: &OutboundDestination,
    new: DestinationStatus,
) -> Result<(), ReconcileError> {
    if destination.status.as_ref() == Some(&new) {
        return Ok(());
    }
    let api: Api<OutboundDestination> = Api::namespaced(
        context.client.clone(),
        &destination.namespace().unwrap_or_default(),
    );
    status::write(&api, destination, &new)
        .await
        .map(drop)
        .map_err(ReconcileError::from_status)
}

/// What the status says beside the conditions; `learned` is the region that a proof just found.
fn facts(context: &Context, destination: &OutboundDestination, learned: Option<&str>) -> Facts {
    let known = learned.or_else(|| learned_region(destination));
    let Ok(resolved) = resolve(&context.config, &destination.spec, known) else {
        return Facts::default();
    };
    let region = known.is_some() || resolved.region == RegionSource::Named;
    let region = region.then(|| resolved.target.region.as_str());
    Facts {
        effective: Some(resolved.effective(region)),
        identity: proof::identity(&context.config, &destination.spec),
        grant: proof::grant(&context.config, destination, &resolved),
        external_id: proof::external_id(&context.config, destination)
            .map(|id| id.as_str().to_owned()),
        read_back: Some(resolved.read_back),
        signer: Some(proof::signer(&destination.spec)),
    }
}

/// What a proof made now would answer.
fn question(destination: &OutboundDestination) -> Question {
    Question {
        generation: generation(destination),
        request: request_of(&destination.metadata),
    }
}

fn generation(destination: &OutboundDestination) -> i64 {
    destination.metadata.generation.unwrap_or_default()
}

/// Time between proofs.
pub(crate) fn interval(destination: &OutboundDestination) -> Duration {
    let verification = destination.spec.verification.as_ref();
    let named = verification.and_then(|verification| verification.interval.as_ref());
    // The schema refuses what is no duration.
    named
        .and_then(|interval| interval.get().ok())
        .unwrap_or(DEFAULT_INTERVAL)
}
