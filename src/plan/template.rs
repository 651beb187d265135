//! Templates of keys: plain text with macros in braces.

use std::fmt::Write as _;

use jiff::Timestamp;

/// Bytes in a template. A key has at most 1,024 (S3), and what a template adds to its macros is short.
const MAX_TEMPLATE_BYTES: usize = 1024;

/// The largest time that 13 digits of milliseconds hold: 2286-11-20.
const MAX_TIMESTAMP_MS: i64 = 9_999_999_999_999;

/// A macro that a template may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Macro {
    Stem,
    Split,
    Ext,
    Name,
    Path,
    Date,
    Timestamp,
    Delivery,
    Namespace,
    Destination,
}

/// The macros that need no file: what a receipt's key may hold.
const COMMON: [(&str, Macro); 5] = [
    ("date", Macro::Date),
    ("timestamp", Macro::Timestamp),
    ("delivery", Macro::Delivery),
    ("namespace", Macro::Namespace),
    ("destination", Macro::Destination),
];

/// The macros that speak of one file or one split of it.
const OF_FILE: [(&str, Macro); 5] = [
    ("stem", Macro::Stem),
    ("split", Macro::Split),
    ("ext", Macro::Ext),
    ("name", Macro::Name),
    ("path", Macro::Path),
];

/// Why a template is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateInvalid {
    /// Nothing in it.
    #[error("the template is empty")]
    Empty,
    /// Longer than any key.
    #[error("the template has {0} bytes; at most {MAX_TEMPLATE_BYTES} are allowed")]
    TooLong(usize),
    /// A macro that there isn't, or not here.
    #[error("{{{name}}} is no macro of this template; it may hold {allowed}", name = name.escape_debug())]
    UnknownMacro {
        /// What stands between the braces, cut to a readable length.
        name: String,
        /// The macros that may stand here.
        allowed: &'static str,
    },
    /// `{` without its `}`.
    #[error("the \"{{\" at byte {0} of the template is never closed")]
    Unclosed(usize),
    /// `}` without its `{`.
    #[error("the \"}}\" at byte {0} of the template closes nothing")]
    StrayBrace(usize),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Macro(Macro),
}

/// Which macros a template may hold.
#[derive(Clone, Copy)]
enum Scope {
    File,
    Delivery,
}

impl Scope {
    fn find(self, name: &str) -> Result<Macro, TemplateInvalid> {
        let of_file: &[_] = match self {
            Self::File => &OF_FILE,
            Self::Delivery => &[],
        };
        let mut known = COMMON.iter().chain(of_file);
        known
            .find(|(known, _)| *known == name)
            .map(|(_, found)| *found)
            .ok_or_else(|| TemplateInvalid::UnknownMacro {
                name: name.chars().take(32).collect(),
                allowed: self.allowed(),
            })
    }

    const fn allowed(self) -> &'static str {
        match self {
            Self::File => {
                "{stem} {split} {ext} {name} {path} {date} {timestamp} {delivery} {namespace} {destination}"
            }
            Self::Delivery => "{date} {timestamp} {delivery} {namespace} {destination}",
        }
    }
}

fn parse(template: &str, scope: Scope) -> Result<Vec<Piece>, TemplateInvalid> {
    if template.is_empty() {
        return Err(TemplateInvalid::Empty);
    }
    if template.len() > MAX_TEMPLATE_BYTES {
        return Err(TemplateInvalid::TooLong(template.len()));
    }
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        let position = template.len() - rest.len() + at;
        let (text, brace) = rest.split_at(at);
        if !text.is_empty() {
            pieces.push(Piece::Text(text.to_owned()));
        }
        let Some(inner) = brace.strip_prefix('{') else {
            return Err(TemplateInvalid::StrayBrace(position));
        };
        // A second "{" before the "}" means that the first one was never closed.
        let (name, behind) = match inner.find(['{', '}']) {
            Some(end) if inner[end..].starts_with('}') => (&inner[..end], &inner[end + 1..]),
            _ => return Err(TemplateInvalid::Unclosed(position)),
        };
        pieces.push(Piece::Macro(scope.find(name)?));
        rest = behind;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Ok(pieces)
}

/// The names that macros render.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The delivery's name.
    pub delivery: String,
    /// The namespace of both.
    pub namespace: String,
    /// The destination's name.
    pub destination: String,
}

