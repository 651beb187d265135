//! Quantities of bytes as Kubernetes writes them: `500M`, `64Mi`, `1T` or a plain number.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::rules::QUANTITY_PATTERN;

/// Characters in a quantity: enough for any int64 with a sign, a point and a suffix.
const MAX_LENGTH: usize = 32;

/// Whole bytes, as an integer or a string with a suffix. Unchecked until [`Quantity::bytes`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Quantity {
    /// A plain number of bytes.
    Bytes(i64),
    /// A number with a suffix.
    Text(String),
}

/// A quantity that isn't a whole number of bytes that fits 64 bits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a whole number of bytes (for example 500M, 64Mi or 1T)")]
pub struct QuantityInvalid(String);

impl Quantity {
    /// The quantity in bytes.
    ///
    /// # Errors
    /// When it is no quantity, negative, a fraction of a byte, or over 2^63 - 1.
    pub fn bytes(&self) -> Result<u64, QuantityInvalid> {
        match self {
            Self::Bytes(bytes) => {
                u64::try_from(*bytes).map_err(|_| QuantityInvalid(bytes.to_string()))
            }
            Self::Text(text) => parse(text).ok_or_else(|| QuantityInvalid(text.clone())),
        }
    }
}

/// Parses by Kubernetes' grammar without floating point: `digits[.digits][suffix]`.
fn parse(text: &str) -> Option<u64> {
    if text.len() > MAX_LENGTH {
        return None;
    }
    let text = text.strip_prefix('+').unwrap_or(text);
    let number_end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(number_end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let (multiplier, divisor) = scale(suffix)?;
    let divisor = divisor.checked_mul(10u128.checked_pow(u32::try_from(fraction.len()).ok()?)?)?;
    let scaled = digits.checked_mul(multiplier)?;
    let bytes = i64::try_from(scaled / divisor).ok()?;
    scaled
        .is_multiple_of(divisor)
        .then_some(bytes)?
        .try_into()
        .ok()
}

fn scale(suffix: &str) -> Option<(u128, u128)> {
    let decimal = |power: u32| 10u128.checked_pow(power).map(|m| (m, 1));
    match suffix {
        "" => Some((1, 1)),
        "n" => Some((1, 1_000_000_000)),
        "u" => Some((1, 1_000_000)),
        "m" => Some((1, 1_000)),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => Some((1 << 10, 1)),
        "Mi" => Some((1 << 20, 1)),
        "Gi" => Some((1 << 30, 1)),
        "Ti" => Some((1 << 40, 1)),
        "Pi" => Some((1 << 50, 1)),
        "Ei" => Some((1 << 60, 1)),
        _ => exponent(suffix),
    }
}

fn exponent(suffix: &str) -> Option<(u128, u128)> {
    let power: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    let scale = 10u128.checked_pow(power.unsigned_abs())?;
    Some(if power < 0 { (1, scale) } else { (scale, 1) })
}

impl JsonSchema for Quantity {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Quantity".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "pattern": QUANTITY_PATTERN,
            "maxLength": MAX_LENGTH,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Option<u64> {
        Quantity::Text(text.into()).bytes().ok()
    }

    #[test]
    fn suffixes_are_kubernetes_own() {
        assert_eq!(bytes("500k"), Some(500_000));
        assert_eq!(bytes("64Mi"), Some(64 << 20));
        assert_eq!(bytes("1T"), Some(1_000_000_000_000));
        assert_eq!(bytes("1Ti"), Some(1 << 40));
        assert_eq!(bytes("0.5G"), Some(500_000_000));
        assert_eq!(bytes("1e6"), Some(1_000_000));
        assert_eq!(bytes("9E9"), Some(9_000_000_000));
        assert_eq!(bytes("2000m"), Some(2));
        assert_eq!(Quantity::Bytes(7).bytes(), Ok(7));
    }

    #[test]
    fn what_is_no_whole_number_of_bytes_is_refused() {
        for text in [
            "",
            "x",
            "1.5",
            "-1",
            "1500m",
            "1KB",
            "1.2.3",
            "99999999999999999999",
            ".",
            "1e-3",
        ] {
            assert_eq!(bytes(text), None, "{text}");
        }
        assert!(Quantity::Bytes(-1).bytes().is_err());
    }
}
