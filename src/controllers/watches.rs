//! What is watched, what of it wakes a reconcile, and whom a change concerns.

use std::fmt::Debug;
use std::sync::Arc;

use futures::channel::mpsc;
use futures::{StreamExt as _, TryStreamExt as _, future};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Secret;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{Predicate as _, PredicateConfig, WatchStreamExt as _, predicates, watcher};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::context::Shared;
use super::delivery::{self, Guarded};
use super::observe::Watched;
use crate::api::{OutboundDelivery, OutboundDestination};
use crate::config::SecretsMode;
use crate::metrics::Kind;

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

/// Fills the cache, tells of each event once the cache has it, and passes on the objects whose spec, annotations,
/// deletion or finalizers changed: a status that we wrote ourselves wakes nobody.
pub(super) fn filtered<K>(
    writer: reflector::store::Writer<K>,
    events: Events<K>,
    watched: Watched,
    tell: impl FnMut(&watcher::Event<K>) + Send + 'static,
) -> impl futures::Stream<Item = Result<K, watcher::Error>> + Send + 'static
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
{
    events
        .default_backoff()
        .reflect(writer)
        .inspect(move |brought| watched.note(brought))
        .inspect_ok(tell)
        .applied_objects()
        .predicate_filter(
            predicates::generation
                .combine(predicates::annotations)
                .combine(predicates::finalizers),
            PredicateConfig::default(),
        )
}

/// What the cache of destinations tells deliveries.
///
/// A watch of their own would be ahead of the cache at times: a delivery would be woken, find the destination as it
/// was, and not be woken again.
pub(super) struct DestinationNews {
    /// Whether the first list is in. (A [`Store`] tells that too, but wakes only the last who waits for it.)
    pub(super) listed: watch::Receiver<bool>,
    /// The deliveries that a change concerns.
    pub(super) concerned: mpsc::UnboundedReceiver<ObjectRef<Guarded>>,
}

/// The news, and what has to be told of each event.
pub(super) fn destination_news(
    deliveries: Store<Guarded>,
) -> (
    DestinationNews,
    impl FnMut(&watcher::Event<GuardedDestination>) + Send + 'static,
) {
    let (is_listed, listed) = watch::channel(false);
    let (concerns, concerned) = mpsc::unbounded();
    let tell = move |event: &watcher::Event<GuardedDestination>| {
        let woken = match event {
            watcher::Event::Apply(changed) | watcher::Event::Delete(changed) => {
                addressees(&deliveries, changed)
            }
            // The cache is filled at the end of a list, and may have lost some.
            watcher::Event::InitDone => {
                is_listed.send_replace(true);
                unfinished(&deliveries, |_, _| true)
            }
            watcher::Event::Init | watcher::Event::InitApply(_) => Vec::new(),
        };
        for delivery in woken {
            // Nobody listens any more when the controllers end.
            let _ = concerns.unbounded_send(delivery);
        }
    };
    (DestinationNews { listed, concerned }, tell)
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
    let watched = Watched::begin(&shared.observers, Kind::Secret);
    let destinations = destinations.clone();
    let changed = watcher(
        api::<PartialObjectMeta<Secret>>(&shared.client, namespace),
        watcher::Config::default(),
    )
    .default_backoff()
    .reflect(writer)
    .inspect(move |brought| watched.note(brought))
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
fn addressees(
    deliveries: &Store<Guarded>,
    destination: &GuardedDestination,
) -> Vec<ObjectRef<Guarded>> {
    let (namespace, name) = (destination.namespace(), destination.name_any());
    unfinished(deliveries, |guard, delivery| {
        guard.namespace() == namespace && delivery.spec.destination_ref.name == name
    })
}

fn unfinished(
    deliveries: &Store<Guarded>,
    concerns: impl Fn(&Guarded, &OutboundDelivery) -> bool,
) -> Vec<ObjectRef<Guarded>> {
    let concerned = |guard: &&Arc<Guarded>| {
        let delivery = guard.0.as_ref().ok();
        delivery
            .is_some_and(|delivery| concerns(guard, delivery) && !delivery::is_finished(delivery))
    };
    deliveries
        .state()
        .iter()
        .filter(concerned)
        .map(|guard| ObjectRef::from_obj(guard.as_ref()))
        .collect()
}
