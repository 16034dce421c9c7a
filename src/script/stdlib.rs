//! The modules that come with the program, written in the language itself, and what their comments say of them.

use rhai::FnAccess;

use crate::bindings::Session;

/// A module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standard {
    /// What it is imported as, without `std/`.
    pub name: &'static str,
    /// Its text.
    pub code: &'static str,
}

macro_rules! modules {
    ($($name:literal),+ $(,)?) => {
        &[$(Standard { name: $name, code: include_str!(concat!("../../stdlib/", $name, ".rhai")) }),+]
    };
}

/// All of them, by name.
pub const MODULES: &[Standard] = modules![
    "backup",
    "batch",
    "ci",
    "names",
    "report",
    "retention",
    "rollout",
    "semver_tags",
    "wait",
];

/// A function of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandardFunction {
    /// `retention::judge(items, policy)`.
    pub signature: String,
    /// Its name behind the module's, `retention::judge`.
    pub name: String,
    /// What its comment says.
    pub manual: String,
    /// Where it is in the text.
    line: usize,
}

/// The module of that name.
pub fn find(name: &str) -> Option<&'static Standard> {
    MODULES.iter().find(|module| module.name == name)
}

impl Standard {
    /// What the comment at its top says.
    pub fn about(&self) -> String {
        let lines = self.code.lines().take_while(|line| line.starts_with("//!"));
        let bare = lines.map(|line| line.trim_start_matches("//!"));
        let bare: Vec<&str> = bare.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
        bare.join("\n").trim().to_owned()
    }

    /// The first sentence of that.
    pub fn summary(&self) -> String {
        let about = self.about();
        about.lines().next().unwrap_or_default().to_owned()
    }

    /// Its functions, in their order.
    pub fn functions(&self) -> Vec<StandardFunction> {
        let compiled = Session::unopened()
            .ok()
            .map(|session| super::engine(&session).compile(self.code));
        let Some(Ok(ast)) = compiled else {
            return Vec::new();
        };
        let public = ast.iter_functions().filter(|function| {
            function.access == FnAccess::Public && function.name.starts_with(|c: char| c.is_ascii_lowercase())
        });
        let mut all: Vec<StandardFunction> = public
            .filter(|function| !function.name.starts_with("anon$"))
            .map(|function| {
                let name = format!("{}::{}", self.name, function.name);
                let comment = function.comments.iter().flat_map(|comment| comment.lines());
                let bare = comment.map(|line| line.trim().trim_start_matches("///"));
                let bare: Vec<&str> = bare.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
                StandardFunction {
                    signature: format!("{name}({})", function.params.join(", ")),
                    line: self.line_of(function.name),
                    name,
                    manual: bare.join("\n").trim().to_owned(),
                }
            })
            .collect();
        all.sort_by_key(|function| function.line);
        all
    }

    fn line_of(&self, name: &str) -> usize {
        let start = format!("fn {name}(");
        self.code.lines().take_while(|line| !line.starts_with(&start)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_module_and_function_says_what_it_does() {
        let mut faults = Vec::new();
        for module in MODULES {
            let about = module.about();
            if !about.contains(&format!("import \"std/{}\" as ", module.name)) {
                faults.push(format!("{} does not say how it is imported", module.name));
            }
            let functions = module.functions();
            if functions.is_empty() {
                faults.push(format!("{} has no functions", module.name));
            }
            let silent = functions.iter().filter(|function| {
                !function.manual.contains(". ") && !function.manual.contains(".\n") && !function.manual.ends_with('.')
            });
            faults.extend(silent.map(|function| format!("{} says nothing", function.signature)));
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }

    #[test]
    fn a_module_is_described_by_its_comments() {
        let module = find("semver_tags").unwrap();
        assert_eq!(
            module.summary(),
            "Tags that are versions: sorted, chosen by range, the newest of each line."
        );
        let functions = module.functions();
        assert_eq!(functions[0].signature, "semver_tags::version(tag)");
        assert!(functions[0].manual.starts_with("The version that a tag stands for"));
        assert!(
            functions
                .iter()
                .all(|function| function.name != "semver_tags::latest_of")
        );
    }
}
