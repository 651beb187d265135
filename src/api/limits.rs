//! What a destination takes at most.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::quantity::Quantity;
use super::rules;

/// What all deliveries to the destination may do at once, together. A change holds for running deliveries too.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("has(self.maxConcurrentParts) || has(self.bandwidth)")
        .message("limits names maxConcurrentParts, bandwidth or both; without a limit leave the block out")
)]
#[serde(rename_all = "camelCase")]
pub struct LimitsSpec {
    /// Parts and small objects under way at once, 1 to 1000. Absent, or over what the operator allows one destination: as many as that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_concurrent_parts: Option<i32>,

    /// Bytes a second that are sent, those that are sent again included: 128k to 1T. Absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = rules::bandwidth_form(), validation = rules::bandwidth_bounds())]
    pub bandwidth: Option<Quantity>,
}
