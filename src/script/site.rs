//! The documentation as a site: a page for each module and group of methods, a search without a server, light and dark.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::docs::{Function, Use, functions};
use crate::bindings::{GLOBALS, Group, NAMESPACES};

const STYLE: &str = include_str!("site/style.css");
const SEARCH: &str = include_str!("site/search.js");

/// The files of the site, by name.
pub fn site() -> Vec<(String, String)> {
    let site = Site::new(functions());
    let groups = || NAMESPACES.iter().chain(GLOBALS);
    let mut files: Vec<(String, String)> = groups()
        .map(|group| {
            (
                file_of(group.name),
                site.page(&title(group), &site.chapter(group), group.name),
            )
        })
        .collect();
    files.push(("index.html".to_owned(), site.page("Hoist", &overview(), "")));
    files.push(("style.css".to_owned(), STYLE.to_owned()));
    files.push((
        "search.js".to_owned(),
        format!("const FUNCTIONS = {};\n{SEARCH}", site.index()),
    ));
    files
}

struct Site {
    functions: Vec<Function>,
    /// Where a name is told of: functions by their full name, types by the page of their methods.
    places: BTreeMap<String, String>,
}

fn file_of(group: &str) -> String {
    format!("{group}.html")
}

fn title(group: &Group) -> String {
    match NAMESPACES.iter().any(|own| own.name == group.name) {
        true => format!("{}::", group.name),
        false => group.name.to_owned(),
    }
}

fn overview() -> String {
    let list = |groups: &[Group]| -> String {
        let row = |group: &Group| {
            let (file, title, summary) = (file_of(group.name), title(group), escape(group.summary));
            format!("<tr><td><a href=\"{file}\"><code>{title}</code></a></td><td>{summary}</td></tr>\n")
        };
        groups.iter().map(row).collect()
    };
    format!(
        "<h1>What scripts can call</h1>\n<p>Type above to search. Every example runs as a test.</p>\n\
         <h2>Modules</h2>\n<table>{}</table>\n<h2>Global functions, methods and getters</h2>\n<table>{}</table>\n",
        list(NAMESPACES),
        list(GLOBALS)
    )
}

impl Site {
    fn new(mut functions: Vec<Function>) -> Site {
        functions.retain(|function| function.usage != Use::Operator);
        let mut places = BTreeMap::new();
        for function in &functions {
            let name = function.qualified_name();
            let place = format!("{}#{}", file_of(function.group), name.replace("::", "."));
            places.entry(name).or_insert(place);
            if let Some(kind) = function.receiver() {
                places.entry(kind.to_owned()).or_insert_with(|| file_of(function.group));
            }
        }
        for group in NAMESPACES {
            places.insert(format!("{}::", group.name), file_of(group.name));
        }
        Site { functions, places }
    }

