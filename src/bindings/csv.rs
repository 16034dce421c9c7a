//! `csv::`: tables as text.

use rhai::{Array, Dynamic, Map, export_module};
use serde::Deserialize;

use super::value;
use crate::error::{Error, Result};

/// The options of `csv::parse`.
#[derive(Deserialize)]
#[serde(default)]
pub(super) struct CsvParse {
    delimiter: String,
    header: bool,
}

/// The options of `csv::format`.
#[derive(Deserialize)]
#[serde(default)]
pub(super) struct CsvFormat {
    delimiter: String,
    columns: Vec<String>,
    header: bool,
}

impl Default for CsvParse {
    fn default() -> CsvParse {
        CsvParse {
            delimiter: ",".to_owned(),
            header: true,
        }
    }
}

impl Default for CsvFormat {
    fn default() -> CsvFormat {
        CsvFormat {
            delimiter: ",".to_owned(),
            columns: Vec::new(),
            header: true,
        }
    }
}

fn byte(delimiter: &str) -> Result<u8> {
    match delimiter.as_bytes() {
        [byte] if byte.is_ascii() && !b"\"\r\n".contains(byte) => Ok(*byte),
        _ => Err(
            Error::invalid(format!("`{}` cannot stand between fields", delimiter.escape_debug()))
                .hint("a `delimiter` is one letter of ASCII, such as `;` or `\\t`"),
        ),
    }
}

/// Rows as maps by the first line, or as arrays.
fn parse(text: &str, options: &CsvParse) -> Result<Array> {
    // What spreadsheets put before the first letter is none.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(byte(&options.delimiter)?)
        .has_headers(options.header)
        .flexible(!options.header)
        .from_reader(text.as_bytes());
    let broken = |cause: csv::Error| Error::corrupt(format!("failed to read the CSV text: {cause}"));
    let names = match options.header {
        true => Some(reader.headers().map_err(broken)?.clone()),
        false => None,
    };
    if let Some(twice) = names.as_ref().and_then(twice) {
        return Err(Error::corrupt(format!("the column `{twice}` is there twice"))
            .hint("with `#{header: false}` rows are arrays"));
    }
    let rows = reader.records().map(|row| {
        let row = row.map_err(broken)?;
        Ok(match &names {
            Some(names) => {
                let fields = names.iter().zip(&row);
                fields
                    .map(|(name, field)| (name.into(), field.to_owned().into()))
                    .collect::<Map>()
                    .into()
            }
            None => row
                .iter()
                .map(|field| field.to_owned().into())
                .collect::<Array>()
                .into(),
        })
    });
    rows.collect()
}

/// A name that is there twice.
fn twice(names: &csv::StringRecord) -> Option<String> {
    let mut seen = std::collections::HashSet::new();
    names.iter().find(|name| !seen.insert(*name)).map(str::to_owned)
}

/// Rows that are maps or objects, or arrays of fields.
fn format(rows: &Array, options: &CsvFormat) -> Result<String> {
    let mut writer = csv::WriterBuilder::new()
        .delimiter(byte(&options.delimiter)?)
        .flexible(true)
        .from_writer(Vec::new());
    let failed = |cause: csv::Error| Error::internal(format!("failed to write CSV: {cause}"));
    let rows: Vec<Row> = rows.iter().map(Row::of).collect::<Result<_>>()?;
    let columns = match options.columns.is_empty() {
        true => columns(&rows),
        false => options.columns.clone(),
    };
    if options.header && !columns.is_empty() {
        writer.write_record(&columns).map_err(failed)?;
    }
    for row in &rows {
        writer.write_record(row.fields(&columns)).map_err(failed)?;
    }
    let bytes = writer
        .into_inner()
        .map_err(|cause| Error::internal(format!("failed to write CSV: {cause}")))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

enum Row {
    Fields(Vec<String>),
    Named(serde_json::Map<String, serde_json::Value>),
}

impl Row {
    fn of(row: &Dynamic) -> Result<Row> {
        if let Some(fields) = row.read_lock::<Array>() {
            return Ok(Row::Fields(fields.iter().map(value::text).collect()));
        }
        match value::to_json(row)? {
            serde_json::Value::Object(named) => Ok(Row::Named(named)),
            _ => Err(Error::invalid(format!(
                "a row is a map, an object or an array, got {}",
                value::type_phrase(row)
            ))),
        }
    }

    fn fields(&self, columns: &[String]) -> Vec<String> {
        match self {
            Row::Fields(fields) => fields.clone(),
            Row::Named(named) => columns
                .iter()
                .map(|column| named.get(column).map(value::from_json))
                .map(|field| field.as_ref().map(value::text).unwrap_or_default())
                .collect(),
        }
    }
}

/// The names of all rows, each where it is first met.
fn columns(rows: &[Row]) -> Vec<String> {
    let mut columns: Vec<String> = Vec::new();
    for row in rows {
        if let Row::Named(named) = row {
            let new: Vec<String> = named.keys().filter(|name| !columns.contains(name)).cloned().collect();
            columns.extend(new);
        }
    }
    columns
}

/// CSV (RFC 4180), read and written.
#[export_module(manifest)]
pub mod functions {
    use crate::bindings::options;
    use crate::bindings::prelude::*;

    /// Reads a table whose first line has the names of its columns: an array of maps of text.
    ///
    /// Throws `corrupt` for rows of different lengths.
    ///
    /// ```rhai
    /// assert::eq(csv::parse("name,size\napp,10\n\"a, b\",2\n"), [#{ name: "app", size: "10" }, #{ name: "a, b", size: "2" }]);
    /// ```
    #[rhai_fn(name = "parse", return_raw)]
    pub fn parse(ctx: NativeCallContext, text: &str) -> Scripted<Array> {
        parse_options(ctx, text, Map::new())
    }

    /// Reads a table.
    ///
    /// Options: `delimiter` (default `","`), `header` (default `true`; without one rows are arrays).
    ///
    /// ```rhai
    /// assert::eq(csv::parse("a;b\nc;d\n", #{ delimiter: ";", header: false }), [["a", "b"], ["c", "d"]]);
    /// ```
    #[rhai_fn(name = "parse", return_raw)]
    pub fn parse_options(ctx: NativeCallContext, text: &str, options: Map) -> Scripted<Array> {
        native(&ctx, |_| super::parse(text, &options::parse(options)?))
    }

    /// Writes a table of maps, objects or arrays.
    ///
    /// ```rhai
    /// assert::eq(csv::format([#{ name: "app", size: 10 }, #{ name: "a, b", size: () }]), "name,size\napp,10\n\"a, b\",\n");
    /// ```
    #[rhai_fn(name = "format", return_raw)]
    pub fn format(ctx: NativeCallContext, rows: Array) -> Scripted<String> {
        format_options(ctx, rows, Map::new())
    }

    /// Writes a table of maps, objects or arrays.
    ///
    /// Options: `columns` (which, in this order; for arrays their names), `delimiter` (default `","`), `header` (default `true`).
    ///
    /// ```rhai
    /// let rows = [#{ name: "app", size: 10, id: 1 }];
    /// assert::eq(csv::format(rows, #{ columns: ["size", "name"], header: false, delimiter: "\t" }), "10\tapp\n");
    /// ```
    #[rhai_fn(name = "format", return_raw)]
    pub fn format_options(ctx: NativeCallContext, rows: Array, options: Map) -> Scripted<String> {
        native(&ctx, |_| super::format(&rows, &options::parse(options)?))
    }
}
