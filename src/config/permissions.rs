//! What a script may do: rules that allow, rules that forbid, and the one place that decides.

use super::{Scope, Target};
use crate::error::{Error, Result};
use crate::model::{Effect, unknown};

/// What is to be done to what.
#[derive(Debug, Clone)]
pub struct Demand {
    /// The effect.
    pub effect: Effect,
    /// What it is done to.
    pub target: Target,
}

impl Demand {
    /// A demand.
    pub fn new(effect: Effect, target: Target) -> Demand {
        Demand { effect, target }
    }

    /// ``delete `app:1` ``.
    pub fn words(&self) -> String {
        let verb = match self.effect {
            Effect::Read => "read",
            Effect::Pull => "pull",
            Effect::Push => "push",
            Effect::Run => "run",
            Effect::Write => "write",
            Effect::Delete => "delete",
            Effect::Exec => "run commands in, stop or signal",
            Effect::Net => "connect to",
            Effect::Fs => "use the files in",
        };
        match (&self.target, self.target.shown()) {
            (Target::Machine(option), _) => format!("reach the machine itself, as the option `{option}` does"),
            (Target::Program(_), Some(target)) => format!(
                "run the program `{}` of this machine",
                target.trim_start_matches("host:")
            ),
            (_, Some(target)) => format!("{verb} `{target}`"),
            (_, None) => format!("{verb} anything there may be"),
        }
    }

    /// `delete=app:1`, as rules are written.
    pub fn rule(&self) -> String {
        match self.target.shown() {
            Some(target) => format!("{}={target}", self.effect),
            None => self.effect.to_string(),
        }
    }
}

/// One rule: an effect, and to what.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The effect.
    pub effect: Effect,
    /// What it is about.
    pub scope: Scope,
}

impl Rule {
    /// `pull=ghcr.io/*`, or the effect alone. Errors: `invalid`, with the effects there are.
    pub fn parse(text: &str) -> Result<Rule> {
        let (name, scope) = text.split_once('=').unwrap_or((text, "*"));
        let effect = Effect::parse(name).ok_or_else(|| unknown("permission", name, &Effect::ALL.map(Effect::name)))?;
        if scope.is_empty() {
            // Of a shell's variable that is not set: to forbid nothing then would be what nobody meant.
            return Err(Error::invalid(format!("`{name}=` names nothing")).hint(format!(
                "`{name}` alone is about everything; without the rule nothing is said"
            )));
        }
        Ok(Rule {
            effect,
            scope: Scope::new(scope)?,
        })
    }

    /// As it is written.
    pub fn text(&self) -> String {
        match self.scope.is_all() {
            true => self.effect.to_string(),
            false => format!("{}={}", self.effect, self.scope.text()),
        }
    }
}

/// Rules from one place: the command line, or the header of a script.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// What is allowed. `None` is everything.
    pub allow: Option<Vec<Rule>>,
    /// What is forbidden, whatever is allowed.
    pub deny: Vec<Rule>,
}

impl Rules {
    /// Whether nothing is forbidden.
    pub fn is_open(&self) -> bool {
        self.allow.is_none() && self.deny.is_empty()
    }

    /// Whether it may be done.
    pub fn allows(&self, demand: &Demand) -> bool {
        self.judge(demand).is_ok()
    }

    /// The rule that forbids it; `Ok` if none does.
    fn judge(&self, demand: &Demand) -> std::result::Result<(), Option<&Rule>> {
        let about = |rule: &&Rule| rule.effect == demand.effect;
        if let Some(rule) = self
            .deny
            .iter()
            .filter(about)
            .find(|rule| rule.scope.touches(&demand.target))
        {
            return Err(Some(rule));
        }
        let covers = |rule: &Rule| rule.scope.covers(&demand.target);
        match &self.allow {
            _ if demand.effect == Effect::Read => Ok(()),
            Some(rules) if !rules.iter().filter(about).any(covers) => Err(None),
            _ => Ok(()),
        }
    }
}

/// What a run may do.
#[derive(Debug, Clone, Default)]
pub struct Permissions {
    /// What the command line says.
    pub line: Rules,
    /// What the script says of itself, if it does: it has no more than that.
    pub header: Option<Vec<Rule>>,
}

impl Permissions {
    /// Whether everything is allowed.
    pub fn is_open(&self) -> bool {
        self.line.is_open() && self.header.is_none()
    }

    /// Errors: `denied`, with the flag that would allow it.
    pub fn check(&self, function: &str, demand: &Demand) -> Result<()> {
        let refused = || {
            let error = Error::denied(format!("`{function}` is not allowed to {}", demand.words()));
            match demand.target.shown() {
                Some(target) => error.target(target),
                None => error,
            }
        };
        match self.line.judge(demand) {
            Err(Some(rule)) => return Err(refused().hint(format!("`--deny-{}` forbids it", rule.text()))),
            Err(None) => return Err(refused().hint(format!("allow it by `--allow-{}`", demand.rule()))),
            Ok(()) => {}
        }
        let header = Rules {
            allow: self.header.clone(),
            deny: Vec::new(),
        };
        header.judge(demand).map_err(|_| {
            refused().hint(format!(
                "the script's header says what it needs: add `{}` to its line `//! allow:`",
                demand.rule()
            ))
        })
    }

