//! What is documented, as completion asks for it.

use std::collections::{BTreeMap, BTreeSet};

use crate::bindings::NAMESPACES;
use crate::script::catalogue::catalogue;
use crate::script::docs::{Function, Use};

/// Functions that every object has.
const COMMON: [&str; 4] = ["to_debug", "to_json", "to_map", "to_string"];

/// A member of a module or a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Member<'a> {
    pub(super) name: &'a str,
    /// Whether it takes arguments in brackets.
    pub(super) is_call: bool,
}

/// The catalogue by qualified names.
pub(super) struct Manual {
    functions: &'static [Function],
    /// Places in `functions`, in the order of arity; those of the bindings come first.
    by_name: BTreeMap<String, Vec<usize>>,
}

impl Manual {
    pub(super) fn read() -> Manual {
        let functions = catalogue().functions();
        let mut by_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (place, function) in functions.iter().enumerate() {
            by_name.entry(function.qualified_name()).or_default().push(place);
        }
        Manual { functions, by_name }
    }

    /// The overloads of a function, by its qualified name.
    pub(super) fn overloads(&self, name: &str) -> impl Iterator<Item = &Function> {
        let places = self.by_name.get(name).into_iter().flatten();
        places.map(|place| &self.functions[*place])
    }

    /// What a function or getter returns, as scripts call it.
    pub(super) fn returns(&self, name: &str) -> Option<&str> {
        self.overloads(name).next().map(|function| function.returns.as_str())
    }

    /// Whether anything is known of a type.
    #[cfg(test)]
    pub(super) fn has_type(&self, kind: &str) -> bool {
        self.of_type(Some(kind)).next().is_some()
    }

    fn of_type<'a>(&'a self, kind: Option<&'a str>) -> impl Iterator<Item = &'a Function> {
        let fits = move |function: &&Function| match (&function.usage, kind) {
            (Use::Method(own) | Use::Getter(own), Some(kind)) => own == kind,
            (Use::Method(_) | Use::Getter(_), None) => true,
            _ => false,
        };
        // Of a value whose type is not known the language's own methods would be most, and least likely.
        let is_likely = move |function: &&Function| kind.is_some() || function.group != "language";
        self.functions.iter().filter(is_likely).filter(fits)
    }

    /// The methods and getters of a type; of all types where it is not known.
    pub(super) fn methods<'a>(&'a self, kind: Option<&'a str>) -> BTreeSet<Member<'a>> {
        let mut found: BTreeSet<Member<'_>> = self.of_type(kind).map(member).collect();
        let is_object = kind.is_none_or(|kind| crate::bindings::objects().iter().any(|shape| shape.name == kind));
        if is_object {
            found.extend(COMMON.map(|name| Member { name, is_call: true }));
        }
        found
    }

    /// The functions of a module.
    pub(super) fn members<'a>(&'a self, module: &'a str) -> BTreeSet<Member<'a>> {
        let is_own = |function: &&Function| matches!(&function.usage, Use::Namespace(own) if own == module);
        self.functions.iter().filter(is_own).map(member).collect()
    }

    /// The functions that need no module.
    pub(super) fn globals(&self) -> BTreeSet<Member<'_>> {
        let globals = self.functions.iter().filter(|function| function.usage == Use::Global);
        globals.map(member).collect()
    }

    /// All that has a manual of its own: modules, types and functions.
    pub(super) fn topics(&self) -> BTreeSet<&str> {
        let modules = NAMESPACES.iter().map(|group| group.name);
        let types = crate::bindings::objects().iter().map(|shape| shape.name);
        modules
            .chain(types)
            .chain(self.by_name.keys().map(String::as_str))
            .collect()
    }
}

fn member(function: &Function) -> Member<'_> {
    Member {
        name: &function.name,
        is_call: !matches!(function.usage, Use::Getter(_)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_those_of_the_bindings_and_of_the_language() {
        let manual = Manual::read();
        let names = |kind: Option<&str>| -> Vec<String> {
            manual
                .methods(kind)
                .iter()
                .map(|member| member.name.to_owned())
                .collect()
        };
        for (kind, name) in [
            ("Image", "tag"),
            ("Image", "size"),
            ("Image", "to_json"),
            ("array", "join"),
            ("array", "push"),
            ("array", "len"),
            ("string", "to_upper"),
            ("map", "keys"),
            ("number", "mib"),
        ] {
            assert!(
                names(Some(kind)).iter().any(|own| own == name),
                "{kind} {name}: {:?}",
                names(Some(kind))
            );
        }
        assert!(
            !names(Some("Image"))
                .iter()
                .any(|own| own == "push_back" || own == "stop")
        );
        assert!(names(None).iter().any(|own| own == "stop"));
        assert_eq!(manual.returns("image::get"), Some("Image"));
        assert_eq!(manual.returns("array.len"), Some("number"));
        assert_eq!(manual.overloads("image::pull").count(), 2);
        assert!(manual.topics().contains("Image") && manual.topics().contains("image::pull"));
    }
}
