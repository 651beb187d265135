//! Logs: to standard error, as lines of text or as one flat JSON object a line.

use std::fmt::{self, Write};
use std::io::IsTerminal as _;

use tracing::field::Field;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::LogFormat;

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
        // Fields of the object that a line is about stand beside the line's own: no line repeats one.
        LogFormat::Json => registry
            .with(
                json_subscriber::fmt::layer()
                    .flatten_event(true)
                    .with_current_span(false)
                    .flatten_span_list_on_top_level(true)
                    .with_writer(std::io::stderr),
            )
            .try_init(),
    };
    if let Err(error) = started {
        tracing::debug!(%error, "logging was started before");
    }
}

/// One field in a line of text. A value that isn't plain is escaped: a line stays a line, whoever wrote the value.
fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    if field.name() != "message" {
        write!(writer, "{}=", field.name())?;
    }
    write!(Escaped(writer), "{value:?}")
}

/// Writes control characters, and what turns text around, as Rust would in a literal.
struct Escaped<W>(W);

impl<W: Write> Write for Escaped<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if is_plain(c) {
                self.0.write_char(c)?;
            } else {
                write!(self.0, "{}", c.escape_default())?;
            }
        }
        Ok(())
    }
}

/// Not a control character, a line's or paragraph's end, or one of Unicode's marks of direction.
fn is_plain(c: char) -> bool {
    !(c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_can_not_begin_a_line_of_its_own() {
        let mut line = String::new();
        write!(
            Escaped(&mut line),
            "a\n2026 INFO forged\u{1b}[2J\u{202e} é \"q\""
        )
        .unwrap();
        assert_eq!(line, "a\\n2026 INFO forged\\u{1b}[2J\\u{202e} é \"q\"");
    }
}
