//! Running a program.
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::cost;
use crate::error::Fault;
use crate::functions::authz::{Check, Decision, Question};
use crate::functions::operators::no_key;
use crate::functions::{Function, no_overload};
use crate::plan::{Fold, Node};
use crate::program::Program;
use crate::schema::Schema;
use crate::value::{Entries, Items, List, Map, Outcome, Struct, Value, key_of};

/// The values of an environment's variables for one request, and what evaluations left behind.
#[derive(Debug, Default)]
pub struct Activation {
    /// By slot; `None`: not given.
    pub values: Vec<Option<Outcome>>,
    /// Composed variables that were evaluated already.
    composed: HashMap<Arc<str>, Outcome>,
    decisions: HashMap<Question, Decision>,
    pending: Option<Question>,
    /// What was spent so far.
    pub cost: u64,
}

impl Activation {
    #[must_use]
    pub fn new(values: Vec<Option<Outcome>>) -> Self {
        Activation {
            values,
            ..Activation::default()
        }
    }

    /// What the last evaluation wanted to know of the authorizer.
    #[must_use]
    pub fn question(&self) -> Option<&Question> {
        self.pending.as_ref()
    }

    /// The answer to `question`.
    pub fn answer(&mut self, decision: Decision) {
        if let Some(question) = self.pending.take() {
            self.decisions.insert(question, decision);
        }
    }
}

/// Run a program; `limit` is the most it may cost. The cost is added to the activation's.
pub fn run(program: &Program, activation: &mut Activation, limit: u64) -> Outcome {
    let locals = vec![Ok(Value::Null); program.slots];
    let mut frame = Frame {
        program,
        activation,
        locals,
        cost: 0,
        limit,
    };
    let found = frame.node(&program.root);
    let cost = frame.cost;
    activation.cost += cost;
    found
}

struct Frame<'a> {
    program: &'a Program,
    activation: &'a mut Activation,
    locals: Vec<Outcome>,
    cost: u64,
    limit: u64,
}

