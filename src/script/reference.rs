//! The documentation rendered: help for a name, the reference in Markdown, and definitions for editors.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::docs::{Function, Use, functions};
use super::stdlib;
use crate::bindings::{GLOBALS, Group, NAMESPACES};
use crate::error::{Error, Result};
use crate::model::suggest;

/// Help for a namespace, a function, a type or a word; for nothing, the overview.
pub fn help(name: &str) -> Result<String> {
    let functions = functions();
    let bare = name.trim().trim_end_matches("::").trim_end_matches("()");
    if bare.is_empty() {
        return Ok(overview());
    }
    if let Some(group) = GLOBALS.iter().chain(NAMESPACES).find(|group| group.name == bare) {
        return Ok(format!(
            "{}\n\n{}",
            group.summary,
            list(functions.iter().filter(|f| f.group == group.name))
        ));
    }
    let of_type = |f: &&Function| matches!(&f.usage, Use::Method(kind) | Use::Getter(kind) if kind == bare);
    if functions.iter().any(|f| of_type(&f)) {
        return Ok(list(functions.iter().filter(of_type)));
    }
    if let Some(text) = module_help(bare) {
        return Ok(text);
    }
    let exact: Vec<&Function> = functions
        .iter()
        .filter(|f| f.qualified_name() == bare || f.name == bare)
        .collect();
    let is_one = exact.iter().all(|f| f.qualified_name() == exact[0].qualified_name());
    if !exact.is_empty() && is_one {
        return Ok(exact.into_iter().map(manual).collect::<Vec<_>>().join("\n\n"));
    }
    search(bare, &functions)
}

/// Help for a module that comes along, `std/retention`, or one of its functions, `retention::judge`.
fn module_help(name: &str) -> Option<String> {
    let path = name.strip_prefix("std/").unwrap_or(name);
    let (module, function) = path
        .split_once("::")
        .map_or((path, ""), |(module, function)| (module, function));
    let module = stdlib::find(module).filter(|_| name != path || path.contains("::") || is_only_a_module(path))?;
    let functions = module.functions();
    if function.is_empty() {
        let list = functions
            .iter()
            .map(|function| format!("{}\n    {}", function.signature, first_line(&function.manual)));
        let list: Vec<String> = list.collect();
        return Some(format!("{}\n\n{}", module.about(), list.join("\n")));
    }
    let found = functions.iter().find(|found| found.name == path)?;
    Some(format!(
        "{}\n    {}",
        found.signature,
        found.manual.replace('\n', "\n    ")
    ))
}

/// Whether a word is the name of a module, and of no function.
fn is_only_a_module(word: &str) -> bool {
    !functions().iter().any(|function| function.name == word)
}

fn first_line(manual: &str) -> &str {
    manual.lines().next().unwrap_or_default()
}

fn search(word: &str, functions: &[Function]) -> Result<String> {
    let words: Vec<String> = word.split_whitespace().map(str::to_lowercase).collect();
    let fits = |f: &&Function| {
        let text = format!("{} {}", f.qualified_name(), f.summary()).to_lowercase();
        words.iter().all(|word| text.contains(word))
    };
    if functions.iter().any(|f| fits(&f)) {
        return Ok(list(functions.iter().filter(fits)));
    }
    let near = nearest(word, functions);
    let error = Error::not_found(format!("nothing is documented as `{word}`")).target(word);
    Err(match near.is_empty() {
        false => error.hint(format!("did you mean {}?", near.join(" or "))),
        true => error.hint("`hoist doc` lists what there is"),
    })
}

/// The full names, in backticks, that are nearest to a word or have the bare name that is.
fn nearest(word: &str, functions: &[Function]) -> Vec<String> {
    let names: BTreeSet<String> = functions.iter().map(Function::qualified_name).collect();
    let bare = |name: &str| name.rsplit([':', '.']).next().unwrap_or_default().to_owned();
    let bares: BTreeSet<String> = names.iter().map(|name| bare(name)).collect();
    let near = suggest(word, names.iter().chain(&bares).map(String::as_str));
    let near = names
        .iter()
        .filter(|name| near.is_some_and(|near| *name == near || bare(name) == near));
    near.map(|name| format!("`{name}`")).collect()
}

fn overview() -> String {
    let lines = |groups: &[Group], suffix: &str| -> String {
        groups
            .iter()
            .map(|group| format!("  {:<14} {}\n", format!("{}{suffix}", group.name), group.summary))
            .collect()
    };
    let imported: String = stdlib::MODULES
        .iter()
        .map(|module| format!("  {:<14} {}\n", format!("std/{}", module.name), module.summary()))
        .collect();
    format!(
        "Modules\n{}\nModules to import\n{imported}\nGlobal functions, methods and getters\n{}\nHelp for one: `hoist doc fs`, `hoist doc fs::read`; any other word is searched for.",
        lines(NAMESPACES, "::"),
        lines(GLOBALS, ""),
    )
}

/// One line per signature.
fn list<'a>(functions: impl Iterator<Item = &'a Function>) -> String {
    let rows = functions
        .filter(|f| f.usage != Use::Operator)
        .map(|f| format!("{}\n    {}", f.signature(), f.summary()));
    rows.collect::<Vec<_>>().join("\n")
}

/// Signature and manual, fences without their flags.
fn manual(function: &Function) -> String {
    let mut text = function.signature();
    for line in function.manual.lines() {
        let line = if line.starts_with("```rhai") { "```rhai" } else { line };
        text.push('\n');
        if !line.is_empty() {
            text.push_str("    ");
            text.push_str(line);
        }
    }
    text
}

