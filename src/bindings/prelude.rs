//! What an `#[export_module]` needs in scope: the macro writes code that names these, in every binding file.

pub use rhai::plugin::{
    Dynamic, EvalAltResult, FnNamespace, FuncRegistration, ImmutableString, Module, NativeCallContext, PluginFunc,
    RhaiResult, TypeId, export_module, mem,
};
pub use rhai::{Array, Blob, FLOAT, FnPtr, INT, Map};

pub use super::failure::{Scripted, native};
pub use super::session::Session;
pub use crate::error::{Context as _, Error, Result};
