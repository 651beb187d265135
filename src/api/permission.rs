//! The permission report: what delivering to a destination asks for, and what is known of each.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One action that delivering to this destination uses, and whether it is allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Permission {
    /// The action as AWS's policies name it, for example s3:PutObject.
    #[schemars(length(min = 1, max = 64))]
    pub action: String,
    /// Whether it is allowed, by the last proof or by what a delivery met.
    pub result: PermissionResult,
    /// Allowed: who granted it. Else who must act; Unknown where nothing tells.
    pub by: PermissionSide,
    /// How it is known, or what would tell; where it is denied, which policy of status.grant cures it.
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// Whether an action is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PermissionResult {
    /// It was used.
    Allowed,
    /// It was refused.
    Denied,
    /// Nothing that was done tells.
    Unknown,
}

/// Whose policies an action hangs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PermissionSide {
    /// Ours: the role of the operator, its account, its network.
    Us,
    /// The customer's: the bucket, the key, the user or role that we were given.
    Customer,
    /// The store doesn't say.
    Unknown,
}
