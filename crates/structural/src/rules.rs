//! Running the rules of `x-kubernetes-validations`.
use cloudwright_cel::{Activation, Fault, Json, Value};

use crate::compile::{Compiled, Node, Rule, Rules, Structure};
use crate::correlate::{Pair, keyed};
use crate::problem::{Path, Problem, Shown};
use crate::validate::Verdict;

const CALL_LIMIT: u64 = 1_000_000;
const MESSAGE_MAX: usize = 5 * 1024;
const OUT_OF_BUDGET: &str = "validation failed due to running out of cost budget, no further \
                             validation rules will be run";

impl Structure {
    /// Run every rule over an object, within a budget.
    pub(crate) fn run_rules(
        &self,
        new: &Json,
        old: Option<&Json>,
        budget: u64,
        verdict: &mut Verdict,
    ) {
        let root = old.map(|old| Pair {
            node: &self.root,
            new,
            old,
        });
        let mut runner = Runner { budget, verdict };
        let ratchet = Ratchet {
            current: root,
            parent: None,
            top: true,
        };
        let place = Place {
            path: &Path::ROOT,
            ratchet,
        };
        // Running out of budget is reported where it happens; nothing is left to do then.
        let _stopped = runner.node(&self.root, new, old, place).is_err();
    }
}

/// No more rules are run.
struct Stop;

/// What tells whether a value is what it was.
#[derive(Clone, Copy)]
struct Ratchet<'a> {
    current: Option<Pair<'a>>,
    parent: Option<Pair<'a>>,
    top: bool,
}

impl<'a> Ratchet<'a> {
    fn tolerated(&self) -> bool {
        self.current.or(self.parent).is_some_and(|pair| pair.same())
    }

    fn key(self, name: &str) -> Ratchet<'a> {
        match self.current {
            None => self,
            // The version and kind of the root are not the user's to change.
            Some(_) if self.top && matches!(name, "apiVersion" | "kind") => Ratchet {
                current: None,
                parent: None,
                top: false,
            },
            Some(pair) => Ratchet {
                current: pair.key(name),
                parent: Some(pair),
                top: false,
            },
        }
    }

    fn index(self, at: usize) -> Ratchet<'a> {
        match self.current {
            None => self,
            Some(pair) => Ratchet {
                current: pair.index(at),
                parent: Some(pair),
                top: false,
            },
        }
    }
}

#[derive(Clone, Copy)]
struct Place<'a> {
    path: &'a Path<'a>,
    ratchet: Ratchet<'a>,
}

struct Runner<'v> {
    budget: u64,
    verdict: &'v mut Verdict,
}