impl Frame<'_> {
    fn spend(&mut self, cost: u64) -> Result<(), Fault> {
        self.cost = self.cost.saturating_add(cost);
        if self.cost > self.limit {
            Err(Fault::Budget)
        } else {
            Ok(())
        }
    }

    fn node(&mut self, node: &Node) -> Outcome {
        match node {
            Node::Constant(value) => Ok(value.clone()),
            Node::Variable(slot) => {
                self.spend(cost::NAME)?;
                match self.activation.values.get(*slot) {
                    Some(Some(found)) => found.clone(),
                    _ => Err(self.missing(*slot)),
                }
            }
            Node::Local(slot) => {
                self.spend(cost::NAME)?;
                self.locals[*slot].clone()
            }
            Node::Composed(name) => self.composed(name),
            Node::Select { operand, field } => {
                let operand = self.operand(operand)?;
                self.spend(cost::NAME)?;
                select(&operand, field)
            }
            Node::Has { operand, field } => {
                let operand = self.operand(operand)?;
                has(&operand, field)
            }
            Node::OptionalSelect { operand, field } => {
                let operand = self.operand(operand)?;
                let found = optional_select(&operand, field)?;
                if matches!(found, Value::Optional(Some(_))) {
                    self.spend(cost::NAME)?;
                }
                Ok(found)
            }
            Node::And(a, b) => self.logical(a, b, false),
            Node::Or(a, b) => self.logical(a, b, true),
            Node::Conditional(parts) => match self.node(&parts[0])? {
                Value::Bool(true) => self.unnamed(&parts[1]),
                Value::Bool(false) => self.unnamed(&parts[2]),
                _ => Err(Fault::new("no such overload")),
            },
            Node::OrElse {
                operand,
                other,
                value,
            } => self.or_else(operand, other, *value),
            Node::Call {
                name,
                function,
                arguments,
            } => self.call(name, *function, arguments),
            Node::Ask(check, verb) => self.ask(check, verb),
            Node::List { elements, optional } => self.list(elements, optional),
            Node::Map(entries) => self.map(entries),
            Node::Struct { name, fields } => self.structure(name, fields),
            Node::Append { slot, element } => self.append(*slot, element),
            Node::NotFalse(inner) => {
                let found = self.node(inner);
                self.spend(1)?;
                match found {
                    Err(fault) if fault.is_final() => Err(fault),
                    found => Ok(Value::Bool(!matches!(found, Ok(Value::Bool(false))))),
                }
            }
            Node::Bind {
                slot,
                value,
                result,
            } => {
                self.locals[*slot] = self.node(value);
                self.node(result)
            }
            Node::Fold(fold) => self.fold(fold),
        }
    }

    fn missing(&self, slot: usize) -> Fault {
        let name = self.program.variables.get(slot).map_or("", |name| name);
        Fault::new(format!("no such attribute(s): {name}"))
    }

    fn composed(&mut self, name: &Arc<str>) -> Outcome {
        self.spend(cost::NAME + 1)?;
        if let Some(found) = self.activation.composed.get(name) {
            return found.clone();
        }
        let Some(program) = self.program.composed.get(name) else {
            return Err(Fault::new(format!("no such attribute(s): {name}")));
        };
        let locals = vec![Ok(Value::Null); program.slots];
        let left = self.limit - self.cost;
        let mut inner = Frame {
            program,
            activation: &mut *self.activation,
            locals,
            cost: 0,
            limit: left,
        };
        let short = name.strip_prefix("variables.").unwrap_or(name);
        let found = inner.node(&program.root).map_err(|fault| match fault {
            Fault::Failed(text) => Fault::new(format!(
                "composited variable \"{short}\" fails to evaluate: {text}"
            )),
            other => other,
        });
        let cost = inner.cost;
        self.spend(cost)?;
        // An unanswered question is asked again.
        if !matches!(found, Err(Fault::Question)) {
            self.activation.composed.insert(name.clone(), found.clone());
        }
        found
    }

    /// `a && b` and `a || b`: one that decides outweighs an error of the other.
    fn logical(&mut self, a: &Node, b: &Node, decisive: bool) -> Outcome {
        let first = self.node(a);
        match &first {
            Ok(Value::Bool(value)) if *value == decisive => return first,
            Err(fault) if fault.is_final() => return first,
            _ => {}
        }
        let second = self.node(b);
        match (&first, &second) {
            (_, Ok(Value::Bool(value))) if *value == decisive => second,
            (_, Err(fault)) if fault.is_final() => second,
            (Err(_), _) => first,
            (_, Err(_)) => second,
            (Ok(Value::Bool(_)), Ok(Value::Bool(_))) => Ok(Value::Bool(!decisive)),
            _ => Err(Fault::new("no such overload")),
        }
    }

    fn or_else(&mut self, operand: &Node, other: &Node, value: bool) -> Outcome {
        match self.node(operand)? {
            Value::Optional(Some(inner)) if value => Ok(inner.as_ref().clone()),
            found @ Value::Optional(Some(_)) => Ok(found),
            Value::Optional(None) => self.node(other),
            found => Err(no_overload(if value { "orValue" } else { "or" }, &[found])),
        }
    }

    fn call(&mut self, name: &str, function: Function, nodes: &[Node]) -> Outcome {
        if let ("_[_]" | "_[?_]", [target, key]) = (name, nodes) {
            return self.index(name, function, target, key);
        }
        // Most calls have one or two arguments: no allocation for those.
        match nodes {
            [one] => {
                let args = [self.argument(one)?];
                self.apply(name, function, &args)
            }
            [one, two] => {
                let args = [self.argument(one)?, self.argument(two)?];
                self.apply(name, function, &args)
            }
            nodes => {
                let args = nodes
                    .iter()
                    .map(|one| self.argument(one))
                    .collect::<Result<Vec<_>, _>>()?;
                self.apply(name, function, &args)
            }
        }
    }

    fn apply(&mut self, name: &str, function: Function, args: &[Value]) -> Outcome {
        let found = function(name, args);
        let shown = found.as_ref().unwrap_or(&Value::Null);
        self.spend(cost::call(name, args, shown))?;
        found
    }

    /// An argument of a call; a call with a failed one costs nevertheless.
    fn argument(&mut self, node: &Node) -> Outcome {
        let found = self.node(node);
        if found.is_err() {
            self.spend(1)?;
        }
        found
    }

    fn index(&mut self, name: &str, function: Function, target: &Node, key: &Node) -> Outcome {
        let args = [self.operand(target)?, self.unnamed(key)?];
        let found = function(name, &args)?;
        if !matches!(found, Value::Optional(None)) {
            self.spend(cost::NAME)?;
        }
        Ok(found)
    }

    /// What is selected from; anything but a name counts as one.
    fn operand(&mut self, node: &Node) -> Outcome {
        let found = self.node(node)?;
        if !is_attribute(node) {
            self.spend(cost::NAME)?;
        }
        Ok(found)
    }

    /// A node whose name itself costs nothing.
    fn unnamed(&mut self, node: &Node) -> Outcome {
        let found = self.node(node)?;
        if is_attribute(node) {
            self.cost = self.cost.saturating_sub(cost::NAME);
        }
        Ok(found)
    }

    fn ask(&mut self, check: &Node, verb: &Node) -> Outcome {
        let args = [self.node(check)?, self.node(verb)?];
        let [Value::Authorization(check), Value::String(verb)] = &args else {
            return Err(no_overload("check", &args));
        };
        let question = check
            .question(verb)
            .ok_or_else(|| no_overload("check", &args))?;
        let Some(decision) = self.activation.decisions.get(&question) else {
            self.activation.pending = Some(question);
            return Err(Fault::Question);
        };
        let decided = Value::Authorization(Arc::new(Check::Decided(decision.clone())));
        self.spend(cost::CHECK)?;
        Ok(decided)
    }

    fn list(&mut self, elements: &[Node], optional: &[usize]) -> Outcome {
        let mut items = Vec::with_capacity(elements.len());
        for (at, element) in elements.iter().enumerate() {
            let found = self.node(element)?;
            match found {
                Value::Optional(inner) if optional.contains(&at) => {
                    items.extend(inner.map(|one| one.as_ref().clone()));
                }
                _ if optional.contains(&at) => return Err(not_optional(&found)),
                found => items.push(found),
            }
        }
        self.spend(cost::LIST)?;
        Ok(Value::from(items))
    }

    fn map(&mut self, entries: &[(Node, Node, bool)]) -> Outcome {
        let mut made = BTreeMap::new();
        for (key, value, optional) in entries {
            let key = key_of(&self.node(key)?)?;
            let value = match (self.node(value)?, optional) {
                (value, false) => value,
                (Value::Optional(Some(inner)), true) => inner.as_ref().clone(),
                (Value::Optional(None), true) => continue,
                (other, true) => return Err(not_optional(&other)),
            };
            made.insert(key, value);
        }
        self.spend(cost::MAP)?;
        let entries = Entries::Made(Arc::new(made));
        Ok(Value::Map(Map {
            entries,
            schema: Schema::dynamic().clone(),
        }))
    }

    fn structure(&mut self, name: &Arc<str>, fields: &[(Arc<str>, Node, bool)]) -> Outcome {
        let mut made = Vec::with_capacity(fields.len());
        for (field, value, optional) in fields {
            let value = match (self.node(value)?, optional) {
                (value, false) => value,
                (Value::Optional(Some(inner)), true) => inner.as_ref().clone(),
                (Value::Optional(None), true) => continue,
                (other, true) => return Err(not_optional(&other)),
            };
            made.push((field.clone(), value));
        }
        self.spend(cost::STRUCT)?;
        Ok(Value::Struct(Arc::new(Struct {
            name: name.clone(),
            fields: made,
        })))
    }

    fn append(&mut self, slot: usize, element: &Node) -> Outcome {
        let element = self.node(element)?;
        self.spend(cost::NAME + cost::LIST + 1)?;
        match std::mem::replace(&mut self.locals[slot], Ok(Value::Null))? {
            Value::List(List {
                items: Items::Made(mut items),
                schema,
            }) => {
                Arc::make_mut(&mut items).push(element);
                Ok(Value::List(List {
                    items: Items::Made(items),
                    schema,
                }))
            }
            other => Err(no_overload("_+_", &[other])),
        }
    }

    fn fold(&mut self, fold: &Fold) -> Outcome {
        let range = self.node(&fold.range)?;
        self.locals[fold.accumulator] = self.node(&fold.init);
        match &range {
            Value::List(list) => {
                for at in 0..list.len() {
                    let item = list.get(at).unwrap_or(Ok(Value::Null));
                    if let Some(second) = fold.second {
                        let number = i64::try_from(at).unwrap_or(i64::MAX);
                        self.locals[fold.first] = Ok(Value::Int(number));
                        self.locals[second] = item;
                    } else {
                        self.locals[fold.first] = item;
                    }
                    if !self.step(fold)? {
                        break;
                    }
                }
            }
            Value::Map(map) => {
                for key in map.keys() {
                    if let Some(second) = fold.second {
                        self.locals[second] = map.find(&key).unwrap_or(Ok(Value::Null));
                    }
                    self.locals[fold.first] = Ok(key);
                    if !self.step(fold)? {
                        break;
                    }
                }
            }
            other => {
                let text = format!("got '{}', expected iterable type", other.type_name());
                return Err(Fault::new(text));
            }
        }
        self.node(&fold.result)
    }

    /// One turn of a comprehension; whether there may be another.
    fn step(&mut self, fold: &Fold) -> Result<bool, Fault> {
        if let Ok(Value::Bool(false)) = self.node(&fold.condition) {
            return Ok(false);
        }
        let found = self.node(&fold.step);
        if let Err(fault) = &found
            && fault.is_final()
        {
            return Err(fault.clone());
        }
        self.locals[fold.accumulator] = found;
        self.spend(0)?;
        Ok(true)
    }
}

