//! Values as a person or a program reads them: columns, JSON, or one JSON document per row.

use rhai::{Array, Dynamic, Map};
use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use super::console::Format;
use super::object::Shape;
use super::value;
use crate::error::{Error, Result};
use crate::host::Action;

/// Spaces between two columns.
const GAP: usize = 3;

/// The text of a value, ending in a line break unless it is empty. Nothing at all is shown for `()`.
pub fn show(value: &Dynamic, format: Format) -> Result<String> {
    let value = super::closure::snapshot(value.clone());
    match format {
        _ if value.is_unit() => Ok(String::new()),
        Format::Table => Ok(lines(&plain(&value))),
        Format::Json => json_text(&value::to_json(&value)?),
        Format::JsonLines => json_lines(&value::to_json(&value)?),
    }
}

/// The text of rows with the columns named.
pub fn show_columns(rows: &Array, columns: &[String], format: Format) -> Result<String> {
    if let Some(stray) = rows.iter().find(|row| facts(row).is_none()) {
        let found = value::type_phrase(stray);
        return Err(Error::invalid(format!(
            "a row of a table must be a map or an object, got {found}"
        )));
    }
    let rows = rows
        .iter()
        .filter_map(facts)
        .map(|row| pick(&row, columns))
        .collect::<Vec<Map>>();
    if format != Format::Table {
        return show(
            &Dynamic::from(rows.into_iter().map(Dynamic::from).collect::<Array>()),
            format,
        );
    }
    Ok(lines(&map_table(&rows, columns)))
}

/// The actions of a dry run, in columns.
pub fn show_plan(actions: &[Action]) -> String {
    let cells = |action: &Action| vec![action.action.clone(), action.target.clone(), action.detail.clone()];
    lines(&grid(
        &["ACTION", "TARGET", "DETAIL"],
        actions.iter().map(cells).collect(),
    ))
}

/// A row by its names.
fn facts(row: &Dynamic) -> Option<Map> {
    match Shape::find(row) {
        Some(shape) => value::from_json(&shape.json(row)).try_cast(),
        None => row.flatten_clone().try_cast(),
    }
}

fn pick(row: &Map, columns: &[String]) -> Map {
    let cell = |name: &String| (name.into(), row.get(name.as_str()).cloned().unwrap_or_default());
    columns.iter().map(cell).collect()
}

fn json_text(value: &Value) -> Result<String> {
    let text = serde_json::to_string_pretty(value);
    text.map(|text| text + "\n")
        .map_err(|cause| Error::internal(format!("failed to write JSON: {cause}")))
}

fn json_lines(value: &Value) -> Result<String> {
    let rows = match value {
        Value::Array(rows) => rows.as_slice(),
        one => std::slice::from_ref(one),
    };
    Ok(rows.iter().map(|row| format!("{row}\n")).collect())
}

fn lines(text: &str) -> String {
    match text.is_empty() {
        true => String::new(),
        false => format!("{}\n", text.trim_end_matches('\n')),
    }
}

fn plain(value: &Dynamic) -> String {
    if let Some(items) = value.read_lock::<Array>() {
        return list(&items);
    }
    if let Some(map) = value.read_lock::<Map>() {
        let rows = map
            .iter()
            .map(|(name, value)| vec![name.to_string(), cell(value)])
            .collect();
        return grid(&[], rows);
    }
    match Shape::find(value) {
        Some(shape) if shape.columns.len() > 1 => grid(shape.columns, shape.rows(value)),
        _ => value::text(value),
    }
}

