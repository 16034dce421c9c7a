//! From text to what is to be done.

use serde_json::Value;

use super::{Fault, functions};

/// How deep parentheses and blocks may go.
const DEEPEST: usize = 64;

#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    Show(Pipeline),
    Set {
        name: String,
        declares: bool,
        pipeline: Pipeline,
    },
    If {
        branches: Vec<(Pipeline, Vec<Node>)>,
        otherwise: Vec<Node>,
    },
    With {
        pipeline: Pipeline,
        body: Vec<Node>,
        otherwise: Vec<Node>,
    },
    Range {
        names: Vec<String>,
        pipeline: Pipeline,
        body: Vec<Node>,
        otherwise: Vec<Node>,
    },
}

/// Commands, each fed by the one before.
#[derive(Debug)]
pub(super) struct Pipeline(pub(super) Vec<Vec<Operand>>);

/// A value, and fields of it.
#[derive(Debug)]
pub(super) struct Operand {
    pub(super) term: Term,
    pub(super) fields: Vec<String>,
    at: (usize, usize),
    text: String,
}

#[derive(Debug)]
pub(super) enum Term {
    Dot,
    /// `$name`; without a name it is what the template is about.
    Variable(String),
    Literal(Value),
    Inner(Pipeline),
    Function(String),
}

impl Operand {
    pub(super) fn fault(&self, why: String) -> Fault {
        Fault {
            at: self.at,
            text: self.text.clone(),
            why,
        }
    }
}

impl Pipeline {
    pub(super) fn fault(&self, why: String) -> Fault {
        match self.0.first().and_then(|command| command.first()) {
            Some(operand) => operand.fault(why),
            None => Fault {
                at: (1, 0),
                text: String::new(),
                why,
            },
        }
    }
}

impl Node {
    /// The field that it shows, and nothing else.
    pub(super) fn field(&self) -> Option<&str> {
        let Node::Show(Pipeline(commands)) = self else {
            return None;
        };
        let [command] = commands.as_slice() else { return None };
        match command.as_slice() {
            [
                Operand {
                    term: Term::Dot,
                    fields,
                    ..
                },
            ] if fields.len() == 1 => Some(&fields[0]),
            _ => None,
        }
    }
}

type Parsed<T> = Result<T, String>;

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Field(String),
    Dot,
    Variable(String),
    Literal(Value),
    Word(String),
    Pipe,
    Open,
    Close,
    Comma,
    Declare,
    Assign,
}

struct Lexed {
    token: Token,
    /// Where it is in the text.
    start: usize,
    end: usize,
    /// Whether a space stands before it, so that `.A .B` is not `.A.B`.
    apart: bool,
}

enum Piece {
    Text(String),
    Action(Vec<Lexed>, usize),
}

pub(super) fn parse(text: &str) -> Parsed<Vec<Node>> {
    let mut parser = Parser {
        text,
        pieces: pieces(text)?.into_iter(),
        depth: 0,
    };
    let (nodes, end) = parser.block()?;
    match end {
        None => Ok(nodes),
        Some((keyword, _, at)) => Err(format!("{}: unexpected {{{{{keyword}}}}}", place(text, at))),
    }
}

/// `:LINE`.
fn place(text: &str, at: usize) -> String {
    format!(":{}", text[..at].matches('\n').count() + 1)
}

fn pieces(text: &str) -> Parsed<Vec<Piece>> {
    let (mut pieces, mut at, mut trims) = (Vec::new(), 0, false);
    loop {
        let open = text[at..].find("{{").map(|found| at + found);
        let mut plain = &text[at..open.unwrap_or(text.len())];
        if trims {
            plain = plain.trim_start();
        }
        let Some(open) = open else {
            pieces.push(Piece::Text(plain.to_owned()));
            return Ok(pieces);
        };
        let mut start = open + 2;
        let after = &text[start..];
        if after.starts_with('-') && after[1..].starts_with(char::is_whitespace) {
            plain = plain.trim_end();
            start += 1;
        }
        pieces.push(Piece::Text(plain.to_owned()));
        let body = text[start..].trim_start();
        if body.starts_with("/*") {
            let close = text[start..].find("*/").map(|found| start + found + 2);
            let close = close.ok_or_else(|| format!("{}: unclosed comment", place(text, open)))?;
            let rest = text[close..].trim_start();
            trims = rest.starts_with('-');
            let rest = rest.strip_prefix('-').unwrap_or(rest);
            let rest = rest.strip_prefix("}}");
            at = text.len()
                - rest
                    .ok_or_else(|| format!("{}: comment ends before closing delimiter", place(text, open)))?
                    .len();
            continue;
        }
        let (tokens, end, trim) = lex(text, start)?;
        pieces.push(Piece::Action(tokens, open));
        (at, trims) = (end, trim);
    }
}

