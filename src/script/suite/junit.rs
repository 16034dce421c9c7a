//! Verdicts as JUnit's XML, which servers that build software read.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Outcome, Verdict};

/// A document with a suite for each file.
pub fn junit(verdicts: &[Verdict], faults: &[String]) -> String {
    let mut files: BTreeMap<&str, Vec<&Verdict>> = BTreeMap::new();
    for verdict in verdicts {
        files.entry(&verdict.file).or_default().push(verdict);
    }
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        text,
        "<testsuites{}>",
        counts(&verdicts.iter().collect::<Vec<_>>(), faults.len())
    );
    for (file, verdicts) in files {
        let _ = writeln!(text, "  <testsuite name=\"{}\"{}>", escaped(file), counts(&verdicts, 0));
        verdicts.iter().for_each(|verdict| case(&mut text, verdict));
        text.push_str("  </testsuite>\n");
    }
    for fault in faults {
        let _ = writeln!(
            text,
            "  <testsuite name=\"unreadable\" tests=\"1\" failures=\"0\" errors=\"1\">\n    <testcase name=\"file\"><error message=\"{}\">{}</error></testcase>\n  </testsuite>",
            escaped(fault.lines().next().unwrap_or_default()),
            escaped(fault)
        );
    }
    text.push_str("</testsuites>\n");
    text
}

fn counts(verdicts: &[&Verdict], more: usize) -> String {
    let of = |outcome| verdicts.iter().filter(|verdict| verdict.outcome == outcome).count();
    let time = verdicts.iter().fold(0.0, |sum, verdict| sum + verdict.seconds);
    format!(
        " tests=\"{}\" failures=\"{}\" errors=\"{}\" time=\"{time:.3}\"",
        verdicts.len() + more,
        of(Outcome::Failed),
        of(Outcome::Broken) + more
    )
}

fn case(text: &mut String, verdict: &Verdict) {
    let class = verdict.file.trim_end_matches(".test.rhai").replace('/', ".");
    let _ = write!(
        text,
        "    <testcase classname=\"{}\" name=\"{}\" file=\"{}\" line=\"{}\" time=\"{:.3}\">",
        escaped(&class),
        escaped(&verdict.name),
        escaped(&verdict.file),
        verdict.line,
        verdict.seconds
    );
    let tag = match verdict.outcome {
        Outcome::Passed => None,
        Outcome::Failed => Some("failure"),
        Outcome::Broken => Some("error"),
    };
    if let (Some(tag), Some(report)) = (tag, &verdict.report) {
        let first = report.lines().next().unwrap_or_default();
        let _ = write!(
            text,
            "\n      <{tag} message=\"{}\">{}</{tag}>",
            escaped(first),
            escaped(report)
        );
    }
    if !verdict.output.is_empty() && tag.is_some() {
        let _ = write!(text, "\n      <system-out>{}</system-out>", escaped(&verdict.output));
    }
    text.push_str(if tag.is_some() {
        "\n    </testcase>\n"
    } else {
        "</testcase>\n"
    });
}

/// As XML 1.0 (2.2, 2.4) can hold it: control characters, which it cannot, are told apart.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\n' | '\t' => safe.push(letter),
            '\u{fffe}' | '\u{ffff}' => safe.push('\u{fffd}'),
            letter if letter.is_control() => safe.extend(letter.escape_default()),
            letter => safe.push(letter),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_cannot_hold_is_told_apart() {
        assert_eq!(escaped("a<b>&\"\u{1b}[1m\n"), "a&lt;b&gt;&amp;&quot;\\u{1b}[1m\n");
    }
}
