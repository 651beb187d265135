//! Deliveries without a cluster: the operator's controllers at work on this process's own objects.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::channel::mpsc::{UnboundedReceiver, unbounded};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::credentials;
use super::folder::{Folder, StateError, plural};
use super::objects::{Denied, Key, Objects};
use super::seed::{Change, begin, destinations, key_of};
use super::stand_in::{Told, client};
use super::standing::{End, Ended, Left, Standing, Verdict, standing, verdict};
use crate::api::{OutboundDelivery, OutboundDestination, OutboundLedger};
use crate::config::{Config, SecretsMode};
use crate::controllers::context::Context;
use crate::controllers::observe::Observers;
use crate::controllers::start::{Controllers, share, too_long};
use crate::manifest::{Manifests, Mistakes};

/// How often progress is shown.
const LOOK: Duration = Duration::from_millis(100);

/// What is to be done with the deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// They are delivered, from where an earlier run left them.
    Deliver,
    /// What earlier runs left open is aborted, and forgotten.
    GiveUp,
}

/// Why nothing begins.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// The state folder can't be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// An object was not taken.
    #[error("the state can't be kept: {0}")]
    Objects(String),
    /// Another delivery of that name is under way.
    #[error(
        "{label}: an earlier run of this name is not finished, and this manifest is another delivery: {mistakes}\ngo on with the earlier manifest, give the earlier one up with --give-up, or choose another name"
    )]
    Changed {
        /// `namespace/name`.
        label: String,
        /// What differs.
        mistakes: Mistakes,
    },
    /// It is half given up.
    #[error("{0}: giving it up was not finished; run --give-up again")]
    HalfGivenUp(String),
    /// A file in the state folder holds something else.
    #[error(
        "{label}: the state can't be read: {error}; move its files in the state folder away to begin anew"
    )]
    Unreadable {
        /// `namespace/name`.
        label: String,
        /// What is wrong.
        error: serde_json::Error,
    },
}

impl From<Denied> for OfflineError {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::State(error) => Self::State(error),
            other => Self::Objects(other.to_string()),
        }
    }
}

/// A delivery at work.
struct Chosen {
    key: Key,
    uid: String,
    delivery: OutboundDelivery,
    ended: Option<Ended>,
}

/// Deliveries that are ready to work.
pub struct Deliveries {
    objects: Arc<Objects>,
    controllers: Controllers,
    chosen: Vec<Chosen>,
    told: UnboundedReceiver<Told>,
    errand: Errand,
}

impl Deliveries {
    /// Prepares `deliveries` to the destinations in `manifests`; what must outlive the process is kept in `folder`.
    ///
    /// # Errors
    /// When the folder can't be used, or an earlier run was of another delivery.
    pub async fn prepare(
        config: Config,
        manifests: &Manifests,
        deliveries: &[OutboundDelivery],
        folder: Folder,
        errand: Errand,
    ) -> Result<Self, OfflineError> {
        let config = without_a_cluster(config);
        let mut seeds = folder.ledgers()?;
        if errand == Errand::Deliver {
            seeds.extend(destinations(manifests, deliveries));
        }
        let mut changes = Vec::new();
        for delivery in deliveries {
            let key = key_of(delivery);
            let kept = folder.read(&key)?;
            let change = match errand {
                Errand::Deliver => begin(&key, kept.as_ref(), delivery)?,
                Errand::GiveUp => Change::Delete,
            };
            seeds.extend(kept.map(|kept| (key.clone(), kept)));
            changes.push((key, change, delivery.clone()));
        }
        let objects = Objects::new(credentials(manifests))
            .with(seeds)
            .kept_in(folder);
        let mut chosen = Vec::new();
        for (key, change, delivery) in changes {
            chosen.push(apply(&objects, key, change, delivery).await?);
        }
        let objects = Arc::new(objects);
        let (tell, told) = unbounded();
        let shared = share(
            config,
            client(Arc::clone(&objects), tell),
            Observers::default(),
        )
        .await;
        Ok(Self {
            controllers: Controllers::new(shared, None),
            objects,
            chosen,
            told,
            errand,
        })
    }

