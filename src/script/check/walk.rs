//! The walk through a script: what is declared and used where, and which type each expression has.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use rhai::{
    AST, ASTFlags, ASTNode, Dynamic, Engine, Expr, FlowControl, FnPtr, Ident, Module, Position, ScriptFuncDef, Shared,
    Stmt,
};

use super::imports::{Imported, import};
use super::kinds::{self, Kind};
use super::{Finding, Problem};
use crate::bindings::args::TOLD;
use crate::bindings::keys::OptionKey;
use crate::config::{Header, Parameter, Rules};
use crate::model::suggest;
use crate::script::engine;
use crate::script::outline::Outline;
use crate::script::runner::Source;
use crate::script::tokens::Lines;

/// A variable in sight.
struct Variable {
    name: String,
    position: Position,
    kind: Kind,
    is_used: bool,
    what: &'static str,
}

/// A module under the name it was imported as.
pub(super) struct Import {
    /// What it offers; `None` where that is not known.
    pub(super) module: Option<Imported>,
    position: Position,
    pub(super) is_used: bool,
}

pub(super) struct Walk<'a> {
    pub(super) outline: &'a Outline<'a>,
    lines: &'a Lines<'a>,
    /// What the header allows, if it says so.
    pub(super) allowed: Option<Rules>,
    /// What the header declares, as the script finds it in `arg::`; `None` where the header cannot be read.
    told: Option<Vec<String>>,
    pub(super) imports: HashMap<String, Import>,
    /// Names by which functions of the script are called.
    pub(super) mentioned: HashSet<String>,
    /// Keys of options, by function.
    pub(super) options: HashMap<String, Vec<OptionKey>>,
    source: &'a Source,
    engine: &'a Engine,
    closures: HashMap<String, Shared<ScriptFuncDef>>,
    variables: Vec<Variable>,
    /// Where those of the function begin that is walked through.
    base: usize,
    /// What the next closure gets first.
    pub(super) item: Kind,
    findings: Vec<Finding>,
}

/// What a script finds in `arg::`.
fn told(header: &Header) -> Vec<String> {
    let options = header.has_options.then(|| "options".to_owned());
    header
        .parameters
        .iter()
        .map(Parameter::variable)
        .chain(options)
        .collect()
}

/// All that is wrong with a script that can be parsed.
pub(super) fn walk(source: &Source, ast: &AST, header: Option<&Header>) -> Vec<Finding> {
    let (engine, outline, lines) = (engine::parser(), Outline::of(&source.code), Lines::new(&source.code));
    let (closures, functions): (Vec<_>, Vec<_>) = ast.iter_fn_def().partition(|f| f.name.starts_with("anon$"));
    let mut walk = Walk {
        outline: &outline,
        lines: &lines,
        allowed: header.and_then(|header| header.allow.clone()).map(|rules| Rules {
            allow: Some(rules),
            deny: Vec::new(),
        }),
        told: header.map(told),
        imports: HashMap::new(),
        mentioned: HashSet::new(),
        options: HashMap::new(),
        source,
        engine: &engine,
        closures: closures.into_iter().map(|f| (f.name.to_string(), f.clone())).collect(),
        variables: Vec::new(),
        base: 0,
        item: None,
        findings: Vec::new(),
    };
    walk.block(ast.statements());
    functions.iter().for_each(|function| walk.function(function));
    walk.unused_imports();
    walk.unused_functions(ast);
    walk.findings
}

/// The statements of a function, which the interpreter hands out one by one only.
fn body(function: &Shared<ScriptFuncDef>) -> Vec<Stmt> {
    let mut module = Module::new();
    module.set_script_fn(function.clone());
    let mut statements = Vec::new();
    AST::new([], module).walk(&mut |path: &[ASTNode<'_>]| {
        if let [ASTNode::Stmt(stmt)] = path {
            statements.push((*stmt).clone());
        }
        true
    });
    statements
}

