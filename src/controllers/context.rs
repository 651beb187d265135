//! What every reconcile may use.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::core::DeserializeGuard;
use kube::runtime::events::Recorder;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Client, ResourceExt as _};
use tokio::sync::watch;

use super::buckets::Buckets;
use super::delivery::{Cleanups, KnownLedgers, Runs};
use super::destination::{Memory, Proofs};
use super::index::Index;
use super::observe::Observers;
use super::queue::Queue;
use super::watches::SecretVersions;
use crate::api::OutboundDestination;
use crate::config::Config;
use crate::store::{ClientFactory, OwnIdentity};
use crate::transfer::Resources;

/// Progress writes a second, over all deliveries.
const PROGRESS_WRITES: u32 = 5;

/// What all watched namespaces share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) client: Client,
    pub(crate) config: Arc<Config>,
    pub(crate) factory: ClientFactory,
    /// Who we are to customers; `None` when the configuration names nobody.
    pub(crate) identity: Option<OwnIdentity>,
    pub(crate) resources: Resources,
    pub(crate) recorder: Recorder,
    /// The operator's own object, for what no other object can be told of.
    pub(crate) own: Option<ObjectReference>,
    pub(crate) observers: Observers,
    pub(crate) progress_turns: Arc<Turns>,
    /// Proofs.
    pub(crate) proof_queue: Queue,
    /// Beginnings of runs, up to the first byte.
    pub(crate) run_queue: Queue,
}

/// What every reconcile of one watch may use.
pub(crate) struct Context {
    pub(crate) shared: Shared,
    pub(crate) destinations: Store<DeserializeGuard<OutboundDestination>>,
    /// Whether `destinations` holds the first list.
    pub(crate) destinations_listed: watch::Receiver<bool>,
    /// The unfinished deliveries by their destinations.
    pub(crate) unfinished: Index,
    /// The Secrets' versions, where they are watched.
    pub(crate) secrets: Option<SecretVersions>,
    pub(crate) memory: Memory,
    pub(crate) buckets: Buckets,
    pub(crate) proofs: Proofs,
    pub(crate) runs: Runs,
    pub(crate) cleanups: Cleanups,
    pub(crate) ledgers: KnownLedgers,
}

impl std::ops::Deref for Context {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}

impl Context {
    /// What the reconciles of one watch may use; nothing runs yet and nothing is remembered.
    pub(crate) fn new(
        shared: Shared,
        destinations: Store<DeserializeGuard<OutboundDestination>>,
        destinations_listed: watch::Receiver<bool>,
        unfinished: Index,
        secrets: Option<SecretVersions>,
        proofs: Proofs,
        (runs, cleanups): (Runs, Cleanups),
    ) -> Self {
        Self {
            shared,
            destinations,
            destinations_listed,
            unfinished,
            secrets,
            memory: Memory::default(),
            buckets: Buckets::default(),
            proofs,
            runs,
            cleanups,
            ledgers: KnownLedgers::default(),
        }
    }

    /// The destination of that name, as the watch last saw it.
    pub(crate) fn destination(
        &self,
        namespace: &str,
        name: &str,
    ) -> Option<Arc<DeserializeGuard<OutboundDestination>>> {
        self.destinations
            .get(&ObjectRef::new(name).within(namespace))
    }

    /// Lets the bucket of that destination go, unless there is a delivery yet that may need it: most destinations have
    /// nothing to do, and each bucket holds a client of its own.
    pub(crate) fn release_bucket(&self, namespace: &str, name: &str, uid: &str) {
        if !self.unfinished.is_named(namespace, name) {
            self.buckets.forget(uid);
        }
    }

    /// The same for all destinations, those too that are gone.
    pub(crate) fn release_buckets(&self) {
        let destinations = self.destinations.state();
        let is_needed = |guard: &&Arc<DeserializeGuard<OutboundDestination>>| {
            let namespace = guard.namespace().unwrap_or_default();
            self.unfinished.is_named(&namespace, &guard.name_any())
        };
        let needed = destinations.iter().filter(is_needed);
        let needed: HashSet<String> = needed.filter_map(|guard| guard.uid()).collect();
        self.buckets.retain(|uid| needed.contains(uid));
    }

    /// Whether the watched Secret of an access key is another than the one that was proved with.
    pub(crate) fn secret_changed(
        &self,
        destination: &OutboundDestination,
        proved: Option<&str>,
    ) -> bool {
        let Some(secrets) = &self.secrets else {
            return false;
        };
        let Some(key) = &destination.spec.access_key else {
            return false;
        };
        let namespace = destination.namespace().unwrap_or_default();
        secrets.differs(&namespace, &key.secret_ref.name, proved)
    }
}

/// A bound on how often something happens, shared by all who do it.
#[derive(Debug)]
pub(crate) struct Turns(Mutex<Instant>);

impl Turns {
    /// The turns for progress writes.
    pub(crate) fn for_progress() -> Self {
        Self(Mutex::new(Instant::now()))
    }

    /// Takes a turn, or says how long until the next.
    pub(crate) fn take(&self) -> Result<(), Duration> {
        let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if *next > now {
            return Err(*next - now);
        }
        *next = now + Duration::from_secs(1) / PROGRESS_WRITES;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_turn_waits() {
        let turns = Turns::for_progress();
        assert!(turns.take().is_ok());
        assert!(
            turns
                .take()
                .is_err_and(|wait| wait <= Duration::from_millis(200))
        );
    }
}