    /// Why a thing that a batch has come to is passed over; `None` if it may go.
    pub fn spares(&self, demand: &Demand) -> Option<String> {
        let verdict = self.line.judge(demand);
        if let Err(Some(rule)) = verdict {
            return Some(format!("`--deny-{}` forbids it", rule.text()));
        }
        let header = Rules {
            allow: self.header.clone(),
            deny: Vec::new(),
        };
        (verdict.is_err() || header.judge(demand).is_err()).then(|| format!("no `--allow-{}` names it", demand.effect))
    }

    /// Takes over what a script says it needs. Errors: `denied` if the command line forbids any of it.
    pub fn declare(&mut self, needs: Vec<Rule>) -> Result<()> {
        for need in &needs {
            let about = |rule: &&Rule| rule.effect == need.effect;
            let text = need.text();
            let refused = || {
                Error::denied(format!(
                    "the script needs `{text}`, which the command line does not allow"
                ))
            };
            if let Some(rule) = self
                .line
                .deny
                .iter()
                .filter(about)
                .find(|rule| rule.scope.contains(&need.scope))
            {
                return Err(refused().hint(format!("`--deny-{}` forbids it", rule.text())));
            }
            let given = |rules: &Vec<Rule>| rules.iter().filter(about).any(|rule| rule.scope.contains(&need.scope));
            if need.effect != Effect::Read && self.line.allow.as_ref().is_some_and(|rules| !given(rules)) {
                return Err(refused().hint(format!("allow it by `--allow-{text}`")));
            }
        }
        self.header = Some(needs);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn rules(texts: &[&str]) -> Vec<Rule> {
        texts.iter().map(|text| Rule::parse(text).unwrap()).collect()
    }

    fn line(allow: Option<&[&str]>, deny: &[&str]) -> Permissions {
        Permissions {
            line: Rules {
                allow: allow.map(rules),
                deny: rules(deny),
            },
            header: None,
        }
    }

    fn delete(name: &str) -> Demand {
        Demand::new(Effect::Delete, Target::named(name.parse().unwrap()))
    }

    #[test]
    fn everything_is_allowed_until_something_is_and_what_forbids_wins() {
        let may = |permissions: &Permissions, name| permissions.check("image::remove", &delete(name)).is_ok();
        assert!(may(&line(None, &[]), "app/x:1"));
        let some = line(Some(&["delete=app/*:pr-*"]), &["delete=app/web"]);
        assert!(may(&some, "app/x:pr-1") && !may(&some, "app/x:1") && !may(&some, "app/web:pr-1"));
        assert!(!may(&line(Some(&["pull"]), &[]), "app/x:pr-1"));
        assert!(!may(&line(None, &["delete"]), "app/x:pr-1"));
        let read = Demand::new(Effect::Read, Target::Any);
        assert!(line(Some(&["read"]), &[]).check("image::list", &read).is_ok());
    }

    #[test]
    fn a_rule_about_nothing_is_refused() {
        for text in ["delete=", "fs="] {
            assert_eq!(Rule::parse(text).unwrap_err().kind(), Kind::Invalid, "{text}");
        }
        assert!(Rule::parse("delete").unwrap().scope.is_all());
    }

    #[test]
    fn the_way_out_is_the_flag_to_add() {
        let refused = |permissions: Permissions| permissions.check("image::remove", &delete("app/x:1")).unwrap_err();
        let error = refused(line(Some(&[]), &[]));
        assert_eq!(error.message(), "`image::remove` is not allowed to delete `app/x:1`");
        assert_eq!(error.way_out(), Some("allow it by `--allow-delete=app/x:1`"));
        let error = refused(line(None, &["delete=app/*"]));
        assert_eq!(error.way_out(), Some("`--deny-delete=app/*` forbids it"));
        let mut open = line(None, &[]);
        open.declare(rules(&["pull"])).unwrap();
        assert!(
            refused(open)
                .way_out()
                .unwrap()
                .contains("add `delete=app/x:1` to its line `//! allow:`")
        );
    }

    #[test]
    fn a_header_is_refused_where_the_command_line_forbids_it() {
        let declare = |mut permissions: Permissions, needs: &[&str]| permissions.declare(rules(needs)).map(drop);
        assert!(declare(line(None, &[]), &["pull", "fs=/backup"]).is_ok());
        assert!(
            declare(
                line(Some(&["pull", "fs=/backup"]), &[]),
                &["pull=debian", "fs=/backup/x"]
            )
            .is_ok()
        );
        let error = declare(line(Some(&["pull=debian"]), &[]), &["pull"]).unwrap_err();
        assert_eq!(error.way_out(), Some("allow it by `--allow-pull`"));
        assert!(declare(line(None, &["delete"]), &["delete=app/*"]).is_err());
    }
}
