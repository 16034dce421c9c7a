//! Values as the prompt shows them: one object with all its facts, maps in maps as what they are, numbers of bytes as people read them.

use rhai::{Array, Dynamic, Map};
use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use super::console::Format;
use super::object::Shape;
use super::table::{cell, clean, grid, show};
use super::value;
use crate::error::Result;
use crate::model::ByteSize;

/// The text of a value at the prompt, ending in a line break unless there is none; programs get what [`show`] gives.
pub fn show_card(value: &Dynamic, format: Format) -> Result<String> {
    let value = super::closure::snapshot(value.clone());
    if format != Format::Table {
        return show(&value, format);
    }
    if let Some(map) = value.read_lock::<Map>() {
        return of_map(&map);
    }
    if let Some(rows) = value.read_lock::<Array>() {
        let rows: Array = rows.iter().map(readable).collect();
        return match rows.is_empty() {
            true => Ok("[]\n".to_owned()),
            false => show(&rows.into(), format),
        };
    }
    match Shape::find(&value) {
        Some(shape) if shape.columns.len() > 1 && !shape.is_list => Ok(card(shape.name, &shape.json(&value))),
        _ => show(&value, format),
    }
}

/// Keys whose numbers are bytes.
const BYTES: [&str; 13] = [
    "blobs",
    "layers",
    "memory",
    "memory_limit",
    "memory_peak",
    "read",
    "reclaimable",
    "reclaimed",
    "shared",
    "size",
    "trash",
    "unique",
    "written",
];

/// A row whose bytes are as people read them.
fn readable(row: &Dynamic) -> Dynamic {
    let Some(map) = row.read_lock::<Map>() else {
        return row.clone();
    };
    let fact = |(name, fact): (&rhai::Identifier, &Dynamic)| {
        let bytes = fact.as_int().ok().and_then(|bytes| u64::try_from(bytes).ok());
        let is_bytes = BYTES.contains(&name.as_str());
        let shown = bytes
            .filter(|_| is_bytes)
            .map(|bytes| ByteSize(bytes).to_string().into());
        (name.clone(), shown.unwrap_or_else(|| fact.clone()))
    };
    map.iter().map(fact).collect::<Map>().into()
}

/// A map: maps in it that have the same keys are the rows of a table; what is larger than lines can show is JSON.
fn of_map(map: &Map) -> Result<String> {
    if map.is_empty() {
        return Ok("#{}\n".to_owned());
    }
    let inner: Vec<(&rhai::Identifier, Map)> = map
        .iter()
        .filter_map(|(name, fact)| Some((name, readable(fact).try_cast::<Map>()?)))
        .collect();
    let names = |map: &Map| map.keys().cloned().collect::<Vec<_>>();
    if inner.len() > 1 && inner.iter().any(|(_, facts)| names(facts) == names(&inner[0].1)) && is_flat(&inner) {
        return Ok(rows(map, &inner));
    }
    let facts = readable(&map.clone().into());
    let facts = facts.read_lock::<Map>().map(|facts| facts.clone()).unwrap_or_default();
    let cells: Vec<Vec<String>> = facts
        .iter()
        .map(|(name, fact)| vec![name.to_string(), cell(fact)])
        .collect();
    if cells.iter().any(|row| row[1].width() > LONGEST_FACT) {
        let text = serde_json::to_string_pretty(&value::to_json(&map.clone().into())?);
        return Ok(text.map_or_else(|_| String::new(), |text| text + "\n"));
    }
    Ok(grid(&[], cells))
}

fn is_flat(inner: &[(&rhai::Identifier, Map)]) -> bool {
    let facts = inner.iter().flat_map(|(_, facts)| facts.values());
    facts.into_iter().all(|fact| !fact.is_map() && !fact.is_array())
}

/// The maps of a map as rows under their names, then its other facts.
fn rows(map: &Map, inner: &[(&rhai::Identifier, Map)]) -> String {
    let mut columns: Vec<&str> = Vec::new();
    for name in inner.iter().flat_map(|(_, facts)| facts.keys()) {
        if !columns.contains(&name.as_str()) {
            columns.push(name.as_str());
        }
    }
    let header: Vec<String> = columns
        .iter()
        .map(|name| name.to_uppercase().replace('_', " "))
        .collect();
    let header: Vec<&str> = std::iter::once("").chain(header.iter().map(String::as_str)).collect();
    let row = |(name, facts): &(&rhai::Identifier, Map)| {
        let facts = columns
            .iter()
            .map(|column| facts.get(*column).map(cell).unwrap_or_default());
        std::iter::once(name.to_string()).chain(facts).collect()
    };
    let mut text = grid(&header, inner.iter().map(row).collect());
    let others = map.iter().filter(|(name, _)| !inner.iter().any(|(own, _)| own == name));
    let total = |name: &str, fact: &Dynamic| match fact.as_int() {
        Ok(bytes) if inner.iter().any(|(_, facts)| facts.contains_key("size")) => {
            ByteSize(u64::try_from(bytes).unwrap_or_default()).to_string()
        }
        _ => told(name, &value::to_json(fact).unwrap_or_default()),
    };
    let others: Vec<Vec<String>> = others
        .map(|(name, fact)| vec![name.to_string(), total(name, fact)])
        .collect();
    if !others.is_empty() {
        text.push_str(&grid(&[], others));
    }
    text
}

