//! Objects for programs, as kubectl prints them: one as itself and several as a List. Pure.

use serde::Serialize;
use serde_json::{Value, json};

use crate::yaml;

/// As JSON.
pub(super) fn json(objects: &[impl Serialize]) -> Result<String, Box<dyn std::error::Error>> {
    Ok(serde_json::to_string_pretty(&list(objects)?)? + "\n")
}

/// As YAML.
pub(super) fn yaml(objects: &[impl Serialize]) -> Result<String, Box<dyn std::error::Error>> {
    Ok(yaml::write(&list(objects)?)?)
}

fn list(objects: &[impl Serialize]) -> Result<Value, serde_json::Error> {
    match objects {
        [one] => serde_json::to_value(one),
        several => {
            Ok(json!({"apiVersion": "v1", "kind": "List", "items": serde_json::to_value(several)?}))
        }
    }
}
