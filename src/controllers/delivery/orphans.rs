//! Aborts what a crash left between Create and the ledger's record, where the bucket lets us see it.

use std::time::Duration;

use super::known::Known;
use crate::controllers::context::Context;
use crate::controllers::ledger;
use crate::store::{Bucket, StoreError};
use crate::transfer::{Orphans, abort_uploads, find_orphans};

/// How long looking may take, and aborting.
const TIME: Duration = Duration::from_secs(10);

/// Finds and aborts them; returns what had to stay, each with why. A bucket that doesn't let us look is silent: no
/// grant asks for it.
pub(super) async fn abort_orphans(
    context: &Context,
    known: &Known,
    bucket: &Bucket,
) -> Vec<String> {
    let Orphans { found, mut left } =
        match tokio::time::timeout(TIME, find(context, known, bucket)).await {
            Ok(Ok(orphans)) => orphans,
            Ok(Err(error)) => {
                tracing::debug!(%error, "no look at uploads that a crash may have left");
                return Vec::new();
            }
            Err(_) => Orphans::default(),
        };
    if !found.is_empty() {
        tracing::info!(uploads = found.len(), "aborting what a crash left");
        left.extend(abort_uploads(found, bucket, TIME).await);
    }
    left.iter().map(ToString::to_string).collect()
}

/// Why it isn't known what is ours.
#[derive(Debug, thiserror::Error)]
enum Unknown {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Kubernetes(#[from] kube::Error),
    #[error("{0}")]
    Ledger(String),
}

async fn find(context: &Context, known: &Known, bucket: &Bucket) -> Result<Orphans, Unknown> {
    let states = known.ledger.states();
    let states = states.map_err(|error| Unknown::Ledger(error.to_string()))?;
    let planned_at = known.header.planned_at.parse();
    let planned_at = planned_at.map_err(|_| Unknown::Ledger("no planning time".to_owned()))?;
    let identity = context.config.identity.as_ref();
    let mut orphans = find_orphans(
        &known.plan,
        &states,
        bucket,
        planned_at,
        &known.header.token,
        identity.map(|identity| identity.account_id.as_str()),
    )
    .await?;
    if !orphans.found.is_empty() {
        // Another delivery of the same keys: what its ledger knows is its own.
        let namespaces = &context.config.watch.namespaces;
        // Where that can't be known none is aborted, and what is left is told all the same.
        match ledger::uploads(&context.client, namespaces).await {
            Ok(others) => {
                let found = &mut orphans.found;
                found.retain(|(_, upload)| !others.contains(upload.as_str()));
            }
            Err(error) if orphans.left.is_empty() => return Err(error.into()),
            Err(_) => orphans.found.clear(),
        }
    }
    Ok(orphans)
}
