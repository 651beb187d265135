//! How deliveries ended, for people. Pure.

use indicatif::HumanBytes;

use super::input::label;
use super::report::columns;
use crate::controllers::{End, Ended, Left};
use crate::text::line;

/// A block for each delivery: how it ended, why, and what stays.
pub(super) fn table(all: &[Ended]) -> String {
    let blocks: Vec<String> = all.iter().map(block).collect();
    blocks.join("\n")
}

fn block(ended: &Ended) -> String {
    let mut text = format!("{}\n", label(&ended.delivery));
    let word = match ended.end {
        End::Delivered => "Complete",
        End::Failed => "Failed",
        End::Held => "Held",
        End::Interrupted => "Interrupted",
        End::GivenUp => "Given up",
    };
    let result = match ended.reason {
        Some(reason) => format!("{word} ({reason})"),
        None => word.to_owned(),
    };
    let mut rows = vec![["Result".to_owned(), result]];
    let status = ended.delivery.status.as_ref();
    if ended.end == End::Delivered {
        let progress = status.and_then(|status| status.progress.clone());
        let progress = progress.unwrap_or_default();
        let bytes = u64::try_from(progress.bytes_total).unwrap_or_default();
        rows.push(["Objects".to_owned(), progress.objects_total.to_string()]);
        rows.push([
            "Bytes".to_owned(),
            format!("{bytes} ({})", HumanBytes(bytes)),
        ]);
        if let Some(receipt) = status.and_then(|status| status.receipt.as_ref()) {
            rows.push(["Receipt".to_owned(), line(&receipt.key)]);
        }
    }
    if !ended.message.is_empty() {
        rows.push(["Message".to_owned(), line(&ended.message)]);
    }
    if let Some(stays) = stays(ended.end, ended.left) {
        rows.push(["Stays".to_owned(), stays]);
    }
    columns(&mut text, &rows);
    text
}

/// What a delivery that isn't complete leaves, and how one goes on.
fn stays(end: End, left: Left) -> Option<String> {
    let then = match end {
        End::Delivered | End::GivenUp => return None,
        End::Failed | End::Held => "repair it and run the same command to go on",
        End::Interrupted => "the same command goes on",
    };
    let Left {
        uploads,
        delivered,
        objects,
    } = left;
    Some(match (objects, uploads) {
        (0, 0) => format!("nothing in the bucket; {then}"),
        (_, 0) => format!("{delivered} of {objects} objects, no upload is open; {then}"),
        _ => format!(
            "{delivered} of {objects} objects, {uploads} open uploads; {then}, with --give-up it aborts them"
        ),
    })
}
