//! Leader election by a Lease, in client-go's manner: one operator of several works at a time.
//!
//! A holder that can't renew in time is no leader any more, whatever the Lease says; others take the
//! Lease once they saw it unchanged for its whole duration by their own clock, so that no two clocks
//! are ever compared. A Lease doesn't fence S3: exactly-once comes from the ledger and `If-None-Match`.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease as LeaseObject, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt as _};

use crate::health::Health;

/// How long a Lease that isn't renewed holds; client-go's default.
const DURATION: Duration = Duration::from_secs(15);

/// How long the holder tries to renew before it gives up; client-go's default.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);

/// The pause between renewals; client-go's default.
const RETRY: Duration = Duration::from_secs(2);

/// The longest pause between two looks at a Lease that another holds. Shorter than client-go's 2 s: whoever waits
/// takes a Lease that was released in under 2 s.
const LOOK: Duration = Duration::from_secs(1);

/// How long giving the Lease up may take.
const RELEASE: Duration = Duration::from_secs(2);

/// Which Lease, and who wants it.
#[derive(Clone, Debug)]
pub struct LeaseSettings {
    /// The Lease's name.
    pub name: String,
    /// The Lease's namespace.
    pub namespace: String,
    /// Who we are; unique among those that want the Lease.
    pub holder: String,
}

/// The Lease is lost; the process must stop working at once.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Somebody else holds it.
    #[error("the Lease is held by {0:?} now")]
    Taken(String),
    /// It could not be renewed in time.
    #[error("the Lease could not be renewed for {0:?}: {1}")]
    NotRenewed(Duration, String),
}

/// A Lease that we want or hold.
pub struct Lease {
    api: Api<LeaseObject>,
    settings: LeaseSettings,
    health: Health,
    /// The last version seen, and when it was first seen by our own clock.
    observed: Option<(String, Instant)>,
    held: Option<LeaseObject>,
    /// When the last renewal that succeeded was asked for.
    renewed: Instant,
}

impl Lease {
    /// A Lease that nobody asked for yet.
    #[must_use]
    pub fn new(client: Client, settings: LeaseSettings, health: Health) -> Self {
        Self {
            api: Api::namespaced(client, &settings.namespace),
            settings,
            health,
            observed: None,
            held: None,
            renewed: Instant::now(),
        }
    }

    /// Waits until the Lease is ours. Why it can't be reached is said when that begins, and when it changes.
    pub async fn acquire(&mut self) {
        let mut told_before = None;
        loop {
            // The Lease counts from before it was asked for: others may see it from then on.
            let asked = Instant::now();
            match tokio::time::timeout(RENEW_DEADLINE, self.try_acquire()).await {
                Ok(Ok(true)) => {
                    self.renewed = asked;
                    return tracing::info!(holder = self.settings.holder, "holding the Lease");
                }
                Ok(Ok(false)) => {
                    self.health.lease_seen();
                    told_before = None;
                }
                Ok(Err(error)) => self.complain(told(&error), &mut told_before),
                Err(_) => self.complain("no answer".to_owned(), &mut told_before),
            }
            // Jitter, so that those who wait don't come together.
            tokio::time::sleep(LOOK.mul_f64(1.0 - 0.2 * fastrand::f64())).await;
        }
    }

    fn complain(&self, why: String, told_before: &mut Option<String>) {
        if told_before.as_ref() != Some(&why) {
            tracing::warn!(
                lease_namespace = self.settings.namespace,
                error = why,
                "the Lease can't be reached; does its namespace exist, and may the operator get, create and update it?"
            );
            *told_before = Some(why);
        }
    }

