//! Events: one line for people, on change only.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource, ResourceExt as _};

use super::context::Shared;
use super::status::is_not_found;
use crate::api::OutboundDelivery;

/// Bytes of a note; the apiserver takes up to 1,024.
const MAX_NOTE: usize = 1000;

/// What sends Events in the operator's name; `POD_NAME` says which of its pods.
pub(super) fn recorder(client: Client) -> Recorder {
    let reporter = Reporter {
        controller: "outbound-operator".to_owned(),
        instance: variable("POD_NAME"),
    };
    Recorder::new(client, reporter)
}

/// The operator's own Deployment, where `POD_NAMESPACE` and `DEPLOYMENT_NAME` name it.
pub(super) fn own_object() -> Option<ObjectReference> {
    Some(ObjectReference {
        api_version: Some("apps/v1".to_owned()),
        kind: Some("Deployment".to_owned()),
        namespace: Some(variable("POD_NAMESPACE")?),
        name: Some(variable("DEPLOYMENT_NAME")?),
        ..ObjectReference::default()
    })
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Publishes an Event on `object`. A lost Event is logged and never holds up the work.
pub(crate) async fn publish<K>(
    recorder: &Recorder,
    object: &K,
    type_: EventType,
    reason: &str,
    note: &str,
) where
    K: Resource<DynamicType = ()>,
{
    let event = event(type_, reason, note);
    if let Err(error) = recorder.publish(&event, &object.object_ref(&())).await {
        lost(reason, &error);
    }
}

/// Publishes a warning that must be heard: on the delivery, or, where its namespace is going and takes no Event any
/// more, on the operator's own object.
pub(crate) async fn publish_somewhere(
    shared: &Shared,
    delivery: &OutboundDelivery,
    reason: &str,
    note: &str,
) {
    let warning = event(EventType::Warning, reason, note);
    let published = shared
        .recorder
        .publish(&warning, &delivery.object_ref(&()))
        .await;
    let Err(error) = published else {
        return;
    };
    let own = shared.own.as_ref().filter(|_| is_refused(&error));
    let Some(own) = own else {
        return lost(reason, &error);
    };
    let (namespace, name) = (
        delivery.namespace().unwrap_or_default(),
        delivery.name_any(),
    );
    let note = format!("delivery {namespace}/{name}: {note}");
    let warning = event(EventType::Warning, reason, &note);
    if let Err(error) = shared.recorder.publish(&warning, own).await {
        lost(reason, &error);
    }
}

fn event(type_: EventType, reason: &str, note: &str) -> Event {
    Event {
        type_,
        reason: reason.to_owned(),
        note: Some(shorten(note, MAX_NOTE)),
        action: "Reconcile".to_owned(),
        secondary: None,
    }
}

/// What a namespace that is going says (403), and one that is gone (404).
fn is_refused(error: &kube::Error) -> bool {
    is_not_found(error) || matches!(error, kube::Error::Api(status) if status.code == 403)
}

fn lost(reason: &str, error: &kube::Error) {
    tracing::debug!(reason, %error, "an Event was not taken by the apiserver");
}

/// The longest beginning of `text` of at most `bytes` bytes.
fn shorten(text: &str, bytes: usize) -> String {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::shorten;

    #[test]
    fn a_note_is_cut_between_characters() {
        assert_eq!(shorten("abc", 10), "abc");
        assert_eq!(shorten("aé", 2), "a");
    }
}
