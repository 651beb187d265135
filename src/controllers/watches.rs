//! What is watched, what of it wakes a reconcile, and whom a change concerns.

use std::fmt::Debug;

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
use super::index::{Index, Place};
use super::observe::Watched;
use crate::api::{OutboundDestination, REQUESTED_AT};
use crate::config::SecretsMode;
use crate::metrics::Kind;

/// A destination as the watch sees it, be it readable or not.
pub(super) type GuardedDestination = DeserializeGuard<OutboundDestination>;

/// Where the Secrets of the destinations are watched: their versions, and the destinations that a change concerns.
pub(super) type SecretWatch = (
    Option<SecretVersions>,
    futures::stream::BoxStream<'static, ObjectRef<GuardedDestination>>,
);

/// The versions of the Secrets that are there.
pub(crate) struct SecretVersions {
    store: Store<PartialObjectMeta<Secret>>,
    /// Whether `store` holds the first list.
    listed: watch::Receiver<bool>,
}

impl SecretVersions {
    /// Whether the Secret is of another version than `proved`, or gone. Nothing is known before the first list is in.
    pub(super) fn differs(&self, namespace: &str, name: &str, proved: Option<&str>) -> bool {
        if !*self.listed.borrow() {
            return false;
        }
        let found = self.store.get(&ObjectRef::new(name).within(namespace));
        let version = found.and_then(|secret| secret.resource_version());
        version.as_deref() != proved
    }
}

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

/// Objects in one page of a first list: what is held twice while a list is taken in.
const PAGE: u32 = 250;

/// An empty cache and the events that fill it, in pages: lists that stream aren't in each Kubernetes that we take.
/// `lighten` takes from each object what no reconcile looks at.
pub(super) fn objects<K>(
    client: &Client,
    namespace: Option<&str>,
    lighten: fn(&mut K),
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
    let events = watcher(api::<K>(client, namespace), pages());
    let events = events.modify(move |object| {
        lighten_metadata(object);
        lighten(object);
    });
    (reflector::store::Writer::default(), events.boxed())
}

fn pages() -> watcher::Config {
    watcher::Config::default().page_size(PAGE)
}

/// Managed fields are most of an object, what kubectl applied last is another copy of it, and labels may be many. Of
/// the annotations one is ours.
fn lighten_metadata<K: Resource>(object: &mut K) {
    let metadata = object.meta_mut();
    // Not cleared, as what is empty keeps its room.
    metadata.managed_fields = None;
    metadata.labels = None;
    let request = metadata.annotations.take();
    let request = request.and_then(|mut all| all.remove_entry(REQUESTED_AT));
    metadata.annotations = request.map(|request| [request].into());
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

/// The unfinished deliveries by their destinations, kept by what has to be told of each event of deliveries.
pub(super) fn unfinished() -> (Index, impl FnMut(&watcher::Event<Guarded>) + Send + 'static) {
    let index = Index::default();
    let kept = index.clone();
    let destination = |guard: &Guarded| {
        let delivery = guard.0.as_ref().ok();
        let delivery = delivery.filter(|delivery| !delivery::is_finished(delivery))?;
        Some(delivery.spec.destination_ref.name.clone())
    };
    (index, move |event| kept.follow(event, destination))
}

/// The news for the `unfinished` deliveries, and what has to be told of each event of destinations.
pub(super) fn destination_news(
    unfinished: Index,
) -> (
    DestinationNews,
    impl FnMut(&watcher::Event<GuardedDestination>) + Send + 'static,
) {
    let (is_listed, listed) = watch::channel(false);
    let (concerns, concerned) = mpsc::unbounded();
    let tell = move |event: &watcher::Event<GuardedDestination>| {
        let woken = match event {
            watcher::Event::Apply(changed) | watcher::Event::Delete(changed) => {
                addressees(&unfinished, changed)
            }
            // The cache is filled at the end of a list, and may have lost some.
            watcher::Event::InitDone => {
                is_listed.send_replace(true);
                refs(unfinished.all())
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

/// In `Watch` mode: the Secrets' versions, and the destinations whose Secret changed, found in `signers`.
pub(super) fn secrets(shared: &Shared, namespace: Option<&str>, signers: Index) -> SecretWatch {
    if shared.config.secrets == SecretsMode::Get {
        return (None, futures::stream::pending().boxed());
    }
    let watched = Watched::begin(&shared.observers, Kind::Secret);
    let (store, writer) = reflector::store::<PartialObjectMeta<Secret>>();
    let (is_listed, listed) = watch::channel(false);
    let changed = watcher(
        api::<PartialObjectMeta<Secret>>(&shared.client, namespace),
        pages(),
    )
    .modify(lighten_metadata)
    .default_backoff()
    .reflect(writer)
    .inspect(move |brought| watched.note(brought))
    .filter_map(|event| future::ready(event.ok()))
    .flat_map(move |event| {
        let woken = match event {
            watcher::Event::Apply(secret) | watcher::Event::Delete(secret) => {
                users_of(&signers, &secret)
            }
            // The cache is filled at the end of a list, which may lack some or have them in other versions.
            watcher::Event::InitDone => {
                is_listed.send_replace(true);
                refs(signers.all())
            }
            watcher::Event::Init | watcher::Event::InitApply(_) => Vec::new(),
        };
        futures::stream::iter(woken)
    });
    (Some(SecretVersions { store, listed }), changed.boxed())
}

/// The Secret that a destination signs with.
pub(super) fn secret_of(guard: &GuardedDestination) -> Option<String> {
    let destination = guard.0.as_ref().ok()?;
    let key = destination.spec.access_key.as_ref()?;
    Some(key.secret_ref.name.clone())
}

/// The destinations that sign with that Secret.
fn users_of(
    signers: &Index,
    secret: &PartialObjectMeta<Secret>,
) -> Vec<ObjectRef<GuardedDestination>> {
    refs(signers.naming(&secret.namespace().unwrap_or_default(), &secret.name_any()))
}

/// The unfinished deliveries to that destination.
fn addressees(unfinished: &Index, destination: &GuardedDestination) -> Vec<ObjectRef<Guarded>> {
    refs(unfinished.naming(
        &destination.namespace().unwrap_or_default(),
        &destination.name_any(),
    ))
}

fn refs<K: Resource<DynamicType = ()>>(places: Vec<Place>) -> Vec<ObjectRef<K>> {
    let places = places.into_iter();
    places
        .map(|(namespace, name)| ObjectRef::new(&name).within(&namespace))
        .collect()
}
