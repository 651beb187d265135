//! What `verify` found, for people, and how tables are set. Pure.

use std::fmt::Write as _;

use serde_json::Value;

use super::input::label;
use crate::api::OutboundDestination;
use crate::text::line;

/// A block for each destination: the verdict, what was learned of the store, and the permissions.
pub(super) fn table(objects: &[OutboundDestination]) -> String {
    let blocks: Vec<String> = objects.iter().map(block).collect();
    blocks.join("\n")
}

fn block(destination: &OutboundDestination) -> String {
    let status = serde_json::to_value(&destination.status).unwrap_or_default();
    let mut text = format!("{}\n", label(destination));
    let mut rows = vec![];
    for type_ in ["Ready", "AccessVerified", "TrustVerified"] {
        if let Some(condition) = condition(&status, type_) {
            let reason = format!(
                "{} ({})",
                word(&condition["status"]),
                word(&condition["reason"])
            );
            rows.push([type_.to_owned(), reason]);
        }
    }
    rows.extend(
        [
            ("Region", word(&status["effective"]["region"])),
            ("ACL", word(&status["effective"]["acl"])),
            ("Addressing", word(&status["effective"]["addressing"])),
            ("Checksum", word(&status["capabilities"]["checksum"])),
            (
                "Verification",
                word(&status["capabilities"]["verification"]),
            ),
            (
                "If-None-Match",
                word(&status["capabilities"]["conditionalWrite"]),
            ),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| [name.to_owned(), value]),
    );
    if let Some(ready) = condition(&status, "Ready") {
        rows.push(["Message".to_owned(), word(&ready["message"])]);
    }
    columns(&mut text, &rows);
    if let Some(permissions) = status["permissions"].as_array() {
        let head = ["PERMISSION", "RESULT", "BY", "MESSAGE"].map(str::to_owned);
        let mut rows = vec![head];
        rows.extend(permissions.iter().map(|permission| {
            ["action", "result", "by", "message"].map(|field| word(&permission[field]))
        }));
        text.push('\n');
        columns(&mut text, &rows);
    }
    text
}

fn condition<'a>(status: &'a Value, type_: &str) -> Option<&'a Value> {
    let conditions = status["conditions"].as_array()?;
    conditions
        .iter()
        .find(|condition| condition["type"] == type_)
}

/// One line of text, whatever a store put into it.
fn word(value: &Value) -> String {
    line(value.as_str().unwrap_or_default())
}

/// Adds rows whose cells stand below each other.
pub(super) fn columns<const N: usize>(text: &mut String, rows: &[[String; N]]) {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..N)
        .map(|column| width(column).unwrap_or_default())
        .collect();
    for row in rows {
        let cells = row.iter().zip(&widths);
        let line: String = cells.fold(String::from(" "), |mut line, (cell, width)| {
            // Writing into a String can't fail.
            let _ = write!(line, " {cell:<width$} ");
            line
        });
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_store_wrote_stays_in_its_cell() {
        let said = "no\n  Ready  True\u{1b}[2J\u{202e}eurT\u{2028}é";
        let destination: OutboundDestination = serde_json::from_value(json!({
            "apiVersion": "outbound.dev/v1alpha1",
            "kind": "OutboundDestination",
            "metadata": {"namespace": "n", "name": "d"},
            "spec": {"bucket": "b-1", "permissionMode": "CrossAccount"},
            "status": {
                "observedGeneration": 1,
                "conditions": [{
                    "type": "Ready",
                    "status": "False",
                    "observedGeneration": 1,
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                    "reason": "AccessDenied",
                    "message": said,
                }],
                "permissions": [
                    {"action": "s3:PutObject", "result": "Denied", "by": "Customer", "message": said},
                ],
            },
        }))
        .unwrap();
        let text = table(&[destination]);
        let cell = "no\\n  Ready  True\\u{1b}[2J\\u{202e}eurT\\u{2028}é";
        assert_eq!(text.matches(cell).count(), 2, "{text}");
        let lines: Vec<&str> = text.lines().collect();
        // The label, the condition and its message; a blank line; the head and one permission.
        assert_eq!(lines.len(), 6, "{text}");
        let bad = ['\u{1b}', '\u{202e}', '\u{2028}'];
        assert!(!text.contains(bad), "{text}");
    }
}
