//! What `--format` says: columns, templates, JSON.

use rhai::{Array, Dynamic, Map};
use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use crate::bindings::console::Format;
use crate::bindings::session::Session;
use crate::bindings::template::{Template, json};
use crate::bindings::value::to_json;
use crate::error::{Error, Result};

/// As Docker's columns are: no narrower than this, and so far apart (`tabwriter.NewWriter(out, 10, 1, 3, ' ', 0)`).
const NARROWEST: usize = 10;
const GAP: usize = 3;

pub(super) fn table(session: &Session, rows: &Array, headers: Map, usual: &str, format: &Dynamic) -> Result<()> {
    let rows: Vec<Value> = rows.iter().map(to_json).collect::<Result<_>>()?;
    let headers = to_json(&headers.into())?;
    session.print(&shown(&rows, &headers, usual, &wish(session, format))?);
    Ok(())
}

pub(super) fn render(session: &Session, value: &Dynamic, format: &Dynamic) -> Result<()> {
    let value = to_json(value)?;
    let text = match wish(session, format).as_str() {
        "" => pretty(&value)?,
        "json" | "jsonl" => line(&value) + "\n",
        template => Template::read(&unescaped(template))?.render(&value)? + "\n",
    };
    session.print(&text);
    Ok(())
}

/// One line of JSON.
pub(super) fn line(value: &Value) -> String {
    json(value)
}

/// What the command's flag says, or else the program's own.
pub(super) fn wish(session: &Session, format: &Dynamic) -> String {
    match (format.clone().into_string(), session.settings().format) {
        (Ok(format), _) => format,
        (Err(_), Format::Table) => String::new(),
        (Err(_), _) => "json".to_owned(),
    }
}

pub(super) fn pretty(value: &Value) -> Result<String> {
    let mut bytes = Vec::new();
    let form = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut writer = serde_json::Serializer::with_formatter(&mut bytes, form);
    serde::Serialize::serialize(value, &mut writer)
        .map_err(|cause| Error::internal(format!("failed to write JSON: {cause}")))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned() + "\n")
}

fn shown(rows: &[Value], headers: &Value, usual: &str, format: &str) -> Result<String> {
    let template = match format {
        "json" | "jsonl" => return Ok(rows.iter().map(|row| line(row) + "\n").collect()),
        "" | "table" => return columns(rows, headers, &unescaped(usual)),
        format => match format.strip_prefix("table ") {
            Some(template) => return columns(rows, headers, &unescaped(template)),
            None => Template::read(&unescaped(format))?,
        },
    };
    rows.iter().map(|row| Ok(rendered(&template, row)? + "\n")).collect()
}

fn rendered(template: &Template, row: &Value) -> Result<String> {
    let wrong = |error: Error| {
        let way_out = error.way_out().map(str::to_owned);
        let error = Error::invalid(format!("failed to execute template: {}", error.message()));
        way_out.into_iter().fold(error, |error, hint| error.hint(hint))
    };
    template.render(row).map_err(wrong)
}

fn columns(rows: &[Value], headers: &Value, template: &str) -> Result<String> {
    let template = Template::read(template)?;
    let mut lines = vec![rendered(&template, headers)?];
    for row in rows {
        lines.push(rendered(&template, row)?);
    }
    Ok(aligned(&lines))
}

/// Lines whose cells end in a tab, as Go's `tabwriter` sets them: the last cell of a line belongs to no column.
fn aligned(lines: &[String]) -> String {
    let rows: Vec<Vec<String>> = lines.iter().map(|line| line.split('\t').map(clean).collect()).collect();
    let mut widths: Vec<usize> = Vec::new();
    for row in &rows {
        for (at, cell) in row.iter().take(row.len().saturating_sub(1)).enumerate() {
            if widths.len() <= at {
                widths.push(NARROWEST);
            }
            widths[at] = widths[at].max(cell.width() + GAP);
        }
    }
    let mut text = String::new();
    for row in &rows {
        for (at, cell) in row.iter().enumerate() {
            text.push_str(cell);
            if at + 1 < row.len() {
                text.extend(std::iter::repeat_n(' ', widths[at] - cell.width()));
            }
        }
        text.push('\n');
    }
    text
}

/// Without what would move the cursor: names and labels come from images.
fn clean(cell: &str) -> String {
    let mut text = String::with_capacity(cell.len());
    for letter in cell.chars() {
        match letter.is_control() {
            true => text.extend(letter.escape_default()),
            false => text.push(letter),
        }
    }
    text
}

/// `\t` and `\n` as people write them between quotes of a shell.
pub(super) fn unescaped(template: &str) -> String {
    template.replace("\\t", "\t").replace("\\n", "\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_set_as_docker_sets_them() {
        let rows = [json!({"ID": "cbde76449d93", "Ports": "", "Names": "web"})];
        let headers = json!({"ID": "CONTAINER ID", "Ports": "PORTS", "Names": "NAMES"});
        let usual = "{{.ID}}\t{{.Ports}}\t{{.Names}}";
        let all = "CONTAINER ID   PORTS     NAMES\ncbde76449d93             web\n";
        for (format, text) in [
            ("", all),
            ("table", all),
            (
                "table {{.Names}}\\t{{.ID}}",
                "NAMES     CONTAINER ID\nweb       cbde76449d93\n",
            ),
            ("{{.Names}}\\t{{.ID}}", "web\tcbde76449d93\n"),
            ("{{json .Names}}", "\"web\"\n"),
            ("json", "{\"ID\":\"cbde76449d93\",\"Names\":\"web\",\"Ports\":\"\"}\n"),
        ] {
            assert_eq!(shown(&rows, &headers, usual, format).unwrap(), text, "{format}");
        }
        let wrong = shown(&rows, &headers, usual, "{{.Nope}}").unwrap_err();
        assert_eq!(
            wrong.message(),
            "failed to execute template: template: :1:2: executing \"\" at <.Nope>: map has no entry for key \"Nope\""
        );
        assert_eq!(aligned(&["a\u{1b}[2J\tb".to_owned()]), "a\\u{1b}[2J   b\n");
    }
}
