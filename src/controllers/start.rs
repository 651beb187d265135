//! Starts the controllers for each watched namespace, and ends them in order.

use std::fmt::Debug;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, future};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Secret;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::controller::{Action, Config as ControllerConfig, Controller};
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{Predicate as _, PredicateConfig, WatchStreamExt as _, predicates, watcher};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::context::{Context, Shared, Turns};
use super::delivery::{self, Cleanups, Guarded, Runs};
use super::destination::{self, Memory, Proofs};
use super::error::ReconcileError;
use super::tenancy::plain_http;
use crate::api::OutboundDestination;
use crate::config::{Config, ConfigError, SecretsMode};
use crate::store::{AwsOptions, ClientFactory, Endpoint, NoIdentity, OwnIdentity, RegionInvalid};
use crate::transfer::{MemoryPool, Resources};

/// Reconciles of one kind that run at once: they are short, so few are enough for thousands of objects.
const CONCURRENCY: u16 = 16;

/// How long running work may take to land when the operator ends; under a pod's default grace of 30 s.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(20);

/// How often what is remembered of objects that are gone is forgotten.
const PRUNE_INTERVAL: Duration = Duration::from_secs(600);

/// Why the controllers can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A value in the configuration can't be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// `endpoints.s3` can't be.
    #[error("the configuration's endpoints.s3 is refused: {0}")]
    Endpoint(#[from] crate::store::EndpointInvalid),
    /// `identity.region` can't be.
    #[error("the configuration's identity.region is refused: {0}")]
    Region(#[from] RegionInvalid),
}

type GuardedDestination = DeserializeGuard<OutboundDestination>;

/// Runs the controllers until `shutdown`, then lets work in flight land.
///
/// # Errors
/// When the configuration names what can't be.
pub async fn run(
    config: Config,
    client: Client,
    shutdown: CancellationToken,
) -> Result<(), StartError> {
    let namespaces = config.watch.namespaces.clone();
    let shared = share(config, client).await?;
    let watches = if namespaces.is_empty() {
        vec![None]
    } else {
        namespaces.into_iter().map(Some).collect()
    };
    let watches = watches
        .into_iter()
        .map(|namespace| watch(shared.clone(), namespace, shutdown.clone()));
    future::join_all(watches).await;
    Ok(())
}

async fn share(config: Config, client: Client) -> Result<Shared, StartError> {
    let s3 = config
        .endpoints
        .s3
        .as_deref()
        .map(|url| Endpoint::parse(url, plain_http(&config)))
        .transpose()?;
    let options = AwsOptions {
        s3,
        use_fips: config.endpoints.use_fips,
        use_dual_stack: config.endpoints.use_dual_stack,
    };
    let identity = match &config.identity {
        Some(identity) => match OwnIdentity::load(&identity.region.parse()?).await {
            Ok(identity) => Some(identity),
            Err(error @ NoIdentity) => {
                tracing::warn!(%error, "CrossAccount destinations can't be written to");
                None
            }
        },
        None => None,
    };
    Ok(Shared {
        resources: Resources::new(
            MemoryPool::new(usize::try_from(config.memory()?).unwrap_or(usize::MAX)),
            config.transfer.max_concurrent_parts.into(),
        ),
        recorder: Recorder::new(client.clone(), Reporter::from("outbound-operator")),
        factory: ClientFactory::new(options),
        progress_turns: Arc::new(Turns::for_progress()),
        config: Arc::new(config),
        identity,
        client,
    })
}

/// Both controllers for one namespace, or for all.
async fn watch(shared: Shared, namespace: Option<String>, shutdown: CancellationToken) {
    let (proofs, proof_news) = Proofs::new();
    let (runs, run_news) = Runs::new();
    let (cleanups, cleanup_news) = Cleanups::new();
    let (destination_writer, destination_events) =
        objects::<GuardedDestination>(&shared.client, namespace.as_deref());
    let (delivery_writer, delivery_events) =
        objects::<Guarded>(&shared.client, namespace.as_deref());
    let (destinations, deliveries) = (destination_writer.as_reader(), delivery_writer.as_reader());
    let (secrets, secret_news) = secrets(&shared, namespace.as_deref(), &destinations);
    let context = Arc::new(Context {
        shared,
        destinations: destinations.clone(),
        secrets,
        memory: Memory::default(),
        buckets: super::buckets::Buckets::default(),
        proofs,
        runs,
        cleanups,
    });
    let waiting = deliveries.clone();
    let client = context.shared.client.clone();
    let destination_changes = watcher(
        api::<GuardedDestination>(&client, namespace.as_deref()),
        watcher::Config::default(),
    );
    let destination_controller = Controller::for_stream(
        filtered(destination_writer, destination_events),
        destinations.clone(),
    )
    .with_config(ControllerConfig::default().concurrency(CONCURRENCY))
    .reconcile_on(proof_news)
    .reconcile_on(secret_news)
    .graceful_shutdown_on(shutdown.clone().cancelled_owned());
    let delivery_controller = Controller::for_stream(
        filtered(delivery_writer, delivery_events),
        deliveries.clone(),
    )
    .with_config(ControllerConfig::default().concurrency(CONCURRENCY))
    .watches_stream(destination_changes.touched_objects(), move |changed| {
        addressees(&waiting, &changed)
    })
    .reconcile_on(run_news)
    .reconcile_on(cleanup_news)
    .graceful_shutdown_on(shutdown.clone().cancelled_owned());
    let work = future::join(
        drive(
            destination_controller,
            destination::reconcile,
            context.clone(),
        ),
        drive(delivery_controller, delivery::reconcile, context.clone()),
    );
    tokio::select! {
        _ = work => {}
        () = prune(&context, &destinations, &deliveries) => {}
    }
    future::join3(
        context.runs.shut_down(SHUTDOWN_GRACE),
        context.cleanups.shut_down(SHUTDOWN_GRACE),
        context.proofs.shut_down(SHUTDOWN_GRACE),
    )
    .await;
}

fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

type Events<K> = futures::stream::BoxStream<'static, Result<watcher::Event<K>, watcher::Error>>;

/// An empty cache and the events that fill it.
fn objects<K>(client: &Client, namespace: Option<&str>) -> (reflector::store::Writer<K>, Events<K>)
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
/// that we wrote ourselves wakes nobody.
fn filtered<K>(
    writer: reflector::store::Writer<K>,
    events: Events<K>,
) -> impl futures::Stream<Item = Result<K, watcher::Error>> + Send + 'static
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
{
    events
        .default_backoff()
        .reflect(writer)
        .applied_objects()
        .predicate_filter(
            predicates::generation
                .combine(predicates::annotations)
                .combine(predicates::finalizers),
            PredicateConfig::default(),
        )
}

/// In `Watch` mode: the Secrets' versions, and the destinations whose Secret changed.
fn secrets(
    shared: &Shared,
    namespace: Option<&str>,
    destinations: &Store<GuardedDestination>,
) -> (
    Option<Store<PartialObjectMeta<Secret>>>,
    futures::stream::BoxStream<'static, ObjectRef<GuardedDestination>>,
) {
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
fn addressees(
    deliveries: &Store<Guarded>,
    destination: &GuardedDestination,
) -> Vec<ObjectRef<Guarded>> {
    let (namespace, name) = (destination.namespace(), destination.name_any());
    let concerns = |guard: &&Arc<Guarded>| {
        let delivery = guard.0.as_ref().ok();
        guard.namespace() == namespace
            && delivery.is_some_and(|delivery| {
                delivery.spec.destination_ref.name == name && !delivery::is_finished(delivery)
            })
    };
    deliveries
        .state()
        .iter()
        .filter(concerns)
        .map(|guard| ObjectRef::from_obj(guard.as_ref()))
        .collect()
}

/// Runs a controller to its graceful end.
async fn drive<K, F>(
    controller: Controller<K>,
    reconcile: impl FnMut(Arc<K>, Arc<Context>) -> F + Send + 'static,
    context: Arc<Context>,
) where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    K::DynamicType: Eq + Hash + Clone + Unpin,
    F: Future<Output = Result<Action, ReconcileError>> + Send + 'static,
{
    controller
        .run(
            reconcile,
            |object, error, _| follow_up(&object, error),
            context,
        )
        .for_each(|ended| {
            if let Err(error) = ended {
                tracing::debug!(%error, "a reconcile did not end well");
            }
            future::ready(())
        })
        .await;
}

/// What an error says of the next look; reads nothing but the error.
fn follow_up<K: Resource<DynamicType = ()>>(object: &Arc<K>, error: &ReconcileError) -> Action {
    if matches!(error, ReconcileError::Kubernetes(_)) {
        tracing::warn!(namespace = object.namespace(), name = object.name_any(), %error, "looking again later");
    }
    error
        .pause()
        .map_or_else(Action::await_change, Action::requeue)
}

/// Forgets, now and then, what is remembered of objects that are gone. Never ends.
async fn prune(
    context: &Context,
    destinations: &Store<GuardedDestination>,
    deliveries: &Store<Guarded>,
) {
    loop {
        tokio::time::sleep(PRUNE_INTERVAL).await;
        let known = |uid: &str, uids: &[String]| uids.iter().any(|known| known == uid);
        let uids: Vec<String> = destinations
            .state()
            .iter()
            .filter_map(|guard| guard.uid())
            .collect();
        context.memory.retain(|uid| known(uid, &uids));
        context.buckets.retain(|uid| known(uid, &uids));
        context.proofs.retain(|uid| known(uid, &uids));
        let uids: Vec<String> = deliveries
            .state()
            .iter()
            .filter_map(|guard| guard.uid())
            .collect();
        context.runs.retain(|uid| known(uid, &uids));
        context.cleanups.retain(|uid| known(uid, &uids));
    }
}
