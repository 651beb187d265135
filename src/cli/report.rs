//! What `verify` found, for people, and how tables are set. Pure.

use std::fmt::Write as _;

use serde_json::Value;

use super::input::label;
use crate::api::OutboundDestination;

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

/// A text without control characters: one line, whatever somebody put into it.
pub(super) fn line(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let escaped = c.is_control().then(|| c.escape_default());
            let plain = escaped.is_none().then_some(c);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
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
