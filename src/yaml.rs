//! YAML in and out. `serde_yaml` is a fixed choice and unmaintained, so this is its one home.

use serde::Serialize;
use serde::de::{DeserializeOwned, Error as _};
use serde_json::{Map, Number, Value};

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

/// Reads every document of a stream as the JSON that kubectl would send for it; an empty one is null. Where the
/// YAML's form is broken that is the last.
pub fn documents(text: &str) -> impl Iterator<Item = Result<Value, YamlError>> {
    let mut last = None;
    serde_yaml::Deserializer::from_str(text)
        .map(document)
        // The reader repeats an error of form without an end.
        .take_while(move |document| {
            let error = document.as_ref().err().map(ToString::to_string);
            let repeats = error.is_some() && error == last;
            last = error;
            !repeats
        })
}

fn document(document: serde_yaml::Deserializer<'_>) -> Result<Value, YamlError> {
    let mut value = <serde_yaml::Value as serde::Deserialize>::deserialize(document)?;
    value.apply_merge()?;
    Ok(json(value)?)
}

fn json(value: serde_yaml::Value) -> Result<Value, serde_yaml::Error> {
    use serde_yaml::Value as Yaml;
    Ok(match value {
        Yaml::Null => Value::Null,
        Yaml::Bool(value) => Value::Bool(value),
        Yaml::Number(value) => number(&value)?,
        Yaml::String(value) => Value::String(value),
        Yaml::Sequence(values) => {
            Value::Array(values.into_iter().map(json).collect::<Result<_, _>>()?)
        }
        Yaml::Mapping(entries) => {
            let mut object = Map::new();
            for (name, value) in entries {
                let name = key(name)?;
                if object.contains_key(&name) {
                    return Err(refused(format!("duplicate entry with key {name:?}")));
                }
                object.insert(name, json(value)?);
            }
            Value::Object(object)
        }
        Yaml::Tagged(tagged) => return Err(refused(format!("the tag {} is unknown", tagged.tag))),
    })
}

/// A plain `1:` is the key "1" to kubectl.
fn key(key: serde_yaml::Value) -> Result<String, serde_yaml::Error> {
    match key {
        serde_yaml::Value::String(name) => Ok(name),
        serde_yaml::Value::Bool(name) => Ok(name.to_string()),
        serde_yaml::Value::Number(name) => Ok(name.to_string()),
        _ => Err(refused("a key is a text".to_owned())),
    }
}

/// A float without a fraction, such as 1e6, is an integer in kubectl's JSON.
fn number(value: &serde_yaml::Number) -> Result<Value, serde_yaml::Error> {
    /// Up to here every whole float is one integer: 2^53.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let number = match (value.as_i64(), value.as_u64(), value.as_f64()) {
        (Some(whole), ..) => Number::from(whole),
        (_, Some(whole), _) => Number::from(whole),
        (_, _, Some(float)) if float.fract() == 0.0 && float.abs() <= EXACT =>
        {
            #[allow(clippy::cast_possible_truncation, reason = "whole, and within 2^53")]
            Number::from(float as i64)
        }
        (_, _, Some(float)) => Number::from_f64(float)
            .ok_or_else(|| refused("infinity and NaN are no numbers in JSON".to_owned()))?,
        _ => return Err(refused("a number is too large".to_owned())),
    };
    Ok(Value::Number(number))
}

fn refused(why: String) -> serde_yaml::Error {
    serde_yaml::Error::custom(why)
}

/// Writes one document.
///
/// # Errors
/// When the value has a shape that YAML can't carry, such as a map whose keys aren't scalars.
pub fn write<T: Serialize>(value: &T) -> Result<String, YamlError> {
    Ok(serde_yaml::to_string(value)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn all(text: &str) -> Vec<Result<Value, String>> {
        documents(text)
            .map(|document| document.map_err(|error| error.to_string()))
            .collect()
    }

    #[test]
    fn a_stream_is_read_as_kubectl_sends_it() {
        let stream = "# a comment\n---\na: 1e6\n1: true\n---\n---\n{\"b\": [1.5, null, \"1e6\"]}\n";
        let read: Vec<Value> = all(stream).into_iter().map(Result::unwrap).collect();
        let numbers = json!({"a": 1_000_000, "1": true});
        assert_eq!(
            read,
            [numbers, Value::Null, json!({"b": [1.5, null, "1e6"]})]
        );
        let merged = all("base: &base {a: 1}\nmore: {<<: *base, b: 2}");
        assert_eq!(merged[0].as_ref().unwrap()["more"], json!({"a": 1, "b": 2}));
    }

    #[test]
    fn what_kubectl_refuses_is_refused_with_its_place() {
        for (text, words) in [
            ("a: 1\na: 2", "duplicate entry with key \"a\""),
            ("a: {b: {c: 1, c: 2}}", "duplicate entry with key \"c\""),
            ("1: 1\n\"1\": 2", "duplicate entry with key \"1\""),
            ("a: [1", "line 2"),
            ("a: !secret x", "the tag !secret is unknown"),
            ("a: .inf", "infinity"),
            ("? [a]\n: b", "a key is a text"),
        ] {
            let refusal = all(text).remove(0).unwrap_err();
            assert!(refusal.contains(words), "{text}: {refusal}");
        }
    }
}