    fn page(&self, title: &str, content: &str, current: &str) -> String {
        let link = |group: &Group| {
            let here = if group.name == current {
                " aria-current=\"page\""
            } else {
                ""
            };
            let (file, name) = (file_of(group.name), self::title(group));
            format!("<li><a href=\"{file}\"{here}>{name}</a></li>")
        };
        let links = |groups: &[Group]| groups.iter().map(link).collect::<String>();
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n\
             <title>{title}</title>\n<link rel=\"stylesheet\" href=\"style.css\">\n</head>\n<body>\n\
             <header><a class=\"home\" href=\"index.html\">Hoist</a>\n\
             <input id=\"search\" type=\"search\" placeholder=\"Search functions\" aria-label=\"Search functions\" autocomplete=\"off\">\n\
             <ul id=\"found\" hidden></ul></header>\n\
             <nav><h2>Modules</h2><ul>{}</ul><h2>Globals</h2><ul>{}</ul></nav>\n<main>\n{content}</main>\n\
             <script src=\"search.js\"></script>\n</body>\n</html>\n",
            links(NAMESPACES),
            links(GLOBALS)
        )
    }

    fn chapter(&self, group: &Group) -> String {
        let mut text = format!(
            "<h1><code>{}</code></h1>\n<p>{}</p>\n",
            title(group),
            escape(group.summary)
        );
        let mut last = String::new();
        for function in self.functions.iter().filter(|f| f.group == group.name) {
            let name = function.qualified_name();
            if name != last {
                let id = name.replace("::", ".");
                let effects: String = function
                    .effects()
                    .iter()
                    .map(|effect| format!(" <span class=\"effect\">{}</span>", effect.name()))
                    .collect();
                let _ = writeln!(
                    text,
                    "<h2 id=\"{id}\"><a href=\"#{id}\"><code>{}</code></a>{effects}</h2>",
                    escape(&name)
                );
                last = name;
            }
            let _ = write!(
                text,
                "<section>\n<pre class=\"signature\">{}</pre>\n{}",
                self.signature(function),
                self.manual(&function.manual)
            );
            text.push_str(&options(function));
            text.push_str("</section>\n");
        }
        text
    }

    /// A signature whose types lead to what they can do.
    fn signature(&self, function: &Function) -> String {
        let signature = function.signature();
        let mut text = String::new();
        for word in signature.split_inclusive(|c: char| !c.is_alphanumeric() && c != '_') {
            let bare = word.trim_end_matches(|c: char| !c.is_alphanumeric() && c != '_');
            let is_type = bare.starts_with(char::is_uppercase);
            match self.places.get(bare).filter(|_| is_type) {
                Some(place) => {
                    let _ = write!(text, "<a href=\"{place}\">{bare}</a>{}", escape(&word[bare.len()..]));
                }
                None => text.push_str(&escape(word)),
            }
        }
        text
    }

    /// Markdown as manuals use it: paragraphs, fences, lists, and code in backticks, which leads to what it names.
    fn manual(&self, manual: &str) -> String {
        let (mut text, mut paragraph) = (String::new(), String::new());
        let mut lines = manual.lines();
        let flush = |text: &mut String, paragraph: &mut String| {
            if !paragraph.trim().is_empty() {
                let _ = writeln!(text, "<p>{}</p>", self.inline(paragraph.trim()));
            }
            paragraph.clear();
        };
        while let Some(line) = lines.next() {
            if line.starts_with("```") {
                flush(&mut text, &mut paragraph);
                let code: Vec<&str> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
                let _ = writeln!(text, "<pre><code>{}</code></pre>", escape(&code.join("\n")));
            } else if let Some(item) = line.strip_prefix("- ") {
                flush(&mut text, &mut paragraph);
                let _ = writeln!(text, "<p class=\"item\">{}</p>", self.inline(item));
            } else if line.trim().is_empty() {
                flush(&mut text, &mut paragraph);
            } else {
                paragraph.push_str(line);
                paragraph.push('\n');
            }
        }
        flush(&mut text, &mut paragraph);
        text
    }

    fn inline(&self, text: &str) -> String {
        let mut html = String::new();
        for (at, part) in text.split('`').enumerate() {
            let is_code = at % 2 == 1;
            let name = part.split('(').next().unwrap_or(part);
            match self.places.get(name) {
                _ if !is_code => html.push_str(&escape(part)),
                Some(place) => {
                    let _ = write!(html, "<a href=\"{place}\"><code>{}</code></a>", escape(part));
                }
                None => {
                    let _ = write!(html, "<code>{}</code>", escape(part));
                }
            }
        }
        html
    }

    /// Name, summary and place of every function, for the search.
    fn index(&self) -> String {
        let rows = self.functions.iter().filter_map(|function| {
            let name = function.qualified_name();
            let place = self.places.get(&name)?;
            Some((name, (function.summary(), place)))
        });
        let rows: BTreeMap<String, (String, &String)> = rows.collect();
        let rows = rows
            .into_iter()
            .map(|(name, (summary, place))| serde_json::json!([name, summary, place]));
        rows.collect::<serde_json::Value>().to_string()
    }
}

/// A table of the options, where a function takes any.
fn options(function: &Function) -> String {
    let takes = function
        .parameters
        .iter()
        .any(|parameter| ["options", "filter"].contains(&parameter.name.as_str()));
    let keys = if takes { function.options() } else { Vec::new() };
    if keys.is_empty() {
        return String::new();
    }
    let rows = keys.iter().map(|key| {
        let values = match key.values {
            [] => String::new(),
            values => format!(
                ": {}",
                values
                    .iter()
                    .map(|value| format!("<code>{}</code>", escape(value)))
                    .collect::<Vec<_>>()
                    .join(" ")
            ),
        };
        format!(
            "<tr><td><code>{}</code></td><td>{}{values}</td></tr>\n",
            key.name,
            escape(&key.kind)
        )
    });
    format!(
        "<details><summary>Options</summary><table>{}</table></details>\n",
        rows.collect::<String>()
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_link_of_the_site_leads_somewhere() {
        let files: BTreeMap<String, String> = site().into_iter().collect();
        let link = regex::Regex::new("(?:href|src)=\"([^\"]+)\"").unwrap();
        let (mut count, mut faults) = (0, Vec::new());
        for (name, text) in files.iter().filter(|(name, _)| name.ends_with(".html")) {
            for found in link.captures_iter(text) {
                count += 1;
                let (file, place) = found[1].split_once('#').unwrap_or((&found[1], ""));
                let target = files.get(if file.is_empty() { name.as_str() } else { file });
                let has_place = |text: &String| place.is_empty() || text.contains(&format!("id=\"{place}\""));
                if !target.is_some_and(has_place) {
                    faults.push(format!("{name}: {}", &found[1]));
                }
            }
        }
        assert!(count > 1000, "{count}");
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }

    #[test]
    fn a_page_has_signatures_manuals_options_and_links() {
        let files: BTreeMap<String, String> = site().into_iter().collect();
        let page = &files["container.html"];
        assert!(page.contains("<h2 id=\"container.run\">"), "{page}");
        assert!(page.contains("-&gt; <a href=\"runs.html\">Run</a>"), "{page}");
        assert!(page.contains("<td><code>memory</code></td>"), "{page}");
        assert!(files["search.js"].contains("\"fs::read\""));
        assert!(files["fs.html"].contains("<pre><code>"));
    }
}
