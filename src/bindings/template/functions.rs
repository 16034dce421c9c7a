//! What templates can call: Go's functions, and those that Docker adds.

use std::cmp::Ordering;

use serde_json::Value;

use super::{is_true, print};

/// All of them.
pub(super) const NAMES: &[&str] = &[
    "and", "eq", "ge", "gt", "index", "join", "json", "le", "len", "lower", "lt", "ne", "not", "or", "pad", "print",
    "printf", "println", "slice", "split", "title", "truncate", "upper",
];

type Called = Result<Value, String>;

/// The most that `pad` adds on a side.
const WIDEST: usize = 4096;

pub(super) fn call(name: &str, arguments: &[Value]) -> Called {
    match (name, arguments) {
        ("json", [value]) => Ok(print::json(value).into()),
        ("len", [value]) => length(value),
        ("index", [value, keys @ ..]) => keys.iter().try_fold(value.clone(), |value, key| index(&value, key)),
        ("slice", [value, bounds @ ..]) if bounds.len() <= 2 => slice(value, bounds),
        ("not", [value]) => Ok((!is_true(value)).into()),
        ("and", [.., last]) => Ok(arguments.iter().find(|value| !is_true(value)).unwrap_or(last).clone()),
        ("or", [.., last]) => Ok(arguments.iter().find(|value| is_true(value)).unwrap_or(last).clone()),
        ("eq", [first, others @ ..]) if !others.is_empty() => Ok(others.iter().any(|other| same(first, other)).into()),
        ("ne", [a, b]) => Ok((!same(a, b)).into()),
        ("lt" | "le" | "gt" | "ge", [a, b]) => compare(name, a, b),
        ("upper", [value]) => Ok(text(value)?.to_uppercase().into()),
        ("lower", [value]) => Ok(text(value)?.to_lowercase().into()),
        ("title", [value]) => Ok(title(text(value)?).into()),
        ("split", [value, separator]) => Ok(text(value)?.split(text(separator)?).collect::<Vec<_>>().into()),
        ("join", [Value::Array(items), separator]) => {
            let parts: Vec<String> = items.iter().map(print::plain).collect();
            Ok(parts.join(text(separator)?).into())
        }
        ("truncate", [value, length]) => Ok(text(value)?.chars().take(count(length)?).collect::<String>().into()),
        ("pad", [value, before, after]) => {
            let (before, after) = (count(before)?.min(WIDEST), count(after)?.min(WIDEST));
            Ok(format!("{}{}{}", " ".repeat(before), text(value)?, " ".repeat(after)).into())
        }
        ("print", _) => Ok(arguments.iter().map(print::plain).collect::<String>().into()),
        ("println", _) => Ok((arguments.iter().map(print::plain).collect::<Vec<_>>().join(" ") + "\n").into()),
        ("printf", [form, rest @ ..]) => Ok(print::format(text(form)?, rest).into()),
        _ => Err(format!("wrong number or type of args: got {}", arguments.len())),
    }
}

fn text(value: &Value) -> Result<&str, String> {
    value
        .as_str()
        .ok_or_else(|| format!("wrong type for value; expected string; got {}", print::kind(value)))
}

fn count(value: &Value) -> Result<usize, String> {
    let count = value.as_u64().and_then(|number| usize::try_from(number).ok());
    count.ok_or_else(|| format!("wrong type for value; expected int; got {}", print::plain(value)))
}

fn length(value: &Value) -> Called {
    match value {
        Value::String(text) => Ok(text.len().into()),
        Value::Array(items) => Ok(items.len().into()),
        Value::Object(map) => Ok(map.len().into()),
        Value::Null => Ok(0.into()),
        other => Err(format!("len of type {}", print::kind(other))),
    }
}

fn index(value: &Value, key: &Value) -> Called {
    match (value, key) {
        // As with a map of Go, what is not there is nothing.
        (Value::Object(map), Value::String(key)) => Ok(map.get(key).cloned().unwrap_or(Value::Null)),
        (Value::Array(items), Value::Number(_)) => {
            let item = count(key).ok().and_then(|at| items.get(at));
            item.cloned().ok_or_else(|| format!("index out of range: {key}"))
        }
        (Value::Null, _) => Err("index of untyped nil".to_owned()),
        (other, _) => Err(format!("can't index item of type {}", print::kind(other))),
    }
}

fn slice(value: &Value, bounds: &[Value]) -> Called {
    let ends = |length: usize| -> Result<(usize, usize), String> {
        let start = bounds.first().map_or(Ok(0), count)?;
        let end = bounds.get(1).map_or(Ok(length), count)?;
        match start <= end && end <= length {
            true => Ok((start, end)),
            false => Err(format!("index out of range: {}", end.max(start))),
        }
    };
    match value {
        Value::Array(items) => ends(items.len()).map(|(start, end)| items[start..end].to_vec().into()),
        Value::String(text) => {
            let (start, end) = ends(text.len())?;
            text.get(start..end)
                .map(Value::from)
                .ok_or_else(|| "slice within a letter".to_owned())
        }
        other => Err(format!("can't slice item of type {}", print::kind(other))),
    }
}

fn same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a.total_cmp(&b) == Ordering::Equal,
        _ => a == b,
    }
}

fn compare(name: &str, a: &Value, b: &Value) -> Called {
    let order = match (a, b) {
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Number(a), Value::Number(b)) => a
            .as_f64()
            .unwrap_or_default()
            .total_cmp(&b.as_f64().unwrap_or_default()),
        _ => return Err("incompatible types for comparison".to_owned()),
    };
    Ok(Value::Bool(match name {
        "lt" => order.is_lt(),
        "le" => order.is_le(),
        "gt" => order.is_gt(),
        _ => order.is_ge(),
    }))
}

fn title(text: &str) -> String {
    let mut starts = true;
    let mut titled = String::with_capacity(text.len());
    for letter in text.chars() {
        match starts {
            true => titled.extend(letter.to_uppercase()),
            false => titled.push(letter),
        }
        starts = !letter.is_alphanumeric();
    }
    titled
}