/// The tokens up to `}}`, where that ends, and whether it trims.
fn lex(text: &str, start: usize) -> Parsed<(Vec<Lexed>, usize, bool)> {
    let (mut tokens, mut at) = (Vec::new(), start);
    let mut apart = true;
    loop {
        let rest = &text[at..];
        let wrong = |what: &str| Err(format!("{}: {what}", place(text, start)));
        let Some(letter) = rest.chars().next() else {
            return wrong("unclosed action");
        };
        if letter.is_whitespace() {
            let trimmed = rest.trim_start();
            if trimmed.starts_with("-}}") {
                return Ok((tokens, text.len() - trimmed.len() + 3, true));
            }
            at += rest.len() - trimmed.len();
            apart = true;
            continue;
        }
        if rest.starts_with("}}") {
            return Ok((tokens, at + 2, false));
        }
        let name = |text: &str| {
            text.chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .map(char::len_utf8)
                .sum::<usize>()
        };
        let (token, length) = match letter {
            '.' => match name(&rest[1..]) {
                0 => (Token::Dot, 1),
                length => (Token::Field(rest[1..=length].to_owned()), length + 1),
            },
            '$' => {
                let length = name(&rest[1..]);
                (Token::Variable(rest[1..=length].to_owned()), length + 1)
            }
            '|' => (Token::Pipe, 1),
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            ',' => (Token::Comma, 1),
            '=' => (Token::Assign, 1),
            ':' if rest.starts_with(":=") => (Token::Declare, 2),
            '"' | '`' | '\'' => match quoted(rest, letter) {
                Some(found) => found,
                None => return wrong("unterminated quoted string"),
            },
            _ if letter.is_ascii_digit()
                || (matches!(letter, '-' | '+') && rest[1..].starts_with(|c: char| c.is_ascii_digit())) =>
            {
                let is_part = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+' | '_');
                let length: usize = rest.chars().take_while(is_part).map(char::len_utf8).sum();
                match number(&rest[..length]) {
                    Some(value) => (Token::Literal(value), length),
                    None => return wrong(&format!("bad number syntax: {:?}", &rest[..length])),
                }
            }
            _ if letter.is_alphabetic() || letter == '_' => {
                let length = name(rest);
                (Token::Word(rest[..length].to_owned()), length)
            }
            other => return wrong(&format!("unexpected {other:?} in command")),
        };
        tokens.push(Lexed {
            token,
            start: at,
            end: at + length,
            apart,
        });
        at += length;
        apart = false;
    }
}

fn number(text: &str) -> Option<Value> {
    let whole = text.parse::<i64>().ok().map(Value::from);
    whole.or_else(|| {
        text.parse::<f64>()
            .ok()
            .filter(|number| number.is_finite())
            .map(Value::from)
    })
}

fn quoted(text: &str, quote: char) -> Option<(Token, usize)> {
    let mut value = String::new();
    let mut letters = text.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        match letter {
            _ if letter == quote && quote == '\'' => {
                // A letter is a number in Go.
                let mut all = value.chars();
                let code = all.next().filter(|_| all.next().is_none())?;
                return Some((Token::Literal(u32::from(code).into()), at + 1));
            }
            _ if letter == quote => return Some((Token::Literal(value.into()), at + 1)),
            '\\' if quote != '`' => value.push(match letters.next()?.1 {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                other => other,
            }),
            '\n' if quote != '`' => return None,
            other => value.push(other),
        }
    }
    None
}

/// What ended a block: the keyword, the rest of its action, and where.
type End = Option<(String, Vec<Lexed>, usize)>;

