//! Calls: whether there is such a function, with so many arguments and these options, and whether the header allows it.

use rhai::{Array, Dynamic, Expr, FnCallExpr, Map, Position};

use super::Problem;
use super::kinds::{self, Kind};
use super::walk::Walk;
use crate::bindings::is_namespace;
use crate::bindings::keys::{OptionKey, of_function};
use crate::bindings::value::with_article;
use crate::bindings::{command, effects, written};
use crate::model::{Effect, suggest, unknown};
use crate::script::catalogue::{called_as, catalogue, did_you_mean};
use crate::script::docs::Function;

fn arguments(count: usize) -> String {
    match count {
        0 => "no arguments".to_owned(),
        1 => "one argument".to_owned(),
        many => format!("{many} arguments"),
    }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Whether the call has what a method is called on before it, and not as its first argument.
fn receiver_of(function: &Function, call: &FnCallExpr) -> bool {
    function.arity() > call.args.len()
}

/// What an argument is certain to be: `None` where that depends on more than its words.
fn literal(expr: &Expr) -> Option<Dynamic> {
    match expr {
        Expr::StringConstant(text, _) => Some(text.clone().into()),
        Expr::BoolConstant(flag, _) => Some((*flag).into()),
        Expr::IntegerConstant(number, _) => Some((*number).into()),
        Expr::Array(items, _) => {
            let items = items.iter().map(|item| literal(item).unwrap_or_default());
            Some(items.collect::<Array>().into())
        }
        Expr::Map(parts, _) => {
            let known = parts.0.iter();
            let known = known.filter_map(|(name, value)| Some((name.name.as_str().into(), literal(value)?)));
            Some(known.collect::<Map>().into())
        }
        Expr::DynamicConstant(value, _) => Some((**value).clone()).filter(|value| !value.is_fnptr()),
        _ => None,
    }
}

impl Walk<'_> {
    /// `name(…)`, `module::name(…)`, and what operators are to the parser.
    pub(super) fn call(&mut self, call: &FnCallExpr, position: Position) -> Kind {
        if call.name == "curry" && matches!(call.args.first(), Some(Expr::DynamicConstant(..))) {
            return self.capture(&call.args);
        }
        let mut given: Vec<Kind> = Vec::new();
        for argument in &call.args {
            // Its closure gets what is in the array before it.
            let items = given.first().copied().filter(|_| call.name == "parallel_map");
            self.item = kinds::item_of(items.flatten());
            given.push(self.expr(argument));
        }
        self.item = None;
        if call.op_token.is_some() || !is_name(&call.name) {
            return kinds::of_operator(&call.name, &given);
        }
        match call.namespace.path.as_slice() {
            [] => self.plain_call(call, &given, position),
            [module] => self.module_call(&module.name, call, module.pos),
            [first, ..] => {
                if let Some(import) = self.imports.get_mut(first.name.as_str()) {
                    import.is_used = true;
                }
                None
            }
        }
    }

    fn plain_call(&mut self, call: &FnCallExpr, given: &[Kind], position: Position) -> Kind {
        let name = call.name.as_str();
        self.mentioned.insert(name.to_owned());
        if self.has_variable(name) || catalogue().is_common(name) {
            return None;
        }
        if self.defines(name, given.len()) {
            return None;
        }
        let fits: Vec<&Function> = catalogue()
            .callable(name)
            .filter(|f| f.arity() == given.len())
            .collect();
        if fits.is_empty() {
            self.wrong_call(name, given.len(), position);
            return None;
        }
        let first = kinds::plain(given.first().copied().flatten());
        let of_first: Vec<&Function> = fits
            .iter()
            .filter(|f| first.is_none() || f.receiver().is_none_or(|kind| Some(kind) == first || kind == "any"))
            .copied()
            .collect();
        if let Some(function) = of_first.first().filter(|_| fits.iter().all(|f| f.group != "language")) {
            self.judge(function, call, position);
        }
        kinds::returned(of_first.into_iter())
    }

    /// A function that is not there, or not with so many arguments.
    fn wrong_call(&mut self, name: &str, count: usize, position: Position) {
        let own: Vec<_> = self.outline.overloads(name).collect();
        let count = arguments(count);
        if !own.is_empty() {
            let signatures: Vec<String> = own.iter().map(|f| format!("`{}`", f.signature())).collect();
            let hint = format!("it is called as {}", signatures.join(" or "));
            let message = format!("`{name}` cannot be called with {count}");
            return self.find(Problem::Arguments, position, message, Some(hint));
        }
        if catalogue().callable(name).next().is_some() {
            let message = format!("`{name}` cannot be called with {count}");
            return self.find(
                Problem::Arguments,
                position,
                message,
                called_as(catalogue().callable(name)),
            );
        }
        let own = self.outline.functions.iter().map(|f| f.name);
        let hint = catalogue().meant(None, name, own).map(|near| did_you_mean(&near));
        self.find(
            Problem::Unknown,
            position,
            format!("there is no function `{name}`"),
            hint,
        );
    }

    fn defines(&self, name: &str, arity: usize) -> bool {
        self.outline.function(name, arity).is_some()
    }

    /// What only commands can do.
    fn command_call(&mut self, call: &FnCallExpr, position: Position) {
        if command::names().any(|name| name == call.name.as_str()) {
            return;
        }
        let near = suggest(&call.name, command::names());
        let hint = near.map(|near| did_you_mean(&format!("{}::{near}", command::NAMESPACE)));
        let message = format!("there is no function `{}::{}`", command::NAMESPACE, call.name);
        self.find(Problem::Unknown, position, message, hint);
    }

    fn module_call(&mut self, module: &str, call: &FnCallExpr, position: Position) -> Kind {
        if self.imports.contains_key(module) {
            self.imported_call(module, call, position);
            return None;
        }
        if module == "global" {
            return None;
        }
        if module == command::NAMESPACE && self.is_command() {
            self.command_call(call, position);
            return None;
        }
        if !is_namespace(module) {
            let imported = self.imports.keys().map(String::as_str);
            let near = crate::model::suggest(module, imported).or_else(|| catalogue().module_meant(module));
            let hint = near.map(|near| did_you_mean(&format!("{near}::")));
            self.find(
                Problem::Unknown,
                position,
                format!("there is no module `{module}`"),
                hint,
            );
            return None;
        }
        let overloads: Vec<&Function> = catalogue().in_namespace(module, &call.name).collect();
        let full = format!("{module}::{}", call.name);
        if overloads.is_empty() {
            let near = catalogue().meant(Some(module), &call.name, [].into_iter());
            let names = || catalogue().names_in(module).into_iter().collect::<Vec<_>>().join(", ");
            let hint = near.map_or_else(|| format!("`{module}::` has {}", names()), |near| did_you_mean(&near));
            self.find(
                Problem::Unknown,
                position,
                format!("there is no function `{full}`"),
                Some(hint),
            );
            return None;
        }
        let fits: Vec<&Function> = overloads
            .iter()
            .filter(|f| f.arity() == call.args.len())
            .copied()
            .collect();
        let Some(function) = fits.first() else {
            let message = format!("`{full}` cannot be called with {}", arguments(call.args.len()));
            self.find(Problem::Arguments, position, message, called_as(overloads.into_iter()));
            return None;
        };
        self.judge(function, call, position);
        kinds::returned(fits.into_iter())
    }

    /// A call into a module that was imported.
    fn imported_call(&mut self, alias: &str, call: &FnCallExpr, position: Position) {
        let (name, count) = (call.name.as_str(), call.args.len());
        let Some(import) = self.imports.get_mut(alias) else {
            return;
        };
        import.is_used = true;
        let Some(module) = import.module.as_ref().filter(|module| !module.is_open) else {
            return;
        };
        let full = format!("{alias}::{name}");
        let (problem, message, hint) = match module.functions.get(name) {
            Some(overloads) if overloads.iter().any(|parameters| parameters.len() == count) => return,
            Some(overloads) => {
                let signatures = overloads
                    .iter()
                    .map(|parameters| format!("`{full}({})`", parameters.join(", ")));
                let hint = format!("it is called as {}", signatures.collect::<Vec<_>>().join(" or "));
                let message = format!("`{full}` cannot be called with {}", arguments(count));
                (Problem::Arguments, message, Some(hint))
            }
            None => {
                let near = crate::model::suggest(name, module.functions.keys().map(String::as_str));
                let hint = near.map(|near| did_you_mean(&format!("{alias}::{near}")));
                (Problem::Unknown, format!("there is no function `{full}`"), hint)
            }
        };
        self.find(problem, position, message, hint);
    }

    /// `value.name(…)`; what it returns.
    pub(super) fn method(&mut self, receiver: Kind, call: &FnCallExpr, position: Position) -> Kind {
        for argument in &call.args {
            self.item = kinds::item_of(receiver).filter(|_| kinds::BY_ITEM.contains(&call.name.as_str()));
            self.expr(argument);
        }
        self.item = None;
        let (array, receiver) = (receiver, kinds::plain(receiver));
        let (name, count) = (call.name.as_str(), call.args.len());
        self.mentioned.insert(name.to_owned());
        if catalogue().is_common(name) || self.defines(name, count) {
            return None;
        }
        // A map may have a closure of any name.
        let kind = receiver.filter(|kind| !["map", "closure"].contains(kind))?;
        let methods: Vec<&Function> = catalogue().methods(kind, name).collect();
        if methods.is_empty() {
            self.no_method(kind, name, position);
            return None;
        }
        let fits: Vec<&Function> = methods.iter().filter(|f| f.arity() == count + 1).copied().collect();
        let Some(function) = fits.first() else {
            let message = format!("`{kind}.{name}` cannot be called with {}", arguments(count));
            self.find(Problem::Arguments, position, message, called_as(methods.into_iter()));
            return None;
        };
        self.judge(function, call, position);
        kinds::of_array(name, array).or_else(|| kinds::returned(fits.into_iter()))
    }

    fn no_method(&mut self, kind: &str, name: &str, position: Position) {
        let hint = catalogue().method_hint(kind, name);
        let message = format!("{} has no method `{name}`", with_article(kind));
        self.find(Problem::Unknown, position, message, hint);
    }

    /// `value.name`; its type.
    pub(super) fn property(&mut self, receiver: Kind, name: &str, position: Position) -> Kind {
        let kind = kinds::plain(receiver).filter(|kind| !["map", "closure"].contains(kind))?;
        if let Some(getter) = catalogue().getter(kind, name) {
            return kinds::kind(&getter.returns);
        }
        let hint = catalogue().property_hint(kind, name);
        let message = format!("{} has no property `{name}`", with_article(kind));
        self.find(Problem::Unknown, position, message, hint);
        None
    }

    /// A call that would be made: its options, and what it does to the world.
    fn judge(&mut self, function: &Function, call: &FnCallExpr, position: Position) {
        let name = function.qualified_name();
        // The place of a command may have the options instead; what else is a map is data.
        let takes_options = |name: &str| ["options", "filter", "command"].contains(&name);
        let receiver = call.args.len().saturating_sub(function.parameters.len());
        let arguments = call.args.iter().skip(receiver).zip(&function.parameters);
        for (argument, _) in arguments.filter(|(_, parameter)| takes_options(&parameter.name)) {
            if matches!(argument, Expr::Map(..)) {
                let keys = self.options.entry(name.clone()).or_insert_with(|| of_function(&name));
                let keys = keys.clone();
                self.check_keys(argument, &keys, "option");
            }
        }
        self.judge_rights(&name, call, receiver_of(function, call), position);
    }

    /// What the header does not allow: an effect at all, or with what is written.
    fn judge_rights(&mut self, name: &str, call: &FnCallExpr, has_receiver: bool, position: Position) {
        let Some(allowed) = &self.allowed else { return };
        let has_rule = |effect: &Effect| allowed.allow.iter().flatten().any(|rule| rule.effect == *effect);
        let missing = effects::certain(name).into_iter().find(|effect| !has_rule(effect));
        let (what, rule) = match missing {
            Some(effect) => (format!("`{name}`"), effect.to_string()),
            None => {
                let receiver = has_receiver.then_some(None);
                let args = receiver.into_iter().chain(call.args.iter().map(literal));
                let demands = written::demands(name, &args.collect::<Vec<_>>());
                let Some(demand) = demands.iter().find(|demand| !allowed.allows(demand)) else {
                    return;
                };
                (format!("`{name}` to {}", demand.words()), demand.rule())
            }
        };
        let message = format!("the script's header does not allow {what}");
        let hint = format!("add `{rule}` to its line `//! allow:`");
        self.find(Problem::Denied, position, message, Some(hint));
    }

    /// Keys of a literal map that the function does not know.
    fn check_keys(&mut self, map: &Expr, keys: &[OptionKey], what: &str) {
        let Expr::Map(parts, _) = map else { return };
        if keys.is_empty() {
            return;
        }
        for (name, value) in &parts.0 {
            match keys.iter().find(|key| key.name == name.name.as_str()) {
                Some(key) => self.check_keys(value, &key.keys, &format!("key of `{}`", key.name)),
                None => {
                    let valid: Vec<&str> = keys.iter().map(|key| key.name).collect();
                    let error = unknown(what, &name.name, &valid);
                    let hint = error.way_out().map(str::to_owned);
                    self.find(Problem::Option, name.pos, error.message().to_owned(), hint);
                }
            }
        }
    }
}
