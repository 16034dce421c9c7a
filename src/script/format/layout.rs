//! Lines and their indentation, and the commas at their ends.

use std::collections::HashSet;

use super::spacing::{Role, is_apart, roles};
use super::{closes, opens};
use crate::script::tokens::{Kind, Token, tokens};

pub(super) const INDENT: usize = 4;
/// Columns of a line, if it can be broken at all.
pub(super) const WIDEST: usize = 120;

/// A script laid out.
pub(super) fn layout(code: &str) -> String {
    let tokens = tokens(code);
    let pairs = pairs(&tokens);
    let mut openers = vec![None; tokens.len()];
    for (open, close) in pairs.iter().enumerate() {
        if let Some(close) = close {
            openers[*close] = Some(open);
        }
    }
    let mut page = Page {
        code,
        roles: roles(&tokens),
        pairs,
        openers,
        breaks: HashSet::new(),
        tokens,
    };
    loop {
        let lines = page.lines();
        let breaks: Vec<usize> = lines.iter().flat_map(|line| page.breaks_of(line)).collect();
        if breaks.is_empty() {
            return page.text(&lines);
        }
        page.breaks.extend(breaks);
    }
}

/// A line: its tokens, and how deep it is.
pub(super) struct Line {
    pub(super) first: usize,
    pub(super) end: usize,
    pub(super) indent: usize,
    is_after_blank: bool,
}

/// What is open where a line begins.
struct Open {
    /// The indentation of the line that it is opened on.
    indent: usize,
    line: usize,
    /// The line on which what it stands in begins.
    start: usize,
}

pub(super) struct Page<'a> {
    code: &'a str,
    pub(super) tokens: Vec<Token<'a>>,
    pub(super) roles: Vec<Role>,
    /// For what opens, what closes it.
    pub(super) pairs: Vec<Option<usize>>,
    /// For what closes, what opens it.
    openers: Vec<Option<usize>>,
    /// Tokens that begin a line although they did not.
    breaks: HashSet<usize>,
}