struct Parser<'a> {
    text: &'a str,
    pieces: std::vec::IntoIter<Piece>,
    depth: usize,
}

impl Parser<'_> {
    fn wrong<T>(&self, at: usize, what: &str) -> Parsed<T> {
        Err(format!("{}: {what}", place(self.text, at)))
    }

    fn block(&mut self) -> Parsed<(Vec<Node>, End)> {
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.next() {
            let (mut tokens, at) = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                Piece::Action(tokens, at) => (tokens, at),
            };
            let keyword = match tokens.first().map(|one| &one.token) {
                Some(Token::Word(word)) if is_keyword(word) => word.clone(),
                Some(_) => {
                    nodes.push(self.action(tokens, at)?);
                    continue;
                }
                None => return self.wrong(at, "missing value for command"),
            };
            tokens.remove(0);
            match keyword.as_str() {
                "end" | "else" => return Ok((nodes, Some((keyword, tokens, at)))),
                _ => nodes.push(self.control(&keyword, tokens, at)?),
            }
        }
        Ok((nodes, None))
    }

    fn control(&mut self, keyword: &str, tokens: Vec<Lexed>, at: usize) -> Parsed<Node> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return self.wrong(at, "blocks are too deep");
        }
        let node = match keyword {
            "if" => self.conditions(tokens, at)?,
            "range" => {
                let (names, tokens) = loop_names(tokens);
                let pipeline = self.whole(tokens, at, "range")?;
                let (body, otherwise) = self.halves()?;
                Node::Range {
                    names,
                    pipeline,
                    body,
                    otherwise,
                }
            }
            _ => {
                let pipeline = self.whole(tokens, at, "with")?;
                let (body, otherwise) = self.halves()?;
                Node::With {
                    pipeline,
                    body,
                    otherwise,
                }
            }
        };
        self.depth -= 1;
        Ok(node)
    }

    fn conditions(&mut self, tokens: Vec<Lexed>, at: usize) -> Parsed<Node> {
        let mut branches = Vec::new();
        let mut condition = self.whole(tokens, at, "if")?;
        loop {
            let (body, end) = self.block()?;
            branches.push((condition, body));
            let Some((keyword, mut tokens, at)) = end else {
                return self.wrong(self.text.len(), "unexpected EOF");
            };
            if keyword == "end" {
                return Ok(Node::If {
                    branches,
                    otherwise: Vec::new(),
                });
            }
            if tokens.is_empty() {
                let (otherwise, end) = self.block()?;
                self.ended(&end)?;
                return Ok(Node::If { branches, otherwise });
            }
            if tokens[0].token != Token::Word("if".to_owned()) {
                return self.wrong(at, "unexpected word after else");
            }
            tokens.remove(0);
            condition = self.whole(tokens, at, "else if")?;
        }
    }

    /// What is between a keyword and `end`, and after an `else`.
    fn halves(&mut self) -> Parsed<(Vec<Node>, Vec<Node>)> {
        let (body, end) = self.block()?;
        match end {
            Some((keyword, _, _)) if keyword == "else" => {
                let (otherwise, end) = self.block()?;
                self.ended(&end)?;
                Ok((body, otherwise))
            }
            end => self.ended(&end).map(|()| (body, Vec::new())),
        }
    }

    fn ended(&self, end: &End) -> Parsed<()> {
        match end {
            Some((keyword, _, _)) if keyword == "end" => Ok(()),
            Some((keyword, _, at)) => self.wrong(*at, &format!("unexpected {{{{{keyword}}}}}")),
            None => self.wrong(self.text.len(), "unexpected EOF"),
        }
    }

    fn action(&mut self, mut tokens: Vec<Lexed>, at: usize) -> Parsed<Node> {
        let sets = match tokens.as_slice() {
            [
                Lexed {
                    token: Token::Variable(name),
                    ..
                },
                Lexed { token, .. },
                ..,
            ] if matches!(token, Token::Declare | Token::Assign) => Some((name.clone(), *token == Token::Declare)),
            _ => None,
        };
        match sets {
            Some((name, declares)) => {
                tokens.drain(..2);
                let pipeline = self.whole(tokens, at, "command")?;
                Ok(Node::Set {
                    name,
                    declares,
                    pipeline,
                })
            }
            None => Ok(Node::Show(self.whole(tokens, at, "command")?)),
        }
    }

    fn whole(&mut self, tokens: Vec<Lexed>, at: usize, what: &str) -> Parsed<Pipeline> {
        let mut tokens = tokens.into_iter().peekable();
        let pipeline = self.pipeline(&mut tokens, at, what)?;
        match tokens.next() {
            None => Ok(pipeline),
            Some(_) => self.wrong(at, "unexpected right paren"),
        }
    }

    fn pipeline(&mut self, tokens: &mut Tokens, at: usize, what: &str) -> Parsed<Pipeline> {
        let mut commands = vec![Vec::new()];
        while let Some(next) = tokens.peek() {
            match next.token {
                Token::Close => break,
                Token::Pipe => {
                    tokens.next();
                    commands.push(Vec::new());
                }
                _ => {
                    let operand = self.operand(tokens, at)?;
                    let last = commands.len() - 1;
                    commands[last].push(operand);
                }
            }
        }
        match commands.iter().any(Vec::is_empty) {
            true => self.wrong(at, &format!("missing value for {what}")),
            false => Ok(Pipeline(commands)),
        }
    }

    fn operand(&mut self, tokens: &mut Tokens, at: usize) -> Parsed<Operand> {
        let Some(lexed) = tokens.next() else {
            return self.wrong(at, "missing value for command");
        };
        let (start, mut end) = (lexed.start, lexed.end);
        let mut fields = Vec::new();
        let term = match lexed.token {
            Token::Dot => Term::Dot,
            Token::Field(name) => {
                fields.push(name);
                Term::Dot
            }
            Token::Variable(name) => Term::Variable(name),
            Token::Literal(value) => Term::Literal(value),
            Token::Word(word) => self.word(word, at)?,
            Token::Open => {
                self.depth += 1;
                if self.depth > DEEPEST {
                    return self.wrong(at, "parentheses are too deep");
                }
                let inner = self.pipeline(tokens, at, "parenthesized pipeline")?;
                self.depth -= 1;
                match tokens.next() {
                    Some(close) if close.token == Token::Close => end = close.end,
                    _ => return self.wrong(at, "unclosed left paren"),
                }
                Term::Inner(inner)
            }
            other => return self.wrong(at, &format!("unexpected {other:?} in operand")),
        };
        while let Some(Lexed {
            token: Token::Field(name),
            apart: false,
            end: field_end,
            ..
        }) = tokens.peek()
        {
            fields.push(name.clone());
            end = *field_end;
            tokens.next();
        }
        let line = self.text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        Ok(Operand {
            term,
            fields,
            at: (self.text[..start].matches('\n').count() + 1, start - line),
            text: self.text[start..end].to_owned(),
        })
    }

    fn word(&self, word: String, at: usize) -> Parsed<Term> {
        Ok(match word.as_str() {
            "true" => Term::Literal(true.into()),
            "false" => Term::Literal(false.into()),
            "nil" => Term::Literal(Value::Null),
            _ if functions::NAMES.contains(&word.as_str()) => Term::Function(word),
            _ => return self.wrong(at, &format!("function {word:?} not defined")),
        })
    }
}

type Tokens = std::iter::Peekable<std::vec::IntoIter<Lexed>>;

fn is_keyword(word: &str) -> bool {
    matches!(word, "if" | "else" | "end" | "range" | "with")
}

/// `$i, $e :=` before what is gone over.
fn loop_names(mut tokens: Vec<Lexed>) -> (Vec<String>, Vec<Lexed>) {
    let kinds: Vec<&Token> = tokens.iter().take(4).map(|one| &one.token).collect();
    let names = match kinds.as_slice() {
        [
            Token::Variable(first),
            Token::Comma,
            Token::Variable(second),
            Token::Declare,
        ] => vec![first.clone(), second.clone()],
        [Token::Variable(one), Token::Declare, ..] => vec![one.clone()],
        _ => Vec::new(),
    };
    tokens.drain(..names.len() * 2);
    (names, tokens)
}
