//! All functions by name, ours and the language's: what checking, completion and messages look names up in.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use super::docs::{self, Function, Use};
use crate::bindings::NAMESPACES;
use crate::model::{known_as, suggest};

/// Functions that every value has, of whatever type.
const COMMON: [&str; 4] = ["to_string", "to_debug", "to_json", "to_map"];
/// Words that are called like functions and belong to the interpreter itself.
const BUILT_IN: [&str; 10] = [
    "print",
    "debug",
    "type_of",
    "eval",
    "Fn",
    "call",
    "curry",
    "is_shared",
    "is_def_var",
    "is_def_fn",
];

/// Every function there is, read once.
pub struct Catalogue {
    functions: Vec<Function>,
    named: HashMap<String, Vec<usize>>,
}

/// The functions of this program. The first call reads the metadata of all of them.
pub fn catalogue() -> &'static Catalogue {
    static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| {
        let functions = [docs::functions(), docs::language()].concat();
        let mut named: HashMap<String, Vec<usize>> = HashMap::new();
        for (at, function) in functions.iter().enumerate() {
            named.entry(function.name.clone()).or_default().push(at);
        }
        Catalogue { functions, named }
    });
    &CATALOGUE
}

impl Catalogue {
    /// Ours first, then those of the language.
    pub fn functions(&self) -> &[Function] {
        &self.functions
    }

    fn named(&self, name: &str) -> impl Iterator<Item = &Function> {
        let found = self.named.get(name).map(Vec::as_slice).unwrap_or_default();
        found.iter().map(|at| &self.functions[*at])
    }

    /// The overloads of `namespace::name`.
    pub fn in_namespace<'a>(&'a self, namespace: &'a str, name: &str) -> impl Iterator<Item = &'a Function> {
        self.named(name)
            .filter(move |f| matches!(&f.usage, Use::Namespace(own) if own == namespace))
    }

    /// What `name(…)` and `value.name(…)` may call, which are the same to the language.
    pub fn callable(&self, name: &str) -> impl Iterator<Item = &Function> {
        self.named(name)
            .filter(|f| matches!(f.usage, Use::Global | Use::Method(_)))
    }

    /// What `value.name(…)` may call on a type.
    pub fn methods<'a>(&'a self, kind: &'a str, name: &str) -> impl Iterator<Item = &'a Function> {
        self.callable(name).filter(move |f| {
            let first = f.receiver().or_else(|| Some(f.parameters.first()?.kind.as_str()));
            first.is_some_and(|first| first == kind || first == "any")
        })
    }

    /// `value.name` on a type.
    pub fn getter(&self, kind: &str, name: &str) -> Option<&Function> {
        self.named(name)
            .find(|f| matches!(&f.usage, Use::Getter(own) if own == kind))
    }

    /// Methods and getters of a type, each overload.
    pub fn members<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Function> {
        self.functions.iter().filter(move |f| f.receiver() == Some(kind))
    }

    /// Whether every value has a function of that name, or the interpreter itself.
    pub fn is_common(&self, name: &str) -> bool {
        COMMON.contains(&name) || BUILT_IN.contains(&name)
    }