/// `docs/reference.md`.
pub fn reference() -> String {
    let functions = functions();
    let mut text = String::from(
        "# Reference\n\nGenerated from the bindings by `hoist doc --write docs`; a test keeps it fresh.\n\n\
         Every type also has `to_string()`, `to_debug()`, `to_json()` (JSON text), `to_map()` (its facts as a map), `==` and `!=`.\n",
    );
    for (groups, suffix) in [(NAMESPACES, "::"), (GLOBALS, "")] {
        for group in groups {
            let _ = write!(text, "\n## {}{suffix}\n\n{}\n", group.name, group.summary);
            chapter(&mut text, functions.iter().filter(|f| f.group == group.name).collect());
        }
    }
    modules(&mut text);
    text
}

/// The modules that come along.
fn modules(text: &mut String) {
    for module in stdlib::MODULES {
        let _ = write!(text, "\n## std/{}\n\n{}\n", module.name, module.about());
        for function in module.functions() {
            let _ = write!(
                text,
                "\n### {}\n\n`{}`\n\n{}\n",
                function.name, function.signature, function.manual
            );
        }
    }
}

fn chapter(text: &mut String, functions: Vec<&Function>) {
    let mut last = String::new();
    for function in functions.into_iter().filter(|f| f.usage != Use::Operator) {
        let name = function.qualified_name();
        if name != last {
            let _ = write!(text, "\n### {name}\n");
            let effects: Vec<&str> = function.effects().iter().map(|effect| effect.name()).collect();
            if !effects.is_empty() {
                let _ = write!(text, "\nEffects: {}.\n", effects.join(", "));
            }
            last = name;
        }
        let lines = function
            .manual
            .lines()
            .map(|line| if line.starts_with("```rhai") { "```rhai" } else { line });
        let _ = write!(
            text,
            "\n`{}`\n\n{}\n",
            function.signature(),
            lines.collect::<Vec<_>>().join("\n")
        );
    }
}

/// `docs/hoist.d.rhai`: definitions in the form editors read.
pub fn definitions() -> String {
    let functions = functions();
    let mut text = String::from("// Generated by `hoist doc --write docs`.\nmodule static;\n");
    for function in functions
        .iter()
        .filter(|f| !matches!(f.usage, Use::Namespace(_) | Use::Operator))
    {
        definition(&mut text, function, "");
    }
    for group in NAMESPACES {
        let _ = write!(text, "\n/// {}\nmodule {} {{\n", group.summary, group.name);
        for function in functions
            .iter()
            .filter(|f| f.group == group.name && matches!(f.usage, Use::Namespace(_)))
        {
            definition(&mut text, function, "    ");
        }
        text.push_str("}\n");
    }
    text
}

fn definition(text: &mut String, function: &Function, indent: &str) {
    let _ = writeln!(text, "\n{indent}/// {}", function.summary());
    let returns = editor_type(&function.returns);
    let parameters = function
        .parameters
        .iter()
        .map(|parameter| format!("{}: {}", parameter.name, editor_type(&parameter.kind)));
    let list = parameters.collect::<Vec<_>>().join(", ");
    let _ = match &function.usage {
        Use::Getter(kind) => {
            let kind = editor_type(kind);
            writeln!(text, "{indent}fn get {}(this: {kind}) -> {returns};", function.name)
        }
        Use::Method(kind) => {
            let kind = editor_type(kind);
            let comma = if list.is_empty() { "" } else { ", " };
            writeln!(
                text,
                "{indent}fn {}(this: {kind}{comma}{list}) -> {returns};",
                function.name
            )
        }
        _ => writeln!(text, "{indent}fn {}({list}) -> {returns};", function.name),
    };
}

/// A type as the definition files of the language spell it.
fn editor_type(kind: &str) -> &str {
    match kind {
        "number" => "int",
        "string" => "String",
        "array" => "Array",
        "map" => "Map",
        "blob" => "Blob",
        "closure" => "Fn",
        "any" => "?",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_checked_in_reference_is_fresh() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
        for (name, text) in [("reference.md", reference()), ("hoist.d.rhai", definitions())] {
            let kept = std::fs::read_to_string(docs.join(name)).unwrap_or_default();
            assert!(
                kept == text,
                "docs/{name} is stale: run `cargo run -- doc --write docs`"
            );
        }
    }

    #[test]
    fn help_is_found_by_module_function_type_and_word() {
        for (name, part) in [
            ("", "fs::"),
            ("fs", "fs::read(path: string) -> string"),
            ("fs::", "The text of a file."),
            ("fs::remove", "Options: `recursive`"),
            ("Duration", "Duration.days -> float"),
            ("join", "array.join(separator: string)"),
            ("strftime", "Time.format"),
            ("", "  std/retention"),
            ("std/wait", "wait::port(container, number, options)"),
            ("retention::judge", "Judges items by a policy."),
        ] {
            let text = help(name).unwrap();
            assert!(text.contains(part), "{name}: {text}");
        }
        assert_eq!(
            help("fs::raed").unwrap_err().way_out(),
            Some("did you mean `fs::read`?")
        );
        assert_eq!(
            help("prnue").unwrap_err().way_out(),
            Some("did you mean `container::prune` or `image::prune` or `registry::prune` or `volume::prune`?")
        );
        let listed = help("prune").unwrap();
        assert!(
            listed.contains("image::prune(filter: map)") && listed.contains("registry::prune_cache"),
            "{listed}"
        );
        assert!(help("remove image").unwrap().contains("image::prune"));
    }
}
