//! Manifests from files, taken and refused as the apiserver would, without one.
//!
//! A document of our kinds is held against the CRD's own schema and its own CEL rules, so that there is one home
//! for what may be said. The tables in `tests/e2e/schema` are judged by the apiserver and by this module alike.

mod builtin;
mod files;
mod metadata;
mod rules;
mod schema;
mod stream;

use std::fmt;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};

use crate::api::{OutboundDelivery, OutboundDestination};

/// What a set of files declares.
#[derive(Clone, Default)]
pub struct Manifests {
    /// The destinations, in the order of the files.
    pub destinations: Vec<OutboundDestination>,
    /// The deliveries, in the order of the files.
    pub deliveries: Vec<OutboundDelivery>,
    /// The Secrets, `stringData` merged into `data`.
    pub secrets: Vec<Secret>,
    /// The ConfigMaps.
    pub config_maps: Vec<ConfigMap>,
    /// What was left aside, a line each.
    pub notes: Vec<String>,
}

impl fmt::Debug for Manifests {
    /// Secrets by their number only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manifests")
            .field("destinations", &self.destinations)
            .field("deliveries", &self.deliveries)
            .field("secrets", &self.secrets.len())
            .field("config_maps", &self.config_maps.len())
            .field("notes", &self.notes)
            .finish()
    }
}

/// One thing that is wrong in a manifest, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}{message}")]
pub struct Mistake {
    place: String,
    message: String,
}

impl Mistake {
    /// In the file as a whole.
    fn in_file(file: &str, message: impl Into<String>) -> Self {
        Self {
            place: format!("{file}: "),
            message: message.into(),
        }
    }
}

/// Everything that is wrong; prints a line each.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(Mistake::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Mistakes(pub Vec<Mistake>);

/// Reads files and folders; `-` is standard input. An object without a namespace is in `namespace`, or in `default`;
/// one that names another namespace than the given is refused, as kubectl does.
///
/// # Errors
/// Everything that is wrong, not only the first.
pub fn load(paths: &[PathBuf], namespace: Option<&str>) -> Result<Manifests, Mistakes> {
    let mut collected = stream::Collected::new(namespace);
    for path in paths {
        match files::texts(path) {
            Ok(texts) => texts
                .iter()
                .for_each(|(name, text)| collected.read(name, text)),
            Err(mistake) => collected.refuse(mistake),
        }
    }
    collected.finish()
}

/// Reads one text of YAML or JSON documents; `name` stands in what is said of it.
///
/// # Errors
/// Everything that is wrong, not only the first.
pub fn read(name: &str, text: &str, namespace: Option<&str>) -> Result<Manifests, Mistakes> {
    let mut collected = stream::Collected::new(namespace);
    collected.read(name, text);
    collected.finish()
}

/// Whether a delivery of that name may become what `new` says, by the CRD's own rules for a change.
///
/// # Errors
/// Each field that is fixed once the delivery is created.
pub fn check_change(old: &OutboundDelivery, new: &OutboundDelivery) -> Result<(), Mistakes> {
    let mut mistakes = Vec::new();
    let mut refuse = |path: &str, message: String| {
        mistakes.push(Mistake {
            place: format!("{path}: "),
            message,
        });
    };
    let object = |delivery: &OutboundDelivery| {
        let fixed = OutboundDelivery {
            status: None,
            ..delivery.clone()
        };
        serde_json::to_value(fixed).unwrap_or_default()
    };
    if let Some(schema) = schema::CustomSchema::of("OutboundDelivery") {
        schema.check_change(&object(old), &object(new), &mut refuse);
    }
    if mistakes.is_empty() {
        Ok(())
    } else {
        Err(Mistakes(mistakes))
    }
}

#[cfg(test)]
mod tests;