/// The logical time can't be written as 13 digits of milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the logical time {0} has no 13-digit timestamp: only 1970-01-01 to 2286-11-20 has one")]
pub struct TimestampInvalid(pub Timestamp);

/// What every macro without a file renders.
pub(super) struct Common<'a> {
    pub(super) names: &'a Names,
    pub(super) logical_time: Timestamp,
}

/// The file that a key is rendered for.
pub(super) struct OfFile<'a> {
    /// The folders in front of its name, below the source's own: empty, or ends in `/`.
    pub(super) folders: &'a str,
    /// Its name, without folders.
    pub(super) name: &'a str,
    /// Separator and number; empty for a file that isn't split.
    pub(super) split: &'a str,
}

/// The name without its extension, and the extension with its dot. A leading dot begins a name, not
/// an extension.
fn stem_and_ext(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(at) if at > 0 => name.split_at(at),
        _ => (name, ""),
    }
}

fn timestamp(time: Timestamp) -> Result<String, TimestampInvalid> {
    let ms = time.as_millisecond();
    if (0..=MAX_TIMESTAMP_MS).contains(&ms) {
        Ok(format!("{ms:013}"))
    } else {
        Err(TimestampInvalid(time))
    }
}

fn render(
    pieces: &[Piece],
    common: &Common<'_>,
    file: &OfFile<'_>,
) -> Result<String, TimestampInvalid> {
    let mut key = String::new();
    let (stem, ext) = stem_and_ext(file.name);
    for piece in pieces {
        match piece {
            Piece::Text(text) => key.push_str(text),
            Piece::Macro(Macro::Stem) => key.push_str(stem),
            Piece::Macro(Macro::Split) => key.push_str(file.split),
            Piece::Macro(Macro::Ext) => key.push_str(ext),
            Piece::Macro(Macro::Name) => key.push_str(file.name),
            Piece::Macro(Macro::Path) => key.push_str(file.folders),
            Piece::Macro(Macro::Delivery) => key.push_str(&common.names.delivery),
            Piece::Macro(Macro::Namespace) => key.push_str(&common.names.namespace),
            Piece::Macro(Macro::Destination) => key.push_str(&common.names.destination),
            Piece::Macro(Macro::Timestamp) => key.push_str(&timestamp(common.logical_time)?),
            Piece::Macro(Macro::Date) => {
                // Writing to a String can't fail.
                let _ = write!(key, "{}", common.logical_time.strftime("%Y-%m-%d"));
            }
        }
    }
    Ok(key)
}

/// The template of the objects' keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyTemplate(Vec<Piece>);

impl KeyTemplate {
    /// What applies when a delivery names no template.
    pub const DEFAULT: &'static str = "{stem}{split}{ext}";

    /// Takes a template with any macro.
    ///
    /// # Errors
    /// When it is empty or too long, when a brace has no partner, and for a macro that there isn't.
    pub fn parse(template: &str) -> Result<Self, TemplateInvalid> {
        parse(template, Scope::File).map(Self)
    }

    pub(super) fn render(
        &self,
        common: &Common<'_>,
        file: &OfFile<'_>,
    ) -> Result<String, TimestampInvalid> {
        render(&self.0, common, file)
    }

    /// Whether the template's own text ends so. What a macro renders doesn't count: a file that happens to be
    /// called `a.csv.gz` is compressed once more, and its key should say so.
    pub(super) fn closes_with(&self, suffix: &str) -> bool {
        matches!(self.0.last(), Some(Piece::Text(text)) if text.ends_with(suffix))
    }
}

/// The template of the receipt's key: no macro that speaks of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptTemplate(Vec<Piece>);

impl ReceiptTemplate {
    /// What applies when a delivery names no template.
    pub const DEFAULT: &'static str = "{delivery}.info";

    /// Takes a template with the macros `{date} {timestamp} {delivery} {namespace} {destination}`.
    ///
    /// # Errors
    /// As [`KeyTemplate::parse`], and for a macro that needs a file.
    pub fn parse(template: &str) -> Result<Self, TemplateInvalid> {
        parse(template, Scope::Delivery).map(Self)
    }

