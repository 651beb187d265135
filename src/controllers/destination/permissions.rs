//! The permission report as the status has it: pure.

use crate::api::{Permission, PermissionResult, PermissionSide};
use crate::store::{Action, Actor, Met, Right, Signer, Use, Verdict, report_of_met};

/// Characters of a line's message: the schema's bound.
const MAX_MESSAGE: usize = 1024;

/// The report in the API's words.
pub(super) fn published(rights: Vec<Right>) -> Vec<Permission> {
    rights.into_iter().map(line).collect()
}

fn line(right: Right) -> Permission {
    Permission {
        action: right.action.as_str().to_owned(),
        result: match right.verdict {
            Verdict::Allowed => PermissionResult::Allowed,
            Verdict::Denied => PermissionResult::Denied,
            Verdict::Unknown => PermissionResult::Unknown,
        },
        by: match right.by {
            Actor::Us => PermissionSide::Us,
            Actor::Customer => PermissionSide::Customer,
            Actor::Unknown => PermissionSide::Unknown,
        },
        message: right.message.chars().take(MAX_MESSAGE).collect(),
    }
}

/// What the lines say of the rights that only deliveries use.
pub(super) fn met(permissions: &[Permission]) -> Met {
    let used = |action: Action| {
        let line = permissions
            .iter()
            .find(|line| line.action == action.as_str());
        match line.map(|line| line.result) {
            Some(PermissionResult::Allowed) => Use::Allowed,
            Some(PermissionResult::Denied) => Use::Refused,
            Some(PermissionResult::Unknown) | None => Use::NotMade,
        }
    };
    Met {
        list_parts: used(Action::ListMultipartUploadParts),
        head: used(Action::GetObject),
    }
}

/// The lines, with those replaced that a delivery knows better.
pub(super) fn with_met(
    permissions: &[Permission],
    signer: Option<Signer>,
    met: Met,
) -> Vec<Permission> {
    let better = signer.map(|signer| published(report_of_met(signer, met)));
    let better = better.unwrap_or_default();
    let replaced = |line: &Permission| {
        let new = better.iter().find(|new| new.action == line.action);
        new.unwrap_or(line).clone()
    };
    permissions.iter().map(replaced).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown(action: Action) -> Permission {
        Permission {
            action: action.as_str().to_owned(),
            result: PermissionResult::Unknown,
            by: PermissionSide::Customer,
            message: String::new(),
        }
    }

    #[test]
    fn what_a_delivery_met_replaces_its_line_alone_and_is_read_back() {
        let before = [Action::PutObject, Action::ListMultipartUploadParts].map(unknown);
        let refused = Met {
            list_parts: Use::Refused,
            head: Use::Allowed,
        };
        let after = with_met(&before, Some(Signer::CustomersUser), refused);
        assert_eq!(after[0], before[0]);
        assert_eq!(after[1].result, PermissionResult::Denied);
        assert!(after[1].message.contains("status.grant.identityPolicy"));
        assert_eq!(
            after.len(),
            2,
            "no line for what the destination doesn't use"
        );
        let read = met(&after);
        assert_eq!((read.list_parts, read.head), (Use::Refused, Use::NotMade));
        assert_eq!(with_met(&before, None, refused), before);
    }
}
