//! What the cache keeps of deliveries that have ended: there may be ten thousand of them, of tens of KiB each.

use super::{Guarded, is_finished};

/// Takes from a finished delivery what no reconcile looks at. Whoever writes its status reads it anew first; one that is
/// asked to try again is finished no more, and whole.
pub(crate) fn lighten(guard: &mut Guarded) {
    let Ok(delivery) = &mut guard.0 else {
        return;
    };
    if !is_finished(delivery) {
        return;
    }
    let Some(status) = &mut delivery.status else {
        return;
    };
    status.objects = Vec::new();
    status.progress = None;
    status.receipt = None;
    status.last_error = None;
    for condition in &mut status.conditions {
        condition.message = String::new();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::OutboundDelivery;

    fn lightened(condition: &str, request: Option<&str>) -> OutboundDelivery {
        let mut guard: Guarded = serde_json::from_value(json!({
            "apiVersion": "outbound.dev/v1alpha1", "kind": "OutboundDelivery",
            "metadata": {"name": "d", "annotations": {"outbound.dev/requestedAt": request}},
            "spec": {"destinationRef": {"name": "acme"}, "source": {"volume": {"path": "a"}}},
            "status": {
                "observedGeneration": 1,
                "conditions": [{
                    "type": condition, "status": "True", "reason": "Any", "message": "long", "observedGeneration": 1,
                    "lastTransitionTime": "2026-11-24T00:00:00Z",
                }],
                "objects": [{"key": "a", "bytes": 1, "lines": 1, "checksum": "AAAAAAAAAAA="}],
                "lastHandledRequest": "before",
            },
        }))
        .unwrap();
        lighten(&mut guard);
        guard.0.unwrap()
    }

    #[test]
    fn what_has_ended_keeps_how_it_ended_and_what_goes_on_keeps_all() {
        for (condition, request, kept) in [
            ("Complete", "before", 0),
            ("Complete", "again", 0),
            ("Failed", "before", 0),
            ("Failed", "again", 1),
            ("Reconciling", "before", 1),
        ] {
            let status = lightened(condition, Some(request)).status.unwrap();
            assert_eq!(status.objects.len(), kept, "{condition} {request}");
            assert_eq!(status.conditions.len(), 1);
            assert_eq!(status.conditions[0].message.is_empty(), kept == 0);
        }
    }
}
