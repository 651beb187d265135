//! Who signs.

use super::role::RoleRequest;

/// Who signs, as the customer knows us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The customer's own user, whose access key we were given.
    AccessKey,
    /// Our own identity, by the principal that the grant names.
    Own {
        /// The configuration's `principalArn`.
        principal_arn: String,
    },
    /// A session of the customer's role.
    Role {
        /// The role, and what it must ask of us.
        request: RoleRequest,
        /// The configuration's `principalArn`, which the role trusts.
        principal_arn: String,
    },
}

/// Whose identity signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signer {
    /// The user behind the access key that the customer gave us.
    CustomersUser,
    /// Our own role.
    OurRole,
    /// The role that the customer made for us.
    CustomersRole,
}

impl Caller {
    /// Whose identity that is.
    #[must_use]
    pub const fn signer(&self) -> Signer {
        match self {
            Self::AccessKey => Signer::CustomersUser,
            Self::Own { .. } => Signer::OurRole,
            Self::Role { .. } => Signer::CustomersRole,
        }
    }
}
