//! Units after a number: `10.mib` is bytes, `30.days` is a duration.

use rhai::{FuncRegistration, Module};

use super::duration::Duration;
use super::prelude::{FLOAT, INT};

/// Name, bytes, and the words of the documentation.
const SIZES: [(&str, INT, &str); 8] = [
    ("kib", 1 << 10, "1,024 bytes"),
    ("mib", 1 << 20, "1,024 KiB"),
    ("gib", 1 << 30, "1,024 MiB"),
    ("tib", 1 << 40, "1,024 GiB"),
    ("kb", 1_000, "1,000 bytes"),
    ("mb", 1_000_000, "1,000 kB"),
    ("gb", 1_000_000_000, "1,000 MB"),
    ("tb", 1_000_000_000_000, "1,000 GB"),
];

/// Name and microseconds.
const TIMES: [(&str, f64); 7] = [
    ("weeks", 7.0 * 86_400e6),
    ("days", 86_400e6),
    ("hours", 3_600e6),
    ("minutes", 60e6),
    ("seconds", 1e6),
    ("millis", 1e3),
    ("micros", 1.0),
];

/// The getters of whole numbers and floats.
pub fn module() -> Module {
    let mut module = Module::new();
    for (name, bytes, words) in SIZES {
        let comment = [
            format!("/// That many times {words}, in bytes.\n///\n"),
            format!("/// ```rhai\n/// assert::eq(2.{name}, {});\n/// ```", 2 * bytes),
        ]
        .concat();
        let whole = move |count: &mut INT| count.saturating_mul(bytes);
        let part = move |count: &mut FLOAT| (*count * bytes as FLOAT).round() as INT;
        getter(name, "INT", "INT", &comment).set_into_module(&mut module, whole);
        getter(name, "FLOAT", "INT", &comment).set_into_module(&mut module, part);
    }
    for (name, micros) in TIMES {
        let comment = format!(
            "/// That many {name}, as a duration.\n///\n/// ```rhai\n/// assert::eq(2.{name}, 1.{name} + 1.{name});\n/// ```"
        );
        let whole = move |count: &mut INT| Duration::of_units(*count as FLOAT, micros);
        let part = move |count: &mut FLOAT| Duration::of_units(*count, micros);
        getter(name, "INT", "Duration", &comment).set_into_module(&mut module, whole);
        getter(name, "FLOAT", "Duration", &comment).set_into_module(&mut module, part);
    }
    module
}

fn getter(name: &str, receiver: &str, result: &str, comment: &str) -> FuncRegistration {
    FuncRegistration::new_getter(name)
        .in_global_namespace()
        .with_purity(true)
        .with_params_info([&format!("count: &mut {receiver}"), result])
        .with_comments(comment.lines())
}
