//! Where a line that is too long is broken.

use std::collections::HashSet;
use std::ops::Range;

use super::layout::{INDENT, Line, Page, WIDEST};
use super::opens;
use super::spacing::Role;
use crate::script::tokens::Kind;

/// Calls of a chain from which on each gets a line of its own.
const CHAIN: usize = 3;

impl Page<'_> {
    /// The tokens that are to begin lines because this one is too long; none if it is not, or cannot be broken.
    pub(super) fn breaks_of(&self, line: &Line) -> Vec<usize> {
        let has_comment = self.tokens[line.end - 1].kind == Kind::LineComment;
        let range = line.first..line.end - usize::from(has_comment);
        if range.is_empty() || line.indent * INDENT + self.width(range.clone()) <= WIDEST {
            return Vec::new();
        }
        let line = Long {
            indent: line.indent * INDENT,
            tops: self.tops(range.clone()),
            range,
        };
        type Rule = for<'p, 'l> fn(&'p Page<'_>, &'l Long) -> Option<Vec<usize>>;
        let rules: [Rule; 6] = [
            |page, line| page.items(line),
            |page, line| page.statement_blocks(line),
            |page, line| page.embraced(line),
            |page, line| page.chain(line),
            |page, line| page.widest_list(line),
            |page, line| page.operators(line),
        ];
        let found = rules.iter().find_map(|rule| {
            let mut breaks = rule(self, &line)?;
            breaks.retain(|at| !self.begins_line(*at));
            (!breaks.is_empty()).then_some(breaks)
        });
        found.unwrap_or_default()
    }

    /// Columns of the last line of what is printed of some tokens.
    fn width(&self, range: Range<usize>) -> usize {
        self.line_text(range).lines().last().unwrap_or_default().chars().count()
    }

    fn fits(&self, line: &Long, end: usize) -> bool {
        line.indent + self.width(line.range.start..end) <= WIDEST
    }

    /// The tokens of a line that stand in no bracket which closes on it.
    fn tops(&self, range: Range<usize>) -> Vec<usize> {
        let (mut tops, mut at) = (Vec::new(), range.start);
        while at < range.end {
            tops.push(at);
            at = self.pairs[at].filter(|close| *close < range.end).unwrap_or(at) + 1;
        }
        tops
    }

    /// What a bracket closes with, where that is on the line and something stands between.
    fn whole(&self, at: usize, range: &Range<usize>) -> Option<usize> {
        self.pairs[at].filter(|close| *close < range.end && *close > at + 1)
    }

    /// Several items of a list that is open: the last that fit are followed by a new line.
    fn items(&self, line: &Long) -> Option<Vec<usize>> {
        let open = self.around(line.range.start)?;
        if !self.is_list(open) {
            return None;
        }
        let mut commas: Vec<usize> = self.commas(line.tops.iter().copied()).collect();
        commas.retain(|comma| comma + 1 < line.range.end);
        let fitting = commas.iter().rev().find(|comma| self.fits(line, **comma + 1));
        fitting.or(commas.first()).map(|comma| vec![comma + 1])
    }

    /// The bracket that is open where a line begins.
    fn around(&self, first: usize) -> Option<usize> {
        let closes = |open: usize| self.pairs[open].is_some_and(|close| close > first);
        let begins = self.tokens[first].text;
        let is_inside = ![")", "]", "}"].contains(&begins);
        (0..first)
            .rev()
            .find(|at| opens(&self.tokens[*at]) && closes(*at))
            .filter(|_| is_inside)
    }

    /// Commas between items, but for those between the parameters of closures.
    fn commas(&self, tokens: impl Iterator<Item = usize>) -> impl Iterator<Item = usize> {
        let mut in_pipes = false;
        tokens.filter(move |at| {
            match self.roles[*at] {
                Role::PipeOpen => in_pipes = true,
                Role::PipeClose => in_pipes = false,
                _ => {}
            }
            !in_pipes && self.tokens[*at].is(",")
        })
    }

    fn is_block(&self, at: usize) -> bool {
        self.tokens[at].is("{")
    }

    /// `if x { … } else { … }` and its like.
    fn statement_blocks(&self, line: &Long) -> Option<Vec<usize>> {
        let first = line.tops.iter().copied();
        let first = first
            .clone()
            .find(|at| self.is_block(*at) && self.whole(*at, &line.range).is_some())?;
        Some(self.blocks_from(first, line.range.end))
    }

    /// The inside of a block, and of those that go on with it.
    fn blocks_from(&self, first: usize, end: usize) -> Vec<usize> {
        let (mut breaks, mut next) = (Vec::new(), Some(first));
        while let Some(open) = next {
            let Some(close) = self.pairs[open].filter(|close| *close < end) else {
                break;
            };
            breaks.extend(self.block(open, close));
            let goes_on = close + 1 < end
                && ["else", "catch"]
                    .iter()
                    .any(|word| self.tokens[close + 1].is_word(word));
            let rest = self.tops(close + 1..end);
            next = rest.into_iter().find(|at| self.is_block(*at)).filter(|_| goes_on);
            if !goes_on && close + 1 < end && self.begins_statement(close) {
                breaks.push(close + 1);
            }
        }
        breaks
    }

    /// A line for each statement, or each arm of a `switch`.
    fn block(&self, open: usize, close: usize) -> Vec<usize> {
        let tops = self.tops(open + 1..close);
        let is_switch = tops.iter().any(|at| self.tokens[*at].is("=>"));
        let mut breaks = vec![close];
        if close > open + 1 {
            breaks.push(open + 1);
        }
        let ends = tops.iter().copied().filter(|at| {
            let arm = is_switch && self.tokens[*at].is(",");
            let block = self.is_block(*at) && self.pairs[*at].is_some_and(|end| self.begins_statement(end));
            self.tokens[*at].is(";") || arm || block
        });
        let after = ends.map(|at| self.pairs[at].unwrap_or(at) + 1);
        breaks.extend(after.filter(|at| *at < close && !self.tokens[*at].is_comment()));
        breaks
    }

    /// Whether a statement begins behind the end of a block.
    fn begins_statement(&self, close: usize) -> bool {
        let goes_on = ["else", "catch", "while", "until", "in"];
        let next = self.tokens.get(close + 1);
        next.is_some_and(|next| next.kind == Kind::Word && !goes_on.contains(&next.text))
    }

    /// What ends the line and embraces most of it: the last call, if its last argument can be broken up in place of all of them.
    fn embraced(&self, line: &Long) -> Option<Vec<usize>> {
        let calls = line.tops.iter().rev();
        let last = calls
            .copied()
            .find(|at| self.whole(*at, &line.range).is_some() && self.is_list(*at))?;
        let is_end = |at: usize| self.tokens[at].is(";") || self.tokens[at].is(",");
        let close = self.pairs[last].unwrap_or(last);
        if !(close + 1..line.range.end).all(is_end) || self.links(line, last) >= CHAIN {
            return None;
        }
        self.embrace(last, line)
    }

    /// `f(a, #{`, `f(|x| {`, `f(|x| if y {`: the breaks within the last argument of a call; those of a map or an array themselves.
    fn embrace(&self, open: usize, line: &Long) -> Option<Vec<usize>> {
        let close = self.whole(open, &line.range)?;
        if !self.tokens[open].is("(") {
            return (open == line.range.start || self.fits(line, open + 1)).then(|| self.list(open));
        }
        let inside = self.tops(open + 1..close);
        let begin = self
            .commas(inside.iter().copied())
            .last()
            .map_or(open + 1, |comma| comma + 1);
        let has_braces = |range: Range<usize>| {
            range
                .into_iter()
                .any(|at| self.tokens[at].is("{") || self.tokens[at].is("#{"))
        };
        if has_braces(open + 1..begin) {
            return None;
        }
        let closure = matches!(self.roles[begin], Role::PipeOpen | Role::PipeClose);
        let header = inside
            .iter()
            .copied()
            .filter(|at| *at >= begin)
            .find(|at| self.roles[*at] == Role::PipeClose);
        let body = if closure { header? + 1 } else { begin };
        if !self.fits(line, body + 1) {
            return None;
        }
        if self.pairs[body] == Some(close - 1) && close - 1 > body + 1 && !self.tokens[body].is("(") {
            return Some(match self.is_block(body) {
                true => self.block(body, close - 1),
                false => self.list(body),
            });
        }
        let block = inside.iter().copied().find(|at| *at > body && self.is_block(*at));
        let is_choice = closure && self.tokens[body].is_word("if");
        let breaks = block
            .filter(|_| is_choice)
            .map(|block| self.blocks_from(block, close))?;
        breaks.contains(&(close - 1)).then_some(breaks)
    }

    /// How many calls by a dot a chain has up to a bracket.
    fn links(&self, line: &Long, last: usize) -> usize {
        self.dots(line).into_iter().filter(|dot| *dot < last).count()
    }

    /// The dots before calls, of the last chain on the line.
    fn dots(&self, line: &Long) -> Vec<usize> {
        let mut dots: Vec<usize> = Vec::new();
        for at in line.tops.iter().copied() {
            let is_link = self.tokens[at].is(".") || self.tokens[at].is("?.");
            let calls = self.tokens.get(at + 2).is_some_and(|next| next.is("("));
            match self.roles[at] {
                Role::Tight if is_link && calls && at + 2 < line.range.end => dots.push(at),
                Role::Binary | Role::Separator | Role::Keyword | Role::PipeClose if at + 1 < line.range.end => {
                    let has_ended = !self.tokens[at].is(";") && !self.tokens[at].is(",");
                    if has_ended {
                        dots.clear();
                    }
                }
                _ => {}
            }
        }
        dots
    }

    /// A line for each call of a chain.
    fn chain(&self, line: &Long) -> Option<Vec<usize>> {
        let dots = self.dots(line);
        let is_long = dots.len() >= CHAIN || dots.len() + 1 == CHAIN && dots[0] > line.range.start;
        is_long.then_some(dots)
    }

    /// A line for each item of the longest list.
    fn widest_list(&self, line: &Long) -> Option<Vec<usize>> {
        let lists = line.tops.iter().copied().filter_map(|at| {
            let close = self.whole(at, &line.range).filter(|_| self.is_list(at))?;
            // A single text is not shorter in a line of its own.
            (close > at + 2).then_some((at, close))
        });
        let (open, _) = lists.max_by_key(|(at, close)| (self.width(*at..close + 1), std::cmp::Reverse(*at)))?;
        Some(self.embrace(open, line).unwrap_or_else(|| self.list(open)))
    }

    /// Each item of a list on a line of its own.
    fn list(&self, open: usize) -> Vec<usize> {
        let Some(close) = self.pairs[open] else {
            return Vec::new();
        };
        let inside = self.tops(open + 1..close);
        let commas = self.commas(inside.into_iter());
        let after = commas.map(|comma| comma + 1).filter(|at| *at < close);
        [open + 1, close].into_iter().chain(after).collect()
    }

    /// The operators that bind least.
    fn operators(&self, line: &Long) -> Option<Vec<usize>> {
        let levels: [HashSet<&str>; 3] = [HashSet::from(["||"]), HashSet::from(["&&"]), HashSet::from(["+"])];
        levels.iter().find_map(|level| {
            let found = line.tops.iter().copied();
            let found = found.filter(|at| self.roles[*at] == Role::Binary && level.contains(self.tokens[*at].text));
            let found: Vec<usize> = found.collect();
            (!found.is_empty()).then_some(found)
        })
    }
}

/// A line that is too long.
struct Long {
    /// Columns before it.
    indent: usize,
    range: Range<usize>,
    tops: Vec<usize>,
}