    /// Renews until it can't, and returns why. The Lease is ours until then.
    pub async fn keep(&mut self) -> LeaseError {
        const STOOD_STILL: &str = "this process stood still";
        let mut failure = STOOD_STILL.to_owned();
        loop {
            let left = RENEW_DEADLINE.saturating_sub(self.renewed.elapsed());
            tokio::time::sleep(RETRY.min(left)).await;
            let asked = Instant::now();
            let left = RENEW_DEADLINE.saturating_sub(self.renewed.elapsed());
            if left.is_zero() {
                // Nothing is sent any more: others may hold it soon, or do already.
                return LeaseError::NotRenewed(RENEW_DEADLINE, failure);
            }
            failure = match tokio::time::timeout(left, self.renew()).await {
                Ok(Ok(())) => {
                    self.renewed = asked;
                    STOOD_STILL.to_owned()
                }
                Ok(Err(error)) if is_conflict(&error) => {
                    match tokio::time::timeout(left, self.holder_now()).await {
                        Ok(Some(other)) if other != self.settings.holder => {
                            return LeaseError::Taken(other);
                        }
                        _ => error.to_string(),
                    }
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => "the apiserver did not answer".to_owned(),
            };
        }
    }

    /// Gives the Lease up, where it is ours, so that another takes it without waiting for its end.
    pub async fn release(&mut self) {
        match tokio::time::timeout(RELEASE, self.try_release()).await {
            Ok(Ok(true)) => tracing::info!("the Lease is released"),
            Ok(Ok(false)) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "the Lease was not released; it ends by itself")
            }
            Err(_) => tracing::warn!("the Lease was not released in time; it ends by itself"),
        }
    }

    /// Looks first: a renewal or an acquisition may have been cut off after it was applied.
    async fn try_release(&mut self) -> Result<bool, kube::Error> {
        self.held = None;
        loop {
            let Some(mut found) = self.api.get_opt(&self.settings.name).await? else {
                return Ok(false);
            };
            let spec = found.spec.get_or_insert_default();
            if spec.holder_identity.as_ref() != Some(&self.settings.holder) {
                return Ok(false);
            }
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
            spec.renew_time = Some(MicroTime(Timestamp::now()));
            match self
                .api
                .replace(&self.settings.name, &PostParams::default(), &found)
                .await
            {
                Ok(_) => return Ok(true),
                Err(error) if is_conflict(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn try_acquire(&mut self) -> Result<bool, kube::Error> {
        let Some(found) = self.api.get_opt(&self.settings.name).await? else {
            let fresh = self.ours(None);
            return self.take(self.api.create(&PostParams::default(), &fresh).await);
        };
        if !self.is_free(&found) {
            return Ok(false);
        }
        let ours = self.ours(Some(&found));
        self.take(
            self.api
                .replace(&self.settings.name, &PostParams::default(), &ours)
                .await,
        )
    }

    /// Ours already, released, or unchanged for its whole duration by our own clock.
    fn is_free(&mut self, found: &LeaseObject) -> bool {
        let version = found.resource_version().unwrap_or_default();
        let since = match &self.observed {
            Some((seen, since)) if *seen == version => *since,
            _ => Instant::now(),
        };
        self.observed = Some((version, since));
        let spec = found.spec.as_ref();
        let holder = spec
            .and_then(|spec| spec.holder_identity.as_deref())
            .unwrap_or_default();
        let seconds = spec
            .and_then(|spec| spec.lease_duration_seconds)
            .unwrap_or_default();
        let duration = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
        holder.is_empty() || holder == self.settings.holder || since.elapsed() >= duration
    }

    /// The Lease with us as its holder; a replaced one carries the version that was seen, so that one
    /// of two who want it at once loses.
    fn ours(&self, found: Option<&LeaseObject>) -> LeaseObject {
        let now = MicroTime(Timestamp::now());
        let old = found.and_then(|found| found.spec.as_ref());
        let same =
            old.and_then(|spec| spec.holder_identity.as_deref()) == Some(&self.settings.holder);
        let transitions = old
            .and_then(|spec| spec.lease_transitions)
            .unwrap_or_default();
        LeaseObject {
            metadata: found.map_or_else(
                || ObjectMeta {
                    name: Some(self.settings.name.clone()),
                    ..ObjectMeta::default()
                },
                |found| found.metadata.clone(),
            ),
            spec: Some(LeaseSpec {
                holder_identity: Some(self.settings.holder.clone()),
                lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
                acquire_time: old
                    .filter(|_| same)
                    .and_then(|spec| spec.acquire_time.clone())
                    .or_else(|| Some(now.clone())),
                renew_time: Some(now),
                lease_transitions: Some(if same || found.is_none() {
                    transitions
                } else {
                    transitions + 1
                }),
                ..LeaseSpec::default()
            }),
        }
    }

    fn take(&mut self, answer: Result<LeaseObject, kube::Error>) -> Result<bool, kube::Error> {
        match answer {
            Ok(held) => {
                self.held = Some(held);
                Ok(true)
            }
            Err(error) if is_conflict(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn renew(&mut self) -> Result<(), kube::Error> {
        let ours = self.ours(self.held.as_ref());
        let renewed = self
            .api
            .replace(&self.settings.name, &PostParams::default(), &ours)
            .await?;
        self.held = Some(renewed);
        Ok(())
    }

    /// After a conflict: a lost answer to our own renewal is no loss of the Lease.
    async fn holder_now(&mut self) -> Option<String> {
        let found = self.api.get_opt(&self.settings.name).await.ok().flatten()?;
        let holder = found
            .spec
            .as_ref()
            .and_then(|spec| spec.holder_identity.clone())?;
        if holder == self.settings.holder {
            self.held = Some(found);
        }
        Some(holder)
    }
}

/// The apiserver's own words, without the rest of its answer.
fn told(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!("{}: {}", status.code, status.message),
        other => other.to_string(),
    }
}

fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}
