//! Values between scripts and the host: to and from JSON, lists, things that may be absent, and names of types.

use rhai::{Array, Blob, Dynamic, EvalAltResult, FnPtr, Map, NativeCallContext};
use serde::Serialize;
use serde_json::Value;

use super::failure::Scripted;
use super::object::Shape;
use crate::error::{Error, Result};

/// How deep a value may be nested before it is refused rather than overflowing the stack.
const DEPTH: usize = 128;

/// A list as scripts see it.
pub fn list<T: Clone + Send + Sync + 'static>(items: impl IntoIterator<Item = T>) -> Array {
    items.into_iter().map(Dynamic::from).collect()
}

/// The value, or `()` where there is none.
pub fn or_unit<T: Clone + Send + Sync + 'static>(value: Option<T>) -> Dynamic {
    value.map_or(Dynamic::UNIT, Dynamic::from)
}

/// Whatever serde can write, as maps, arrays and plain values; `None` becomes `()`.
pub fn from_serde<T: Serialize>(value: &T) -> Result<Dynamic> {
    let value = serde_json::to_value(value)
        .map_err(|cause| Error::internal(format!("failed to make a script value: {cause}")).source(cause))?;
    Ok(from_json(&value))
}

/// A JSON value as a script value. A number beyond 64 bits becomes a float.
pub fn from_json(value: &Value) -> Dynamic {
    match value {
        Value::Null => Dynamic::UNIT,
        Value::Bool(value) => Dynamic::from(*value),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Dynamic::from(whole),
            None => Dynamic::from(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Dynamic::from(text.clone()),
        Value::Array(items) => items.iter().map(from_json).collect::<Array>().into(),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| (name.into(), from_json(value)));
            fields.collect::<Map>().into()
        }
    }
}

/// A script value as JSON. Objects give their facts; a closure has no JSON form.
pub fn to_json(value: &Dynamic) -> Result<Value> {
    json_at(value, 0)
}

fn json_at(value: &Dynamic, depth: usize) -> Result<Value> {
    if depth > DEPTH {
        return Err(Error::invalid(format!("the value is nested more than {DEPTH} deep")));
    }
    if value.is_shared() {
        return json_at(&value.flatten_clone(), depth);
    }
    if let Some(items) = value.read_lock::<Array>() {
        return items.iter().map(|item| json_at(item, depth + 1)).collect();
    }
    if let Some(fields) = value.read_lock::<Map>() {
        let fields = fields
            .iter()
            .map(|(name, value)| Ok((name.to_string(), json_at(value, depth + 1)?)));
        return fields.collect::<Result<serde_json::Map<_, _>>>().map(Value::Object);
    }
    plain_json(value)
}

fn plain_json(value: &Dynamic) -> Result<Value> {
    if let Some(shape) = Shape::find(value) {
        return Ok(shape.json(value));
    }
    if let Some(bytes) = value.read_lock::<Blob>() {
        return Ok(Value::from(bytes.as_slice()));
    }
    Ok(match value.type_name() {
        "()" => Value::Null,
        "bool" => Value::from(value.as_bool().unwrap_or_default()),
        "i64" => Value::from(value.as_int().unwrap_or_default()),
        "f64" => Value::from(value.as_float().unwrap_or_default()),
        _ if value.is::<FnPtr>() => return Err(Error::invalid("a closure cannot be written as JSON")),
        _ => Value::from(value.to_string()),
    })
}

/// What `print` shows for a value: text as it is, objects by their text, the rest as a script would write it.
pub fn text(value: &Dynamic) -> String {
    if value.is_shared() {
        return text(&value.flatten_clone());
    }
    if let Some(shape) = Shape::find(value) {
        return shape.text(value);
    }
    let nested = value.is_array() || value.is_map();
    match to_json(value) {
        Ok(json) if nested => json.to_string(),
        _ if value.is_unit() => String::new(),
        _ => value.to_string(),
    }
}

/// The name of a value's type in messages: `a string`, `an array`, `an Image`.
pub fn type_phrase(value: &Dynamic) -> String {
    let name = Shape::find(value).map_or_else(|| plain_type(value.type_name()), |shape| shape.name);
    with_article(name)
}

/// The script name of one of the interpreter's own types.
pub fn plain_type(rust_name: &str) -> &str {
    match rust_name {
        "i64" | "INT" => "number",
        "f64" | "FLOAT" => "float",
        "()" => "()",
        name if name.ends_with("FnPtr") || name == "Fn" => "closure",
        name if name.contains("String") || name.ends_with("str") => "string",
        name if name.ends_with("Map") => "map",
        name if name.contains("Vec<rhai") || name == "Array" => "array",
        name if name == "Blob" || name.contains("Vec<u8>") => "blob",
        name => name.rsplit("::").next().unwrap_or(name),
    }
}

/// The noun with `a` or `an` before it.
pub fn with_article(noun: &str) -> String {
    match noun.chars().next() {
        Some('(') | None => noun.to_owned(),
        Some(first) if "aeiouAEIOU".contains(first) => format!("an {noun}"),
        Some(_) => format!("a {noun}"),
    }
}

/// Whether two values are equal as scripts see it: numbers by value, everything else by its type's own `==`.
pub fn equal(ctx: &NativeCallContext, left: &Dynamic, right: &Dynamic) -> Scripted<bool> {
    let (left, right) = (left.flatten_clone(), right.flatten_clone());
    match ctx.call_native_fn::<bool>("==", (left, right)) {
        Err(thrown) if matches!(*thrown, EvalAltResult::ErrorFunctionNotFound(..)) => Ok(false),
        answer => answer,
    }
}

/// A value as messages show it: in backticks, text in quotes, cut where it is long.
pub fn literal(value: &Dynamic) -> String {
    const LONGEST: usize = 200;
    let shown = match to_json(value) {
        _ if value.is_unit() => "()".to_owned(),
        Ok(json) if value.is_string() || value.is_array() || value.is_map() => json.to_string(),
        _ => text(value),
    };
    let mut cut: String = shown.chars().take(LONGEST).collect();
    if cut.len() < shown.len() {
        cut.push('…');
    }
    format!("`{cut}`")
}
