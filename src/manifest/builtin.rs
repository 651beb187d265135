//! Secrets and ConfigMaps. Nothing of a Secret's values stands in a message.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use serde_json::Value;

use super::stream::join;

/// Whether it is one of the built-in kinds that matter here.
pub(super) fn is_known(version: &str, kind: &str) -> bool {
    version == "v1" && matches!(kind, "Secret" | "ConfigMap")
}

/// How the values of a map of values are written.
#[derive(Clone, Copy)]
enum Values {
    Text,
    Base64,
}

/// Checks a Secret or a ConfigMap: its fields, the names of its values, and that they are what they must be.
pub(super) fn check(kind: &str, object: &Value, refuse: &mut dyn FnMut(&str, String)) {
    let (values, others): ([(&str, Values); 2], &[&str]) = if kind == "Secret" {
        let values = [("data", Values::Base64), ("stringData", Values::Text)];
        (values, &["type"])
    } else {
        let values = [("data", Values::Text), ("binaryData", Values::Base64)];
        (values, &[])
    };
    for (field, value) in object.as_object().into_iter().flatten() {
        let values = values.iter().find(|(name, _)| name == field);
        match (field.as_str(), values) {
            ("apiVersion" | "kind" | "metadata", _) => {}
            (_, Some((_, written))) => check_values(field, value, *written, refuse),
            ("immutable", _) if value.is_boolean() || value.is_null() => {}
            ("immutable", _) => refuse(field, "must be of type boolean".to_owned()),
            (name, _) if others.contains(&name) => {
                if !value.is_string() && !value.is_null() {
                    refuse(field, "must be of type string".to_owned());
                }
            }
            _ => refuse(field, format!("unknown field {field:?}")),
        }
    }
}

fn check_values(
    field: &str,
    values: &Value,
    written: Values,
    refuse: &mut dyn FnMut(&str, String),
) {
    if values.is_null() {
        return;
    }
    let Some(values) = values.as_object() else {
        return refuse(field, "must be of type object".to_owned());
    };
    for (name, value) in values {
        let path = join(field, name);
        let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if !(1..=253).contains(&name.len()) || !name.bytes().all(known) {
            refuse(
                &path,
                "a key has letters, digits, \"-\", \"_\" and \".\" only".to_owned(),
            );
        }
        match (value.as_str(), written) {
            (None, _) => refuse(&path, "must be of type string".to_owned()),
            // Kubernetes' decoder skips line ends, as `base64` writes them.
            (Some(text), Values::Base64) if STANDARD.decode(unwrapped(text)).is_err() => {
                refuse(
                    &path,
                    "is not base64; plain text goes under stringData".to_owned(),
                );
            }
            (Some(_), _) => {}
        }
    }
}

fn unwrapped(base64: &str) -> String {
    base64.replace(['\r', '\n'], "")
}

/// As the apiserver keeps it: `stringData` over `data`.
pub(super) fn with_string_data(mut secret: Secret) -> Secret {
    let data = secret.data.get_or_insert_default();
    for (name, value) in secret.string_data.take().into_iter().flatten() {
        data.insert(name, ByteString(value.into_bytes()));
    }
    secret
}
