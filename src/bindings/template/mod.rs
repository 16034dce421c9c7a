//! Templates as people give them to `docker … --format`: the part of Go's `text/template` that they use, over values of JSON.
//!
//! Actions are `{{.A.B}}`, `{{$}}`, variables, `if`/`else if`/`else`, `range`, `with`, `end`, pipelines, comments and the trim marks
//! `{{-` and `-}}`; functions are those of [`functions::NAMES`]. A field that a map lacks is an error, as in Docker: it is misspelt.

mod functions;
mod parse;
mod print;

use serde_json::Value;

use crate::error::{Error, Result};
use parse::{Node, Operand, Pipeline, Term};
pub use print::json;

/// A template that was read.
#[derive(Debug)]
pub struct Template {
    nodes: Vec<Node>,
}

/// How often a template may go around, and how much it may write: what it goes over is finite, but not small.
const MOST_OUTPUT: usize = 64 << 20;

impl Template {
    /// Reads a template. Errors: `invalid`, in the words of Go.
    pub fn read(text: &str) -> Result<Template> {
        let nodes = parse::parse(text).map_err(|wrong| {
            Error::invalid(format!("failed to parse template: template: {wrong}"))
                .hint("templates are Go's: `{{.Name}}`, `{{json .}}`, `{{range .Items}}{{.}}{{end}}`")
        })?;
        Ok(Template { nodes })
    }

    /// What it makes of a value. Errors: `invalid`, in the words of Go, for a field that is not there and values that do not fit.
    pub fn render(&self, value: &Value) -> Result<String> {
        let mut run = Run {
            root: value,
            out: String::new(),
            variables: Vec::new(),
        };
        run.nodes(&self.nodes, value).map_err(|fault| {
            let Fault {
                at: (line, column),
                text,
                why,
            } = fault;
            let message = format!("template: :{line}:{column}: executing \"\" at <{text}>: {why}");
            let error = Error::invalid(message);
            match value {
                Value::Object(map) if why.starts_with("map has no entry") => {
                    let names: Vec<&str> = map.keys().map(String::as_str).collect();
                    error.hint(format!("fields are {}", names.join(", ")))
                }
                _ => error,
            }
        })?;
        Ok(run.out)
    }

    /// The names of the fields that are shown alone, `ID` of `{{.ID}}`, in their order.
    pub fn fields(&self) -> Vec<&str> {
        self.nodes.iter().filter_map(Node::field).collect()
    }
}

/// What went wrong, where.
struct Fault {
    at: (usize, usize),
    text: String,
    why: String,
}

type Ran<T> = std::result::Result<T, Fault>;

struct Run<'a> {
    root: &'a Value,
    out: String,
    variables: Vec<(String, Value)>,
}

