//! Logs: to standard error, as lines of text or as one flat JSON object a line.

use std::fmt::{self, Write as _};
use std::io::IsTerminal as _;

use jiff::Timestamp;
use serde_json::{Map, Value};
use tracing::field::Field;
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::format::{JsonFields, Writer, debug_fn};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::{LookupSpan, Scope};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::LogFormat;
use crate::text::OneLine;

/// What is logged when `RUST_LOG` says nothing.
const DEFAULT_FILTER: &str = "info";

/// Starts logging for the process, filtered by `RUST_LOG`; without a format as text on a terminal and as JSON elsewhere.
/// A second call changes nothing.
pub fn start_logging(format: Option<LogFormat>) {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let registry = tracing_subscriber::registry().with(filter);
    let is_terminal = std::io::stderr().is_terminal();
    let format = format.unwrap_or(if is_terminal {
        LogFormat::Text
    } else {
        LogFormat::Json
    });
    let started = match format {
        LogFormat::Text => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .fmt_fields(debug_fn(write_field).delimited(" "))
                    .with_ansi(is_terminal)
                    .with_writer(std::io::stderr),
            )
            .try_init(),
        LogFormat::Json => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .fmt_fields(JsonFields::new())
                    .event_format(FlatJson)
                    .with_writer(std::io::stderr),
            )
            .try_init(),
    };
    if let Err(error) = started {
        tracing::debug!(%error, "logging was started before");
    }
}

/// One JSON object a line, in which the fields of the object that a line is about stand beside the line's own:
/// tracing-subscriber's own form nests them, and a span's `name` isn't ours.
struct FlatJson;

impl<S, N> FormatEvent<S, N> for FlatJson
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Map::new();
        for span in context.event_scope().into_iter().flat_map(Scope::from_root) {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>() {
                take_in(&mut line, &fields.fields);
            }
        }
        let mut own = String::new();
        context.format_fields(Writer::new(&mut own), event)?;
        take_in(&mut line, &own);
        let metadata = event.metadata();
        for (key, value) in [
            ("timestamp", Timestamp::now().to_string()),
            ("level", metadata.level().to_string()),
            ("target", metadata.target().to_owned()),
        ] {
            line.insert(key.to_owned(), Value::String(value));
        }
        writeln!(writer, "{}", Value::Object(line))
    }
}

/// Adds fields, which are a JSON object in text, to those of a line; what is there already is replaced.
fn take_in(line: &mut Map<String, Value>, fields: &str) {
    match serde_json::from_str(fields) {
        Ok(Value::Object(fields)) => line.extend(fields),
        // None, or what never comes.
        _ if fields.is_empty() => {}
        _ => drop(line.insert("fields".to_owned(), Value::String(fields.to_owned()))),
    }
}

/// One field in a line of text. A value that isn't plain is escaped: a line stays a line, whoever wrote the value.
fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    if field.name() != "message" {
        write!(writer, "{}=", field.name())?;
    }
    write!(OneLine(writer), "{value:?}")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// What is logged in `work` as JSON.
    fn logged(work: impl FnOnce()) -> Vec<Value> {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let layer = tracing_subscriber::fmt::layer()
            .fmt_fields(JsonFields::new())
            .event_format(FlatJson)
            .with_writer(file.clone());
        let registry = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(registry, work);
        std::io::Seek::rewind(&mut &*file).unwrap();
        let text = std::io::read_to_string(&*file).unwrap();
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn a_spans_fields_stand_beside_the_lines_own_which_win() {
        let lines = logged(|| {
            tracing::info!("alone");
            let _outer = tracing::error_span!("object", name = "acme", generation = 1).entered();
            let _inner = tracing::error_span!("part", number = 2).entered();
            tracing::info!(generation = 3, why = "a\nb", level = "x", "said");
        });
        assert_eq!(lines[0]["message"], "alone");
        let said = &lines[1];
        let found = ["name", "number", "generation", "why", "message", "level"].map(|it| &said[it]);
        let wanted = serde_json::json!(["acme", 2, 3, "a\nb", "said", "INFO"]);
        assert_eq!(serde_json::to_value(found).unwrap(), wanted);
        assert!(said["target"].is_string() && said["timestamp"].is_string());
    }
}
