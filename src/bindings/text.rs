//! What strings can do beyond the interpreter's own functions.

use rhai::export_module;

/// Strings: aligned, cut into lines, quoted; and sizes as text.
#[export_module(manifest)]
pub mod functions {
    use super::super::value::list;
    use crate::bindings::prelude::*;
    use crate::model::ByteSize;

    /// Wider than any line somebody reads, and far from what memory holds.
    const WIDEST: usize = 10_000;

    fn missing(text: &str, width: INT) -> String {
        let width = usize::try_from(width).unwrap_or(0).min(WIDEST);
        " ".repeat(width.saturating_sub(text.chars().count()))
    }

    /// The string with spaces before it, at least so many characters long (at most 10,000).
    ///
    /// ```rhai
    /// assert::eq("7".pad_left(3), "  7");
    /// ```
    pub fn pad_left(this: &str, width: INT) -> String {
        missing(this, width) + this
    }

    /// The string with spaces after it, at least so many characters long (at most 10,000).
    ///
    /// ```rhai
    /// assert::eq("7".pad_right(3), "7  ");
    /// ```
    pub fn pad_right(this: &str, width: INT) -> String {
        format!("{this}{}", missing(this, width))
    }

    /// The lines of the string, without their line breaks.
    ///
    /// ```rhai
    /// assert::eq("a\nb\n".lines(), ["a", "b"]);
    /// ```
    pub fn lines(this: &str) -> Array {
        list(this.lines().map(str::to_owned))
    }

    /// The string without white space at its ends; unlike `trim`, it leaves the receiver as it is.
    ///
    /// ```rhai
    /// assert::eq(" a \n".trimmed(), "a");
    /// ```
    pub fn trimmed(this: &str) -> String {
        this.trim().to_owned()
    }

    /// The string as one word of a shell.
    ///
    /// ```rhai
    /// assert::eq("it's".shell_quote(), `'it'\''s'`);
    /// ```
    pub fn shell_quote(this: &str) -> String {
        format!("'{}'", this.replace('\'', r"'\''"))
    }

    /// A number of bytes as people read it.
    ///
    /// ```rhai
    /// assert::eq(format_bytes(170400000), "170MB");
    /// ```
    pub fn format_bytes(bytes: INT) -> String {
        let sign = if bytes < 0 { "-" } else { "" };
        format!("{sign}{}", ByteSize(bytes.unsigned_abs()))
    }

    /// A size such as `512m` or `10GB` as a number of bytes.
    ///
    /// Throws `invalid` when the text is not a size.
    ///
    /// ```rhai
    /// assert::eq(parse_bytes("512m"), 512.mib);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn parse_bytes(ctx: NativeCallContext, text: &str) -> Scripted<INT> {
        native(&ctx, |_| {
            Ok(INT::try_from(text.parse::<ByteSize>()?.0).unwrap_or(INT::MAX))
        })
    }
}
