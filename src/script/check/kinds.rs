//! Types of values, as far as a script gives them away.

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
    match functions.all(|function| function.returns == first.returns) {
        true => kind(&first.returns),
        false => None,
    }
}

/// What an operator makes.
pub(super) fn of_operator(name: &str, operands: &[Kind]) -> Kind {
    match (name, operands) {
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
