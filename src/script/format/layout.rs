//! Lines and their indentation; lines that are too long, and the commas at their ends.

use std::collections::HashSet;

use super::spacing::{Role, is_apart, roles};
use super::{closes, opens};
use crate::script::tokens::{Kind, Token, tokens};

const INDENT: usize = 4;
/// Columns of a line, if it can be broken at all.
const WIDEST: usize = 120;

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
        let Some(group) = lines.iter().find_map(|line| page.to_break(line)) else {
            return page.text(&lines);
        };
        page.break_up(group);
    }
}

/// A line: its tokens, and how deep it is.
struct Line {
    first: usize,
    end: usize,
    indent: usize,
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

struct Page<'a> {
    code: &'a str,
    tokens: Vec<Token<'a>>,
    roles: Vec<Role>,
    /// For what opens, what closes it.
    pairs: Vec<Option<usize>>,
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

    fn begins_line(&self, at: usize) -> bool {
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

    /// The bracket that is to be broken up because its line is too long.
    fn to_break(&self, line: &Line) -> Option<usize> {
        let has_comment = self.tokens[line.end - 1].kind == Kind::LineComment;
        let end = line.end - usize::from(has_comment);
        let width =
            |range: std::ops::Range<usize>| self.line_text(range).lines().last().unwrap_or_default().chars().count();
        if end <= line.first || line.indent * INDENT + width(line.first..end) <= WIDEST {
            return None;
        }
        let is_whole =
            |at: &usize| self.pairs[*at].is_some_and(|close| close < end && close > at + 1) && self.is_list(*at);
        let outer = (line.first..end).filter(is_whole).max_by_key(|at| {
            let close = self.pairs[*at].unwrap_or(*at);
            (width(*at..close + 1), std::cmp::Reverse(*at))
        })?;
        Some(self.innermost(outer, &is_whole))
    }

    /// The list that ends what it stands in, as the options of a call do.
    fn innermost(&self, outer: usize, is_whole: &dyn Fn(&usize) -> bool) -> usize {
        let Some(close) = self.pairs[outer] else { return outer };
        let begins_item = |at: usize| at == outer + 1 || self.tokens[at - 1].is(",");
        let last = (outer + 1..close).find(|at| begins_item(*at) && is_whole(at) && self.pairs[*at] == Some(close - 1));
        match last.filter(|at| !self.tokens[*at].is("(")) {
            Some(inner) => self.innermost(inner, is_whole),
            None => outer,
        }
    }

    /// Whether it opens items between commas: an array, a map or the arguments of a call.
    fn is_list(&self, at: usize) -> bool {
        let token = &self.tokens[at];
        let is_definition =
            at >= 2 && self.tokens[at - 2].is_word("fn") || at >= 4 && self.tokens[at - 4].is_word("fn");
        let is_index = token.is("[") && self.roles[at] == Role::TightOpen;
        token.is("#{")
            || token.is("[") && !is_index
            || token.is("(") && self.roles[at] == Role::TightOpen && !is_definition
    }

    /// Puts each item on a line of its own.
    fn break_up(&mut self, open: usize) {
        let Some(close) = self.pairs[open] else { return };
        self.breaks.extend([open + 1, close]);
        let (mut at, mut in_pipes) = (open + 1, false);
        while at < close {
            if let Some(end) = self.pairs[at] {
                at = end;
            }
            in_pipes = match self.roles[at] {
                Role::PipeOpen => true,
                Role::PipeClose => false,
                _ => in_pipes,
            };
            if self.tokens[at].is(",") && !in_pipes && at + 1 < close {
                self.breaks.insert(at + 1);
            }
            at += 1;
        }
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
    fn line_text(&self, range: std::ops::Range<usize>) -> String {
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
