//! What a run without a cluster begins from: the manifests, and what an earlier run left.

use jiff::Timestamp;
use kube::ResourceExt as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::deliveries::OfflineError;
use super::folder::plural;
use super::objects::{Key, fresh};
use crate::api::{ConditionType, OutboundDelivery, OutboundDestination, REQUESTED_AT};
use crate::hash::hex;
use crate::manifest::{Manifests, check_change};

pub(super) fn key_of(delivery: &OutboundDelivery) -> Key {
    let namespace = delivery.namespace().unwrap_or_default();
    Key::new(
        &plural::<OutboundDelivery>(),
        &namespace,
        &delivery.name_any(),
    )
}

pub(super) fn label(key: &Key) -> String {
    format!("{}/{}", key.namespace, key.name)
}

/// The destinations that the deliveries name, as a fresh apiserver has them.
pub(super) fn destinations(
    manifests: &Manifests,
    deliveries: &[OutboundDelivery],
) -> Vec<(Key, Value)> {
    let is_named = |destination: &&OutboundDestination| {
        deliveries.iter().any(|delivery| {
            delivery.namespace() == destination.namespace()
                && delivery.spec.destination_ref.name == destination.name_any()
        })
    };
    let named = manifests.destinations.iter().filter(is_named);
    let object = |destination: &OutboundDestination| {
        let namespace = destination.namespace().unwrap_or_default();
        let key = Key::new(
            &plural::<OutboundDestination>(),
            &namespace,
            &destination.name_any(),
        );
        let mut object = bare(destination).ok()?;
        fresh(&mut object);
        // A ledger names its destination's uid, so that must be the same in the next run.
        let hash = Sha256::digest(format!("{namespace}/{}", key.name));
        object["metadata"]["uid"] = json!(hex(&hash[..16]));
        Some((key, object))
    };
    named.filter_map(object).collect()
}

/// A manifest without what only a cluster gives; its creation time stays, as keys may name it.
fn bare<K: kube::Resource<DynamicType = ()> + serde::Serialize>(
    object: &K,
) -> Result<Value, serde_json::Error> {
    let mut object = serde_json::to_value(object)?;
    let kept = [
        "name",
        "namespace",
        "labels",
        "annotations",
        "creationTimestamp",
    ];
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.retain(|field, _| kept.contains(&field.as_str()));
    }
    if let Some(members) = object.as_object_mut() {
        members.remove("status");
    }
    Ok(object)
}

/// What becomes of a delivery's object at the start.
pub(super) enum Change {
    Create(Value),
    Replace(Value),
    Delete,
}

/// A new delivery, or the one that an earlier run left.
pub(super) fn begin(
    key: &Key,
    kept: Option<&Value>,
    delivery: &OutboundDelivery,
) -> Result<Change, OfflineError> {
    let unreadable = |error| OfflineError::Unreadable {
        label: label(key),
        error,
    };
    let mut object = bare(delivery).map_err(unreadable)?;
    let Some(kept) = kept else {
        return Ok(Change::Create(object));
    };
    let old: OutboundDelivery = serde_json::from_value(kept.clone()).map_err(unreadable)?;
    if old.metadata.deletion_timestamp.is_some() {
        return Err(OfflineError::HalfGivenUp(label(key)));
    }
    check_change(&old, delivery).map_err(|mistakes| OfflineError::Changed {
        label: label(key),
        mistakes,
    })?;
    object["metadata"]["finalizers"] = kept["metadata"]["finalizers"].clone();
    object["status"] = kept["status"].clone();
    if let Some(conditions) = object["status"]["conditions"].as_array_mut() {
        // How it stood is not how it stands.
        let ends = [ConditionType::Complete, ConditionType::Failed].map(|end| json!(end));
        conditions.retain(|condition| ends.contains(&condition["type"]));
    }
    let failed = old.status.as_ref();
    if failed.is_some_and(|status| status.condition(ConditionType::Failed).is_some()) {
        // To run the command again is to ask for a retry.
        object["metadata"]["annotations"][REQUESTED_AT] = json!(Timestamp::now().to_string());
    }
    Ok(Change::Replace(object))
}
