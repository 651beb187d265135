//! Durations as Go and Kubernetes write them: `90s`, `1h30m`.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::rules::DURATION_PATTERN;

/// Characters in a duration: enough for every unit once.
const MAX_LENGTH: usize = 32;

/// A duration as it was written. Unchecked until [`DurationText::get`], so that no text that a schema let pass
/// can stop the watch that reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DurationText(String);

/// A text that is no duration, or one beyond any use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a duration such as 90s, 15m or 1h30m")]
pub struct DurationInvalid(String);

impl DurationText {
    /// The duration.
    ///
    /// # Errors
    /// When the text isn't a sum of numbers with the units `ms`, `s`, `m` and `h`, or is over 2^64 milliseconds.
    pub fn get(&self) -> Result<Duration, DurationInvalid> {
        let text = &self.0;
        let parsed = if text.len() <= MAX_LENGTH {
            parse(text)
        } else {
            None
        };
        parsed
            .map(Duration::from_millis)
            .ok_or_else(|| DurationInvalid(text.clone()))
    }
}

/// Milliseconds of `text`, parts of one cut off.
fn parse(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(number_end);
        let unit_end = behind
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(behind.len());
        let (unit, next) = behind.split_at(unit_end);
        total = total.checked_add(milliseconds(number, unit)?)?;
        rest = next;
    }
    (!text.is_empty()).then_some(total)
}

fn milliseconds(number: &str, unit: &str) -> Option<u64> {
    let scale: u128 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || fraction.is_empty() {
        return None;
    }
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let divisor = 10u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    u64::try_from(digits.checked_mul(scale)? / divisor).ok()
}

impl JsonSchema for DurationText {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": DURATION_PATTERN, "maxLength": MAX_LENGTH})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> Option<f64> {
        DurationText(text.into())
            .get()
            .ok()
            .map(|duration| duration.as_secs_f64())
    }

    #[test]
    fn units_add_up() {
        assert_eq!(seconds("90s"), Some(90.0));
        assert_eq!(seconds("1h30m"), Some(5400.0));
        assert_eq!(seconds("1.5m"), Some(90.0));
        assert_eq!(seconds("250ms"), Some(0.25));
    }

    #[test]
    fn what_is_no_duration_is_refused_and_never_panics() {
        for text in [
            "",
            "1",
            "s",
            "1d",
            "-1s",
            "1.2.3s",
            "99999999999999999999999999h",
            "999999999999999999h1s",
        ] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
