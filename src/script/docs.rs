//! What is known about every native function: names, signatures, manuals and examples, read from the bindings themselves.

use std::collections::BTreeMap;

use rhai::Engine;
use serde::Deserialize;

use crate::bindings::effects::{self, Effect};
use crate::bindings::keys::{self, OptionKey};
use crate::bindings::value::plain_type;
use crate::bindings::{GLOBALS, Group, NAMESPACES, objects};

/// Functions every object has; they are told once, not per type.
const COMMON: [&str; 4] = ["to_string", "to_debug", "to_json", "to_map"];

/// How a function is used.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// `namespace::name(…)`.
    Namespace(String),
    /// `name(…)`.
    Global,
    /// `value.name(…)` on a type.
    Method(String),
    /// `value.name` on a type.
    Getter(String),
    /// `a + b`.
    Operator,
}

/// One parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its type, as scripts call it.
    pub kind: String,
}

/// One overload of a native function.
#[derive(Debug, Clone)]
pub struct Function {
    /// The group it belongs to.
    pub group: &'static str,
    /// How it is used.
    pub usage: Use,
    /// Its bare name.
    pub name: String,
    /// What it takes, without the receiver of a method.
    pub parameters: Vec<Parameter>,
    /// What it returns, as scripts call it; `()` for nothing.
    pub returns: String,
    /// The manual, in Markdown.
    pub manual: String,
}

/// A runnable example of a manual.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// Words after `rhai` in the fence, such as `throws=not_found`.
    pub flags: Vec<String>,
    /// The script.
    pub code: String,
}

impl Function {
    /// The name documentation and the effect table use: `fs::read`, `Duration.abs`, `sleep`.
    pub fn qualified_name(&self) -> String {
        match &self.usage {
            Use::Namespace(namespace) => format!("{namespace}::{}", self.name),
            Use::Method(kind) | Use::Getter(kind) => format!("{kind}.{}", self.name),
            Use::Global | Use::Operator => self.name.clone(),
        }
    }

    /// `fs::read(path: string) -> string`.
    pub fn signature(&self) -> String {
        let name = self.qualified_name();
        let returns = match self.returns.as_str() {
            "()" => String::new(),
            kind => format!(" -> {kind}"),
        };
        match self.usage {
            Use::Getter(_) => format!("{name}{returns}"),
            _ => format!("{name}({}){returns}", self.parameter_list()),
        }
    }

    /// The type it is called on: that of a method or getter.
    pub fn receiver(&self) -> Option<&str> {
        match &self.usage {
            Use::Method(kind) | Use::Getter(kind) => Some(kind),
            _ => None,
        }
    }

    /// How many arguments it takes, one of them being what a method is called on.
    pub fn arity(&self) -> usize {
        self.parameters.len() + usize::from(self.receiver().is_some())
    }

    /// `path: string, options: map`.
    pub fn parameter_list(&self) -> String {
        let words = self
            .parameters
            .iter()
            .map(|parameter| format!("{}: {}", parameter.name, parameter.kind));
        words.collect::<Vec<_>>().join(", ")
    }

    /// The first paragraph of the manual.
    pub fn summary(&self) -> String {
        let first = self.manual.split("\n\n").next().unwrap_or_default();
        first.replace('\n', " ").trim().to_owned()
    }

    /// The examples of the manual.
    pub fn examples(&self) -> Vec<Example> {
        let mut examples = Vec::new();
        let mut lines = self.manual.lines();
        while let Some(line) = lines.next() {
            let Some(flags) = line.trim().strip_prefix("```rhai") else {
                continue;
            };
            let flags = flags
                .split(',')
                .map(|flag| flag.trim().to_owned())
                .filter(|flag| !flag.is_empty())
                .collect();
            let code: Vec<&str> = lines.by_ref().take_while(|line| line.trim() != "```").collect();
            examples.push(Example {
                flags,
                code: code.join("\n"),
            });
        }
        examples
    }

    /// The keys of the options it takes, by whatever overload, sorted.
    pub fn options(&self) -> Vec<OptionKey> {
        keys::of_function(&self.qualified_name())
    }

