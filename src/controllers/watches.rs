//! What is watched, what of it wakes a reconcile, and whom a change concerns.

use std::fmt::Debug;
use std::sync::Arc;

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::{StreamExt as _, TryStreamExt as _, future};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Secret;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{Predicate as _, PredicateConfig, WatchStreamExt as _, predicates, watcher};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::context::Shared;
use super::delivery::{self, Guarded};
use crate::api::OutboundDestination;
use crate::config::SecretsMode;

/// A destination as the watch sees it, be it readable or not.
pub(super) type GuardedDestination = DeserializeGuard<OutboundDestination>;

/// Where the Secrets of the destinations are watched: their versions, and the destinations that a change concerns.
pub(super) type SecretWatch = (
    Option<Store<PartialObjectMeta<Secret>>>,
    futures::stream::BoxStream<'static, ObjectRef<GuardedDestination>>,
);

/// The API of a kind in one namespace, or in all.
pub(super) fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// What a watch brings.
pub(super) type Events<K> =
    futures::stream::BoxStream<'static, Result<watcher::Event<K>, watcher::Error>>;

/// An empty cache and the events that fill it.
pub(super) fn objects<K>(
    client: &Client,
    namespace: Option<&str>,
) -> (reflector::store::Writer<K>, Events<K>)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + Debug
        + Send
        + Sync
        + 'static,
{
    let events = watcher(api::<K>(client, namespace), watcher::Config::default());
    // Managed fields are most of an object and are never looked at.
    let events = events.modify(|object| object.managed_fields_mut().clear());
    (reflector::store::Writer::default(), events.boxed())
}

/// Fills the cache, and passes on the objects whose spec, annotations, deletion or finalizers changed: a status
/// that we wrote ourselves wakes nobody. `seen` is told each event once the cache has it.
pub(super) fn filtered<K>(
    writer: reflector::store::Writer<K>,
    events: Events<K>,
    seen: impl Fn(&watcher::Event<K>) + Send + 'static,
) -> impl futures::Stream<Item = Result<K, watcher::Error>> + Send + 'static
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
{
    events
        .default_backoff()
        .reflect(writer)
        .inspect_ok(seen)
        .applied_objects()
        .predicate_filter(
            predicates::generation
                .combine(predicates::annotations)
                .combine(predicates::finalizers),
            PredicateConfig::default(),
        )
}

/// What a cache of destinations tells those who look into it.
pub(super) struct DestinationNews {
    cache: Store<GuardedDestination>,
    /// Stands for the cache's own `wait_until_ready`, which wakes only the last of several that wait (kube 5.0): the
    /// controller is one, and a reconcile that waited too might wait forever.
    listed: CancellationToken,
    changed: UnboundedSender<ObjectRef<GuardedDestination>>,
}

impl DestinationNews {
    /// The news of `cache`, and the destinations that changed. Who is woken by one finds the change in the cache: a
    /// watch of its own would be ahead of it now and then, and the change would be missed.
    pub(super) fn new(
        cache: Store<GuardedDestination>,
        listed: CancellationToken,
    ) -> (Self, UnboundedReceiver<ObjectRef<GuardedDestination>>) {
        let (changed, changes) = unbounded();
        let news = Self {
            cache,
            listed,
            changed,
        };
        (news, changes)
    }

    /// To be called with each event once the cache has it.
    pub(super) fn tell(&self, event: &watcher::Event<GuardedDestination>) {
        match event {
            watcher::Event::Apply(object) | watcher::Event::Delete(object) => {
                self.send(ObjectRef::from_obj(object));
            }
            // A list appears in the cache as a whole, at its end.
            watcher::Event::Init | watcher::Event::InitApply(_) => {}
            watcher::Event::InitDone => {
                self.listed.cancel();
                let all = self.cache.state();
                all.iter()
                    .for_each(|object| self.send(ObjectRef::from_obj(object.as_ref())));
            }
        }
    }

    fn send(&self, object: ObjectRef<GuardedDestination>) {
        // A closed channel means that the controller is shutting down.
        drop(self.changed.unbounded_send(object));
    }
}

/// In `Watch` mode: the Secrets' versions, and the destinations whose Secret changed.
pub(super) fn secrets(
    shared: &Shared,
    namespace: Option<&str>,
    destinations: &Store<GuardedDestination>,
) -> SecretWatch {
    if shared.config.secrets == SecretsMode::Get {
        return (None, futures::stream::pending().boxed());
    }
    let (store, writer) = reflector::store::<PartialObjectMeta<Secret>>();
    let destinations = destinations.clone();
    let changed = watcher(
        api::<PartialObjectMeta<Secret>>(&shared.client, namespace),
        watcher::Config::default(),
    )
    .default_backoff()
    .reflect(writer)
    .touched_objects()
    .filter_map(|secret| future::ready(secret.ok()))
    .flat_map(move |secret| futures::stream::iter(users_of(&destinations, &secret)));
    (Some(store), changed.boxed())
}

/// The destinations that sign with that Secret.
fn users_of(
    destinations: &Store<GuardedDestination>,
    secret: &PartialObjectMeta<Secret>,
) -> Vec<ObjectRef<GuardedDestination>> {
    let (namespace, name) = (secret.namespace(), secret.name_any());
    let names_it = |guard: &&Arc<GuardedDestination>| {
        let key = guard
            .0
            .as_ref()
            .ok()
            .and_then(|destination| destination.spec.access_key.as_ref());
        guard.namespace() == namespace && key.is_some_and(|key| key.secret_ref.name == name)
    };
    destinations
        .state()
        .iter()
        .filter(names_it)
        .map(|guard| ObjectRef::from_obj(guard.as_ref()))
        .collect()
}

/// The unfinished deliveries to that destination.
pub(super) fn addressees(
    deliveries: &Store<Guarded>,
    destination: &ObjectRef<GuardedDestination>,
) -> Vec<ObjectRef<Guarded>> {
    let (namespace, name) = (&destination.namespace, &destination.name);
    let concerns = |guard: &&Arc<Guarded>| {
        let delivery = guard.0.as_ref().ok();
        guard.namespace() == *namespace
            && delivery.is_some_and(|delivery| {
                delivery.spec.destination_ref.name == *name && !delivery::is_finished(delivery)
            })
    };
    deliveries
        .state()
        .iter()
        .filter(concerns)
        .map(|guard| ObjectRef::from_obj(guard.as_ref()))
        .collect()
}
