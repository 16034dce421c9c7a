//! Modules that a script imports, looked into without running them.

use std::collections::BTreeMap;

use rhai::{Engine, FnAccess};

use crate::error::Result;
use crate::script::resolver;

/// What a module offers.
#[derive(Debug, Default)]
pub(super) struct Imported {
    /// Its functions, with the parameters of each overload.
    pub(super) functions: BTreeMap<String, Vec<Vec<String>>>,
    /// Whether what it offers cannot be told.
    pub(super) is_open: bool,
}

/// The module that `path` means in a script; errors are those of the import.
pub(super) fn import(engine: &Engine, importer: &str, path: &str) -> Result<Imported> {
    let source = resolver::find(Some(importer), path)?;
    // What is wrong within it is told where that file is checked.
    let Ok(ast) = engine.compile(&source.code) else {
        return Ok(Imported {
            is_open: true,
            ..Imported::default()
        });
    };
    // What it imports itself is a module within it, and adds no function to its own.
    let mut imported = Imported::default();
    let public = ast
        .iter_functions()
        .filter(|function| function.access == FnAccess::Public);
    for function in public {
        let parameters = function.params.iter().map(ToString::to_string).collect();
        let overloads = imported.functions.entry(function.name.to_owned()).or_default();
        overloads.push(parameters);
    }
    Ok(imported)
}
