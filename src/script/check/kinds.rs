//! Types of values, as far as a script gives them away.

use std::collections::HashMap;
use std::sync::LazyLock;

use rhai::Dynamic;

use crate::bindings::objects;
use crate::bindings::value::plain_type;
use crate::script::catalogue::catalogue;
use crate::script::docs::{Function, Use};

/// A type whose methods are all known; `None` where a value may be anything.
pub(super) type Kind = Option<&'static str>;

const PLAIN: [&str; 7] = ["string", "array", "number", "float", "bool", "map", "closure"];

/// The type as one that is known.
pub(super) fn kind(name: &str) -> Kind {
    let plain = PLAIN.into_iter().find(|plain| *plain == name);
    plain.or_else(|| objects().iter().map(|shape| shape.name).find(|own| *own == name))
}

/// That of a constant.
pub(super) fn of_value(value: &Dynamic) -> Kind {
    kind(plain_type(value.type_name()))
}

/// What functions return, if all return the same.
pub(super) fn returned<'a>(mut functions: impl Iterator<Item = &'a Function>) -> Kind {
    let first = functions.next()?;
    let name = first.qualified_name();
    if let Some((_, item)) = LISTS.iter().find(|(list, _)| *list == name) {
        return array_of(Some(item));
    }
    match functions.all(|function| function.returns == first.returns) {
        true => kind(&first.returns),
        false => None,
    }
}

/// Functions that return an array of one type of things.
const LISTS: [(&str, &str); 9] = [
    ("container::list", "Container"),
    ("container::select", "Container"),
    ("image::list", "Image"),
    ("image::load", "Image"),
    ("image::select", "Image"),
    ("registry::tags", "string"),
    ("string.lines", "string"),
    ("volume::list", "Volume"),
    ("volume::select", "Volume"),
];

/// Methods of arrays whose closures get an item first.
pub(super) const BY_ITEM: [&str; 12] = [
    "all",
    "filter",
    "find",
    "group_by",
    "map",
    "max_by",
    "min_by",
    "partition",
    "some",
    "sort_by",
    "sum_by",
    "unique_by",
];

/// An array of things of one type, where that is known: `array of Image`.
pub(super) fn array_of(item: Kind) -> Kind {
    static ARRAYS: LazyLock<HashMap<&'static str, &'static str>> = LazyLock::new(|| {
        let items = PLAIN.into_iter().chain(objects().iter().map(|shape| shape.name));
        let named = |item: &'static str| (item, &*Box::leak(format!("{ARRAY_OF}{item}").into_boxed_str()));
        items.map(named).collect()
    });
    item.and_then(|item| ARRAYS.get(item).copied()).or(Some("array"))
}

const ARRAY_OF: &str = "array of ";

/// What is in an array.
pub(super) fn item_of(kind: Kind) -> Kind {
    self::kind(kind?.strip_prefix(ARRAY_OF)?)
}

/// The type whose methods a value has.
pub(super) fn plain(kind: Kind) -> Kind {
    kind.map(|kind| if kind.starts_with(ARRAY_OF) { "array" } else { kind })
}

/// What a method of arrays makes of an array of known things.
pub(super) fn of_array(method: &str, array: Kind) -> Kind {
    match method {
        "filter" | "skip" | "sort_by" | "take" | "unique" | "unique_by" => array.filter(|_| item_of(array).is_some()),
        "max_by" | "min_by" => item_of(array),
        _ => None,
    }
}

/// What an operator makes.
pub(super) fn of_operator(name: &str, operands: &[Kind]) -> Kind {
    let operands: Vec<Kind> = operands.iter().map(|operand| plain(*operand)).collect();
    match (name, operands.as_slice()) {
        ("==" | "!=" | "<" | ">" | "<=" | ">=" | "in" | "!in" | "!", _) => Some("bool"),
        ("+" | "-" | "*" | "/" | "%" | "**", [Some("number"), Some("number")]) => Some("number"),
        ("+" | "-" | "*" | "/" | "%" | "**", [Some("number" | "float"), Some("number" | "float")]) => Some("float"),
        ("-" | "+", [Some("number")]) => Some("number"),
        ("+", [Some("string"), _]) | ("+", [_, Some("string")]) => Some("string"),
        ("+", [Some("array"), _]) => Some("array"),
        (_, [Some(left), Some(right)]) => own_operator(name, left, right),
        _ => None,
    }
}

/// An operator of ours, such as that between two times.
fn own_operator(name: &str, left: &str, right: &str) -> Kind {
    let fits = |f: &&Function| {
        let kinds: Vec<&str> = f.parameters.iter().map(|parameter| parameter.kind.as_str()).collect();
        f.usage == Use::Operator && f.name == name && kinds == [left, right]
    };
    returned(catalogue().functions().iter().filter(fits))
}
