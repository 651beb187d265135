//! Destinations without a cluster: the manifests answer where the apiserver would, and all else is the
//! controllers' own code.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use http::{Request, Response, StatusCode};
use k8s_openapi::Metadata;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::client::Body;
use kube::runtime::reflector;
use serde::Serialize;
use serde_json::json;
use tokio::sync::watch;

use super::context::Context;
use super::delivery::{Cleanups, Runs};
use super::destination::{self, Proofs};
use super::observe::Observers;
use super::start::{StartError, share};
use crate::api::{Grant, OutboundDestination};
use crate::config::Config;
use crate::manifest::Manifests;

/// What proves destinations, and makes their grants, from manifests alone.
pub struct Offline {
    context: Arc<Context>,
}

impl Offline {
    /// With that configuration, and the Secrets and ConfigMaps of the manifests.
    ///
    /// # Errors
    /// When the configuration names what can't be.
    pub async fn new(config: Config, manifests: &Manifests) -> Result<Self, StartError> {
        let shared = share(config, stand_in(manifests), Observers::default()).await?;
        let (destinations, _) = reflector::store();
        let (_, listed) = watch::channel(true);
        let (proofs, _) = Proofs::new();
        let work = (Runs::new().0, Cleanups::new().0);
        let context = Context::new(shared, destinations, listed, None, proofs, work);
        Ok(Self {
            context: Arc::new(context),
        })
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
}

/// A client whose apiserver is the manifests: it answers the reads of Secrets and ConfigMaps, and has nothing else.
fn stand_in(manifests: &Manifests) -> Client {
    let mut objects = BTreeMap::new();
    for secret in &manifests.secrets {
        objects.extend(entry("secrets", secret));
    }
    for map in &manifests.config_maps {
        objects.extend(entry("configmaps", map));
    }
    let objects = Arc::new(objects);
    let answer = move |request: Request<Body>| {
        let answer = answer(&objects, request.uri().path());
        async move { Ok::<_, Infallible>(answer) }
    };
    Client::new(tower::service_fn(answer), "default")
}

fn entry<K>(plural: &str, object: &K) -> Option<(String, Vec<u8>)>
where
    K: Metadata<Ty = ObjectMeta> + Serialize,
{
    let metadata = object.metadata();
    let (namespace, name) = (metadata.namespace.as_ref()?, metadata.name.as_ref()?);
    let path = format!("/api/v1/namespaces/{namespace}/{plural}/{name}");
    Some((path, serde_json::to_vec(object).ok()?))
}

fn answer(objects: &BTreeMap<String, Vec<u8>>, path: &str) -> Response<Body> {
    if let Some(object) = objects.get(path) {
        return Response::new(Body::from(object.clone()));
    }
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure", "reason": "NotFound",
        "message": "the manifests hold no such object", "code": 404,
    });
    let mut response = Response::new(Body::from(status.to_string().into_bytes()));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}