impl Runner<'_> {
    fn node(
        &mut self,
        node: &Node,
        new: &Json,
        old: Option<&Json>,
        place: Place<'_>,
    ) -> Result<(), Stop> {
        if !node.has_rules || matches!(new, Json::Null) {
            return Ok(());
        }
        if let Some(rules) = &node.rules {
            self.rules(node, rules, new, old, place)?;
        }
        for one in node.all.iter().filter(|one| one.has_rules) {
            let parent = place.ratchet.parent;
            let ratchet = Ratchet {
                current: None,
                parent,
                top: false,
            };
            self.node(one, new, old, Place { ratchet, ..place })?;
        }
        let path = place.path;
        match new {
            Json::List(items) => {
                let Some(one) = &node.items else {
                    return Ok(());
                };
                let before = old.and_then(Json::as_list).unwrap_or_default();
                for (at, item) in items.iter().enumerate() {
                    let was = keyed(node, before, item);
                    let ratchet = place.ratchet.index(at);
                    self.node(
                        one,
                        item,
                        was,
                        Place {
                            path: &path.index(at),
                            ratchet,
                        },
                    )?;
                }
            }
            Json::Object(fields) => {
                for (name, inner) in fields.iter() {
                    let Some((one, declared)) = node.member(name) else {
                        continue;
                    };
                    let was = old.and_then(|old| old.get(name));
                    let ratchet = place.ratchet.key(name);
                    let path = if declared {
                        path.field(name)
                    } else {
                        path.key(name)
                    };
                    self.node(
                        one,
                        inner,
                        was,
                        Place {
                            path: &path,
                            ratchet,
                        },
                    )?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn report(&mut self, node: &Node, place: Place<'_>, text: String) {
        let kind = Json::from(node.kind.as_deref().unwrap_or(""));
        let path = place.path.text_or_nil();
        self.verdict
            .problems
            .push(Problem::invalid(path, kind, text));
    }

    fn rules(
        &mut self,
        node: &Node,
        rules: &Rules,
        new: &Json,
        old: Option<&Json>,
        place: Place<'_>,
    ) -> Result<(), Stop> {
        if self.budget == 0 {
            self.report(node, place, OUT_OF_BUDGET.to_owned());
            return Err(Stop);
        }
        for (at, rule) in rules.rules.iter().enumerate() {
            if rule.rule.trim().is_empty() {
                continue;
            }
            let compiled = match rules.compiled(at) {
                Ok(compiled) => compiled,
                Err((_, text)) => {
                    self.report(node, place, format!("rule compile error: {text}"));
                    continue;
                }
            };
            let old = old.filter(|old| !matches!(old, Json::Null));
            if compiled.uses_old && old.is_none() && !rule.optional_old {
                continue; // there is nothing to compare with
            }
            let Some(environment) = rules.environment(rule) else {
                continue;
            };
            let mut activation = environment.activation();
            activation.values[0] = Some(environment.variables()[0].value(new));
            if let Some(old) = old {
                activation.values[1] = Some(environment.variables()[1].value(old));
            }
            self.rule(node, rule, compiled, &mut activation, new, place)?;
        }
        Ok(())
    }

    fn rule(
        &mut self,
        node: &Node,
        rule: &Rule,
        compiled: &Compiled,
        activation: &mut Activation,
        new: &Json,
        place: Place<'_>,
    ) -> Result<(), Stop> {
        let found = compiled.program.evaluate(activation, CALL_LIMIT);
        let shown = rule.shown();
        if activation.cost > self.budget {
            self.report(node, place, OUT_OF_BUDGET.to_owned());
            return Err(Stop);
        }
        self.budget -= activation.cost;
        match found {
            Ok(Value::Bool(true)) => return Ok(()),
            Ok(_) => {}
            Err(Fault::Budget) => {
                let text = format!(
                    "'{}': no further validation rules will be run due to call cost exceeds \
                     limit for rule: {shown}",
                    Fault::Budget
                );
                self.report(node, place, text);
                return Err(Stop);
            }
            Err(fault) => {
                let fault = fault.to_string();
                let text = if fault.starts_with("no such overload") {
                    format!(
                        "'{fault}': call arguments did not match a supported operator, function \
                         or macro signature for rule: {shown}"
                    )
                } else {
                    format!("{fault} evaluating rule: {shown}")
                };
                self.report(node, place, text);
                return Ok(());
            }
        }
        let detail = match self.message(rule, compiled, activation) {
            Ok(detail) => detail,
            Err(text) => {
                self.report(node, place, text);
                return Err(Stop);
            }
        };
        let problem = failed(node, rule, new, place, detail);
        if !compiled.uses_old && place.ratchet.tolerated() {
            self.verdict.warnings.push(problem.text());
        } else {
            self.verdict.problems.push(problem);
        }
        Ok(())
    }

    /// What is said of a rule that does not hold.
    fn message(
        &mut self,
        rule: &Rule,
        compiled: &Compiled,
        activation: &mut Activation,
    ) -> Result<String, String> {
        let plain = if rule.message.is_empty() {
            format!("failed rule: {}", rule.rule.trim())
        } else {
            rule.message.trim().to_owned()
        };
        let Some(program) = &compiled.message else {
            return Ok(plain);
        };
        let before = activation.cost;
        let found = program.evaluate(activation, CALL_LIMIT);
        let cost = activation.cost - before;
        if cost > self.budget {
            return Err(
                "messageExpression evaluation failed due to running out of cost budget, no \
                        further validation rules will be run"
                    .to_owned(),
            );
        }
        self.budget -= cost;
        match found {
            Err(Fault::Budget) => Err(format!(
                "no further validation rules will be run due to call cost exceeds limit for \
                 messageExpression: {:?}",
                rule.message_expression
            )),
            Ok(Value::String(text)) => {
                let text = text.trim();
                let good = !text.is_empty() && text.len() <= MESSAGE_MAX && !text.contains('\n');
                Ok(if good { text.to_owned() } else { plain })
            }
            _ => Ok(plain),
        }
    }
}

fn failed(node: &Node, rule: &Rule, new: &Json, place: Place<'_>, detail: String) -> Problem {
    let mut path = place.path.text();
    if !rule.field_path.is_empty() {
        let further = normalized(node, &rule.field_path);
        let joined = format!(
            "{path}{}{further}",
            if further.starts_with('[') { "" } else { "." }
        );
        path = joined.trim_start_matches('.').to_owned();
    }
    if path.is_empty() {
        path = "<nil>".to_owned();
    }
    let shown = match new {
        Json::Object(_) | Json::List(_) => Shown::Omitted,
        other => Shown::Value(other.clone()),
    };
    let reason = match rule.reason.as_str() {
        "FieldValueForbidden" => "Forbidden",
        "FieldValueRequired" => "Required",
        "FieldValueDuplicate" => "Duplicate",
        _ => "Invalid",
    };
    match reason {
        "Forbidden" | "Required" => Problem::new(path, reason, Shown::Omitted, detail),
        "Duplicate" => Problem::new(path, reason, shown, String::new()),
        _ => Problem::new(path, reason, shown, detail),
    }
}

/// `.a['b']` as a path: declared properties after dots, entries of maps in brackets.
fn normalized(node: &Node, text: &str) -> String {
    let mut out = String::new();
    let mut at = Some(node);
    let mut rest = text;
    while !rest.is_empty() {
        let (name, after) = if let Some(inner) = rest.strip_prefix("['") {
            match inner.find("']") {
                Some(end) => (inner[..end].replace("\\'", "'"), &inner[end + 2..]),
                None => break,
            }
        } else {
            let inner = rest.strip_prefix('.').unwrap_or(rest);
            let end = inner.find(['.', '[']).unwrap_or(inner.len());
            (inner[..end].to_owned(), &inner[end..])
        };
        let found = at.and_then(|node| node.member(&name));
        if found.is_none_or(|(_, declared)| declared) {
            if !out.is_empty() {
                out.push('.');
            }
            out.push_str(&name);
        } else {
            out.push_str(&format!("[{name}]"));
        }
        at = found.map(|(node, _)| node);
        rest = after;
    }
    out
}