    /// What was probably meant by a function that is not there; `own` are those that the script defines.
    pub fn meant<'a>(
        &'a self,
        namespace: Option<&str>,
        name: &str,
        own: impl Iterator<Item = &'a str>,
    ) -> Option<String> {
        if let Some(namespace) = namespace {
            let names = self.names(|f| matches!(&f.usage, Use::Namespace(own) if own == namespace));
            return suggest(name, names).map(|near| format!("{namespace}::{near}"));
        }
        if let Some(near) = suggest(name, own) {
            return Some(near.to_owned());
        }
        let elsewhere = self.named(name).find(|f| matches!(f.usage, Use::Namespace(_)));
        if let Some(function) = elsewhere {
            return Some(function.qualified_name());
        }
        let names = self.names(|f| matches!(f.usage, Use::Global | Use::Method(_)));
        suggest(name, names.into_iter().chain(BUILT_IN)).map(str::to_owned)
    }

    /// The method or getter of a type that was probably meant.
    pub fn member_meant(&self, kind: &str, name: &str) -> Option<&str> {
        suggest(name, self.names(|f| f.receiver() == Some(kind)))
    }

    /// What to say of `value.name` where a type has no such property.
    pub fn property_hint(&self, kind: &str, name: &str) -> Option<String> {
        let is_method = self.methods(kind, name).any(|f| f.receiver() == Some(kind));
        if !is_method {
            return self
                .member_meant(kind, name)
                .map(|near| did_you_mean(&self.written(kind, near)));
        }
        let getters = self.names(|f| matches!(&f.usage, Use::Getter(own) if own == kind));
        let getters: Vec<&str> = getters.into_iter().collect();
        Some(match known_as(name, &getters) {
            Some(near) => format!("did you mean `{near}`? `.{name}()` is a method"),
            None => format!("it is a method, with brackets: `.{name}()`"),
        })
    }

    /// What to say of `value.name(…)` where a type has no such method.
    pub fn method_hint(&self, kind: &str, name: &str) -> Option<String> {
        match self.getter(kind, name) {
            Some(_) => Some(format!("it is a property, without brackets: `.{name}`")),
            None => self.member_meant(kind, name).map(did_you_mean),
        }
    }

    /// A member as it is written behind a property that was mistyped: a method with its brackets.
    fn written(&self, kind: &str, name: &str) -> String {
        match self.getter(kind, name) {
            Some(_) => name.to_owned(),
            None => format!("{name}()"),
        }
    }

    /// The names in a namespace, sorted.
    pub fn names_in(&self, namespace: &str) -> BTreeSet<&str> {
        self.names(|f| matches!(&f.usage, Use::Namespace(own) if own == namespace))
    }

    fn names(&self, fits: impl Fn(&Function) -> bool) -> BTreeSet<&str> {
        let found = self.functions.iter().filter(|f| fits(f));
        found.map(|f| f.name.as_str()).collect()
    }

    /// The module that was probably meant.
    pub fn module_meant(&self, name: &str) -> Option<&'static str> {
        suggest(name, NAMESPACES.iter().map(|group| group.name))
    }
}

/// The question that leads to a name.
pub fn did_you_mean(name: &str) -> String {
    format!("did you mean `{name}`?")
}

/// `it is called as …`, with the overloads there are; nothing where they are too many to help.
pub fn called_as<'a>(functions: impl Iterator<Item = &'a Function>) -> Option<String> {
    const MOST: usize = 6;
    let signatures: BTreeSet<String> = functions.map(|f| format!("`{}`", f.signature())).collect();
    let list: Vec<String> = signatures.into_iter().collect();
    (1..=MOST)
        .contains(&list.len())
        .then(|| format!("it is called as {}", list.join(" or ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_found_by_name_place_and_type() {
        let catalogue = catalogue();
        assert_eq!(catalogue.in_namespace("fs", "remove").count(), 2);
        assert_eq!(catalogue.in_namespace("fs", "push").count(), 0);
        let push: Vec<String> = catalogue.methods("array", "push").map(Function::signature).collect();
        assert_eq!(push, ["array.push(item: any)"]);
        assert_eq!(catalogue.methods("string", "push").count(), 0);
        assert_eq!(
            catalogue.getter("Image", "size").map(|f| f.returns.as_str()),
            Some("number")
        );
        assert!(catalogue.members("string").any(|f| f.name == "starts_with"));
        assert_eq!(
            catalogue.meant(None, "read", [].into_iter()).as_deref(),
            Some("fs::read")
        );
        assert_eq!(
            catalogue.meant(None, "gret", ["greet"].into_iter()).as_deref(),
            Some("greet")
        );
        assert_eq!(catalogue.member_meant("array", "fliter"), Some("filter"));
        assert_eq!(
            called_as(catalogue.methods("Duration", "abs")).as_deref(),
            Some("it is called as `Duration.abs() -> Duration`")
        );
    }
}
