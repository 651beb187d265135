//! Starts the controllers for each watched namespace, and ends them in order.

use std::collections::HashSet;
use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, future};
use kube::runtime::controller::{
    Action, Config as ControllerConfig, Controller, Error as ControllerError,
};
use kube::runtime::reflector::Store;
use kube::{Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::context::{Context, Shared, Turns};
use super::delivery::{self, Cleanups, Guarded, Runs};
use super::destination::{self, Proofs};
use super::error::ReconcileError;
use super::index::Index;
use super::observe::{self, Observers, Watched};
use super::queue::Queue;
use super::watches::{
    GuardedDestination, destination_news, filtered, objects, secret_of, secrets, unfinished,
};
use super::{events, ledger};
use crate::config::{Config, ConfigError};
use crate::metrics::Kind;
use crate::store::{
    AwsOptions, ClientFactory, Endpoint, EndpointInvalid, NoIdentity, OwnIdentity, RegionInvalid,
};
use crate::transfer::Resources;

/// Reconciles of one kind that run at once: they are short, so few are enough for thousands of objects.
const CONCURRENCY: u16 = 16;

/// How long running work may take to land when the operator ends. With the reconciles' end and the release of the
/// Lease it stays under a pod's default grace of 30 s.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(20);

/// How much longer a reconcile may take that the apiserver doesn't answer.
const RECONCILES_GRACE: Duration = Duration::from_secs(3);

/// How often what is remembered of objects that are gone is forgotten.
const PRUNE_INTERVAL: Duration = Duration::from_secs(600);

/// How often it is looked for runs whose deliveries are gone. One that holds no upload yet has no finalizer, so its
/// deletion wakes nobody; it may be reading a terabyte.
const END_RUNS_INTERVAL: Duration = Duration::from_secs(5);

/// Why the controllers can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A value in the configuration can't be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An override of AWS's own endpoints can't be.
    #[error("the configuration's {key} is refused: {error}")]
    Endpoint {
        /// The key.
        key: &'static str,
        /// What is wrong.
        error: EndpointInvalid,
    },
    /// `identity.region` can't be.
    #[error("the configuration's identity.region is refused: {0}")]
    Region(#[from] RegionInvalid),
}

/// Runs the controllers until `shutdown`, then lets work in flight land. `observers` are told of what they do.
///
/// # Errors
/// When the configuration names what can't be.
pub async fn run(
    config: Config,
    client: Client,
    observers: Observers,
    shutdown: CancellationToken,
) -> Result<(), StartError> {
    config.unused().for_each(|key| {
        tracing::warn!(
            key,
            "the configuration gives what no object can ask for yet"
        )
    });
    let namespaces = config.watch.namespaces.clone();
    let shared = share(config, client, observers).await?;
    watch_buffers(&shared);
    let watches = if namespaces.is_empty() {
        vec![None]
    } else {
        namespaces.into_iter().map(Some).collect()
    };
    let watches = watches
        .into_iter()
        .map(|namespace| Controllers::new(shared.clone(), namespace).run(shutdown.clone()));
    tokio::select! {
        _ = future::join_all(watches) => {}
        () = too_long(&shutdown) => tracing::warn!("some work did not end in time and is ended where it stands"),
    }
    Ok(())
}

/// Ends when work that was asked to end by `shutdown` has had all the time that it may take.
pub(super) async fn too_long(shutdown: &CancellationToken) {
    shutdown.cancelled().await;
    tokio::time::sleep(SHUTDOWN_GRACE + RECONCILES_GRACE).await;
}

/// What all watches share.
pub(super) async fn share(
    config: Config,
    client: Client,
    observers: Observers,
) -> Result<Shared, StartError> {
    let identity = match &config.identity {
        Some(identity) => match OwnIdentity::load(&identity.region.parse()?).await {
            Ok(identity) => Some(identity),
            Err(error @ NoIdentity) => {
                tracing::warn!(%error, "CrossAccount and AssumeRole destinations can't be written to");
                None
            }
        },
        None => None,
    };
    Ok(Shared {
        identity,
        ..share_without_identity(config, client, observers)?
    })
}

/// The same, without looking for credentials of our own.
pub(super) fn share_without_identity(
    config: Config,
    client: Client,
    observers: Observers,
) -> Result<Shared, StartError> {
    let parse = |key, url: &Option<String>| {
        let parsed = url
            .as_deref()
            .map(|url| Endpoint::parse(url, config.endpoints.plain_http()))
            .transpose();
        parsed.map_err(|error| StartError::Endpoint { key, error })
    };
    let options = AwsOptions {
        s3: parse("endpoints.s3", &config.endpoints.s3)?,
        sts: parse("endpoints.sts", &config.endpoints.sts)?,
        use_fips: config.endpoints.use_fips,
        use_dual_stack: config.endpoints.use_dual_stack,
    };
    Ok(Shared {
        resources: Resources::new(config.memory()?, config.transfer.max_concurrent_parts),
        recorder: events::recorder(client.clone()),
        own: events::own_object(),
        observers,
        factory: ClientFactory::new(options),
        progress_turns: Arc::new(Turns::for_progress()),
        proof_queue: Queue::default(),
        run_queue: Queue::default(),
        config: Arc::new(config),
        identity: None,
        client,
    })
}

/// Has what the part buffers hold looked at with the metrics.
fn watch_buffers(shared: &Shared) {
    let (metrics, memory) = (&shared.observers.metrics, shared.resources.memory());
    metrics.buffers_may_hold(u64::try_from(memory.budget()).unwrap_or(u64::MAX));
    let memory = memory.clone();
    metrics.sample_by(move |sample| sample.buffers(memory.allocated()));
}

/// Both controllers for one namespace, or for all.
pub(super) struct Controllers {
    context: Arc<Context>,
    namespace: Option<String>,
    destinations: (Controller<GuardedDestination>, Store<GuardedDestination>),
    deliveries: (Controller<Guarded>, Store<Guarded>),
}

impl Controllers {
    /// Controllers that nothing drives yet.
    pub(super) fn new(shared: Shared, namespace: Option<String>) -> Self {
        let (proofs, proof_news) = Proofs::new();
        let (runs, run_news) = Runs::new();
        let (cleanups, cleanup_news) = Cleanups::new();
        let within = namespace.as_deref();
        let of_kind = |kind| Watched::begin(&shared.observers, kind);
        let (watched_destinations, watched_deliveries) =
            (of_kind(Kind::Destination), of_kind(Kind::Delivery));
        let (destination_writer, destination_events) =
            objects::<GuardedDestination>(&shared.client, within, |_| {});
        let (delivery_writer, delivery_events) =
            objects::<Guarded>(&shared.client, within, delivery::lighten);
        let (destinations, deliveries) =
            (destination_writer.as_reader(), delivery_writer.as_reader());
        let signers = Index::default();
        let (secrets, secret_news) = secrets(&shared, within, signers.clone());
        let (unfinished, tell_of_delivery) = unfinished();
        let (destination_news, mut tell) = destination_news(unfinished.clone());
        let context = Arc::new(Context::new(
            shared,
            destinations.clone(),
            destination_news.listed,
            unfinished,
            secrets,
            proofs,
            (runs, cleanups),
        ));
        observe::count(&context, destinations.clone(), deliveries.clone());
        let destination_stream = filtered(
            destination_writer,
            destination_events,
            watched_destinations,
            move |event| {
                signers.follow(event, secret_of);
                tell(event);
            },
        );
        let destination_controller =
            Controller::for_stream(destination_stream, destinations.clone())
                .reconcile_on(proof_news)
                .reconcile_on(secret_news);
        let delivery_stream = filtered(
            delivery_writer,
            delivery_events,
            watched_deliveries,
            tell_of_delivery,
        );
        let delivery_controller = Controller::for_stream(delivery_stream, deliveries.clone())
            .reconcile_on(destination_news.concerned)
            .reconcile_on(run_news)
            .reconcile_on(cleanup_news);
        Self {
            context,
            namespace,
            destinations: (destination_controller, destinations),
            deliveries: (delivery_controller, deliveries),
        }
    }

    /// What the reconciles use.
    pub(super) fn context(&self) -> Arc<Context> {
        Arc::clone(&self.context)
    }

    /// Reconciles until `shutdown`; then the work in flight lands.
    pub(super) async fn run(self, shutdown: CancellationToken) {
        let context = self.context;
        let (destination_controller, destinations) = self.destinations;
        let (delivery_controller, deliveries) = self.deliveries;
        let reconciles = future::join(
            drive(
                Kind::Destination,
                destination_controller,
                destination::reconcile,
                context.clone(),
                shutdown.clone(),
            ),
            drive(
                Kind::Delivery,
                delivery_controller,
                delivery::reconcile,
                context.clone(),
                shutdown.clone(),
            ),
        );
        let work = until_landed(&context, reconciles, shutdown);
        let namespace = self.namespace.as_deref();
        tokio::select! {
            () = work => {}
            () = prune(&context, namespace, &destinations, &deliveries) => {}
            () = end_runs(&context, &deliveries) => {}
        }
    }
}

/// Runs the reconciles to their end, and lets the work in flight land beside it: no part begins once the end is near.
async fn until_landed<T>(
    context: &Context,
    reconciles: impl Future<Output = T>,
    shutdown: CancellationToken,
) {
    let ending = shutdown.child_token();
    let reconciles = async {
        reconciles.await;
        ending.cancel();
    };
    let landing = async {
        ending.cancelled().await;
        land(context).await;
    };
    future::join(reconciles, landing).await;
}

/// Lets parts in flight land and proofs end; the ledgers are right whatever is cut off.
async fn land(context: &Context) {
    let runs = context.runs.shut_down(SHUTDOWN_GRACE);
    let cleanups = context.cleanups.shut_down(SHUTDOWN_GRACE);
    let proofs = context.proofs.shut_down(SHUTDOWN_GRACE);
    tracing::info!("no part begins any more; those in flight may land");
    future::join3(runs, cleanups, proofs).await;
}

/// Runs a controller to its graceful end.
async fn drive<K, F>(
    kind: Kind,
    controller: Controller<K>,
    reconcile: impl Fn(Arc<K>, Arc<Context>) -> F + Clone + Send + 'static,
    context: Arc<Context>,
    shutdown: CancellationToken,
) where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    F: Future<Output = Result<Action, ReconcileError>> + Send + 'static,
{
    controller
        .with_config(ControllerConfig::default().concurrency(CONCURRENCY))
        .graceful_shutdown_on(shutdown.cancelled_owned())
        .run(
            move |object, context| observe::observed(kind, object, context, reconcile.clone()),
            move |object, error, _| follow_up(kind, &object, error),
            context,
        )
        .for_each(|ended| {
            match ended {
                Err(ControllerError::QueueError(error)) => tracing::warn!(
                    %error,
                    kind = kind.as_str(),
                    "the watch fails; is crds/ installed, and may the operator list and watch this kind?"
                ),
                Err(error) => tracing::debug!(%error, "a reconcile did not end well"),
                Ok(_) => {}
            }
            future::ready(())
        })
        .await;
}

/// What an error says of the next look; reads nothing but the error.
fn follow_up<K: Resource<DynamicType = ()>>(
    kind: Kind,
    object: &Arc<K>,
    error: &ReconcileError,
) -> Action {
    if matches!(error, ReconcileError::Kubernetes(_)) {
        tracing::warn!(
            kind = kind.as_str(), namespace = object.namespace(), name = object.name_any(),
            generation = object.meta().generation, %error, "looking again later"
        );
    }
    error
        .pause()
        .map_or_else(Action::await_change, Action::requeue)
}

/// Ends the runs of deliveries that are gone. Never ends itself.
async fn end_runs(context: &Context, deliveries: &Store<Guarded>) {
    loop {
        tokio::time::sleep(END_RUNS_INTERVAL).await;
        if context.runs.is_empty() {
            continue;
        }
        let uids = uids(deliveries);
        context.runs.retain(|uid| uids.contains(uid));
    }
}

/// Forgets, now and then, what is remembered of objects that are gone. Never ends.
async fn prune(
    context: &Context,
    namespace: Option<&str>,
    destinations: &Store<GuardedDestination>,
    deliveries: &Store<Guarded>,
) {
    loop {
        if let Err(error) = ledger::release_forgotten(&context.client, namespace).await {
            tracing::debug!(%error, "no look at ledgers without their deliveries");
        }
        tokio::time::sleep(PRUNE_INTERVAL).await;
        let known = uids(destinations);
        context.memory.retain(|uid| known.contains(uid));
        context.release_buckets();
        context.proofs.retain(|uid| known.contains(uid));
        let known = uids(deliveries);
        context.cleanups.retain(|uid| known.contains(uid));
        context.ledgers.retain(|uid| known.contains(uid));
    }
}

fn uids<K: Resource<DynamicType = ()> + Clone + 'static>(objects: &Store<K>) -> HashSet<String> {
    let objects = objects.state();
    objects.iter().filter_map(|object| object.uid()).collect()
}
