//! Events: one line for people, on change only.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource, ResourceExt as _};

use super::context::Shared;
use super::status::is_not_found;
use crate::api::{DeliveryReason, DestinationReason, EventReason, OutboundDelivery};

/// Bytes of a note; the apiserver takes up to 1,024.
const MAX_NOTE: usize = 1000;

/// The reason of an Event: made of a reason that the documentation explains, and of nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word(&'static str);

impl From<DestinationReason> for Word {
    fn from(reason: DestinationReason) -> Self {
        Self(reason.as_str())
    }
}

impl From<DeliveryReason> for Word {
    fn from(reason: DeliveryReason) -> Self {
        Self(reason.as_str())
    }
}

impl From<EventReason> for Word {
    fn from(reason: EventReason) -> Self {
        Self(reason.as_str())
    }
}

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
    reason: impl Into<Word>,
    note: &str,
) where
    K: Resource<DynamicType = ()>,
{
    let reason = reason.into();
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
    reason: EventReason,
    note: &str,
) {
    let reason = Word::from(reason);
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

fn event(type_: EventType, reason: Word, note: &str) -> Event {
    Event {
        type_,
        reason: reason.0.to_owned(),
        note: Some(shorten(note, MAX_NOTE)),
        action: "Reconcile".to_owned(),
        secondary: None,
    }
}

/// What a namespace that is going says (403), and one that is gone (404).
fn is_refused(error: &kube::Error) -> bool {
    is_not_found(error) || matches!(error, kube::Error::Api(status) if status.code == 403)
}

fn lost(reason: Word, error: &kube::Error) {
    tracing::debug!(reason = reason.0, %error, "an Event was not taken by the apiserver");
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
    use super::*;
    use crate::api::reasons_page;

    /// The page's words are all that a [`Word`] can be made of.
    #[test]
    fn every_word_of_an_event_is_on_the_page_of_reasons() {
        let of_destinations = DestinationReason::ALL.iter().copied().map(Word::from);
        let of_deliveries = DeliveryReason::ALL.iter().copied().map(Word::from);
        let of_events = EventReason::ALL.iter().copied().map(Word::from);
        let page = reasons_page();
        for word in of_destinations.chain(of_deliveries).chain(of_events) {
            assert!(page.contains(&format!("\n| `{}` |", word.0)), "{word:?}");
        }
    }

    #[test]
    fn a_note_is_cut_between_characters() {
        assert_eq!(shorten("abc", 10), "abc");
        assert_eq!(shorten("aé", 2), "a");
    }
}