impl Run<'_> {
    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Ran<()> {
        let depth = self.variables.len();
        for node in nodes {
            self.node(node, dot)?;
        }
        self.variables.truncate(depth);
        Ok(())
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Ran<()> {
        match node {
            Node::Text(text) => self.out.push_str(text),
            Node::Show(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                self.out.push_str(&print::plain(&value));
            }
            Node::Set {
                name,
                declares,
                pipeline,
            } => {
                let value = self.pipeline(pipeline, dot)?;
                match self.variables.iter_mut().rev().find(|(known, _)| known == name) {
                    Some((_, known)) if !declares => *known = value,
                    _ => self.variables.push((name.clone(), value)),
                }
            }
            Node::If { branches, otherwise } => {
                for (condition, body) in branches {
                    if is_true(&self.pipeline(condition, dot)?) {
                        return self.nodes(body, dot);
                    }
                }
                self.nodes(otherwise, dot)?;
            }
            Node::With {
                pipeline,
                body,
                otherwise,
            } => {
                let value = self.pipeline(pipeline, dot)?;
                match is_true(&value) {
                    true => self.nodes(body, &value)?,
                    false => self.nodes(otherwise, dot)?,
                }
            }
            Node::Range {
                names,
                pipeline,
                body,
                otherwise,
            } => {
                let value = self.pipeline(pipeline, dot)?;
                self.range(names, &value, body, pipeline)?;
                if !is_true(&value) {
                    self.nodes(otherwise, dot)?;
                }
            }
        }
        match self.out.len() > MOST_OUTPUT {
            true => Err(Fault {
                at: (1, 0),
                text: String::new(),
                why: "it writes too much".to_owned(),
            }),
            false => Ok(()),
        }
    }

    fn range(&mut self, names: &[String], value: &Value, body: &[Node], over: &Pipeline) -> Ran<()> {
        let items: Vec<(Value, &Value)> = match value {
            Value::Array(items) => items.iter().enumerate().map(|(at, item)| (at.into(), item)).collect(),
            Value::Object(map) => map.iter().map(|(key, item)| (key.as_str().into(), item)).collect(),
            Value::Null => Vec::new(),
            other => {
                let why = format!("range can't iterate over {}", print::plain(other));
                return Err(over.fault(why));
            }
        };
        for (key, item) in items {
            let depth = self.variables.len();
            match names {
                [one] => self.variables.push((one.clone(), item.clone())),
                [first, second] => {
                    self.variables.push((first.clone(), key));
                    self.variables.push((second.clone(), item.clone()));
                }
                _ => {}
            }
            let done = self.nodes(body, item);
            self.variables.truncate(depth);
            done?;
        }
        Ok(())
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> Ran<Value> {
        let mut piped: Option<Value> = None;
        for command in &pipeline.0 {
            let value = match &command[0].term {
                Term::Function(name) => {
                    let arguments = command[1..].iter().map(|one| self.operand(one, dot));
                    let mut arguments = arguments.collect::<Ran<Vec<Value>>>()?;
                    arguments.extend(piped.take());
                    functions::call(name, &arguments)
                        .map_err(|why| command[0].fault(format!("error calling {name}: {why}")))?
                }
                _ if command.len() > 1 || piped.is_some() => {
                    return Err(command[0].fault("can't give argument to non-function".to_owned()));
                }
                _ => self.operand(&command[0], dot)?,
            };
            piped = Some(value);
        }
        Ok(piped.unwrap_or(Value::Null))
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Ran<Value> {
        let base = match &operand.term {
            Term::Dot => dot.clone(),
            Term::Literal(value) => value.clone(),
            Term::Variable(name) if name.is_empty() => self.root.clone(),
            Term::Variable(name) => {
                let found = self.variables.iter().rev().find(|(known, _)| known == name);
                found
                    .map(|(_, value)| value.clone())
                    .ok_or_else(|| operand.fault(format!("undefined variable: ${name}")))?
            }
            Term::Inner(pipeline) => self.pipeline(pipeline, dot)?,
            Term::Function(name) => {
                functions::call(name, &[]).map_err(|why| operand.fault(format!("error calling {name}: {why}")))?
            }
        };
        operand.fields.iter().try_fold(base, |value, field| match value {
            Value::Object(mut map) => map
                .remove(field)
                .ok_or_else(|| operand.fault(format!("map has no entry for key {field:?}"))),
            Value::Null => Err(operand.fault(format!("nil pointer evaluating interface {{}}.{field}"))),
            other => {
                let kind = print::kind(&other);
                Err(operand.fault(format!("can't evaluate field {field} in type {kind}")))
            }
        })
    }
}

/// Go's truth: neither nothing, nor zero, nor empty.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(yes) => *yes,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn render(template: &str) -> std::result::Result<String, String> {
        let value = json!({
            "Name": "/web", "Id": "cbde76449d93", "Mounts": [], "None": null, "Size": 1536, "Ratio": 1.5, "Empty": {},
            "State": {"Status": "running", "Running": true},
            "Config": {"Env": ["A=1", "B=2"], "Labels": {"b": "2", "a": "1"}, "Cmd": ["sh", "-c"]},
        });
        let read = Template::read(template).map_err(|error| error.message().to_owned())?;
        read.render(&value).map_err(|error| error.message().to_owned())
    }

    /// Each was rendered by Docker 28.5's client, but for structures, which it shows as Go does.
    #[test]
    fn templates_are_rendered_as_docker_does() {
        for (template, text) in [
            ("{{.Name}} {{.State.Status}}", "/web running"),
            ("{{json .Config.Env}} {{json .None}}", r#"["A=1","B=2"] null"#),
            ("{{json .State}}", r#"{"Running":true,"Status":"running"}"#),
            (
                "{{.Config.Env}} {{.Config.Labels}} {{.Mounts}} {{.Empty}}",
                "[A=1 B=2] map[a:1 b:2] [] map[]",
            ),
            ("{{range .Config.Env}}{{println .}}{{end}}", "A=1\nB=2\n"),
            ("{{range $i, $e := .Config.Env}}{{$i}}:{{$e}} {{end}}", "0:A=1 1:B=2 "),
            ("{{range $k, $v := .Config.Labels}}{{$k}}={{$v}};{{end}}", "a=1;b=2;"),
            ("{{range .Mounts}}x{{else}}none{{end}}", "none"),
            ("{{index .Config.Env 0}} {{index .Config.Labels \"b\"}}", "A=1 2"),
            ("{{len .Mounts}}{{if .State.Running}} up{{else}} down{{end}}", "0 up"),
            ("{{if .None}}a{{else if eq .Size 1536}}b{{else}}c{{end}}", "b"),
            ("{{with .State}}{{.Status}} {{$.Name}}{{end}}", "running /web"),
            ("{{$n := .Name}}{{$n}}{{$n = \"x\"}}{{$n}}", "/webx"),
            (
                "{{printf \"%s-%d-%v-%q|%5s|%-4d|%.1f%%\" .Name 3 true \"x\" \"ab\" 7 .Ratio}}",
                "/web-3-true-\"x\"|   ab|7   |1.5%",
            ),
            (
                "{{upper .Name}} {{lower \"X\"}} {{join .Config.Cmd \",\"}} {{split .Name \"e\"}} {{title \"abc\"}}",
                "/WEB x sh,-c [/w b] Abc",
            ),
            (
                "{{truncate .Id 5}} {{slice .Id 0 3}} {{pad \"x\" 1 2}}|",
                "cbde7 cbd  x  |",
            ),
            ("{{.Name | upper | printf \"%s!\"}}", "/WEB!"),
            ("{{(index .Config.Env 1) | upper}} {{(.State).Status}}", "B=2 running"),
            ("a {{- .Name -}} b{{/* no */}}", "a/webb"),
            (
                "{{and .Size .Name}} {{or .None \"x\"}} {{not .None}} {{gt .Size 10}} {{ne .Name \"x\" }}",
                "/web x true true true",
            ),
            ("{{eq .Size 1 2 1536}} {{lt 1 2}} {{`raw`}} {{'a'}}", "true true raw 97"),
            ("{{.Size}} {{.Ratio}} {{.None}} {{.}}x", "1536 1.5 <no value> "),
        ] {
            let got = render(template).unwrap_or_else(|why| panic!("{template}: {why}"));
            match template.ends_with("{{.}}x") {
                true => assert!(
                    got.starts_with(text) && got.contains("map[Config:map[Cmd:[sh -c]"),
                    "{got}"
                ),
                false => assert_eq!(got, text, "{template}"),
            }
        }
    }

    #[test]
    fn what_is_wrong_is_said_in_the_words_of_go() {
        for (template, why) in [
            ("{{", "failed to parse template: template: :1: unclosed action"),
            (
                "{{.Nope}}",
                "template: :1:2: executing \"\" at <.Nope>: map has no entry for key \"Nope\"",
            ),
            (
                "a\n {{.State.Nope}}",
                "template: :2:3: executing \"\" at <.State.Nope>: map has no entry for key \"Nope\"",
            ),
            (
                "{{.Name.X}}",
                "template: :1:2: executing \"\" at <.Name.X>: can't evaluate field X in type string",
            ),
            (
                "{{frob 1}}",
                "failed to parse template: template: :1: function \"frob\" not defined",
            ),
            ("{{if .Name}}", "failed to parse template: template: :1: unexpected EOF"),
            ("{{end}}", "failed to parse template: template: :1: unexpected {{end}}"),
            (
                "{{index .Config.Env 9}}",
                "template: :1:2: executing \"\" at <index>: error calling index: index out of range: 9",
            ),
            (
                "{{\"a}}",
                "failed to parse template: template: :1: unterminated quoted string",
            ),
            (
                "{{(.Name}}",
                "failed to parse template: template: :1: unclosed left paren",
            ),
            (
                "{{range .Name}}{{end}}",
                "template: :1:8: executing \"\" at <.Name>: range can't iterate over /web",
            ),
        ] {
            assert_eq!(render(template), Err(why.to_owned()), "{template}");
        }
        for odd in [
            "{{$",
            "{{}}",
            "{{|}}",
            "{{.A |}}",
            "{{1.2.3}}",
            "{{-}}",
            "{{range}}{{end}}",
            "{{else}}",
            "{{if}}",
            "\u{0}{{.\u{0}}}",
            "{{'",
            "{{(((((",
            "{{$x :=}}",
        ] {
            assert!(render(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn the_fields_of_columns_are_known() {
        let template = Template::read("{{.ID}}\t{{json .Names}} {{if .X}}{{.Y}}{{end}}{{.Z}}").unwrap();
        assert_eq!(template.fields(), ["ID", "Z"]);
    }
}
