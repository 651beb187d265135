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

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::api::FARTHEST_NS;

    /// What a schema, or one within it, lacks.
    fn lacks(path: &str, schema: &Value, found: &mut Vec<String>) {
        let has = |word: &str| schema.get(word).is_some();
        let mut need = |holds: bool, what: &str| {
            if !holds {
                found.push(format!("{path} has no {what}"));
            }
        };
        let described = schema["description"].as_str();
        need(
            described.is_some_and(|text| !text.is_empty()),
            "description",
        );
        match schema["type"].as_str() {
            Some("string") => need(has("maxLength") || has("enum"), "maxLength or enum"),
            Some("integer" | "number") => {
                need(has("minimum") && has("maximum"), "minimum and maximum");
            }
            Some("array") => {
                let bounded = has("maxItems") && has("x-kubernetes-list-type");
                need(bounded, "maxItems and list type");
            }
            Some("object") => need(has("properties"), "properties"),
            Some("boolean") => {}
            _ => {
                let either = schema["x-kubernetes-int-or-string"] == true;
                let ruled = has("maxLength") && has("x-kubernetes-validations");
                need(either && ruled, "type, or maxLength and rules");
            }
        }
        need(!has("nullable"), "way without null");
        let rules = schema["x-kubernetes-validations"].as_array();
        for rule in rules.into_iter().flatten() {
            need(rule["message"].is_string(), "message for each rule");
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            lacks(&format!("{path}.{name}"), property, found);
        }
        if has("items") {
            lacks(&format!("{path}[]"), &schema["items"], found);
        }
    }

    /// The kinds' schemas, by kind.
    fn schemas() -> Vec<(String, Value)> {
        let crds = crds().into_iter();
        crds.map(|crd| {
            let text = serde_json::to_value(&crd).unwrap();
            let root = &text["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
            (crd.spec.names.kind, root.clone())
        })
        .collect()
    }

    #[test]
    fn every_field_of_every_kind_and_each_item_is_described_and_bounded() {
        let mut found = Vec::new();
        for (kind, root) in schemas() {
            for (part, schema) in root["properties"].as_object().unwrap() {
                // What every object has, the apiserver bounds.
                if part != "metadata" {
                    lacks(&format!("{kind} {part}"), schema, &mut found);
                }
            }
        }
        assert!(found.is_empty(), "{}", found.join("\n"));
    }

    #[test]
    fn what_a_schema_lacks_is_found() {
        let item = json!({"type": "array", "description": "x", "maxItems": 1,
            "x-kubernetes-list-type": "atomic", "items": {"type": "string", "maxLength": 1}});
        for (schema, lack) in [
            (
                json!({"type": "string", "description": "x"}),
                "a has no maxLength or enum",
            ),
            (
                json!({"type": "integer", "minimum": 0, "description": "x"}),
                "a has no minimum and maximum",
            ),
            (
                json!({"type": "string", "maxLength": 1}),
                "a has no description",
            ),
            (item, "a[] has no description"),
        ] {
            let mut found = Vec::new();
            lacks("a", &schema, &mut found);
            assert_eq!(found, [lack]);
        }
    }

    /// The apiserver reads a bound as a double, and takes no value at all where that double's shortest decimal is no
    /// `i64`.
    #[test]
    fn every_bound_is_exact_as_a_double_and_an_integer_in_its_shortest_decimal() {
        fn check(path: &str, schema: &Value) {
            for bound in ["minimum", "maximum"] {
                if let Some(bound) = schema[bound].as_f64() {
                    // Behind the 17th digit the shortest decimal has zeros.
                    let shortest = format!("{bound:e}");
                    let (digits, exponent) = shortest.split_once('e').unwrap();
                    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
                    let exponent: usize = exponent.parse().unwrap();
                    let decimal = format!("{whole}{fraction:0<exponent$}");
                    assert!(decimal.parse::<i64>().is_ok(), "{path}: {decimal}");
                }
            }
            for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                check(&format!("{path}.{name}"), property);
            }
            if let Some(items) = schema.get("items") {
                check(&format!("{path}[]"), items);
            }
        }
        for (kind, root) in schemas() {
            check(&kind, &root);
        }
        let (_, ledger) = schemas().pop().unwrap();
        let source = &ledger["properties"]["spec"]["properties"]["sources"]["items"];
        let latest = source["properties"]["mtimeNs"]["maximum"].as_f64().unwrap();
        assert_eq!(format!("{latest:.0}"), FARTHEST_NS.to_string());
    }
}
