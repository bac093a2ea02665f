//! From a checked tree to a program: names become slots, functions become code.
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators,
};

use crate::check::Checked;
use crate::error::{CompileError, Complaint};
use crate::folding::{casted, folded_list, folded_map, is_cast};
use crate::functions::{self, Function};
use crate::parse::{Parsed, UNUSED};
use crate::regexes;
use crate::times;
use crate::value::Value;

/// A node of a program.
#[derive(Debug)]
pub enum Node {
    Constant(Value),
    /// A declared variable.
    Variable(usize),
    /// A variable of a comprehension.
    Local(usize),
    /// `variables.NAME`.
    Composed(Arc<str>),
    Select {
        operand: Box<Node>,
        field: Arc<str>,
    },
    Has {
        operand: Box<Node>,
        field: Arc<str>,
    },
    OptionalSelect {
        operand: Box<Node>,
        field: Arc<str>,
    },
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Conditional(Box<[Node; 3]>),
    /// `optional.or(other)` and `optional.orValue(other)`: the other only when it is needed.
    OrElse {
        operand: Box<Node>,
        other: Box<Node>,
        value: bool,
    },
    Call {
        name: Arc<str>,
        function: Function,
        arguments: Vec<Node>,
    },
    /// `check(verb)`: asks the authorizer.
    Ask(Box<Node>, Box<Node>),
    List {
        elements: Vec<Node>,
        optional: Vec<usize>,
    },
    Map(Vec<(Node, Node, bool)>),
    Struct {
        name: Arc<str>,
        fields: Vec<(Arc<str>, Node, bool)>,
    },
    /// One step of gathering a list: appends to the accumulator without copying it.
    Append {
        slot: usize,
        element: Box<Node>,
    },
    /// Not strictly false: an error goes on.
    NotFalse(Box<Node>),
    Bind {
        slot: usize,
        value: Box<Node>,
        result: Box<Node>,
    },
    Fold(Box<Fold>),
}

/// A comprehension.
#[derive(Debug)]
pub struct Fold {
    pub range: Node,
    pub first: usize,
    pub second: Option<usize>,
    pub accumulator: usize,
    pub init: Node,
    pub condition: Node,
    pub step: Node,
    pub result: Node,
}

/// Where a declared variable comes from.
pub enum Source {
    Given(usize),
    Composed,
}

/// Where the planner finds what is declared outside.
pub trait Slots {
    /// Where a declared variable comes from.
    fn source_of(&self, name: &str) -> Option<Source>;
}

/// A planned program and how many local slots it needs.
pub struct Planned {
    pub root: Node,
    pub slots: usize,
}

/// Plan a checked expression.
pub fn plan(
    source: &str,
    parsed: &Parsed,
    checked: &Checked,
    slots: &dyn Slots,
) -> Result<Planned, CompileError> {
    let mut planner = Planner {
        source,
        parsed,
        checked,
        slots,
        locals: HashMap::new(),
        touched: HashSet::new(),
        used: 0,
        most: 0,
        complaints: Vec::new(),
    };
    let root = planner.node(&parsed.expression);
    if !planner.complaints.is_empty() {
        return Err(CompileError::new(source, planner.complaints));
    }
    Ok(Planned {
        root,
        slots: planner.most,
    })
}

struct Planner<'a> {
    source: &'a str,
    parsed: &'a Parsed,
    checked: &'a Checked,
    slots: &'a dyn Slots,
    locals: HashMap<String, Vec<usize>>,
    /// The slots that were referred to since they were declared.
    touched: HashSet<usize>,
    used: usize,
    most: usize,
    complaints: Vec<Complaint>,
}

fn literal(value: &LiteralValue) -> Value {
    match value {
        LiteralValue::Boolean(one) => Value::Bool(*one.inner()),
        LiteralValue::Bytes(one) => Value::Bytes(Arc::from(one.inner())),
        LiteralValue::Double(one) => Value::Double(*one.inner()),
        LiteralValue::Int(one) => Value::Int(*one.inner()),
        LiteralValue::Null => Value::Null,
        LiteralValue::String(one) => Value::from(one.inner()),
        LiteralValue::UInt(one) => Value::Uint(*one.inner()),
    }
}

/// The name of a type as `type()` gives it.
pub fn type_value(name: &str) -> Value {
    Value::Type(Arc::from(name))
}

