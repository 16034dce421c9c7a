//! What probably comes next, in grey: the parameters of the function that is being called.

use rustyline::hint::Hint as Shown;

use super::cursor::{Place, enclosing, look};
use super::manual::Manual;

/// Grey text behind the cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hint {
    pub(super) text: String,
    /// Whether the right arrow takes it over.
    pub(super) is_input: bool,
}

impl Shown for Hint {
    fn display(&self) -> &str {
        &self.text
    }

    fn completion(&self) -> Option<&str> {
        self.is_input.then_some(&self.text)
    }
}

/// The parameters that are still to come, where an argument begins. `callee` names what is called.
pub(super) fn signature(
    manual: &Manual,
    before: &str,
    callee: impl FnOnce(&super::cursor::Cursor<'_>, &super::cursor::Call<'_>) -> Option<String>,
) -> Option<Hint> {
    if !before.trim_end().ends_with(['(', ',']) {
        return None;
    }
    let cursor = look(before);
    if !matches!(cursor.place, Place::Name) {
        return None;
    }
    let call = enclosing(&cursor.before)?;
    let name = callee(&cursor, &call)?;
    // The one that takes the least that is still enough.
    let overloads = manual.overloads(&name);
    let function = overloads
        .filter(|function| function.parameters.len() > call.argument || function.parameters.is_empty())
        .min_by_key(|function| function.parameters.len())?;
    let parameters: Vec<String> = function
        .parameters
        .iter()
        .skip(call.argument)
        .map(|one| format!("{}: {}", one.name, one.kind))
        .collect();
    let gap = if before.ends_with(',') { " " } else { "" };
    Some(Hint {
        text: format!("{gap}{})", parameters.join(", ")),
        is_input: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repl::cursor::Callee;

    fn hint(before: &str) -> Option<String> {
        let hint = signature(&Manual::read(), before, |_, call| match &call.callee {
            Callee::Function(name) => Some(name.clone()),
            Callee::Method(_, name) => Some(format!("Image.{name}")),
        })?;
        assert_eq!(hint.completion(), None);
        Some(hint.text)
    }

    #[test]
    fn the_parameters_to_come_are_hinted_where_an_argument_begins() {
        assert_eq!(hint("let x = fs::read(").as_deref(), Some("path: string)"));
        assert_eq!(hint("image::tag(\"a\",").as_deref(), Some(" name: string)"));
        assert_eq!(hint("i.untag(").as_deref(), Some("name: string)"));
        assert_eq!(hint("fs::copy(\"a\", ").as_deref(), Some("to: string)"));
        assert_eq!(hint("image::list(").as_deref(), Some(")"));
        assert_eq!(hint("é("), None);
        assert_eq!(hint("print(\"a("), None);
    }
}