    /// What the function may do to the world; operators and getters do nothing.
    pub fn effects(&self) -> Vec<Effect> {
        effects::of(&self.qualified_name()).unwrap_or_default()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawModule {
    #[serde(default)]
    modules: BTreeMap<String, RawModule>,
    #[serde(default)]
    functions: Vec<RawFunction>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawFunction {
    name: String,
    #[serde(default)]
    params: Vec<RawParameter>,
    #[serde(default)]
    return_type: String,
    #[serde(default)]
    doc_comments: Vec<String>,
}

#[derive(Deserialize)]
struct RawParameter {
    name: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

/// Every native function, in the order of the documentation: by group, then by name.
pub fn functions() -> Vec<Function> {
    let globals = GLOBALS.iter().flat_map(|group| of_group(group, false));
    let namespaces = NAMESPACES.iter().flat_map(|group| of_group(group, true));
    globals.chain(namespaces).collect()
}

/// The functions, methods and getters that the language itself brings, as far as they have names. What takes a value first is a
/// method of its type, and of `any` where it takes all.
pub fn language() -> Vec<Function> {
    let json = Engine::new().gen_fn_metadata_to_json(true);
    let json = json.expect("metadata is plain data");
    let raw: RawModule = serde_json::from_str(&json).expect("the interpreter writes what it documents");
    let mut functions: Vec<Function> = raw
        .functions
        .into_iter()
        .map(|raw| from_raw("language", None, raw))
        .collect();
    functions.retain(|function| function.usage != Use::Operator && !function.name.contains('$'));
    for function in &mut functions {
        if function.usage == Use::Global && !function.parameters.is_empty() {
            function.usage = Use::Method(function.parameters.remove(0).kind);
        }
    }
    functions
}

fn of_group(group: &Group, is_namespace: bool) -> Vec<Function> {
    let mut engine = Engine::new_raw();
    match is_namespace {
        true => drop(engine.register_static_module(group.name, group.module().into())),
        false => drop(engine.register_global_module(group.module().into())),
    }
    let json = engine.gen_fn_metadata_to_json(false).expect("metadata is plain data");
    let mut raw: RawModule = serde_json::from_str(&json).expect("the interpreter writes what it documents");
    let namespace = is_namespace.then(|| group.name.to_owned());
    let found = match &namespace {
        Some(name) => raw
            .modules
            .remove(name)
            .map(|module| module.functions)
            .unwrap_or_default(),
        None => raw.functions,
    };
    let mut functions: Vec<Function> = found
        .into_iter()
        .map(|function| from_raw(group.name, namespace.clone(), function))
        .collect();
    functions.retain(|function| !COMMON.contains(&function.name.as_str()));
    functions.sort_by_cached_key(|function| {
        (
            function.qualified_name(),
            function.parameters.len(),
            function.signature(),
        )
    });
    functions
}

fn from_raw(group: &'static str, namespace: Option<String>, raw: RawFunction) -> Function {
    let mut parameters: Vec<Parameter> = raw.params.iter().map(parameter).collect();
    let getter = raw.name.strip_prefix("get$").map(str::to_owned);
    let is_operator = !raw.name.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let is_method = parameters.first().is_some_and(|first| first.name == "this");
    let usage = match namespace {
        Some(namespace) => Use::Namespace(namespace),
        None if getter.is_some() => Use::Getter(parameters.remove(0).kind),
        None if is_operator => Use::Operator,
        None if is_method => Use::Method(parameters.remove(0).kind),
        None => Use::Global,
    };
    Function {
        group,
        usage,
        name: getter.unwrap_or(raw.name),
        parameters,
        returns: kind_name(&raw.return_type),
        manual: manual(&raw.doc_comments),
    }
}

fn parameter(raw: &RawParameter) -> Parameter {
    Parameter {
        name: raw.name.clone().unwrap_or_else(|| "value".to_owned()),
        kind: kind_name(raw.kind.as_deref().unwrap_or("Dynamic")),
    }
}

/// The script name of a Rust type as a signature writes it.
fn kind_name(rust: &str) -> String {
    let bare = rust.trim().trim_start_matches('&').trim_start_matches("mut ").trim();
    let inner = ["Scripted<", "Result<"]
        .iter()
        .find_map(|wrapper| bare.strip_prefix(wrapper));
    if let Some(inner) = inner {
        let inner = inner.split(",").next().unwrap_or(inner).trim_end_matches('>');
        return kind_name(inner);
    }
    match bare {
        "" => "()".to_owned(),
        "Dynamic" => "any".to_owned(),
        "Failure" => "Error".to_owned(),
        other => {
            let named = objects()
                .iter()
                .find(|shape| shape.rust_name.rsplit("::").next() == Some(other));
            named.map_or_else(|| plain_type(other).to_owned(), |shape| shape.name.to_owned())
        }
    }
}

/// Doc comments without their slashes.
fn manual(comments: &[String]) -> String {
    let lines = comments.iter().flat_map(|comment| comment.lines());
    let bare = lines
        .map(|line| line.trim().trim_start_matches("///"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line));
    bare.collect::<Vec<_>>().join("\n").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words the interpreter does not accept as names, even after `::` and `.`.
    const RESERVED: &str = "spawn go thread sync async await yield new use with match case default static public protected \
        package module shared is goto void null nil var as in export import private this super print debug eval throw call \
        curry type_of if else switch do while until loop for continue break return fn let const try catch true false Fn";

    fn is_snake(name: &str) -> bool {
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    }

    fn faults(function: &Function) -> Vec<String> {
        if function.usage == Use::Operator {
            return Vec::new();
        }
        let mut faults = Vec::new();
        if !is_snake(&function.name) || RESERVED.split_whitespace().any(|word| word == function.name) {
            faults.push("its name is not lower_snake or is reserved".to_owned());
        }
        if !function.summary().ends_with('.') {
            faults.push(format!(
                "its summary does not end in a period: {:?}",
                function.summary()
            ));
        }
        if function.examples().is_empty() {
            faults.push("it has no example".to_owned());
        }
        let has_row = effects::of(&function.qualified_name()).is_some();
        if has_row == matches!(function.usage, Use::Getter(_)) {
            faults.push("functions have a row in the effect table, getters have none".to_owned());
        }
        if let Some(kind) = [&function.returns]
            .into_iter()
            .chain(function.parameters.iter().map(|p| &p.kind))
            .find(|kind| {
                ![
                    "any", "()", "number", "float", "bool", "string", "array", "map", "blob", "closure",
                ]
                .contains(&kind.as_str())
                    && !objects().iter().any(|shape| shape.name == kind.as_str())
            })
        {
            faults.push(format!("scripts do not know the type `{kind}`"));
        }
        faults
    }

    #[test]
    fn every_function_is_documented_named_well_and_has_its_effects() {
        let functions = functions();
        let mut faults: Vec<String> = functions
            .iter()
            .flat_map(|function| {
                faults(function)
                    .into_iter()
                    .map(|fault| format!("{}: {fault}", function.signature()))
            })
            .collect();
        let mut signatures: Vec<String> = functions.iter().map(Function::signature).collect();
        signatures.sort();
        let twice = signatures
            .windows(2)
            .filter(|pair| pair[0] == pair[1] && pair[0].chars().any(char::is_alphabetic));
        faults.extend(
            twice
                .filter(|pair| is_snake(&pair[0][..1]))
                .map(|pair| format!("{} is there twice", pair[0])),
        );
        for row in effects::names() {
            if !functions.iter().any(|function| function.qualified_name() == row) {
                faults.push(format!("the effect table has a row for {row}, which is no function"));
            }
        }
        assert!(functions.len() > 100);
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }

    #[test]
    fn signatures_use_the_words_of_scripts() {
        let functions = functions();
        let has = |signature: &str| functions.iter().any(|function| function.signature() == signature);
        for signature in [
            "fs::read(path: string) -> string",
            "fs::remove(path: string, options: map)",
            "array.group_by(closure: closure) -> map",
            "Duration.days -> float",
            "number.mib -> number",
            "parallel_map(items: any, closure: closure, options: map) -> array",
            "assert::throws(closure: closure) -> Error",
            "env::get(name: string, fallback: any) -> any",
        ] {
            assert!(
                has(signature),
                "{signature}\n{}",
                functions.iter().map(|f| f.signature() + "\n").collect::<String>()
            );
        }
    }
}
