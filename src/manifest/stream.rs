//! From a text to objects: documents, lists, kinds.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::schema::CustomSchema;
use super::{Manifests, Mistake, Mistakes, builtin, metadata};
use crate::api::GROUP;
use crate::yaml;

/// What the documents so far brought.
pub(super) struct Collected<'a> {
    /// The namespace that was asked for.
    asked: Option<&'a str>,
    manifests: Manifests,
    mistakes: Vec<Mistake>,
    /// Kind, namespace and name of each object, to find one that is there twice.
    seen: BTreeSet<[String; 3]>,
}

/// Where an object stands: its file, the document, and the item within a List.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    file: &'a str,
    document: usize,
    item: Option<usize>,
}

impl Place<'_> {
    /// What is wrong with the field at `path`; an empty path is the whole object.
    pub(super) fn mistake(self, path: &str, message: impl Into<String>) -> Mistake {
        let Self { file, document, .. } = self;
        let item = self.item.map(|item| format!("items[{item}]"));
        let path = match (item, path) {
            (None, path) => path.to_owned(),
            (Some(item), "") => item,
            (Some(item), path) => format!("{item}.{path}"),
        };
        let field = if path.is_empty() {
            String::new()
        } else {
            format!(", {path}")
        };
        Mistake {
            place: format!("{file}, document {document}{field}: "),
            message: message.into(),
        }
    }
}

impl<'a> Collected<'a> {
    pub(super) fn new(asked: Option<&'a str>) -> Self {
        Self {
            asked,
            manifests: Manifests::default(),
            mistakes: Vec::new(),
            seen: BTreeSet::new(),
        }
    }

    pub(super) fn refuse(&mut self, mistake: Mistake) {
        self.mistakes.push(mistake);
    }

    pub(super) fn finish(self) -> Result<Manifests, Mistakes> {
        if self.mistakes.is_empty() {
            Ok(self.manifests)
        } else {
            Err(Mistakes(self.mistakes))
        }
    }

    /// Reads every document of a text.
    pub(super) fn read(&mut self, file: &str, text: &str) {
        for (index, document) in yaml::documents(text).enumerate() {
            let place = Place {
                file,
                document: index + 1,
                item: None,
            };
            match document {
                Ok(Value::Null) => {}
                Ok(document) => self.document(place, document, text),
                Err(error) => self.refuse(place.mistake("", error.to_string())),
            }
        }
    }

    /// An object, or a List of objects.
    fn document(&mut self, place: Place<'_>, document: Value, text: &str) {
        let kind = document["kind"].as_str().unwrap_or_default();
        let is_list = kind.ends_with("List") && document["items"].is_array();
        if !is_list || place.item.is_some() {
            return self.object(place, document, text);
        }
        let items = document["items"].as_array().cloned().unwrap_or_default();
        for (item, object) in items.into_iter().enumerate() {
            let place = Place {
                item: Some(item),
                ..place
            };
            self.document(place, object, text);
        }
    }

    fn object(&mut self, place: Place<'_>, mut object: Value, text: &str) {
        let word = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
        let (version, kind) = (word("apiVersion"), word("kind"));
        for (field, word) in [("apiVersion", &version), ("kind", &kind)] {
            if word.is_empty() {
                self.refuse(place.mistake(field, "Required value"));
            }
        }
        if version.is_empty() || kind.is_empty() {
            return;
        }
        let custom = CustomSchema::of(&kind).filter(|_| version.starts_with(GROUP));
        let known = custom.is_some() || builtin::is_known(&version, &kind);
        if !known && (version.split('/').next() == Some(GROUP)) && kind != "OutboundLedger" {
            let message = format!("there is no kind {kind:?} in {version:?}");
            return self.refuse(place.mistake("kind", message));
        }
        if !known {
            let note = place.mistake("", format!("{kind:?} of {version:?} is left aside"));
            return self.manifests.notes.push(note.to_string());
        }
        let before = self.mistakes.len();
        traps(&object, "", text, &mut |path, message| {
            self.mistakes.push(place.mistake(path, message));
        });
        let mut refuse = |path: &str, message: String| {
            self.mistakes.push(place.mistake(path, message));
        };
        metadata::check(&mut object, self.asked, &mut refuse);
        match custom {
            Some(schema) => schema.check(&mut object, &version, &mut refuse),
            None => builtin::check(&kind, &object, &mut refuse),
        }
        // The evaluator goes through an object's fields in an order of its own.
        self.mistakes[before..].sort_by(|a, b| a.place.cmp(&b.place));
        if self.mistakes.len() == before {
            self.take(place, &kind, object);
        }
    }

    /// Takes an object in which nothing is wrong.
    fn take(&mut self, place: Place<'_>, kind: &str, object: Value) {
        let word = |field: &str| {
            let word = object["metadata"][field].as_str();
            word.unwrap_or_default().to_owned()
        };
        let (namespace, name) = (word("namespace"), word("name"));
        if !self.seen.insert([kind.to_owned(), namespace, name.clone()]) {
            let message = format!("{kind} {name} is there twice in this namespace");
            return self.refuse(place.mistake("metadata.name", message));
        }
        let taken = match kind {
            "OutboundDestination" => {
                typed(object).map(|object| self.manifests.destinations.push(object))
            }
            "OutboundDelivery" => {
                typed(object).map(|object| self.manifests.deliveries.push(object))
            }
            "Secret" => typed(object)
                .map(builtin::with_string_data)
                .map(|object| self.manifests.secrets.push(object)),
            _ => typed(object).map(|object| self.manifests.config_maps.push(object)),
        };
        if let Err(error) = taken {
            self.refuse(place.mistake("", error));
        }
    }
}

/// The object as its type; what the error says of values is kept back where they may be secret.
fn typed<T: DeserializeOwned>(object: Value) -> Result<T, String> {
    let secret = object["kind"] == "Secret";
    serde_json::from_value(object).map_err(|error| {
        if secret {
            "the Secret can't be read as one".to_owned()
        } else {
            error.to_string()
        }
    })
}

/// Finds plain words that are a boolean or a number to kubectl (YAML 1.1) and a text here (YAML 1.2), such as
/// `bucketOwner: 011122223333`: they must be quoted, or the apiserver would see something else.
fn traps(value: &Value, path: &str, text: &str, refuse: &mut dyn FnMut(&str, String)) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                traps(member, &join(path, name), text, refuse);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                traps(item, &format!("{path}[{index}]"), text, refuse);
            }
        }
        Value::String(word) => {
            let quoted = |quote: char| text.contains(&format!("{quote}{word}{quote}"));
            if let Some(what) = trap(word)
                && !quoted('"')
                && !quoted('\'')
            {
                refuse(path, what.to_owned());
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn trap(word: &str) -> Option<&'static str> {
    const BOOLEANS: [&str; 6] = ["y", "yes", "on", "n", "no", "off"];
    let same_case = |known: &str| {
        let capitalised = known[..1].to_uppercase() + &known[1..];
        word == known || word == known.to_uppercase() || word == capitalised
    };
    let digits = word.strip_prefix(['-', '+']).unwrap_or(word);
    let number = digits.len() > 1
        && digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    if BOOLEANS.iter().any(|known| same_case(known)) {
        Some(
            "a plain yes or no is a boolean to kubectl: quote it where it must be of type string, else write true or false",
        )
    } else if number {
        Some("plain digits are a number to kubectl: quote them where they must be of type string")
    } else {
        None
    }
}

/// The path of a member.
pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}
