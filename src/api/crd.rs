//! The CRDs as they are installed: generated from the types, with what the derives can't say.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::CustomResourceExt as _;
use serde_json::json;

use super::{OutboundDelivery, OutboundDestination, OutboundLedger};

/// The three CRDs, in the order in which they are installed.
#[must_use]
pub fn crds() -> Vec<CustomResourceDefinition> {
    vec![
        destination_crd(),
        delivery_crd(),
        strict(OutboundLedger::crd()),
    ]
}

/// The CRD of `OutboundDestination`.
#[must_use]
pub fn destination_crd() -> CustomResourceDefinition {
    with_fresh_status(OutboundDestination::crd())
}

/// The CRD of `OutboundDelivery`.
#[must_use]
pub fn delivery_crd() -> CustomResourceDefinition {
    with_fresh_status(OutboundDelivery::crd())
}

/// What an integer is at most where its field says no less: 2^53 - 1, the largest that every reader of
/// JSON keeps exact.
const MAX_INTEGER: f64 = 9_007_199_254_740_991.0;

/// A fresh object says `observedGeneration: -1`, so that nothing takes it for one that was looked at.
fn with_fresh_status(crd: CustomResourceDefinition) -> CustomResourceDefinition {
    let mut crd = strict(crd);
    for schema in root_schemas(&mut crd) {
        visit(schema, &bound_integer);
        let status = schema
            .properties
            .as_mut()
            .and_then(|properties| properties.get_mut("status"));
        if let Some(status) = status {
            status.default = Some(JSON(json!({"observedGeneration": -1})));
            let generation = status
                .properties
                .as_mut()
                .and_then(|p| p.get_mut("observedGeneration"));
            if let Some(generation) = generation {
                generation.default = Some(JSON(json!(-1)));
            }
        }
    }
    crd
}

/// An absent field is left out; `null` is no second way to say so.
fn strict(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for schema in root_schemas(&mut crd) {
        visit(schema, &|schema| {
            schema.nullable = None;
            // Rust's unsigned formats, which the apiserver doesn't know and warns of.
            if schema
                .format
                .as_ref()
                .is_some_and(|format| format.starts_with("uint"))
            {
                schema.format = None;
            }
        });
    }
    crd
}

/// The apiserver doesn't read `format: int32`: what is larger would be stored, and fit no reader of ours.
fn bound_integer(schema: &mut JSONSchemaProps) {
    if schema.type_.as_deref() == Some("integer") && schema.maximum.is_none() {
        let narrow = schema.format.as_deref() == Some("int32");
        schema.maximum = Some(if narrow {
            f64::from(i32::MAX)
        } else {
            MAX_INTEGER
        });
    }
}

fn root_schemas(crd: &mut CustomResourceDefinition) -> impl Iterator<Item = &mut JSONSchemaProps> {
    crd.spec
        .versions
        .iter_mut()
        .filter_map(|version| version.schema.as_mut()?.open_api_v3_schema.as_mut())
}

fn visit(schema: &mut JSONSchemaProps, change: &dyn Fn(&mut JSONSchemaProps)) {
    change(schema);
    for property in schema
        .properties
        .iter_mut()
        .flat_map(std::collections::BTreeMap::values_mut)
    {
        visit(property, change);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = schema.items.as_mut() {
        visit(items, change);
    }
}
