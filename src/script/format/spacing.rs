//! Where spaces stand between the tokens of a line.

use crate::script::tokens::{Kind, Token};

/// Words after which an expression begins.
const BEFORE_EXPRESSION: [&str; 17] = [
    "for", "if", "while", "until", "switch", "return", "throw", "in", "else", "let", "const", "catch", "break", "loop",
    "do", "import", "export",
];

/// What a token is to those beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A comment, or a name, number or text.
    Plain,
    /// A word after which an expression begins.
    Keyword,
    /// An operator between two operands.
    Binary,
    /// An operator before its operand.
    Prefix,
    /// What opens a call, an index or a parameter list, without a space before it.
    TightOpen,
    /// What opens something else, and has no space after it.
    Open,
    /// What opens a block or a map, with a space after it.
    Brace,
    /// What closes a bracket.
    Close,
    /// What closes a block or a map.
    BraceClose,
    /// The `|` before the parameters of a closure.
    PipeOpen,
    /// The `|` after them, or both at once.
    PipeClose,
    /// `,` and `;` and the `:` of a map.
    Separator,
    /// `.`, `?.`, `::` and ranges, which stand close on both sides.
    Tight,
}

/// The roles of all tokens of a script.
pub(super) fn roles(tokens: &[Token<'_>]) -> Vec<Role> {
    let mut roles: Vec<Role> = Vec::with_capacity(tokens.len());
    let (mut in_pipes, mut braces) = (false, Vec::new());
    // The last token that is no comment.
    let mut before: Option<usize> = None;
    for (at, token) in tokens.iter().enumerate() {
        let has_operand = before.is_some_and(|at| ends_operand(&tokens[at], roles[at]));
        let role = match token.kind {
            Kind::LineComment | Kind::BlockComment | Kind::Number | Kind::Text => Role::Plain,
            Kind::Word => word(token, before.map(|at| &tokens[at]), roles.last()),
            Kind::Symbol => match token.text {
                "|" if in_pipes => Role::PipeClose,
                "|" if !has_operand => Role::PipeOpen,
                "||" if !has_operand => Role::PipeClose,
                "}" => braces.pop().unwrap_or(Role::BraceClose),
                text => symbol(text, has_operand, before.is_some_and(|at| roles[at] == Role::Keyword)),
            },
        };
        match role {
            Role::PipeOpen => in_pipes = true,
            Role::PipeClose => in_pipes = false,
            Role::Brace => braces.push(Role::BraceClose),
            _ => {}
        }
        roles.push(role);
        if !token.is_comment() {
            before = Some(at);
        }
    }
    roles
}

fn word(token: &Token<'_>, before: Option<&Token<'_>>, role: Option<&Role>) -> Role {
    let is_part = before.is_some_and(|before| before.is(".") || before.is("?.") || before.is("::"));
    let is_key = role == Some(&Role::Separator) && before.is_some_and(|before| before.is(","));
    match BEFORE_EXPRESSION.contains(&token.text) && !is_part && !is_key {
        true => Role::Keyword,
        false => Role::Plain,
    }
}

fn symbol(text: &str, has_operand: bool, follows_keyword: bool) -> Role {
    match text {
        "(" | "[" | "?[" if has_operand && !follows_keyword => Role::TightOpen,
        "(" | "[" => Role::Open,
        "{" | "#{" => Role::Brace,
        ")" | "]" => Role::Close,
        "," | ";" | ":" => Role::Separator,
        "." | "?." | "::" | ".." | "..=" => Role::Tight,
        "-" | "+" | "!" if !has_operand => Role::Prefix,
        "!" => Role::Binary,
        _ => Role::Binary,
    }
}

/// Whether an operator after this token has it as its left side.
fn ends_operand(token: &Token<'_>, role: Role) -> bool {
    match role {
        Role::Plain => !token.is_comment(),
        Role::Close | Role::BraceClose => true,
        _ => false,
    }
}

/// Whether a space stands between two tokens of a line.
pub(super) fn is_apart(left: (&Token<'_>, Role), right: (&Token<'_>, Role)) -> bool {
    let ((a, left), (b, right)) = (left, right);
    if b.is_comment() || a.is_comment() {
        return true;
    }
    // `!in` is one operator.
    if a.is("!") && b.is_word("in") {
        return false;
    }
    match (left, right) {
        (Role::Brace, Role::BraceClose) | (Role::Tight, _) | (_, Role::Tight) => false,
        (_, Role::Separator | Role::Close | Role::TightOpen) => false,
        (Role::TightOpen | Role::Open | Role::Prefix | Role::PipeOpen, _) => false,
        (Role::Separator, Role::PipeClose) => true,
        (_, Role::PipeClose) if b.text == "|" => false,
        _ => true,
    }
}
