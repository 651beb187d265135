//! `metadata`, by the rules of Kubernetes' names (object names and ids; labels; RFC 1123).

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use super::stream::join;
use crate::api::is_dns_label;

/// Where an object is when nobody says, as kubectl has it.
const DEFAULT_NAMESPACE: &str = "default";

/// The fields of `ObjectMeta`.
const FIELDS: [&str; 15] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Checks an object's metadata and puts the namespace in that applies: `asked`, or what the object names.
pub(super) fn check(object: &mut Value, asked: Option<&str>, refuse: &mut dyn FnMut(&str, String)) {
    let Some(fields) = object["metadata"].as_object() else {
        return refuse("metadata", "Required value: it holds the name".to_owned());
    };
    for field in fields.keys() {
        if !FIELDS.contains(&field.as_str()) {
            let path = join("metadata", field);
            refuse(&path, format!("unknown field {path:?}"));
        }
    }
    without_nulls(&mut object["metadata"]);
    let metadata: ObjectMeta = match serde_json::from_value(object["metadata"].clone()) {
        Ok(metadata) => metadata,
        Err(error) => return refuse("metadata", error.to_string()),
    };
    match metadata.name.as_deref() {
        None => refuse("metadata.name", "Required value".to_owned()),
        Some(name) if !is_subdomain(name) => refuse(
            "metadata.name",
            format!(
                "{name:?} is no name: up to 253 lower-case letters, digits, \"-\" and \".\", with a letter or a digit at both ends of each label"
            ),
        ),
        Some(_) => {}
    }
    labels(metadata.labels.as_ref(), refuse);
    annotations(metadata.annotations.as_ref(), refuse);
    let namespace = match (metadata.namespace.as_deref(), asked) {
        (Some(named), Some(asked)) if named != asked => {
            let message =
                format!("{named:?} is not the namespace {asked:?} that --namespace asks for");
            return refuse("metadata.namespace", message);
        }
        (Some(named), _) if !is_dns_label(named) => {
            let message =
                format!("{named:?} is no namespace: up to 63 lower-case letters, digits and \"-\"");
            return refuse("metadata.namespace", message);
        }
        (Some(named), _) => named.to_owned(),
        (None, asked) => asked.unwrap_or(DEFAULT_NAMESPACE).to_owned(),
    };
    object["metadata"]["namespace"] = json!(namespace);
}

/// A label or an annotation of null is an empty one to the apiserver.
fn without_nulls(metadata: &mut Value) {
    for field in ["labels", "annotations"] {
        let entries = metadata.get_mut(field).and_then(Value::as_object_mut);
        for (_, value) in entries.into_iter().flatten() {
            if value.is_null() {
                *value = json!("");
            }
        }
    }
}

fn labels(labels: Option<&BTreeMap<String, String>>, refuse: &mut dyn FnMut(&str, String)) {
    for (name, value) in labels.into_iter().flatten() {
        let path = join("metadata.labels", name);
        if !is_qualified(name) {
            refuse(&path, format!("{name:?} is no label's name"));
        }
        if !value.is_empty() && !is_word(value) {
            refuse(
                &path,
                format!(
                    "{value:?} is no label's value: up to 63 letters, digits, \"-\", \"_\" and \".\""
                ),
            );
        }
    }
}

fn annotations(
    annotations: Option<&BTreeMap<String, String>>,
    refuse: &mut dyn FnMut(&str, String),
) {
    for name in annotations.into_iter().flatten().map(|(name, _)| name) {
        if !is_qualified(&name.to_lowercase()) {
            let path = join("metadata.annotations", name);
            refuse(&path, format!("{name:?} is no annotation's name"));
        }
    }
}

/// RFC 1123 labels with dots between them, up to 253 characters. (A label of it may be longer than 63.)
fn is_subdomain(name: &str) -> bool {
    let inner = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-');
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

/// `[prefix/]name`, the prefix a subdomain.
fn is_qualified(name: &str) -> bool {
    match name.split_once('/') {
        Some((prefix, name)) => is_subdomain(prefix) && is_word(name),
        None => is_word(name),
    }
}

/// 1 to 63 letters, digits, `-`, `_` and `.`, with a letter or a digit at both ends.
fn is_word(word: &str) -> bool {
    let ends = |c: char| c.is_ascii_alphanumeric();
    (1..=63).contains(&word.len())
        && word.starts_with(ends)
        && word.ends_with(ends)
        && word
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}
