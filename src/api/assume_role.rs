//! The block of permission mode AssumeRole.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// The role that the customer made for us. Sessions last 1 h, the limit of role chaining, and are renewed.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AssumeRoleSpec {
    /// The role's ARN, such as arn:aws:iam::111122223333:role/drop; its partition is the one of our own identity.
    // 2048 is IAM's limit for an ARN. A path holds what a role's name holds: IAM would allow "*" and "?" too,
    // which are wildcards where our own policy names the role.
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(
        validation = Rule::new("self.matches('^arn:(aws|aws-cn|aws-us-gov):iam::[0-9]{12}:role/')")
            .message("roleArn is the ARN of an IAM role in partition aws, aws-cn or aws-us-gov: arn:aws:iam::111122223333:role/NAME"),
        validation = Rule::new("!self.matches('^arn:[a-z-]+:iam::[0-9]+:role/') || self.matches('^[^/]+/([a-zA-Z0-9+=,.@_-]+/)*[a-zA-Z0-9+=,.@_-]{1,64}$')")
            .message("behind role/ stand path and name of the role: letters, digits and +=,.@_- between slashes, the name with 1 to 64 characters"),
    )]
    pub role_arn: String,
}