fn pairs(tokens: &[Token<'_>]) -> Vec<Option<usize>> {
    let (mut pairs, mut open) = (vec![None; tokens.len()], Vec::new());
    for (at, token) in tokens.iter().enumerate() {
        if opens(token) {
            open.push(at);
        } else if closes(token)
            && let Some(start) = open.pop()
        {
            pairs[start] = Some(at);
        }
    }
    pairs
}

impl Page<'_> {
    /// The line ends before a token, as they are written.
    fn newlines(&self, at: usize) -> usize {
        let start = at.checked_sub(1).map_or(0, |before| self.tokens[before].end());
        self.code[start..self.tokens[at].start].matches('\n').count()
    }

    pub(super) fn begins_line(&self, at: usize) -> bool {
        at == 0 || self.newlines(at) > 0 || self.breaks.contains(&at)
    }

    fn lines(&self) -> Vec<Line> {
        let starts: Vec<usize> = (0..self.tokens.len()).filter(|at| self.begins_line(*at)).collect();
        let (mut lines, mut open, mut start) = (Vec::new(), Vec::new(), 0);
        for (number, first) in starts.iter().copied().enumerate() {
            let end = starts.get(number + 1).copied().unwrap_or(self.tokens.len());
            let indent = self.indent(first..end, number, &open, &mut start);
            self.follow(first..end, number, indent, &mut open, &mut start);
            let is_first_within = first > 0 && opens(&self.tokens[first - 1]);
            lines.push(Line {
                first,
                end,
                indent,
                is_after_blank: first > 0
                    && self.newlines(first) > 1
                    && !is_first_within
                    && !closes(&self.tokens[first]),
            });
        }
        lines
    }

    /// How deep a line is.
    fn indent(&self, tokens: std::ops::Range<usize>, line: usize, open: &[Open], start: &mut usize) -> usize {
        let first = tokens.start;
        let closing = self.tokens[tokens].iter().take_while(|token| closes(token)).count();
        if closing > 0 {
            let opener = open.len().checked_sub(closing).and_then(|at| open.get(at));
            return opener.map_or(0, |opener| opener.indent);
        }
        let top = open.last();
        let base = top.map_or(0, |top| top.indent + 1);
        if !self.goes_on(first) {
            *start = line;
            return base;
        }
        let is_deeper_already = top.is_some_and(|top| top.line >= *start);
        base + usize::from(!is_deeper_already)
    }

    /// Notes what the tokens of a line open and close.
    fn follow(
        &self,
        line: std::ops::Range<usize>,
        number: usize,
        indent: usize,
        open: &mut Vec<Open>,
        start: &mut usize,
    ) {
        for token in &self.tokens[line] {
            if opens(token) {
                open.push(Open {
                    indent,
                    line: number,
                    start: *start,
                });
            } else if closes(token)
                && let Some(closed) = open.pop()
            {
                *start = closed.start;
            }
        }
    }

    /// Whether a line goes on with what the line before it began.
    fn goes_on(&self, first: usize) -> bool {
        if self.tokens[first].is_comment() {
            return false;
        }
        let Some(last) = (0..first).rev().find(|at| !self.tokens[*at].is_comment()) else {
            return false;
        };
        if matches!(
            self.roles[last],
            Role::Binary | Role::Prefix | Role::Tight | Role::PipeClose
        ) {
            return true;
        }
        let has_operand = matches!(self.roles[last], Role::Plain | Role::Close)
            || self.roles[last] == Role::BraceClose && self.tokens[first].text.contains('.');
        let operator = matches!(self.roles[first], Role::Binary | Role::Tight);
        operator && has_operand
    }

    /// Whether it opens items between commas: an array, a map or the arguments of a call.
    pub(super) fn is_list(&self, at: usize) -> bool {
        let token = &self.tokens[at];
        let is_definition =
            at >= 2 && self.tokens[at - 2].is_word("fn") || at >= 4 && self.tokens[at - 4].is_word("fn");
        let is_index = token.is("[") && self.roles[at] == Role::TightOpen;
        token.is("#{")
            || token.is("[") && !is_index
            || token.is("(") && self.roles[at] == Role::TightOpen && !is_definition
    }

    fn text(&self, lines: &[Line]) -> String {
        let mut text = String::with_capacity(self.code.len());
        for line in lines {
            if line.is_after_blank {
                text.push('\n');
            }
            text.push_str(&" ".repeat(line.indent * INDENT));
            text.push_str(&self.line_text(line.first..line.end));
            text.push('\n');
        }
        text
    }

    /// The tokens of a line with spaces between them, and the commas that belong there.
    pub(super) fn line_text(&self, range: std::ops::Range<usize>) -> String {
        let mut text = String::new();
        for at in range.clone() {
            if self.is_idle_comma(at) {
                continue;
            }
            let before = (range.start..at).rev().find(|before| !self.is_idle_comma(*before));
            if let Some(before) = before {
                text.push_str(&self.gap(before, at));
            }
            text.push_str(self.tokens[at].text.trim_end());
            if self.needs_comma(at) {
                text.push(',');
            }
        }
        text
    }

    fn gap(&self, left: usize, right: usize) -> String {
        let (a, b) = (&self.tokens[left], &self.tokens[right]);
        // Comments that stand in a column stay there.
        if b.kind == Kind::LineComment {
            return " ".repeat((b.start - a.end()).max(1));
        }
        let apart = is_apart((a, self.roles[left]), (b, self.roles[right]));
        if apart { " ".to_owned() } else { String::new() }
    }

    /// Whether a comma stands before a bracket that closes on its line.
    fn is_idle_comma(&self, at: usize) -> bool {
        let next = at + 1;
        self.tokens[at].is(",") && next < self.tokens.len() && closes(&self.tokens[next]) && !self.begins_line(next)
    }

    /// Whether a token is the last item of a list whose bracket closes on a line of its own.
    fn needs_comma(&self, at: usize) -> bool {
        if self.tokens[at].is(",") || self.tokens[at].is_comment() {
            return false;
        }
        let Some(close) = (at + 1..self.tokens.len()).find(|next| !self.tokens[*next].is_comment()) else {
            return false;
        };
        let open = self.openers[close];
        closes(&self.tokens[close])
            && self.begins_line(close)
            && open.is_some_and(|open| open != at && self.is_list(open) && self.begins_line(open + 1))
    }
}