    pub(super) fn render(&self, common: &Common<'_>) -> Result<String, TimestampInvalid> {
        // No macro of a receipt reads these.
        let no_file = OfFile {
            folders: "",
            name: "",
            split: "",
        };
        render(&self.0, common, &no_file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names {
            delivery: "acme-2026".into(),
            namespace: "marketing".into(),
            destination: "acme".into(),
        }
    }

    fn rendered(template: &str, name: &str, split: &str, time: &str) -> String {
        let names = names();
        let common = Common {
            names: &names,
            logical_time: time.parse().unwrap(),
        };
        let template = KeyTemplate::parse(template).unwrap();
        let file = OfFile {
            folders: "x/y/",
            name,
            split,
        };
        template.render(&common, &file).unwrap()
    }

    #[test]
    fn every_macro_renders() {
        let time = "2026-11-24T00:00:00Z";
        for (template, expected) in [
            ("{stem}{split}{ext}", "a.b-001.csv"),
            ("{name}", "a.b.csv"),
            ("{path}{stem}{split}{ext}", "x/y/a.b-001.csv"),
            ("{date}/{timestamp}", "2026-11-24/1795478400000"),
            (
                "{namespace}/{destination}/{delivery}",
                "marketing/acme/acme-2026",
            ),
            ("plain é", "plain é"),
            ("x{stem}y", "xa.by"),
        ] {
            assert_eq!(rendered(template, "a.b.csv", "-001", time), expected);
        }
    }

    #[test]
    fn times_are_utc_and_thirteen_digits() {
        let template = "{date} {timestamp}";
        let render = |time| rendered(template, "a", "", time);
        assert_eq!(
            render("2026-11-24T01:30:00+02:00"),
            "2026-11-23 1795476600000"
        );
        assert_eq!(
            render("1970-01-01T00:00:00.007Z"),
            "1970-01-01 0000000000007"
        );
        let names = names();
        for time in ["1969-12-31T23:59:59Z", "2286-11-20T17:46:40Z"] {
            let common = Common {
                names: &names,
                logical_time: time.parse().unwrap(),
            };
            let receipt = ReceiptTemplate::parse("{timestamp}").unwrap();
            assert_eq!(
                receipt.render(&common),
                Err(TimestampInvalid(common.logical_time))
            );
            let receipt = ReceiptTemplate::parse("{date}").unwrap();
            assert!(receipt.render(&common).is_ok());
        }
    }

    #[test]
    fn an_extension_is_the_last_and_never_the_leading_dot() {
        for (name, expected) in [
            ("a.csv", ("a", ".csv")),
            ("a.tar.gz", ("a.tar", ".gz")),
            (".bashrc", (".bashrc", "")),
            (".a.csv", (".a", ".csv")),
            ("plain", ("plain", "")),
            ("a.", ("a", ".")),
            ("", ("", "")),
        ] {
            assert_eq!(stem_and_ext(name), expected, "{name:?}");
        }
    }

    #[test]
    fn braces_and_unknown_macros_are_refused() {
        for (template, expected) in [
            ("", TemplateInvalid::Empty),
            ("a{stem", TemplateInvalid::Unclosed(1)),
            ("{{stem}}", TemplateInvalid::Unclosed(0)),
            ("{", TemplateInvalid::Unclosed(0)),
            ("{stem}}", TemplateInvalid::StrayBrace(6)),
            ("}", TemplateInvalid::StrayBrace(0)),
        ] {
            assert_eq!(KeyTemplate::parse(template), Err(expected), "{template:?}");
        }
        for unknown in ["{Stem}", "{}", "{ stem}", "{folder}"] {
            let refused = KeyTemplate::parse(unknown);
            assert!(
                matches!(refused, Err(TemplateInvalid::UnknownMacro { .. })),
                "{unknown:?}"
            );
        }
        let long = KeyTemplate::parse(&"x".repeat(1025));
        assert_eq!(long, Err(TemplateInvalid::TooLong(1025)));
        assert!(KeyTemplate::parse(KeyTemplate::DEFAULT).is_ok());
        assert!(ReceiptTemplate::parse(ReceiptTemplate::DEFAULT).is_ok());
    }

    #[test]
    fn a_receipt_has_no_macro_of_a_file() {
        for of_file in ["{stem}", "{split}", "{ext}", "{name}", "{path}"] {
            let refused = ReceiptTemplate::parse(of_file).unwrap_err().to_string();
            assert!(refused.contains("{delivery}"), "{refused}");
            assert!(KeyTemplate::parse(of_file).is_ok());
        }
        let message = KeyTemplate::parse("{\u{1b}}").unwrap_err().to_string();
        assert!(message.starts_with("{\\u{1b}} is no macro"), "{message}");
    }
}
