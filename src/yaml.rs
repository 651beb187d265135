//! YAML in and out. `serde_yaml` is a fixed choice and unmaintained, so this is its one home.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A text that isn't YAML, or not of the expected shape; says where.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct YamlError(#[from] serde_yaml::Error);

/// Reads one document.
///
/// # Errors
/// When the text isn't YAML of that shape.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, YamlError> {
    Ok(serde_yaml::from_str(text)?)
}

/// Writes one document.
///
/// # Errors
/// When the value has a shape that YAML can't carry, such as a map whose keys aren't scalars.
pub fn write<T: Serialize>(value: &T) -> Result<String, YamlError> {
    Ok(serde_yaml::to_string(value)?)
}
