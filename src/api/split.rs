//! How a delivery's files are cut.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::quantity::Quantity;
use super::rules;

/// How files are cut into objects.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("!has(self.header) || self.header != 'Repeat' || !has(self.boundary) || self.boundary == 'Record'")
        .message("header: Repeat needs boundary: Record, because a header is a record"),
    validation = Rule::new("!has(self.format) || self.format != 'CSV' || !has(self.boundary) || self.boundary == 'Record'")
        .message("format: CSV needs boundary: Record, because a cut at any byte knows no quotes"),
    validation = Rule::new("!has(self.format) || self.format != 'CSV' || !has(self.delimiter)")
        .message("a delimiter is one of format: Lines; records of CSV end with a newline or CRLF")
)]
#[serde(rename_all = "camelCase")]
pub struct SplitSpec {
    /// Bytes in the largest object, a repeated header included: more than 0, at most 1T = 10^12. Absent: the destination's splitSize.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(
        validation = rules::quantity_form(),
        validation = rules::quantity_positive(),
        validation = rules::quantity_whole(),
        validation = rules::quantity_limit()
    )]
    pub size: Option<Quantity>,

    /// Where a cut may be. Record (what applies when absent): never inside a record. Byte: anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boundary: Option<BoundaryKind>,

    /// What a record is. Lines (what applies when absent): bytes up to a delimiter. CSV: by RFC 4180, where a newline in quotes ends no record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,

    /// What ends a record: one byte (an ASCII character), or CRLF. Absent: a newline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2))]
    #[x_kube(validation = Rule::new(r"self == '\r\n' || (self.size() == 1 && bytes(self).size() == 1)")
        .message("a delimiter is one byte (an ASCII character) or CRLF"))]
    pub delimiter: Option<String>,

    /// How far back from a cut a record's end is looked for; never over the size. Absent: 64Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(
        validation = rules::quantity_form(),
        validation = rules::quantity_positive(),
        validation = rules::quantity_whole(),
        validation = rules::quantity_limit()
    )]
    pub max_record_size: Option<Quantity>,

    /// Whether the first record opens every split. None (what applies when absent): it is a record like the others. Repeat: it stands in front of each split and counts in its size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<HeaderPolicy>,

    /// What stands before a split's number. Absent: "-".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9._=+~@-]*$')").message("a separator has letters, digits and ._=+~@- only"))]
    pub separator: Option<String>,
}

/// Where a cut may be. Record (what applies when absent): never inside a record. Byte: anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BoundaryKind {
    /// Never inside a record.
    Record,
    /// Anywhere.
    Byte,
}

/// What a record is. Lines (what applies when absent): bytes up to a delimiter. CSV: by RFC 4180, where a newline in quotes ends no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Format {
    /// Bytes up to a delimiter.
    Lines,
    /// By RFC 4180.
    #[serde(rename = "CSV")]
    Csv,
}

/// Whether the first record opens every split. None (what applies when absent): it is a record like the others. Repeat: it stands in front of each split and counts in its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HeaderPolicy {
    /// It is a record like the others.
    None,
    /// It stands in front of each split.
    Repeat,
}
