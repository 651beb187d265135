//! The one place that writes a status: by server-side apply, carrying the resourceVersion.

use kube::api::{Api, Patch, PatchParams};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

/// Our name as the owner of fields.
pub(crate) const FIELD_MANAGER: &str = "outbound-operator";

/// Writes `status` to the object as it was seen. A writer who saw an older object gets a conflict and loses.
///
/// # Errors
/// When the apiserver refuses, the object is gone, or it changed since it was seen (409).
pub(crate) async fn write<K, S>(api: &Api<K>, seen: &K, status: &S) -> Result<K, kube::Error>
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + std::fmt::Debug,
    S: Serialize + Sync,
{
    let patch = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": {
            "name": seen.name_any(),
            "uid": seen.uid(),
            "resourceVersion": seen.resource_version(),
        },
        "status": status,
    });
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    api.patch_status(&seen.name_any(), &parameters, &Patch::Apply(patch))
        .await
}

/// Whether the apiserver said that the object changed since it was seen.
pub(crate) fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

/// Whether the apiserver said that the object isn't there.
pub(crate) fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}
