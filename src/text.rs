//! What somebody else wrote, fit for one line of a log or a terminal.

use std::fmt::{self, Write};

/// `text` in one line, whatever somebody put into it: see [`OneLine`].
pub(crate) fn line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    // Writing to a String can't fail.
    let _ = OneLine(&mut line).write_str(text);
    line
}

/// Writes control characters, and what ends lines or turns text around, as Rust would in a literal.
pub(crate) struct OneLine<W>(pub(crate) W);

impl<W: Write> Write for OneLine<W> {
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

/// Not a control character, a line's or paragraph's end, or one of Unicode's marks of direction (`Bidi_Control`).
fn is_plain(c: char) -> bool {
    let ends = matches!(c, '\u{2028}' | '\u{2029}');
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !(c.is_control() || ends || turns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_can_not_begin_a_line_of_its_own() {
        assert_eq!(
            line("a\n2026 INFO forged\u{1b}[2J\u{202e}\u{2028}\u{61c} é \"q\""),
            "a\\n2026 INFO forged\\u{1b}[2J\\u{202e}\\u{2028}\\u{61c} é \"q\""
        );
    }
}
