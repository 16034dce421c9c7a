//! What every type offered to scripts can do: text, debug text, equality, JSON, and rows of a table.

use std::any::TypeId;

use rhai::{Dynamic, Engine};

use super::value;

/// A type of the script API. Clones are cheap and mean the same thing.
pub trait Object: Clone + PartialEq + Send + Sync + 'static {
    /// The name scripts see in `type_of` and in messages.
    const NAME: &'static str;

    /// The columns of a table of such things, in order.
    const COLUMNS: &'static [&'static str];

    /// Whether it is a list, which its rows tell better than its facts.
    const IS_LIST: bool = false;

    /// What `print` shows.
    fn text(&self) -> String;

    /// What `debug` shows: like the text, but telling the type.
    fn debug(&self) -> String {
        format!("{}({})", Self::NAME, self.text())
    }

    /// One row, as long as the columns.
    fn cells(&self) -> Vec<String>;

    /// Several rows, for things that show one per name.
    fn rows(&self) -> Vec<Vec<String>> {
        vec![self.cells()]
    }

    /// All facts, for `to_json` and `--format json`.
    fn json(&self) -> serde_json::Value;
}

/// What is known about a registered type when only a `Dynamic` of it is at hand.
pub struct Shape {
    /// The name scripts see.
    pub name: &'static str,
    /// The Rust path the interpreter's own metadata uses.
    pub rust_name: &'static str,
    /// The columns of a table.
    pub columns: &'static [&'static str],
    /// Whether its rows tell more than its facts.
    pub is_list: bool,
    /// Names the interpreter registers the type's functions with.
    pub register: fn(&mut Engine),
    id: TypeId,
    text: fn(&Dynamic) -> Option<String>,
    rows: fn(&Dynamic) -> Option<Vec<Vec<String>>>,
    json: fn(&Dynamic) -> Option<serde_json::Value>,
}

impl Shape {
    /// The shape of `T`.
    pub fn of<T: Object>() -> Shape {
        Shape {
            name: T::NAME,
            rust_name: std::any::type_name::<T>(),
            columns: T::COLUMNS,
            is_list: T::IS_LIST,
            register: register::<T>,
            id: TypeId::of::<T>(),
            text: |value| Some(value.read_lock::<T>()?.text()),
            rows: |value| Some(value.read_lock::<T>()?.rows()),
            json: |value| Some(value.read_lock::<T>()?.json()),
        }
    }

    /// The shape of a value, if it is of a type of ours.
    pub fn find(value: &Dynamic) -> Option<&'static Shape> {
        let id = value.type_id();
        super::objects().iter().find(|shape| shape.id == id)
    }

    /// Whether it is that of a type.
    pub fn is(&self, id: TypeId) -> bool {
        self.id == id
    }

    /// What `print` shows.
    pub fn text(&self, value: &Dynamic) -> String {
        (self.text)(value).unwrap_or_default()
    }

    /// The rows of a table.
    pub fn rows(&self, value: &Dynamic) -> Vec<Vec<String>> {
        (self.rows)(value).unwrap_or_default()
    }

    /// All facts.
    pub fn json(&self, value: &Dynamic) -> serde_json::Value {
        (self.json)(value).unwrap_or_default()
    }
}

/// Registers the type's name and the functions every type has.
fn register<T: Object>(engine: &mut Engine) {
    engine
        .register_type_with_name::<T>(T::NAME)
        .register_fn("to_string", |this: &mut T| this.text())
        .register_fn("to_debug", |this: &mut T| this.debug())
        .register_fn("to_json", |this: &mut T| this.json().to_string())
        .register_fn("to_map", |this: &mut T| value::from_json(&this.json()))
        .register_fn("==", |left: &mut T, right: T| *left == right)
        .register_fn("!=", |left: &mut T, right: T| *left != right);
}