    /// Works until each delivery has ended, or `stop` asks for an end: then no part begins, and those in flight land.
    /// `look` is shown how far they are, and `hear` what happens.
    pub async fn work(
        self,
        stop: CancellationToken,
        mut look: impl FnMut(&[Standing]),
        mut hear: impl FnMut(Told),
    ) -> Result<Vec<Ended>, OfflineError> {
        let Self {
            objects,
            controllers,
            mut chosen,
            mut told,
            errand,
        } = self;
        judge(&objects, &mut chosen, errand).await;
        if chosen.iter().all(|chosen| chosen.ended.is_some()) {
            return conclude(&objects, chosen, errand).await;
        }
        let context = controllers.context();
        let shutdown = CancellationToken::new();
        // On a task of their own: they go on while an object is waited for here that one of them is writing.
        let mut working = JoinSet::new();
        working.spawn(controllers.run(shutdown.clone()));
        let mut changes = objects.changes();
        let mut looks = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                Some(ended) = working.join_next() => {
                    pass_on_a_panic(ended);
                    break;
                }
                () = too_long(&shutdown) => break,
                () = stop.cancelled(), if !shutdown.is_cancelled() => shutdown.cancel(),
                Some(heard) = told.next() => hear(heard),
                () = changed(&mut changes) => {
                    judge(&objects, &mut chosen, errand).await;
                    if chosen.iter().all(|chosen| chosen.ended.is_some()) {
                        shutdown.cancel();
                    }
                }
                _ = looks.tick() => look(&standings(&context, &chosen)),
            }
        }
        // Whatever is left of them writes no more.
        working.shutdown().await;
        while let Ok(heard) = told.try_recv() {
            hear(heard);
        }
        conclude(&objects, chosen, errand).await
    }
}

fn pass_on_a_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}

/// Waits for a change; what never changes any more never does.
async fn changed(changes: &mut watch::Receiver<u64>) {
    if changes.changed().await.is_err() {
        std::future::pending().await
    }
}

/// What has no meaning here doesn't apply.
fn without_a_cluster(mut config: Config) -> Config {
    config.watch.namespaces.clear();
    config.secrets = SecretsMode::Get;
    config
}

async fn apply(
    objects: &Objects,
    key: Key,
    change: Change,
    delivery: OutboundDelivery,
) -> Result<Chosen, OfflineError> {
    let object = match change {
        Change::Create(object) => objects.create(&key, object).await?,
        Change::Replace(object) => objects.replace(&key, object).await?,
        Change::Delete => match objects.delete(&key, &Value::Null).await {
            Err(Denied::NotFound(_)) => Value::Null,
            done => done?,
        },
    };
    let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
    Ok(Chosen {
        uid: uid.to_owned(),
        key,
        delivery,
        ended: None,
    })
}

fn standings(context: &Context, chosen: &[Chosen]) -> Vec<Standing> {
    let at_work = chosen.iter().filter(|chosen| chosen.ended.is_none());
    at_work
        .map(|chosen| standing(context, &chosen.key, &chosen.uid))
        .collect()
}

/// Notes which deliveries go no further.
async fn judge(objects: &Objects, chosen: &mut [Chosen], errand: Errand) {
    for chosen in chosen.iter_mut().filter(|chosen| chosen.ended.is_none()) {
        let Some(object) = objects.get(&chosen.key).await else {
            if errand == Errand::GiveUp {
                chosen.ended = Some(ended(chosen, (End::GivenUp, None, String::new())));
            }
            continue;
        };
        let Ok(delivery) = serde_json::from_value::<OutboundDelivery>(object) else {
            continue;
        };
        chosen.delivery = delivery;
        let key = Key::new(
            &plural::<OutboundDestination>(),
            &chosen.key.namespace,
            &chosen.delivery.spec.destination_ref.name,
        );
        let destination = objects.get(&key).await;
        let destination = destination.and_then(|object| serde_json::from_value(object).ok());
        if errand == Errand::Deliver
            && let Some(verdict) = verdict(&chosen.delivery, destination.as_ref())
        {
            chosen.ended = Some(ended(chosen, verdict));
        }
    }
}

fn ended(chosen: &Chosen, (end, reason, message): Verdict) -> Ended {
    Ended {
        delivery: chosen.delivery.clone(),
        end,
        reason,
        message,
        left: Left::default(),
    }
}

/// What is said at the end of each delivery, once nothing works any more. One that is delivered needs no state.
async fn conclude(
    objects: &Objects,
    mut chosen: Vec<Chosen>,
    errand: Errand,
) -> Result<Vec<Ended>, OfflineError> {
    judge(objects, &mut chosen, errand).await;
    let (_, ledgers) = objects.list(&plural::<OutboundLedger>(), None).await;
    let mut all = Vec::new();
    for chosen in chosen {
        let stopped = (End::Interrupted, None, String::new());
        let mut ended = chosen
            .ended
            .clone()
            .unwrap_or_else(|| ended(&chosen, stopped));
        ended.left = Left::of(&ledgers, &chosen.uid);
        if ended.end == End::Delivered {
            objects.forget(&chosen.key).await?;
        }
        all.push(ended);
    }
    Ok(all)
}