impl Planner<'_> {
    fn complain(&mut self, id: u64, text: String) {
        let start = self
            .parsed
            .places
            .offset_for(id)
            .map_or(0, |(start, _)| start as usize);
        let at = place(self.source, start);
        self.complaints.push(Complaint { at, text });
    }

    fn boxed(&mut self, node: &IdedExpr) -> Box<Node> {
        Box::new(self.node(node))
    }

    fn node(&mut self, node: &IdedExpr) -> Node {
        match &node.expr {
            Expr::Literal(value) => Node::Constant(literal(value)),
            Expr::Ident(_) => self.name(node.id),
            Expr::Select(select) => {
                if self.checked.names.contains_key(&node.id) {
                    // A variable with a dotted name is there.
                    let there = Node::Constant(Value::Bool(true));
                    return if select.test {
                        there
                    } else {
                        self.name(node.id)
                    };
                }
                let operand = self.boxed(&select.operand);
                let field = Arc::from(select.field.as_str());
                if select.test {
                    Node::Has { operand, field }
                } else {
                    Node::Select { operand, field }
                }
            }
            Expr::Call(call) => self.call(node.id, call),
            Expr::List(list) => folded_list(
                list.elements.iter().map(|one| self.node(one)).collect(),
                list.optional_indices.clone(),
            ),
            Expr::Map(map) => {
                let entries = map.entries.iter().filter_map(|entry| match &entry.expr {
                    EntryExpr::MapEntry(one) => {
                        Some((self.node(&one.key), self.node(&one.value), one.optional))
                    }
                    EntryExpr::StructField(_) => None,
                });
                folded_map(entries.collect())
            }
            Expr::Struct(given) => {
                let fields = given.entries.iter().filter_map(|entry| match &entry.expr {
                    EntryExpr::StructField(one) => Some((
                        Arc::from(one.field.as_str()),
                        self.node(&one.value),
                        one.optional,
                    )),
                    EntryExpr::MapEntry(_) => None,
                });
                Node::Struct {
                    name: Arc::from(given.type_name.trim_start_matches('.')),
                    fields: fields.collect(),
                }
            }
            Expr::Comprehension(one) => self.comprehension(one),
            Expr::Unspecified => Node::Constant(Value::Null),
        }
    }

    fn name(&mut self, id: u64) -> Node {
        let Some(name) = self.checked.names.get(&id) else {
            return Node::Constant(Value::Null);
        };
        if let Some(slot) = self.locals.get(&**name).and_then(|slots| slots.last()) {
            self.touched.insert(*slot);
            return Node::Local(*slot);
        }
        match self.slots.source_of(name) {
            Some(Source::Given(slot)) => Node::Variable(slot),
            Some(Source::Composed) => Node::Composed(name.clone()),
            None => Node::Constant(type_value(name)),
        }
    }

    fn call(&mut self, id: u64, call: &CallExpr) -> Node {
        let namespaced = self.checked.functions.get(&id);
        let name: Arc<str> = namespaced
            .cloned()
            .unwrap_or_else(|| Arc::from(call.func_name.trim_start_matches('.')));
        match (&*name, call.args.as_slice()) {
            (operators::LOGICAL_AND, [a, b]) => return Node::And(self.boxed(a), self.boxed(b)),
            (operators::LOGICAL_OR, [a, b]) => return Node::Or(self.boxed(a), self.boxed(b)),
            (operators::CONDITIONAL, [a, b, c]) => {
                return Node::Conditional(Box::new([self.node(a), self.node(b), self.node(c)]));
            }
            (operators::NOT_STRICTLY_FALSE, [one]) => return Node::NotFalse(self.boxed(one)),
            (operators::OPT_SELECT, [operand, field]) => {
                let Expr::Literal(LiteralValue::String(field)) = &field.expr else {
                    return Node::Constant(Value::Null);
                };
                let field = Arc::from(field.inner());
                return Node::OptionalSelect {
                    operand: self.boxed(operand),
                    field,
                };
            }
            _ => {}
        }
        let target = call.target.as_ref().filter(|_| namespaced.is_none());
        if let (Some(target), [other]) = (target, call.args.as_slice()) {
            match &*name {
                "or" | "orValue" => {
                    let (operand, other) = (self.boxed(target), self.boxed(other));
                    return Node::OrElse {
                        operand,
                        other,
                        value: &*name == "orValue",
                    };
                }
                "check" => return Node::Ask(self.boxed(target), self.boxed(other)),
                _ => {}
            }
        }
        let mut arguments: Vec<Node> = target
            .map(|one| &**one)
            .into_iter()
            .chain(&call.args)
            .map(|one| self.node(one))
            .collect();
        self.constants(call, &name, &mut arguments);
        if is_cast(&name)
            && let [Node::Constant(value)] = arguments.as_slice()
        {
            return match casted(&name, value) {
                Ok(found) => Node::Constant(found),
                Err(fault) => {
                    self.complain(id, fault.to_string());
                    Node::Constant(Value::Null)
                }
            };
        }
        let constant = matches!(arguments.as_slice(), [_, Node::Constant(Value::List(_))]);
        let name = if constant && &*name == "@in" {
            Arc::from("@in_constant")
        } else {
            name
        };
        match functions::find(&name) {
            Some(function) => Node::Call {
                name,
                function,
                arguments,
            },
            None => {
                self.complain(id, format!("unsupported function: {name}"));
                Node::Constant(Value::Null)
            }
        }
    }

    /// Constant patterns are compiled, constant times read, in advance.
    fn constants(&mut self, call: &CallExpr, name: &str, arguments: &mut [Node]) {
        let last = call.args.last().map_or(0, |one| one.id);
        match (name, arguments) {
            ("matches" | "find" | "findAll", [_, pattern, ..]) => {
                let Node::Constant(Value::String(text)) = pattern else {
                    return;
                };
                match regexes::compile(text) {
                    Ok(found) => *pattern = Node::Constant(Value::Pattern(found)),
                    Err(_) => self.complain(last, format!("invalid {name} argument")),
                }
            }
            ("duration", [Node::Constant(Value::String(text))])
                if times::parse_duration(text).is_none() =>
            {
                self.complain(last, "invalid duration argument".to_owned());
            }
            ("timestamp", [Node::Constant(Value::String(text))])
                if times::parse_timestamp(text).is_none() =>
            {
                self.complain(last, "invalid timestamp argument".to_owned());
            }
            _ => {}
        }
    }

    fn declare(&mut self, name: &str) -> usize {
        let slot = self.used;
        self.touched.remove(&slot);
        self.used += 1;
        self.most = self.most.max(self.used);
        self.locals.entry(name.to_owned()).or_default().push(slot);
        slot
    }

    fn forget(&mut self, name: &str) {
        self.used -= 1;
        if let Some(slots) = self.locals.get_mut(name) {
            slots.pop();
            if slots.is_empty() {
                self.locals.remove(name);
            }
        }
    }

    fn comprehension(&mut self, one: &ComprehensionExpr) -> Node {
        if one.iter_var == UNUSED {
            let value = self.boxed(&one.accu_init);
            let slot = self.declare(&one.accu_var);
            let result = self.boxed(&one.result);
            self.forget(&one.accu_var);
            if !self.touched.contains(&slot) {
                return *result; // like cel-go: what is never used is never evaluated
            }
            return Node::Bind {
                slot,
                value,
                result,
            };
        }
        let range = self.node(&one.iter_range);
        let init = self.node(&one.accu_init);
        let accumulator = self.declare(&one.accu_var);
        let first = self.declare(&one.iter_var);
        let second = one.iter_var2.as_ref().map(|name| self.declare(name));
        let condition = self.node(&one.loop_cond);
        let step = self.node(&one.loop_step);
        let step = gathering(step, accumulator);
        if let Some(name) = &one.iter_var2 {
            self.forget(name);
        }
        self.forget(&one.iter_var);
        let result = self.node(&one.result);
        self.forget(&one.accu_var);
        Node::Fold(Box::new(Fold {
            range,
            first,
            second,
            accumulator,
            init,
            condition,
            step,
            result,
        }))
    }
}

/// `accumulator + [element]`, also as a branch of a condition, appends instead.
fn gathering(step: Node, slot: usize) -> Node {
    match step {
        Node::Call {
            name,
            function,
            mut arguments,
        } if &*name == operators::ADD => {
            let appends = matches!(
                arguments.as_slice(),
                [Node::Local(local), Node::List { elements, optional }]
                    if *local == slot && elements.len() == 1 && optional.is_empty()
            );
            if appends && let Some(Node::List { mut elements, .. }) = arguments.pop() {
                let element = elements.pop().unwrap_or(Node::Constant(Value::Null));
                return Node::Append {
                    slot,
                    element: Box::new(element),
                };
            }
            Node::Call {
                name,
                function,
                arguments,
            }
        }
        Node::Conditional(parts) => {
            let [condition, yes, no] = *parts;
            Node::Conditional(Box::new([condition, gathering(yes, slot), no]))
        }
        other => other,
    }
}

/// Line (from 1) and column (from 0, in characters) of a place (in bytes) in a text.
#[must_use]
pub fn place(source: &str, start: usize) -> (usize, usize) {
    let before = source.get(..start).unwrap_or(source);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count();
    (line, column)
}
