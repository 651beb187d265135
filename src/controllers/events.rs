//! Events: one line for people, on change only.

use kube::Resource;
use kube::runtime::events::{Event, EventType, Recorder};

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
    let event = Event {
        type_,
        reason: reason.to_owned(),
        // The apiserver takes notes of up to 1,024 bytes.
        note: Some(shorten(note, 1000)),
        action: "Reconcile".to_owned(),
        secondary: None,
    };
    if let Err(error) = recorder.publish(&event, &object.object_ref(&())).await {
        tracing::debug!(%reason, %error, "an Event was not taken by the apiserver");
    }
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
