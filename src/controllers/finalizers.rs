//! Our finalizer on objects: others' are never touched, and nothing is lost to somebody who writes beside us.

use std::fmt::Debug;

use kube::api::{Api, Patch, PatchParams};
use kube::{Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::status::{is_conflict, is_not_found};
use crate::api::FINALIZER;

/// What is to become of our entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// It is there.
    Present,
    /// It isn't.
    Absent,
}

/// Reads of an object that others write at the same time; then the reconcile fails, and comes again later.
const TRIES: u32 = 10;

/// Sees to it on the object as it is now; `false` when that is gone, has another uid than `uid`, or (for an entry to
/// add) is being deleted.
///
/// # Errors
/// When the apiserver refuses or can't be reached, or others' writes came between each time.
pub(crate) async fn set<K>(
    api: &Api<K>,
    name: &str,
    uid: Option<&str>,
    wanted: Wanted,
) -> Result<bool, kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let mut tries = 1;
    loop {
        let Some(now) = api.get_metadata_opt(name).await? else {
            return Ok(false);
        };
        if uid.is_some() && now.uid().as_deref() != uid {
            return Ok(false);
        }
        let others = now
            .finalizers()
            .iter()
            .filter(|finalizer| *finalizer != FINALIZER);
        let mut finalizers: Vec<String> = others.cloned().collect();
        if wanted == Wanted::Present {
            if now.meta().deletion_timestamp.is_some() {
                return Ok(false);
            }
            finalizers.push(FINALIZER.to_owned());
        }
        if finalizers == now.finalizers() {
            return Ok(true);
        }
        // The version makes this a compare-and-swap.
        let metadata = json!({"resourceVersion": now.resource_version(), "finalizers": finalizers});
        let patch = Patch::Merge(json!({"metadata": metadata}));
        match api
            .patch_metadata(name, &PatchParams::default(), &patch)
            .await
        {
            Ok(_) => return Ok(true),
            Err(error) if is_not_found(&error) => return Ok(false),
            Err(error) if is_conflict(&error) && tries < TRIES => tries += 1,
            Err(error) => return Err(error),
        }
    }
}
