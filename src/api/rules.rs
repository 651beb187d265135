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

/// Of a quantity: that it is whole, or over the limit, which another rule refuses. Kubernetes rounds a quantity up to
/// whole nanos, so that `0.9999999999` would pass for 1: no text that could hold less than a nano is looked at
/// further.
const WHOLE: &str = "quantity(self).isGreaterThan(quantity('1T')) \
     || (quantity(self).isInteger() && !self.matches('[.][0-9]{10}|[num]$|[eE]-'))";

/// Refuses fractions of a byte.
pub(super) fn quantity_whole() -> Rule {
    Rule::new(format!("type(self) == int || !isQuantity(self) || {WHOLE}"))
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

/// Refuses what is no whole number of bytes.
pub(super) fn bandwidth_form() -> Rule {
    Rule::new(format!(
        "type(self) == int || (isQuantity(self) && ({WHOLE}))"
    ))
    .message(
        "a bandwidth is a whole number of bytes a second, or a quantity such as 500k, 20M or 64Mi",
    )
}

/// Keeps a bandwidth where the largest part, 100 MB, still goes out within the 15 minutes for which S3 takes a
/// request's time: 100 MB / 128 kB/s is 13 minutes.
pub(super) fn bandwidth_bounds() -> Rule {
    Rule::new(
        "type(self) == int ? self >= 128000 && self <= 1000000000000 \
         : (!isQuantity(self) || (quantity(self).compareTo(quantity('128k')) >= 0 && quantity(self).compareTo(quantity('1T')) <= 0))",
    )
    .message("a bandwidth is 128k to 1T bytes a second; to send nothing at all, set suspend")
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

// S3's published naming rules for buckets.

/// Refuses what no bucket's name is made of.
pub(super) fn bucket_characters() -> Rule {
    Rule::new("self.matches('^[a-z0-9.-]+$')")
        .message("a bucket name has lower-case letters, digits, dots and hyphens only")
}

/// Refuses dots and hyphens at the ends.
pub(super) fn bucket_ends() -> Rule {
    Rule::new("self.matches('^[a-z0-9](.*[a-z0-9])?$')")
        .message("a bucket name begins and ends with a letter or a digit")
}

/// Refuses an empty label.
pub(super) fn bucket_dots() -> Rule {
    Rule::new("!self.contains('..')").message("a bucket name has no two dots in a row")
}

/// Refuses what looks like an IP address.
pub(super) fn bucket_no_address() -> Rule {
    Rule::new("!self.matches('^[0-9]+[.][0-9]+[.][0-9]+[.][0-9]+$')")
        .message("a bucket name is not formatted as an IP address")
}

/// Refuses what S3 keeps for itself.
pub(super) fn bucket_not_reserved() -> Rule {
    Rule::new("!self.startsWith('xn--') && !self.startsWith('sthree-') && !self.startsWith('amzn-s3-demo-')")
        .message("S3 reserves bucket names that begin with xn--, sthree- or amzn-s3-demo-")
}

/// Refuses access points.
pub(super) fn bucket_no_alias() -> Rule {
    Rule::new(
        "!self.endsWith('-s3alias') && !self.endsWith('--ol-s3') && !self.endsWith('.mrap')",
    )
    .message(
        "name the bucket itself: access point aliases (-s3alias, --ol-s3, .mrap) are not supported",
    )
}

/// Refuses buckets of other kinds.
pub(super) fn bucket_general_purpose() -> Rule {
    Rule::new("!self.endsWith('--x-s3') && !self.endsWith('--table-s3')")
        .message("directory and table buckets (--x-s3, --table-s3) are not supported")
}

/// Refuses a prefix that would also be the beginning of another's name.
pub(super) fn prefix_closed() -> Rule {
    Rule::new("self == '' || self.endsWith('/')").message("a prefix ends with \"/\"")
}

/// Refuses a leading slash.
pub(super) fn prefix_relative() -> Rule {
    Rule::new("!self.startsWith('/')")
        .message("a prefix has no leading \"/\": keys in S3 have none")
}

/// Refuses an empty segment.
pub(super) fn prefix_no_empty_segment() -> Rule {
    Rule::new("!self.contains('//')").message("a prefix has no \"//\"")
}

/// Refuses segments that clients resolve.
pub(super) fn prefix_no_dot_segment() -> Rule {
    Rule::new(r"!self.matches('(^|/)[.][.]?(/|$)')")
        .message("a prefix has no \".\" or \"..\" segment")
}

/// Keeps a prefix within half of what a key may have.
pub(super) fn prefix_bytes() -> Rule {
    Rule::new("bytes(self).size() <= 512").message("a prefix is at most 512 bytes")
}

/// Refuses what no region is called.
pub(super) fn region() -> Rule {
    Rule::new("self.matches('^[a-z0-9]+(-[a-z0-9]+)*$')")
        .message("a region is written like eu-west-1")
}

// Patterns of paths in a list: the rules of one pattern, held by each.

/// The schema of one pattern; what it may hold the rules of its list say.
pub(super) fn pattern() -> serde_json::Value {
    serde_json::json!({
        "type": "string",
        "description": "A pattern of keys behind the prefix: 1 to 256 characters.",
        "minLength": 1,
        "maxLength": 256,
    })
}

/// Refuses patterns that begin or end with a slash, or have an empty segment.
pub(super) fn patterns_relative() -> Rule {
    Rule::new(
        "self.all(path, !path.startsWith('/') && !path.endsWith('/') && !path.contains('//'))",
    )
    .message("a pattern is relative to the prefix: no leading or closing \"/\" and no \"//\"")
}

/// Refuses segments that clients resolve.
pub(super) fn patterns_no_dot_segment() -> Rule {
    Rule::new("self.all(path, !path.matches('(^|/)[.][.]?(/|$)'))")
        .message("a pattern has no \".\" or \"..\" segment")
}

/// Refuses `**` beside other characters.
pub(super) fn patterns_cross_whole() -> Rule {
    Rule::new("self.all(path, !path.matches('[^/][*][*]|[*][*][^/]'))")
        .message("\"**\" is a whole segment of a pattern: a/**/*.csv")
}

/// Refuses control characters.
pub(super) fn patterns_no_control_characters() -> Rule {
    Rule::new(r"self.all(path, !path.matches('\\p{Cc}'))")
        .message("control characters are not allowed")
}