/// Whether a node is a name, or a selection from one.
fn is_attribute(node: &Node) -> bool {
    match node {
        Node::Variable(_)
        | Node::Local(_)
        | Node::Composed(_)
        | Node::Select { .. }
        | Node::OptionalSelect { .. } => true,
        Node::Call { name, .. } => matches!(&**name, "_[_]" | "_[?_]"),
        _ => false,
    }
}

fn not_optional(value: &Value) -> Fault {
    let text = format!(
        "cannot initialize optional entry from non-optional value {}",
        value.type_name()
    );
    Fault::new(text)
}

fn select(operand: &Value, field: &Arc<str>) -> Outcome {
    match operand {
        Value::Map(map) => map
            .field(field)
            .unwrap_or_else(|| Err(no_key(&Value::String(field.clone())))),
        Value::Struct(one) => match one.fields.iter().find(|(name, _)| name == field) {
            Some((_, value)) => Ok(value.clone()),
            None => Err(no_key(&Value::String(field.clone()))),
        },
        Value::Optional(_) => optional_select(operand, field),
        _ => Err(Fault::new("no such overload")),
    }
}

fn has(operand: &Value, field: &Arc<str>) -> Outcome {
    match operand {
        Value::Map(map) => Ok(Value::Bool(map.field(field).transpose()?.is_some())),
        Value::Struct(one) => Ok(Value::Bool(
            one.fields.iter().any(|(name, _)| name == field),
        )),
        Value::Optional(Some(inner)) => has(inner, field),
        Value::Optional(None) => Ok(Value::Bool(false)),
        _ => Err(Fault::new("no such overload")),
    }
}

fn optional_select(operand: &Value, field: &Arc<str>) -> Outcome {
    match operand {
        Value::Optional(None) => Ok(Value::Optional(None)),
        Value::Optional(Some(inner)) => optional_select(inner, field),
        Value::Map(map) => Ok(Value::Optional(map.field(field).transpose()?.map(Arc::new))),
        Value::Struct(one) => {
            let found = one.fields.iter().find(|(name, _)| name == field);
            Ok(Value::Optional(
                found.map(|(_, value)| Arc::new(value.clone())),
            ))
        }
        _ => Err(Fault::new("no such overload")),
    }
}
