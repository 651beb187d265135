//! Aborts what a crash left between Create and the ledger's record, where the bucket lets us see it.

use std::time::Duration;

use super::known::Known;
use crate::controllers::context::Context;
use crate::controllers::ledger;
use crate::plan::ObjectKey;
use crate::store::{Bucket, StoreError, UploadId};
use crate::transfer::{abort_uploads, find_orphans};

/// How long looking and aborting may take.
const TIME: Duration = Duration::from_secs(10);

/// Finds and aborts them; returns what had to stay, each with why. A bucket that doesn't let us look is silent: no
/// grant asks for it.
pub(super) async fn abort_orphans(
    context: &Context,
    known: &Known,
    bucket: &Bucket,
) -> Vec<String> {
    let found = match tokio::time::timeout(TIME, find(context, known, bucket)).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => {
            tracing::debug!(%error, "no look at uploads that a crash may have left");
            return Vec::new();
        }
        Err(_) => Vec::new(),
    };
    if found.is_empty() {
        return Vec::new();
    }
    tracing::info!(uploads = found.len(), "aborting what a crash left");
    let left = abort_uploads(found, bucket, TIME).await;
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

async fn find(
    context: &Context,
    known: &Known,
    bucket: &Bucket,
) -> Result<Vec<(ObjectKey, UploadId)>, Unknown> {
    let states = known.ledger.states();
    let states = states.map_err(|error| Unknown::Ledger(error.to_string()))?;
    let planned_at = known.header.planned_at.parse();
    let planned_at = planned_at.map_err(|_| Unknown::Ledger("no planning time".to_owned()))?;
    let identity = context.config.identity.as_ref();
    let mut found = find_orphans(
        &known.plan,
        &states,
        bucket,
        planned_at,
        &known.header.token,
        identity.map(|identity| identity.account_id.as_str()),
    )
    .await?;
    if !found.is_empty() {
        // Another delivery of the same keys: what its ledger knows is its own.
        let namespaces = &context.config.watch.namespaces;
        let others = ledger::uploads(&context.client, namespaces).await?;
        found.retain(|(_, upload)| !others.contains(upload.as_str()));
    }
    Ok(found)
}
