//! CEL rules that more than one field needs, each with the message that the user reads.

use kube::core::Rule;

/// The grammar of a Kubernetes quantity; the CEL rules beside it say what a size may be.
pub(super) const QUANTITY_PATTERN: &str = concat!(
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))",
    r"(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$",
);

/// Refuses what isn't a quantity at all.
pub(super) fn quantity_form() -> Rule {
    Rule::new("type(self) == int || isQuantity(self)")
        .message("a size is a number of bytes or a quantity such as 500M, 64Mi or 1T")
}

/// Refuses zero and negative sizes.
pub(super) fn quantity_positive() -> Rule {
    Rule::new("type(self) == int ? self > 0 : (!isQuantity(self) || quantity(self).isGreaterThan(quantity('0')))")
        .message("a size must be more than 0 bytes")
}

/// Refuses fractions of a byte. Kubernetes rounds a quantity up to whole nanos, so that `0.9999999999`
/// would pass for 1: no text that could hold less than a nano is looked at further.
pub(super) fn quantity_whole() -> Rule {
    Rule::new(
        "type(self) == int || !isQuantity(self) || quantity(self).isGreaterThan(quantity('1T')) \
         || (quantity(self).isInteger() && !self.matches('[.][0-9]{10}|[num]$|[eE]-'))",
    )
    .message("a size must be whole bytes")
}

/// Refuses more than the product's limit.
pub(super) fn quantity_limit() -> Rule {
    Rule::new(
        "type(self) == int ? self <= 1000000000000 \
         : (!isQuantity(self) || quantity(self).compareTo(quantity('1T')) <= 0)",
    )
    .message("a size is at most 1T: 1 TB = 10^12 bytes is the limit (1Ti is more than that)")
}

/// The units that a duration may have.
pub(super) const DURATION_PATTERN: &str = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$";

/// Keeps a duration within bounds, and says so of what is none.
pub(super) fn duration_between(least: &str, most: &str) -> Rule {
    Rule::new(format!(
        "self.matches('^([0-9]{{1,9}}([.][0-9]{{1,9}})?(ms|s|m|h)){{1,4}}$') \
         && duration(self) >= duration('{least}') && duration(self) <= duration('{most}')"
    ))
    .message(format!("a duration here is {least} to {most}, such as 90s or 1h30m").as_str())
}

/// Refuses control characters, which logs, headers and listings can't carry.
pub(super) fn no_control_characters() -> Rule {
    Rule::new(r"!self.matches('\\p{Cc}')").message("control characters are not allowed")
}

/// A rule that keeps a required field of the spec as it was created.
pub(super) fn immutable(field: &str) -> Rule {
    Rule::new(format!("self.{field} == oldSelf.{field}")).message(immutable_message(field).as_str())
}

/// A rule that keeps an optional field of the spec as it was created: absent stays absent.
pub(super) fn immutable_optional(field: &str) -> Rule {
    Rule::new(format!(
        "has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})"
    ))
    .message(immutable_message(field).as_str())
}

fn immutable_message(field: &str) -> String {
    format!(
        "{field} can't be changed, added or removed once a delivery exists; create another delivery"
    )
}
