//! Says who began an upload, as AWS's ListMultipartUploads does and versitygw's doesn't.

use std::sync::{Arc, Mutex};

use bytes::Bytes;

/// The `ID` of an upload's initiator, by the upload's id.
pub(super) type Names = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// Who is named; nobody at first.
#[derive(Default)]
pub(super) struct Initiators(Mutex<Option<Names>>);

impl Initiators {
    pub(super) fn set(&self, names: Names) {
        *self.0.lock().expect("no panic in a proxy") = Some(names);
    }

    /// The answer to a ListMultipartUploads with each upload's initiator in it.
    pub(super) fn put_in(&self, answer: Bytes) -> Bytes {
        let names = self.0.lock().expect("no panic in a proxy").clone();
        let Some(names) = names else {
            return answer;
        };
        let text = String::from_utf8_lossy(&answer);
        let mut parts = text.split("<Upload>");
        let mut all = parts.next().unwrap_or_default().to_owned();
        for upload in parts {
            let id = between(upload, "<UploadId>", "</UploadId>").unwrap_or_default();
            let mut upload = upload.to_owned();
            if let Some(nobody) = between(&upload, "<Initiator>", "</Initiator>") {
                let nobody = format!("<Initiator>{nobody}</Initiator>");
                upload = upload.replace(&nobody, "");
            }
            let id = names(id);
            all += &format!("<Upload><Initiator><ID>{id}</ID></Initiator>{upload}");
        }
        all.into()
    }
}

fn between<'a>(text: &'a str, open: &str, close: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(open)?;
    rest.split_once(close).map(|(inner, _)| inner)
}
