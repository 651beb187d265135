//! Destinations and deliveries without a cluster: an apiserver's stand-in in this process holds the manifests, and
//! all else is the controllers' own code.

mod deliveries;
mod folder;
mod objects;
mod seed;
mod stand_in;
mod standing;

use std::sync::Arc;

use futures::channel::mpsc::{UnboundedSender, unbounded};
use jiff::Timestamp;
use k8s_openapi::Metadata;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::core::DeserializeGuard;
use kube::runtime::{reflector, watcher};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;

use super::context::{Context, Shared};
use super::delivery::{self, Cleanups, Preview, Runs, Unplanned};
use super::destination::{self, Proofs};
use super::index::Index;
use super::observe::Observers;
use super::start::{share, share_without_identity};
use crate::api::{Grant, OutboundDelivery, OutboundDestination};
use crate::config::Config;
use crate::manifest::Manifests;
use objects::{Key, Objects};

pub use deliveries::{Deliveries, Errand, OfflineError};
pub use folder::{Folder, StateError};
pub use stand_in::{Told, Urgency};
pub use standing::{Doing, End, Ended, Left, Standing};

/// What proves destinations, makes their grants, and plans deliveries, from manifests alone.
pub struct Offline {
    context: Arc<Context>,
}

impl Offline {
    /// With that configuration, and the Secrets and ConfigMaps of the manifests.
    pub async fn new(config: Config, manifests: &Manifests) -> Self {
        let objects = Arc::new(Objects::new(credentials(manifests)));
        let shared = share(
            config,
            stand_in::client(objects, nobody()),
            Observers::default(),
        )
        .await;
        Self::with(shared, &[])
    }

    /// What plans these deliveries to these destinations. It reads the sources and nothing else: no credentials are
    /// looked for, but for our own where a source is in a bucket of ours.
    pub async fn for_planning(
        config: Config,
        destinations: &[OutboundDestination],
        deliveries: &[OutboundDelivery],
    ) -> Self {
        let objects = Arc::new(Objects::new([]));
        let client = stand_in::client(objects, nobody());
        let mut sources = deliveries.iter().map(|delivery| &delivery.spec.source);
        let shared = if sources.any(|source| source.s3.is_some()) {
            share(config, client, Observers::default()).await
        } else {
            share_without_identity(config, client, Observers::default())
        };
        Self::with(shared, destinations)
    }

    fn with(shared: Shared, destinations: &[OutboundDestination]) -> Self {
        let (store, mut writer) = reflector::store();
        for destination in destinations {
            let guarded = DeserializeGuard(Ok(destination.clone()));
            writer.apply_watcher_event(&watcher::Event::Apply(guarded));
        }
        let (_, listed) = watch::channel(true);
        let (proofs, _) = Proofs::new();
        let work = (Runs::new().0, Cleanups::new().0);
        let unfinished = Index::default();
        let context = Context::new(shared, store, listed, unfinished, None, proofs, work);
        Self {
            context: Arc::new(context),
        }
    }

    /// Proves our access once; the object comes back with the status that the operator would write.
    ///
    /// Let it run to its end: dropped in between it may leave an upload open.
    pub async fn proved(&self, destination: OutboundDestination) -> OutboundDestination {
        destination::proved(self.context.clone(), destination).await
    }

    /// The policies that let us deliver; `None` where the configuration lacks who we are. Contacts nobody.
    #[must_use]
    pub fn granted(&self, destination: &OutboundDestination) -> Option<Grant> {
        destination::granted(&self.context, destination)
    }

    /// What the delivery would write, by the operator's own steps up to the plan. Reads the source, contacts nobody.
    ///
    /// # Errors
    /// Why there would be no plan, in the status' words.
    pub async fn previewed(
        &self,
        delivery: &OutboundDelivery,
        tenancy: Tenancy,
    ) -> Result<Preview, Unplanned> {
        let mut delivery = delivery.clone();
        let created = &mut delivery.metadata.creation_timestamp;
        created.get_or_insert_with(|| Time(Timestamp::now()));
        delivery::preview(&self.context, &delivery, tenancy).await
    }
}

/// Whether destinations are held against the configuration's rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tenancy {
    /// As the operator does.
    Checked,
    /// Nothing is known of the rules.
    Unknown,
}

/// Where nobody is told of Events.
fn nobody() -> UnboundedSender<Told> {
    unbounded().0
}

/// The Secrets and ConfigMaps of the manifests.
fn credentials(manifests: &Manifests) -> Vec<(Key, Value)> {
    let secrets = manifests.secrets.iter();
    let secrets = secrets.filter_map(|secret| entry("secrets", secret));
    let maps = manifests.config_maps.iter();
    secrets
        .chain(maps.filter_map(|map| entry("configmaps", map)))
        .collect()
}

fn entry<K>(plural: &str, object: &K) -> Option<(Key, Value)>
where
    K: Metadata<Ty = ObjectMeta> + Serialize,
{
    let metadata = object.metadata();
    let key = Key::new(
        plural,
        metadata.namespace.as_ref()?,
        metadata.name.as_ref()?,
    );
    Some((key, serde_json::to_value(object).ok()?))
}