/// The longest fact that a card shows whole, in characters.
const LONGEST_FACT: usize = 100;

/// The name of a type, and below it the facts that there are.
fn card(name: &str, facts: &Value) -> String {
    let facts: Vec<(&String, String)> = facts
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, fact)| (name, told(name, fact)))
        .collect();
    let width = facts.iter().map(|(name, _)| name.width()).max().unwrap_or_default();
    let mut text = format!("{name}\n");
    for (name, fact) in facts.iter().filter(|(_, fact)| !fact.is_empty()) {
        let mut lines = fact.lines();
        match (lines.next(), lines.next()) {
            (Some(line), None) => {
                let line = clean(line);
                let shown: String = line.chars().take(LONGEST_FACT).collect();
                let more = if shown.len() < line.len() { "…" } else { "" };
                text.push_str(&format!("  {name:width$}   {shown}{more}\n"));
            }
            _ => {
                text.push_str(&format!("  {name}\n"));
                text.extend(fact.lines().map(|line| format!("    {}\n", clean(line))));
            }
        }
    }
    text
}

/// A fact as a person reads it; nothing for one that is empty.
fn told(name: &str, fact: &Value) -> String {
    match fact {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Number(bytes) if name.ends_with("size") => bytes
            .as_u64()
            .map_or_else(|| bytes.to_string(), |bytes| ByteSize(bytes).to_string()),
        Value::Number(seconds) if matches!(name, "age" | "duration") => {
            let span = super::duration::Duration::of_units(seconds.as_f64().unwrap_or_default(), 1e6);
            super::object::Object::text(&span)
        }
        Value::Array(items) => items.iter().map(|item| told("", item)).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, fact)| format!("{name}={}", told(name, fact)));
            fields.collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::testing;

    fn shown(script: &str) -> String {
        show_card(&testing::engine().eval::<Dynamic>(script).unwrap(), Format::Table).unwrap()
    }

    #[test]
    fn one_object_is_a_card() {
        let facts = serde_json::json!({
            "name": "tools:1", "size": 1_500_000, "age": 90.0, "tags": ["a", "b"], "parent": null, "labels": {"k": "v"},
            "stdout": "one\ntwo\u{1b}\n", "cmd": [], "running": false, "long": "x".repeat(200),
        });
        let expected = format!(
            "Image\n  age       1m30s\n  labels    k=v\n  long      {}…\n  name      tools:1\n  running   false\n  size      1.50MB\n  stdout\n    one\n    two\\u{{1b}}\n  tags      a, b\n",
            "x".repeat(100)
        );
        assert_eq!(card("Image", &facts), expected);
    }

    #[test]
    fn what_is_empty_is_seen_to_be_there() {
        for (script, text) in [
            ("[]", "[]\n"),
            ("#{}", "#{}\n"),
            ("()", ""),
            ("[1, 2]", "1\n2\n"),
            ("\"\"", ""),
        ] {
            assert_eq!(shown(script), text, "{script}");
        }
    }

    #[test]
    fn bytes_are_as_people_read_them() {
        assert_eq!(shown("[#{name: \"a\", size: 2063349}]"), "NAME   SIZE\na      2.06MB\n");
        assert_eq!(shown("#{memory: 1500000, pids: 3}"), "memory   1.50MB\npids     3\n");
        let programs = show_card(
            &testing::engine().eval::<Dynamic>("#{size: 2063349}").unwrap(),
            Format::JsonLines,
        );
        assert_eq!(programs.unwrap(), "{\"size\":2063349}\n");
    }

    #[test]
    fn maps_in_maps_are_rows_or_json() {
        assert_eq!(
            shown("#{images: #{count: 1, size: 2000000}, volumes: #{count: 0, size: 0}, total: 2000000}"),
            "          COUNT   SIZE\nimages    1       2.00MB\nvolumes   0       0B\ntotal   2.00MB\n"
        );
        let long = "x".repeat(101);
        assert_eq!(
            shown(&format!("#{{a: #{{b: \"{long}\"}}}}")),
            format!("{{\n  \"a\": {{\n    \"b\": \"{long}\"\n  }}\n}}\n")
        );
    }
}