impl Walk<'_> {
    pub(super) fn find(&mut self, problem: Problem, position: Position, message: String, hint: Option<String>) {
        self.findings.push(Finding::new(problem, position, message, hint));
    }

    pub(super) fn has_variable(&self, name: &str) -> bool {
        self.variables[self.base..].iter().any(|variable| variable.name == name)
    }

    fn declare(&mut self, ident: &Ident, kind: Kind, what: &'static str) {
        let is_constant = !self.outline.assigned.contains(ident.name.as_str());
        self.variables.push(Variable {
            name: ident.name.to_string(),
            position: ident.pos,
            kind: kind.filter(|_| is_constant),
            is_used: ident.name.starts_with('_') || self.outline.globals.contains(ident.name.as_str()),
            what,
        });
    }

    /// Marks a variable as used; its type, or `None` if there is no such variable.
    fn use_variable(&mut self, name: &str) -> Option<Kind> {
        let base = self.base;
        let found = self.variables[base..]
            .iter_mut()
            .rev()
            .find(|variable| variable.name == name);
        found.map(|variable| {
            variable.is_used = true;
            variable.kind
        })
    }

    /// Puts variables out of sight, and tells which nothing used.
    fn leave(&mut self, mark: usize) {
        for variable in self.variables.split_off(mark) {
            if !variable.is_used {
                self.unused(variable.what, &variable.name, variable.position);
            }
        }
    }

    fn unused(&mut self, what: &str, name: &str, position: Position) {
        let hint = match what {
            "import" => "take it away".to_owned(),
            "function" => format!("take it away, or call it `_{name}` if that is meant"),
            _ => format!("take it away, or call it `_{name}` if it has to be there"),
        };
        self.find(
            Problem::Unused,
            position,
            format!("the {what} `{name}` is never used"),
            Some(hint),
        );
    }

    fn block(&mut self, statements: &[Stmt]) {
        let mark = self.variables.len();
        self.statements(statements);
        self.leave(mark);
    }

    fn statements(&mut self, statements: &[Stmt]) {
        let mut has_ended = false;
        for statement in statements.iter().filter(|statement| !statement.is_noop()) {
            if has_ended {
                let message = "this is never reached".to_owned();
                self.find(Problem::Unreachable, statement.position(), message, None);
                has_ended = false;
            }
            self.statement(statement);
            has_ended |= self.ends(statement);
        }
    }

    /// Whether what comes after a statement is never reached.
    fn ends(&self, statement: &Stmt) -> bool {
        let all = |statements: &[Stmt]| statements.iter().any(|statement| self.ends(statement));
        let exits = |name: &str| name == "exit" && self.outline.overloads("exit").next().is_none();
        match statement {
            Stmt::Return(..) | Stmt::BreakLoop(..) => true,
            Stmt::FnCall(call, _) => call.namespace.is_empty() && exits(&call.name),
            Stmt::Expr(expr) => {
                matches!(&**expr, Expr::FnCall(call, _) if call.namespace.is_empty() && exits(&call.name))
            }
            Stmt::Block(block) => all(block.statements()),
            Stmt::If(flow, _) | Stmt::TryCatch(flow, _) => all(flow.body.statements()) && all(flow.branch.statements()),
            _ => false,
        }
    }

    fn statement(&mut self, statement: &Stmt) {
        match statement {
            Stmt::Expr(expr) => drop(self.expr(expr)),
            Stmt::FnCall(call, position) => drop(self.call(call, *position)),
            Stmt::Block(block) => self.block(block.statements()),
            Stmt::If(flow, _) | Stmt::While(flow, _) | Stmt::Do(flow, ..) => self.flow(flow),
            Stmt::For(parts, _) => self.for_loop(&parts.0, parts.1.as_ref(), &parts.2),
            Stmt::TryCatch(flow, _) => self.try_catch(flow),
            Stmt::Var(parts, flags, _) => {
                let kind = self.expr(&parts.1);
                self.declare(&parts.0, kind, "variable");
                if flags.intersects(ASTFlags::EXPORTED) {
                    self.use_variable(&parts.0.name);
                }
            }
            Stmt::Assignment(parts) => self.assignment(&parts.1.lhs, &parts.1.rhs, parts.0.is_op_assignment()),
            Stmt::Return(Some(expr), ..) | Stmt::BreakLoop(Some(expr), ..) => drop(self.expr(expr)),
            Stmt::Switch(parts, _) => {
                self.expr(&parts.0);
                for case in &parts.1.expressions {
                    self.expr(&case.lhs);
                    self.expr(&case.rhs);
                }
            }
            Stmt::Import(parts, position) => self.import(&parts.0, &parts.1, *position),
            Stmt::Export(parts, _) => drop(self.use_variable(&parts.0.name)),
            _ => {}
        }
    }

    fn flow(&mut self, flow: &FlowControl) {
        self.expr(&flow.expr);
        self.block(flow.body.statements());
        self.block(flow.branch.statements());
    }

    fn for_loop(&mut self, item: &Ident, counter: Option<&Ident>, flow: &FlowControl) {
        let list = self.expr(&flow.expr);
        let is_range = matches!(&flow.expr, Expr::FnCall(call, _) if [".." , "..="].contains(&call.name.as_str()));
        let mark = self.variables.len();
        let kind = if is_range { Some("number") } else { kinds::item_of(list) };
        self.declare(item, kind, "variable");
        if let Some(counter) = counter {
            self.declare(counter, Some("number"), "variable");
        }
        self.statements(flow.body.statements());
        self.leave(mark);
    }

    fn try_catch(&mut self, flow: &FlowControl) {
        self.block(flow.body.statements());
        let mark = self.variables.len();
        if let Expr::Variable(parts, _, position) = &flow.expr {
            let name = Ident {
                name: parts.1.clone(),
                pos: *position,
            };
            self.declare(&name, None, "variable");
        }
        self.statements(flow.branch.statements());
        self.leave(mark);
    }

    fn assignment(&mut self, left: &Expr, right: &Expr, reads: bool) {
        self.expr(right);
        match left {
            Expr::Variable(parts, _, position) if !reads && parts.2.is_empty() => {
                if !self.has_variable(&parts.1) {
                    self.undeclared_variable(&parts.1, *position);
                }
            }
            _ => drop(self.expr(left)),
        }
    }

    fn import(&mut self, path: &Expr, alias: &Ident, position: Position) {
        self.expr(path);
        let mut module = None;
        if let Expr::StringConstant(path, _) = path {
            match import(self.engine, &self.source.name, path) {
                Ok(found) => module = Some(found),
                Err(error) => {
                    let hint = error.way_out().map(str::to_owned);
                    self.find(Problem::Import, position, error.to_string(), hint);
                }
            }
        }
        let import = Import {
            module,
            position: if alias.pos.is_none() { position } else { alias.pos },
            is_used: alias.name.starts_with('_') || alias.name.is_empty(),
        };
        self.imports.insert(alias.name.to_string(), import);
    }

    fn function(&mut self, function: &Shared<ScriptFuncDef>) {
        let lines = self.lines;
        let known = self.outline.function(&function.name, function.params.len());
        let mark = self.variables.len();
        for name in &function.params {
            let at = known.and_then(|known| known.parameters.iter().find(|parameter| parameter.0 == name.as_str()));
            let (line, column) = at.map_or((0, 0), |parameter| lines.place(parameter.1));
            let ident = Ident {
                name: name.clone(),
                pos: position(line, column),
            };
            self.declare(&ident, None, "parameter");
        }
        self.within(mark, &body(function));
    }

    /// A closure: it sees what it captures, which come before its parameters, and those.
    fn closure(&mut self, name: &str, captured: &[Kind]) {
        let Some(function) = self.closures.get(name).cloned() else {
            return;
        };
        let item = self.item.take();
        let mark = self.variables.len();
        for (at, name) in function.params.iter().enumerate() {
            let ident = Ident {
                name: name.clone(),
                pos: Position::NONE,
            };
            let kind = captured
                .get(at)
                .copied()
                .unwrap_or(item.filter(|_| at == captured.len()));
            self.declare(&ident, kind, "parameter");
            if let Some(parameter) = self.variables.last_mut() {
                parameter.is_used = true;
            }
        }
        self.within(mark, &body(&function));
    }

    /// Walks through the body of a function, which sees variables from `mark` on alone.
    fn within(&mut self, mark: usize, statements: &[Stmt]) {
        let base = std::mem::replace(&mut self.base, mark);
        self.statements(statements);
        self.leave(mark);
        self.base = base;
    }

    /// Looks at an expression; its type.
    pub(super) fn expr(&mut self, expr: &Expr) -> Kind {
        match expr {
            Expr::DynamicConstant(value, _) => self.constant(value),
            Expr::BoolConstant(..) => Some("bool"),
            Expr::IntegerConstant(..) => Some("number"),
            Expr::FloatConstant(..) => Some("float"),
            Expr::StringConstant(text, _) => {
                // `Fn("name")` and its like.
                self.mentioned.insert(text.to_string());
                Some("string")
            }
            Expr::InterpolatedString(parts, _) => {
                self.each(parts.iter());
                Some("string")
            }
            Expr::Array(items, _) => {
                let kinds: Vec<Kind> = items.iter().map(|item| self.expr(item)).collect();
                let first = kinds.first().copied().flatten();
                kinds::array_of(first.filter(|_| kinds.iter().all(|kind| *kind == first)))
            }
            Expr::Map(parts, _) => {
                self.each(parts.0.iter().map(|(_, value)| value));
                Some("map")
            }
            Expr::And(parts, _) | Expr::Or(parts, _) => {
                self.each(parts.iter());
                Some("bool")
            }
            Expr::Coalesce(parts, _) => {
                let kinds: Vec<Kind> = parts.iter().map(|part| self.expr(part)).collect();
                kinds[0].filter(|first| kinds.iter().all(|kind| *kind == Some(first)))
            }
            Expr::Variable(parts, _, position) => self.variable(&parts.1, parts.2.path.first(), *position),
            Expr::Stmt(block) => {
                self.block(block.statements());
                let is_closure = matches!(block.statements().first(), Some(Stmt::Share(..)));
                is_closure.then_some("closure")
            }
            Expr::FnCall(call, position) => self.call(call, *position),
            Expr::Dot(parts, ..) => {
                let receiver = self.expr(&parts.lhs);
                self.member(receiver, &parts.rhs)
            }
            Expr::Index(parts, flags, _) => {
                self.expr(&parts.lhs);
                self.element(&parts.rhs, *flags)
            }
            _ => None,
        }
    }

    pub(super) fn each<'e>(&mut self, exprs: impl Iterator<Item = &'e Expr>) {
        for expr in exprs {
            self.expr(expr);
        }
    }

    fn constant(&mut self, value: &Dynamic) -> Kind {
        if let Some(closure) = value.clone().try_cast::<FnPtr>() {
            match closure.is_anonymous() {
                true => self.closure(closure.fn_name(), &[]),
                false => drop(self.mentioned.insert(closure.fn_name().to_owned())),
            }
        }
        kinds::of_value(value)
    }

    /// `curry(closure, captured…)`, as the parser writes a closure that captures.
    pub(super) fn capture(&mut self, parts: &[Expr]) -> Kind {
        let captured: Vec<Kind> = parts[1..].iter().map(|part| self.expr(part)).collect();
        match &parts[0] {
            Expr::DynamicConstant(value, _) => match value.clone().try_cast::<FnPtr>() {
                Some(closure) if closure.is_anonymous() => self.closure(closure.fn_name(), &captured),
                _ => drop(self.constant(value)),
            },
            other => drop(self.expr(other)),
        }
        Some("closure")
    }

    fn variable(&mut self, name: &str, module: Option<&Ident>, position: Position) -> Kind {
        if let Some(module) = module {
            if module.name == TOLD {
                self.told_variable(name, module.pos);
            }
            if let Some(import) = self.imports.get_mut(module.name.as_str()) {
                import.is_used = true;
            }
            self.variables
                .iter_mut()
                .filter(|own| own.name == name)
                .for_each(|own| own.is_used = true);
            return None;
        }
        if let Some(kind) = self.use_variable(name) {
            return kind;
        }
        self.mentioned.insert(name.to_owned());
        if name == "args" {
            return Some("array");
        }
        if self.outline.overloads(name).next().is_none() {
            self.unknown_variable(name, position);
        }
        None
    }

    /// Whether it is one of those that see more, by where it lies.
    pub(super) fn is_command(&self) -> bool {
        let place = Path::new(&self.source.name).parent().and_then(Path::file_name);
        place.is_some_and(|place| place == "commands")
    }

    /// `arg::name`, which the header has to declare.
    fn told_variable(&mut self, name: &str, position: Position) {
        let Some(told) = self.told.as_ref().filter(|told| !told.iter().any(|own| own == name)) else {
            return;
        };
        let hint = match suggest(name, told.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{TOLD}::{near}`?"),
            None => "declare it, as in `//! arg: name string \"what it is for\"`".to_owned(),
        };
        let message = format!("the script's header does not declare `{TOLD}::{name}`");
        self.find(Problem::Unknown, position, message, Some(hint));
    }

    /// Something is assigned to a variable that is not there.
    fn undeclared_variable(&mut self, name: &str, position: Position) {
        let count = self.findings.len();
        self.unknown_variable(name, position);
        for finding in &mut self.findings[count..] {
            let declare = || format!("variables are declared first: `let {name} = …`");
            finding.hint.get_or_insert_with(declare);
        }
    }

    fn unknown_variable(&mut self, name: &str, position: Position) {
        if self.mentioned.contains("eval") {
            return;
        }
        let names = self.variables[self.base..]
            .iter()
            .map(|variable| variable.name.as_str());
        let hint = suggest(name, names.chain(["args"])).map(|near| format!("did you mean `{near}`?"));
        self.find(
            Problem::Unknown,
            position,
            format!("there is no variable `{name}`"),
            hint,
        );
    }

    /// What comes after a dot; its type.
    fn member(&mut self, receiver: Kind, rest: &Expr) -> Kind {
        match rest {
            Expr::Property(parts, position) => self.property(receiver, &parts.2, *position),
            Expr::MethodCall(call, position) => self.method(receiver, call, *position),
            Expr::Dot(parts, ..) => {
                let next = self.member(receiver, &parts.lhs);
                self.member(next, &parts.rhs)
            }
            Expr::Index(parts, flags, _) => {
                self.member(receiver, &parts.lhs);
                self.element(&parts.rhs, *flags)
            }
            other => self.expr(other),
        }
    }

    /// What comes after an opening bracket, of which nothing is known; what follows the bracket.
    fn element(&mut self, rest: &Expr, flags: ASTFlags) -> Kind {
        match rest {
            Expr::Dot(parts, ..) if !flags.intersects(ASTFlags::BREAK) => {
                self.expr(&parts.lhs);
                self.member(None, &parts.rhs)
            }
            Expr::Index(parts, flags, _) if !flags.intersects(ASTFlags::BREAK) => {
                self.expr(&parts.lhs);
                self.element(&parts.rhs, *flags)
            }
            other => {
                self.expr(other);
                None
            }
        }
    }

    fn unused_imports(&mut self) {
        let imports: Vec<(String, Position)> = self
            .imports
            .iter()
            .filter(|(_, import)| !import.is_used)
            .map(|(name, import)| (name.clone(), import.position))
            .collect();
        imports
            .into_iter()
            .for_each(|(name, position)| self.unused("import", &name, position));
    }

    /// Functions that nothing calls. Those of a module are for its importers.
    fn unused_functions(&mut self, ast: &AST) {
        let declares = |stmt: &Stmt| {
            matches!(
                stmt,
                Stmt::Import(..) | Stmt::Var(..) | Stmt::Export(..) | Stmt::Noop(_)
            )
        };
        let is_module = ast.statements().iter().all(declares);
        let lines = self.lines;
        for function in &self.outline.functions {
            let is_offered = is_module && !function.is_private;
            if is_offered || function.name.starts_with('_') || self.mentioned.contains(function.name) {
                continue;
            }
            let (line, column) = lines.place(function.start);
            self.unused("function", function.name, position(line, column));
        }
    }
}

fn position(line: usize, column: usize) -> Position {
    let short = |number: usize| u16::try_from(number).unwrap_or(u16::MAX);
    match line {
        0 => Position::NONE,
        _ => Position::new(short(line), short(column)),
    }
}
