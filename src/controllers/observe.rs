//! What of the controllers' work is seen from outside: spans for the log, health, and metrics.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::runtime::controller::Action;
use kube::runtime::reflector::Store;
use kube::runtime::watcher;
use kube::{Resource, ResourceExt as _};
use tracing::{Instrument as _, Span};

use super::context::Context;
use super::delivery::Guarded;
use super::error::ReconcileError;
use super::watches::GuardedDestination;
use crate::api::{ConditionType, DeliveryReason, DestinationReason, OutboundDestination, Status};
use crate::health::{Cache, Health};
use crate::metrics::{Kind, Metrics, Sample};

/// Whom the controllers tell how they are and what they did. Clones share it.
#[derive(Clone, Default)]
pub struct Observers {
    /// Whether they go on.
    pub health: Health,
    /// What they did.
    pub metrics: Metrics,
}

/// The fields that each line about an object has. An error's level, so that no filter takes them from a line; no
/// parent, so that nothing stands beside them.
fn span<K: Resource<DynamicType = ()>>(object: &K, kind: Kind) -> Span {
    let (namespace, name) = (object.namespace(), object.name_any());
    let generation = object.meta().generation;
    tracing::error_span!(parent: None, "object", kind = kind.as_str(), namespace, name, generation)
}

/// Runs a reconcile in the object's span, and notes how it went.
pub(super) async fn observed<K, F>(
    kind: Kind,
    object: Arc<K>,
    context: Arc<Context>,
    reconcile: impl FnOnce(Arc<K>, Arc<Context>) -> F,
) -> Result<Action, ReconcileError>
where
    K: Resource<DynamicType = ()>,
    F: Future<Output = Result<Action, ReconcileError>>,
{
    // Before the first list is in, a destination that is there would be told to be missing.
    let mut listed = context.destinations_listed.clone();
    if listed.wait_for(|listed| *listed).await.is_err() {
        return Ok(Action::await_change());
    }
    let span = span(object.as_ref(), kind);
    let observers = context.observers.clone();
    let _alive = observers.health.reconcile_begins();
    let _in_flight = observers.metrics.reconcile_begins(kind);
    let begun = Instant::now();
    let ended = reconcile(object, context).instrument(span).await;
    observers.metrics.reconciled(kind, begun.elapsed());
    if matches!(ended, Err(ReconcileError::Kubernetes(_))) {
        observers.metrics.reconcile_failed(kind);
    }
    ended
}

/// One watch and its cache.
pub(super) struct Watched {
    kind: Kind,
    cache: Cache,
    metrics: Metrics,
}

impl Watched {
    /// A watch that begins.
    pub(super) fn begin(observers: &Observers, kind: Kind) -> Self {
        Self {
            kind,
            cache: observers.health.cache(),
            metrics: observers.metrics.clone(),
        }
    }

    /// What it brought, once its cache has it.
    pub(super) fn note<K>(&self, brought: &Result<watcher::Event<K>, watcher::Error>) {
        match brought {
            Ok(watcher::Event::InitDone) => self.cache.is_filled(),
            Ok(_) => {}
            Err(_) => self.metrics.watch_failed(self.kind),
        }
    }
}

/// Has the objects of these caches counted at each look at the metrics, for as long as the controllers run.
pub(super) fn count(
    context: &Arc<Context>,
    destinations: Store<GuardedDestination>,
    deliveries: Store<Guarded>,
) {
    let context_then = Arc::downgrade(context);
    context.observers.metrics.sample_by(move |sample| {
        let Some(context) = Weak::upgrade(&context_then) else {
            return;
        };
        for guard in destinations.state() {
            if let Ok(destination) = &guard.0 {
                destination_in(sample, &context, destination);
            }
        }
        for guard in deliveries.state() {
            if let Ok(delivery) = &guard.0 {
                let status = delivery.status.as_ref();
                let ready = status.and_then(|status| status.condition(ConditionType::Ready));
                let reason = ready.and_then(|ready| DeliveryReason::from_word(&ready.reason));
                sample.delivery(status.and_then(|status| status.phase), reason);
            }
        }
        sample.runs(context.runs.running());
    });
}

fn destination_in(sample: &mut Sample, context: &Context, destination: &OutboundDestination) {
    let status = destination.status.as_ref();
    let ready = status.and_then(|status| status.condition(ConditionType::Ready));
    let reason = ready.and_then(|ready| DestinationReason::from_word(&ready.reason));
    sample.destination(ready.map_or(Status::Unknown, |ready| ready.status), reason);
    if destination.spec.suspend == Some(true) {
        return;
    }
    let uid = destination.uid().unwrap_or_default();
    let proved = context.memory.proved_ago(&uid);
    // What this process doesn't remember the status does.
    if let Some(ago) = proved.or_else(|| written_ago(destination)) {
        sample.verified_ago(ago);
    }
}

fn written_ago(destination: &OutboundDestination) -> Option<Duration> {
    let status = destination.status.as_ref()?;
    let verified: Timestamp = status.last_verified_time.as_ref()?.parse().ok()?;
    let ago = Timestamp::now().duration_since(verified);
    Some(Duration::try_from(ago).unwrap_or_default())
}
