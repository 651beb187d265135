//! What a denial says of itself: which action, and by whose policy. AWS's words are those of the IAM user
//! guide, "Troubleshoot access denied error messages"; another store mostly says nothing. Pure.

use super::action::Action;

/// A denial, as far as its words tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Denial {
    /// The action that was refused.
    pub action: Option<Action>,
    /// Whose policy refused it.
    pub side: Side,
}

/// Whose policy refuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Side {
    /// Of the account whose identity signs: its own policy, boundary, session, or its organisation's
    /// service control policy.
    Signer,
    /// Of the bucket's or the key's account: the resource's policy, or its organisation's resource control
    /// policy.
    Resource,
    /// Of the network that the request came through: a VPC endpoint's policy.
    Network,
    /// Nothing is said.
    #[default]
    Unsaid,
}

/// What AWS calls a policy, and whose it is. An answer names one of them: "because no X policy allows" or
/// "with an explicit deny in a X policy".
const POLICIES: [(&str, Side); 8] = [
    ("identity-based policy", Side::Signer),
    ("permissions boundary", Side::Signer),
    ("session policy", Side::Signer),
    ("service control policy", Side::Signer),
    ("resource-based policy", Side::Resource),
    ("resource control policy", Side::Resource),
    ("access control list", Side::Resource),
    ("vpc endpoint policy", Side::Network),
];

impl Denial {
    /// What `message` says: all of it, not the part that is shown.
    pub(super) fn read(message: &str) -> Self {
        let message = message.to_ascii_lowercase();
        let behind = |words: &str| message.split_once(words).map(|(_, rest)| rest);
        let action = behind("not authorized to perform: ").map(|rest| {
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == ':'));
            &rest[..end.unwrap_or(rest.len())]
        });
        let named = Action::ALL
            .into_iter()
            .find(|known| action.is_some_and(|action| known.as_str().eq_ignore_ascii_case(action)));
        // Behind the resource: S3 quotes it, and its key is the tenant's to choose.
        let reason = message.rsplit('"').next().unwrap_or_default();
        let side = POLICIES
            .iter()
            .find(|(name, _)| reason.contains(name))
            .map_or(Side::Unsaid, |(_, side)| *side);
        Self {
            action: named,
            side,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aws_names_the_action_and_the_policy() {
        for (context, side) in [
            (
                "because no identity-based policy allows the s3:PutObject action",
                Side::Signer,
            ),
            (
                "because no resource-based policy allows the s3:PutObject action",
                Side::Resource,
            ),
            (
                "with an explicit deny in a resource-based policy",
                Side::Resource,
            ),
            (
                "with an explicit deny in an identity-based policy: arn:aws:iam::1:policy/x",
                Side::Signer,
            ),
            (
                "with an explicit deny in a service control policy",
                Side::Signer,
            ),
            (
                "because no service control policy allows the s3:PutObject action",
                Side::Signer,
            ),
            (
                "with an explicit deny in a resource control policy",
                Side::Resource,
            ),
            (
                "with an explicit deny in a permissions boundary",
                Side::Signer,
            ),
            ("with an explicit deny in a session policy", Side::Signer),
            (
                "because no VPC endpoint policy allows the s3:PutObject action",
                Side::Network,
            ),
            ("with an explicit deny", Side::Unsaid),
        ] {
            let message = format!(
                "User: arn:aws:iam::999988887777:role/outbound is not authorized to perform: s3:PutObject on \
                 resource: \"arn:aws:s3:::acme/because no identity-based policy/k\" {context}"
            );
            let denial = Denial::read(&message);
            assert_eq!(denial.action, Some(Action::PutObject));
            assert_eq!(denial.side, side, "{context}");
        }
    }

    #[test]
    fn a_bare_denial_says_nothing() {
        assert_eq!(Denial::read("Access Denied"), Denial::default());
        let kms = "User: x is not authorized to perform: kms:Decrypt on resource: arn:aws:kms:eu-west-1:1:key/k \
                   because no resource-based policy allows the kms:Decrypt action";
        let denial = Denial::read(kms);
        assert_eq!(denial.action, Some(Action::KmsDecrypt));
        assert_eq!(denial.side, Side::Resource);
        let other = Denial::read("User: x is not authorized to perform: s3:PutObjectRetention on");
        assert_eq!(other.action, None);
    }
}
