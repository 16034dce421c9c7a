//! Values as Go prints them.

use serde_json::Value;

/// As `{{.}}` does.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        _ => inner(value),
    }
}

fn inner(value: &Value) -> String {
    let joined = |parts: Vec<String>| parts.join(" ");
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", joined(items.iter().map(inner).collect())),
        Value::Object(map) => {
            let mut parts: Vec<String> = map
                .iter()
                .map(|(key, value)| format!("{key}:{}", inner(value)))
                .collect();
            parts.sort();
            format!("map[{}]", joined(parts))
        }
        other => other.to_string(),
    }
}

/// As Go's `encoding/json` writes it: keys in their order, and nothing that a page could take for markup.
pub fn json(value: &Value) -> String {
    let mut text = String::new();
    for letter in value.to_string().chars() {
        match letter {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => text.push_str(&format!("\\u{:04x}", u32::from(letter))),
            other => text.push(other),
        }
    }
    text
}

/// The name of a type.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// As `printf` does.
pub(super) fn format(template: &str, arguments: &[Value]) -> String {
    let mut text = String::new();
    let mut arguments = arguments.iter();
    let mut letters = template.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            text.push(letter);
            continue;
        }
        let mut flags = String::new();
        while let Some(flag) = letters.next_if(|letter| "-+#0 .123456789".contains(*letter)) {
            flags.push(flag);
        }
        match letters.next() {
            Some('%') => text.push('%'),
            Some(verb) => match arguments.next() {
                Some(value) => text.push_str(&padded(&verbed(verb, &flags, value), &flags)),
                None => text.push_str(&format!("%!{verb}(MISSING)")),
            },
            None => text.push_str("%!(NOVERB)"),
        }
    }
    text
}

fn verbed(verb: char, flags: &str, value: &Value) -> String {
    let precision = flags
        .split_once('.')
        .and_then(|(_, digits)| digits.parse::<usize>().ok());
    match (verb, value) {
        ('q', Value::String(text)) => format!("{text:?}"),
        ('x', Value::Number(number)) => number
            .as_i64()
            .map_or_else(|| number.to_string(), |number| format!("{number:x}")),
        ('f', Value::Number(number)) => format!("{:.*}", precision.unwrap_or(6), number.as_f64().unwrap_or_default()),
        ('s', Value::String(text)) => text.chars().take(precision.unwrap_or(usize::MAX)).collect(),
        ('s' | 'v' | 't' | 'd', value) => inner(value),
        (verb, value) => format!("%!{verb}({}={})", kind(value), inner(value)),
    }
}

/// The most that a width adds.
const WIDEST: usize = 4096;

fn padded(text: &str, flags: &str) -> String {
    let width = flags
        .split('.')
        .next()
        .unwrap_or_default()
        .trim_start_matches(['-', '+', '#', ' ']);
    let zeros = width.starts_with('0');
    let width = width.parse::<usize>().unwrap_or(0).min(WIDEST);
    match (flags.starts_with('-'), zeros) {
        (true, _) => format!("{text:<width$}"),
        (false, true) => format!("{text:0>width$}"),
        (false, false) => format!("{text:>width$}"),
    }
}
