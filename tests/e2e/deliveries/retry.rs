//! A failed delivery that is asked to try again.

use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::runtime::wait::await_condition;
use serde_json::json;

use super::{KIND, deliver};
use crate::support::control_plane::resource;
use crate::support::world::find_condition;
use crate::support::{ControlPlane, World};

/// Deliveries, one after the other: each request comes as soon as a watch has seen the failure, while the operator still
/// has what the run left.
const TIMES: usize = 8;

#[tokio::test]
async fn a_request_right_behind_the_failure_is_heard() {
    let world = World::start("retry-at-once").await;
    world.access_key_destination("acme", "").await;
    let kind = resource("OutboundDelivery", "outbounddeliveries");
    let client = ControlPlane::shared().client().await;
    let deliveries: Api<DynamicObject> =
        Api::namespaced_with(client, world.namespace.name(), &kind);
    for number in 0..TIMES {
        let name = format!("retry-{number}");
        let file = format!("{name}.csv");
        deliver(&world, &name, &file, "");
        let has_failed = |object: Option<&DynamicObject>| {
            let failed = object.and_then(|object| find_condition(&object.data, "Failed"));
            failed.is_some_and(|failed| failed["reason"] == "SourceNotFound")
        };
        await_condition(deliveries.clone(), &name, has_failed)
            .await
            .unwrap();
        world.file(&file, "1\n");
        let asked = json!({"metadata": {"annotations": {"outbound.dev/requestedAt": "now"}}});
        deliveries
            .patch(&name, &PatchParams::default(), &Patch::Merge(&asked))
            .await
            .unwrap();
        world.condition(KIND, &name, "Complete", "True").await;
    }
}