/// Objects of one type by its columns, maps by their keys, anything else one per line.
fn list(items: &Array) -> String {
    if let Some(shape) = items.first().and_then(Shape::find)
        && items
            .iter()
            .all(|item| Shape::find(item).is_some_and(|other| other.name == shape.name))
    {
        return grid(shape.columns, items.iter().flat_map(|item| shape.rows(item)).collect());
    }
    let maps: Vec<Map> = items.iter().filter_map(|item| item.clone().try_cast()).collect();
    if maps.is_empty() || maps.len() < items.len() {
        return items.iter().map(|item| cell(item) + "\n").collect();
    }
    let mut columns: Vec<String> = Vec::new();
    for name in maps.iter().flat_map(|map| map.keys()) {
        if !columns.iter().any(|column| column == name.as_str()) {
            columns.push(name.to_string());
        }
    }
    map_table(&maps, &columns)
}

fn map_table(rows: &[Map], columns: &[String]) -> String {
    let header: Vec<String> = columns
        .iter()
        .map(|column| column.to_uppercase().replace('_', " "))
        .collect();
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let line = |row: &Map| {
        columns
            .iter()
            .map(|name| row.get(name.as_str()).map(cell).unwrap_or_default())
            .collect()
    };
    grid(&header, rows.iter().map(line).collect())
}

/// One cell: no line breaks or control characters, which could come from an image and would spoil the terminal.
pub(super) fn cell(value: &Dynamic) -> String {
    let text = match value.read_lock::<Array>() {
        Some(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        None => value::text(value),
    };
    clean(&text)
}

/// The text without control characters.
pub(super) fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter.is_control() {
            true => cleaned.extend(letter.escape_default()),
            false => cleaned.push(letter),
        }
    }
    cleaned
}

/// The same of a text that is one's own: most are as they should be.
fn cleaned(text: String) -> String {
    match text.contains(char::is_control) {
        true => clean(&text),
        false => text,
    }
}

/// How many columns a text takes that has no control characters.
fn columns(text: &str) -> usize {
    match text.is_ascii() {
        true => text.len(),
        false => text.width(),
    }
}

/// Columns as wide as their widest cell, [`GAP`] apart, and nothing behind the last.
/// Rows below a header, which may be empty, each column as wide as its widest cell.
pub fn grid(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let header = (!header.is_empty()).then(|| header.iter().map(|&name| name.to_owned()).collect());
    let rows: Vec<Vec<String>> = header
        .into_iter()
        .chain(rows)
        .map(|row| row.into_iter().map(cleaned).collect())
        .collect();
    let mut widths: Vec<usize> = Vec::new();
    for row in &rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(columns(cell));
        }
    }
    let mut text = String::new();
    for row in &rows {
        for (cell, width) in row.iter().zip(&widths) {
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', width - columns(cell) + GAP));
        }
        text.truncate(text.trim_end_matches(' ').len());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::testing;

    fn shown(script: &str, format: Format) -> String {
        show(&testing::engine().eval::<Dynamic>(script).unwrap(), format).unwrap()
    }

    #[test]
    fn each_kind_of_value_has_its_shape() {
        for (script, text) in [
            ("()", ""),
            ("42", "42\n"),
            ("\"a\\n\"", "a\n"),
            ("[]", ""),
            ("[1, [2, 3]]", "1\n2, 3\n"),
            (
                "[#{name: \"a\", size: 1}, #{name: \"long\"}]",
                "NAME   SIZE\na      1\nlong\n",
            ),
            ("#{a: 1, bcd: [1]}", "a     1\nbcd   1\n"),
            ("90.seconds", "1m30s\n"),
        ] {
            assert_eq!(shown(script, Format::Table), text, "{script}");
        }
    }

    #[test]
    fn machines_get_json() {
        assert_eq!(shown("[1, #{a: ()}]", Format::JsonLines), "1\n{\"a\":null}\n");
        assert_eq!(shown("#{a: 90.seconds}", Format::Json), "{\n  \"a\": 90.0\n}\n");
    }

    #[test]
    fn control_characters_never_reach_the_terminal() {
        assert_eq!(shown("[#{a: \"\\x1b[2J\\n\"}]", Format::Table), "A\n\\u{1b}[2J\\n\n");
    }
}
