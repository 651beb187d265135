//! What a delivery says of its receipt.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::rules;

/// The receipt's key and content.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptSpec {
    /// The receipt's key, behind the destination's prefix. Macros: {date} {timestamp} {delivery} {namespace} {destination}. Absent: "{delivery}.info".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(
        validation = Rule::new(r"self.matches('^([^{}]|[{](date|timestamp|delivery|namespace|destination)[}])*$')")
            .message("a receipt's key has the macros {date} {timestamp} {delivery} {namespace} {destination} and no other braces"),
        validation = Rule::new("!self.startsWith('/') && !self.contains('//') && !self.endsWith('/')").message("a key has no leading or closing \"/\" and no \"//\""),
        validation = Rule::new("!self.matches('(^|/)[.][.]?(/|$)')").message("a key has no \".\" or \"..\" segment"),
        validation = rules::no_control_characters()
    )]
    pub key: Option<String>,

    /// Whether the receipt gives each object's MD5, which costs more than all else. Absent: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub md5: Option<bool>,
}
