//! Calls put before the statements of a script, by which their lines are counted.
//!
//! They are put into its text, each right behind the bracket or semicolon that ends what is before the statement: that is in an earlier
//! line where a statement begins its own, so that errors are told where they are.

use crate::script::tokens::{Kind, Token, tokens};

/// What a bracket is around.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Around {
    Statements,
    Cases,
    Fields,
}

/// Words that go on with what a block was for, or that begin no statement.
const GO_ON: [&str; 7] = ["else", "while", "until", "catch", "fn", "private", "in"];

/// The text with what `make` says for a line before each statement that begins in it.
pub(super) fn planted(code: &str, make: &mut dyn FnMut(usize) -> String) -> String {
    let (mut text, mut copied) = (String::with_capacity(code.len() * 2), 0);
    let (mut open, mut is_switch) = (vec![Around::Statements], false);
    let mut before: Option<(Token, Around)> = None;
    for token in tokens(code).into_iter().filter(|token| !token.is_comment()) {
        if let Some((last, closed)) = before
            && open.last() == Some(&Around::Statements)
            && begins(&token, &last, closed)
        {
            text.push_str(&code[copied..last.end()]);
            copied = last.end();
            text.push_str(&make(code[..token.start].matches('\n').count() + 1));
        }
        let mut closed = Around::Statements;
        if token.is_word("switch") {
            is_switch = true;
        } else if token.is("#{") {
            open.push(Around::Fields);
        } else if token.is("{") {
            let cases = std::mem::take(&mut is_switch);
            open.push(if cases { Around::Cases } else { Around::Statements });
        } else if token.is("}") {
            closed = open.pop().unwrap_or(Around::Statements);
        }
        before = Some((token, closed));
    }
    text.push_str(&code[copied..]);
    text
}

/// Whether a token begins a statement behind another.
fn begins(token: &Token, last: &Token, closed: Around) -> bool {
    let is_end = token.is("}") || token.is(";") || GO_ON.iter().any(|word| token.is_word(word));
    if is_end {
        return false;
    }
    match last.text {
        "{" | ";" => last.kind == Kind::Symbol,
        // What is no word may go on with the value of the block.
        "}" => last.kind == Kind::Symbol && closed != Around::Fields && token.kind == Kind::Word,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::planted;
    use crate::script::testing;

    #[test]
    fn calls_stand_behind_what_is_before_a_statement() {
        let code = "// first\nlet a = 1; // one {\nlet b = if a == 1 {\n    2\n} else { 3 };\nfn f(x) { x + 1 }\n[1].map(|x| {\n    f(x)\n});\n\
            let m = #{ a: if b == 2 { 1 } else { 2 }, b: `x ${f(1)} { y; }` };\nswitch b { 2 => { f(2); }, 3 => f(3), _ => () }\nf(4);\n";
        let expected = "// first\nlet a = 1;<3> // one {\nlet b = if a == 1 {<4>\n    2\n} else {<5> 3 };\nfn f(x) {<6> x + 1 }\n[1].map(|x| {<8>\n    f(x)\n});<10>\n\
            let m = #{ a: if b == 2 {<10> 1 } else {<10> 2 }, b: `x ${f(1)} { y; }` };<11>\nswitch b { 2 => {<11> f(2); }, 3 => f(3), _ => () }<12>\nf(4);\n";
        assert_eq!(planted(code, &mut |line| format!("<{line}>")), expected);
        let engine = testing::engine();
        let counted = planted(code, &mut |_| " 1;".to_owned());
        assert!(engine.compile(&counted).is_ok(), "{counted}");
    }

    #[test]
    fn what_comes_with_hoist_can_be_counted() {
        let engine = testing::engine();
        for module in crate::script::stdlib::MODULES {
            let counted = planted(module.code, &mut |_| " 1;".to_owned());
            let compiled = engine.compile(&counted);
            assert!(
                compiled.is_ok(),
                "{}: {}\n{counted}",
                module.name,
                compiled.unwrap_err()
            );
        }
    }
}
