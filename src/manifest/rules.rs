//! The CRD's CEL rules, evaluated here by kube's evaluator. A rule that can't be evaluated refuses: none is skipped.

use std::collections::BTreeSet;
use std::sync::Mutex;

use kube::core::cel::{CompiledSchema, ErrorKind, Validator, compile_schema};
use serde_json::Value;

/// The compiled rules of one schema.
pub(super) struct Rules {
    compiled: CompiledSchema,
    /// The evaluator may be moved between threads, not shared by them.
    evaluator: Mutex<Validator>,
}

impl Rules {
    pub(super) fn of(schema: &Value) -> Self {
        Self {
            compiled: compile_schema(schema),
            evaluator: Mutex::new(Validator::new()),
        }
    }

    /// Tells of each rule that the object, as it would be created, breaks. Of a value in which something is `broken`
    /// by form no rule is asked: it would say nothing, or nothing true.
    pub(super) fn check(
        &self,
        object: &Value,
        broken: &BTreeSet<String>,
        refuse: &mut dyn FnMut(&str, String),
    ) {
        let evaluator = self.evaluator.lock();
        let evaluator = evaluator.unwrap_or_else(std::sync::PoisonError::into_inner);
        let Err(errors) = evaluator.validate_compiled(&self.compiled, object, None) else {
            return;
        };
        for error in errors {
            if broken.iter().any(|path| is_within(path, &error.field_path)) {
                continue;
            }
            let message = match error.kind {
                ErrorKind::ValidationFailure => error.message,
                _ => format!(
                    "the rule {:?} can't be evaluated here ({}), so nothing is taken; kubectl apply --dry-run=server evaluates it",
                    error.rule, error.message
                ),
            };
            refuse(&error.field_path, message);
        }
    }

    #[cfg(test)]
    pub(super) fn compiled(&self) -> &CompiledSchema {
        &self.compiled
    }
}

/// Whether the field at `path` is `of`, or within it.
fn is_within(path: &str, of: &str) -> bool {
    let Some(rest) = path.strip_prefix(of) else {
        return false;
    };
    of.is_empty() || rest.is_empty() || rest.starts_with(['.', '['])
}
