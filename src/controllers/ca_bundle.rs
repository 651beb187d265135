//! Whom a destination's TLS trusts: the system's authorities, or those in the ConfigMap that it names.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;

use super::connect::NoConnection;
use super::context::Context;
use crate::api::{DestinationReason, OutboundDestinationSpec};
use crate::store::{CaBundle, ClientFactory};

/// The ConfigMap's key.
const KEY: &str = "ca.crt";

/// The factory whose buckets trust whom `spec` says.
///
/// # Errors
/// When the ConfigMap can't be read, isn't there, or holds no authorities.
pub(crate) async fn factory(
    context: &Context,
    namespace: &str,
    spec: &OutboundDestinationSpec,
) -> Result<ClientFactory, NoConnection> {
    let Some(named) = &spec.ca_bundle_ref else {
        return Ok(context.factory.clone());
    };
    let maps: Api<ConfigMap> = Api::namespaced(context.client.clone(), namespace);
    let found = maps.get_opt(&named.name).await.map_err(|error| NoConnection::Unanswered {
        reason: DestinationReason::TlsFailure,
        message: format!(
            "ConfigMap {} could not be read: {error}; the operator needs get on ConfigMaps in {namespace}",
            named.name
        ),
    })?;
    let text = found.map(|map| map.data.unwrap_or_default().remove(KEY));
    bundle(namespace, &named.name, text.as_ref().map(Option::as_deref))
        .map(|bundle| context.factory.trusting(&bundle))
        .map_err(|message| NoConnection::Refused {
            reason: DestinationReason::TlsFailure,
            message,
            secret_version: None,
        })
}

/// The authorities in a ConfigMap: `None` where there is no ConfigMap, `Some(None)` where it lacks the key.
fn bundle(namespace: &str, name: &str, text: Option<Option<&str>>) -> Result<CaBundle, String> {
    let text = text.ok_or_else(|| {
        format!("there is no ConfigMap {name} in namespace {namespace}, which caBundleRef names; create it with the key {KEY}")
    })?;
    let text = text.ok_or_else(|| {
        format!("ConfigMap {name} has no key {KEY}; whoever keeps it must put the store's authorities there, as PEM")
    })?;
    CaBundle::parse(text).map_err(|error| {
        format!("ConfigMap {name}: {KEY} {error}; whoever keeps it must correct it")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_names_the_configmap() {
        for (text, words) in [
            (None, "there is no ConfigMap acme-ca in namespace marketing"),
            (Some(None), "ConfigMap acme-ca has no key ca.crt"),
            (
                Some(Some("")),
                "ConfigMap acme-ca: ca.crt holds no PEM certificate",
            ),
        ] {
            let message = bundle("marketing", "acme-ca", text).unwrap_err();
            assert!(message.contains(words), "{message}");
        }
    }
}
