//! What an expression can cost at most, before it is run: cel-go's and Kubernetes' estimate.
//!
//! Sizes come from the schema of `self`; what has no bound there may be as large as a request. As
//! upstream does it: the schema is looked up by the path from the variable, whose name is not
//! looked at; numbers, booleans and objects have no size of their own.
use std::collections::HashMap;
use std::sync::Arc;

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SelectExpr, operators,
};

use crate::check::Checked;
use crate::cost::{LIST, MAP, STRUCT};
use crate::decls::Overload;
use crate::parse::{ACCUMULATOR, Parsed};
use crate::schema::{Schema, Shape};
use crate::types::Type;

mod calls;
mod range;

use range::Range;

type Path = Vec<Arc<str>>;

/// The sizes of a container's keys (or indexes) and values.
#[derive(Clone, Copy)]
struct Entries {
    list: bool,
    key: Range,
    value: Range,
}

impl Entries {
    fn union(self, other: Entries) -> Entries {
        Entries {
            list: self.list,
            key: self.key.union(other.key),
            value: self.value.union(other.value),
        }
    }
}

/// How the parser names the target of `optMap`, which cel-go writes out each time.
const TARGET: &str = "@target";

struct Local {
    name: String,
    /// What referring to it costs.
    cost: Range,
    path: Path,
    size: Option<Range>,
    entries: Option<Entries>,
}

/// The most that evaluating an expression about values of `root` can cost.
pub fn most(parsed: &Parsed, checked: &Checked, root: Option<&Arc<Schema>>) -> u64 {
    let mut estimator = Estimator {
        checked,
        root,
        paths: HashMap::new(),
        sizes: HashMap::new(),
        entries: HashMap::new(),
        locals: Vec::new(),
    };
    estimator.cost(&parsed.expression).max
}

struct Estimator<'a> {
    checked: &'a Checked,
    root: Option<&'a Arc<Schema>>,
    paths: HashMap<u64, Path>,
    sizes: HashMap<u64, Range>,
    entries: HashMap<u64, Entries>,
    locals: Vec<Local>,
}

static ERROR: Type = Type::Error;

impl<'a> Estimator<'a> {
    fn type_of(&self, node: &IdedExpr) -> &'a Type {
        self.checked.types.get(&node.id).unwrap_or(&ERROR)
    }

    /// The name of a variable or type, when the node is one.
    fn name<'n>(&self, node: &'n IdedExpr) -> Option<&'n str>
    where
        'a: 'n,
    {
        match &node.expr {
            Expr::Ident(name) => Some(name.strip_prefix('.').unwrap_or(name)),
            Expr::Select(select) if !select.test => {
                self.checked.names.get(&node.id).map(|name| &**name)
            }
            _ => None,
        }
    }

    fn local(&self, name: &str) -> Option<&Local> {
        self.locals.iter().rev().find(|one| one.name == name)
    }

    fn path(&self, node: &IdedExpr) -> Path {
        if let Some(found) = self.name(node).and_then(|name| self.local(name)) {
            return found.path.clone();
        }
        self.paths.get(&node.id).cloned().unwrap_or_default()
    }

    fn extended(&self, node: &IdedExpr, part: &str) -> Path {
        let mut path = self.path(node);
        path.push(Arc::from(part));
        path
    }

    fn cost(&mut self, node: &IdedExpr) -> Range {
        if let Some(name) = self.name(node) {
            let (path, cost) = match self.local(name) {
                Some(local) => (local.path.clone(), local.cost),
                None => (vec![Arc::from(name)], Range::exactly(1)),
            };
            self.paths.insert(node.id, path);
            return cost;
        }
        match &node.expr {
            Expr::Select(select) => self.select(node, select),
            Expr::Call(call) => self.call(node, call),
            Expr::List(list) => {
                let base = if list.elements.is_empty() {
                    0
                } else {
                    u64::MAX
                };
                let (mut sum, mut item) = (Range::exactly(LIST), Range { min: base, max: 0 });
                for one in &list.elements {
                    sum = sum.plus(self.cost(one));
                    item = item.union(self.size_or_unknown(one));
                }
                let found = Entries {
                    list: true,
                    key: Range::exactly(1),
                    value: item,
                };
                self.entries.insert(node.id, found);
                sum
            }
            Expr::Map(map) => {
                let base = if map.entries.is_empty() { 0 } else { u64::MAX };
                let nothing = Range { min: base, max: 0 };
                let (mut sum, mut key, mut value) = (Range::exactly(MAP), nothing, nothing);
                for one in &map.entries {
                    let EntryExpr::MapEntry(one) = &one.expr else {
                        continue;
                    };
                    sum = sum.plus(self.cost(&one.key)).plus(self.cost(&one.value));
                    key = key.union(self.size_or_unknown(&one.key));
                    value = value.union(self.size_or_unknown(&one.value));
                }
                let found = Entries {
                    list: false,
                    key,
                    value,
                };
                self.entries.insert(node.id, found);
                sum
            }
            Expr::Struct(made) => made
                .entries
                .iter()
                .fold(Range::exactly(STRUCT), |sum, one| match &one.expr {
                    EntryExpr::StructField(field) => sum.plus(self.cost(&field.value)),
                    EntryExpr::MapEntry(_) => sum,
                }),
            Expr::Comprehension(one) => self.comprehension(node, one),
            Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => Range::exactly(0),
        }
    }

    fn select(&mut self, node: &IdedExpr, select: &SelectExpr) -> Range {
        let operand = self.cost(&select.operand);
        if select.test {
            return operand;
        }
        let path = self.extended(&select.operand, &select.field);
        self.paths.insert(node.id, path);
        match self.type_of(&select.operand) {
            Type::Map(..) | Type::Object(_) | Type::Struct(_) => operand.plus(Range::exactly(1)),
            _ => operand,
        }
    }

    fn call(&mut self, node: &IdedExpr, call: &CallExpr) -> Range {
        let name = call.func_name.strip_prefix('.').unwrap_or(&call.func_name);
        if let ("dyn", [arg]) = (name, call.args.as_slice()) {
            let cost = self.cost(arg).plus(Range::exactly(1));
            self.copy_sizes(node, arg);
            return cost;
        }
        let mut costs = Vec::with_capacity(call.args.len());
        for one in &call.args {
            costs.push(self.cost(one));
            let size = self.size(one);
            self.remember(one, size);
        }
        let namespaced = self.checked.functions.get(&node.id);
        let target = call.target.as_deref().filter(|_| namespaced.is_none());
        let mut sum = Range::exactly(0);
        if let Some(target) = target {
            sum = self.cost(target);
        }
        let name = namespaced.map_or(name, |full| &**full);
        let given = calls::Given {
            name,
            target,
            args: &call.args,
            costs: &costs,
        };
        if matches!(name, operators::LOGICAL_AND | operators::LOGICAL_OR) {
            return sum.plus(self.logical(&costs));
        }
        if name == operators::OPT_SELECT {
            self.remember(node, None);
            return sum.plus(given.arguments()).plus(Range::exactly(1));
        }
        let overloads = self.checked.overloads.get(&node.id);
        let Some(overloads) = overloads.filter(|all| !all.is_empty()) else {
            return Range::exactly(0);
        };
        let mut most = Range {
            min: u64::MAX,
            max: 0,
        };
        let mut result: Option<Range> = None;
        for overload in overloads {
            let (cost, size) = self.overload(node, &given, overload);
            most = most.union(cost);
            if let Some(size) = size {
                result = Some(result.map_or(size, |before| before.union(size)));
            }
            self.index(node, &given, overload, &mut result);
            if result.is_none() {
                result = self.size(node);
            }
        }
        self.remember(node, result);
        sum.plus(most)
    }

    fn logical(&self, costs: &[Range]) -> Range {
        let all = costs
            .iter()
            .fold(Range::exactly(0), |sum, one| sum.plus(*one));
        Range {
            min: costs.first().map_or(0, |one| one.min),
            max: all.max,
        }
    }

    fn index(
        &mut self,
        node: &IdedExpr,
        given: &calls::Given<'_>,
        overload: &Overload,
        result: &mut Option<Range>,
    ) {
        let ("_[_]", [container, _]) = (given.name, given.args) else {
            return;
        };
        let part = match overload.arguments.first() {
            Some(Type::List(_)) => "@items",
            Some(Type::Map(..)) => "@values",
            _ => return,
        };
        *result = self.entries_of(container).map(|found| found.value);
        let path = self.extended(container, part);
        self.paths.insert(node.id, path);
    }

    fn remember(&mut self, node: &IdedExpr, size: Option<Range>) {
        if let Some(size) = size {
            self.sizes.insert(node.id, size);
        }
    }

    fn copy_sizes(&mut self, to: &IdedExpr, from: &IdedExpr) {
        let (size, entries) = (self.size(from), self.entries_of(from));
        self.remember(to, size);
        if let Some(entries) = entries {
            self.entries.insert(to.id, entries);
        }
    }

    fn comprehension(&mut self, node: &IdedExpr, one: &ComprehensionExpr) -> Range {
        let range = self.cost(&one.iter_range);
        let init = self.cost(&one.accu_init);
        let written_out = one.accu_var == TARGET;
        let mut sum = range.plus(init);
        let outer = self.locals.len();
        let accumulator = Local {
            name: one.accu_var.clone(),
            path: self.path(&one.accu_init),
            size: self.size(&one.accu_init),
            entries: self.entries_of(&one.accu_init),
            cost: if written_out { init } else { Range::exactly(1) },
        };
        self.locals.push(accumulator);
        if names_only(one) {
            let result = self.cost(&one.result);
            sum = if written_out {
                result
            } else {
                sum.plus(result)
            };
            self.locals.truncate(outer);
            self.copy_sizes(node, &one.result);
            return sum;
        }
        let inner = self.locals.len();
        self.iterate(one);
        let condition = self.cost(&one.loop_cond);
        let step = self.cost(&one.loop_step);
        self.locals.truncate(inner);
        sum = sum.plus(self.cost(&one.result));
        self.locals.truncate(outer);
        let count = self.size_or_unknown(&one.iter_range);
        sum = sum.plus(count.times(step.plus(condition)));
        match &one.accu_init.expr {
            Expr::Literal(_) => {
                let size = self.size(&one.accu_init);
                self.remember(node, size);
            }
            Expr::List(_) | Expr::Map(_) => {
                self.sizes.insert(node.id, count);
                if let Some(found) = self.entries_of(&one.loop_step) {
                    self.entries.insert(node.id, found);
                }
            }
            _ => {}
        }
        sum
    }

    /// Name what the loop goes over.
    fn iterate(&mut self, one: &ComprehensionExpr) {
        let known = self.entries_of(&one.iter_range);
        let list = known.map_or_else(
            || matches!(self.type_of(&one.iter_range), Type::List(_)),
            |found| found.list,
        );
        let (key, value) = (known.map(|one| one.key), known.map(|one| one.value));
        let parts = match (&one.iter_var2, list) {
            (None, true) => vec![(&one.iter_var, "@items", value)],
            (None, false) => vec![(&one.iter_var, "@keys", key)],
            (Some(second), true) => {
                vec![(&one.iter_var, "@indices", key), (second, "@items", value)]
            }
            (Some(second), false) => {
                vec![(&one.iter_var, "@keys", key), (second, "@values", value)]
            }
        };
        for (name, part, size) in parts {
            let path = self.extended(&one.iter_range, part);
            let local = Local {
                name: name.clone(),
                path,
                size,
                entries: None,
                cost: Range::exactly(1),
            };
            self.locals.push(local);
        }
    }

    fn entries_of(&self, node: &IdedExpr) -> Option<Entries> {
        if let Some(found) = self.entries.get(&node.id) {
            return Some(*found);
        }
        self.local(self.name(node)?)?.entries
    }

    fn size_or_unknown(&mut self, node: &IdedExpr) -> Range {
        self.size(node).unwrap_or(Range::UNKNOWN)
    }

    /// The size of a node's values, where anything is known of it.
    fn size(&mut self, node: &IdedExpr) -> Option<Range> {
        if let Some(found) = self.sizes.get(&node.id) {
            return Some(*found);
        }
        if let Some(found) = written(&node.expr) {
            return Some(found);
        }
        if let Some(found) = self.bound(&self.path(node)) {
            self.sizes.insert(node.id, found);
            return Some(found);
        }
        if scalar(self.type_of(node)) {
            return Some(Range::exactly(1));
        }
        self.local(self.name(node)?)?.size
    }

    /// What the schema says of the size of the values at a path.
    fn bound(&self, path: &[Arc<str>]) -> Option<Range> {
        let (_, rest) = path.split_first()?;
        let mut at: &Arc<Schema> = self.root?;
        let mut parts = rest.iter();
        while let Some(part) = parts.next() {
            at = match (&**part, &at.shape) {
                ("@items" | "@values", Shape::List(inner, _) | Shape::Map(inner)) => inner,
                // A key is a string of no declared length: upstream gives it none.
                ("@keys", Shape::Map(_)) => {
                    return parts.next().is_none().then_some(Range::exactly(0));
                }
                (field, Shape::Object(properties)) => properties.get(field)?.schema.as_ref()?,
                _ => return None,
            };
        }
        let max = match at.shape {
            Shape::Bool | Shape::Int | Shape::Double | Shape::Object(_) => 0,
            _ => at.max_elements,
        };
        Some(Range { min: 0, max })
    }
}

/// `cel.bind` and its like: no loop, only a name for a value.
fn names_only(one: &ComprehensionExpr) -> bool {
    let empty = matches!(&one.iter_range.expr, Expr::List(list) if list.elements.is_empty());
    let never = matches!(&one.loop_cond.expr,
        Expr::Literal(LiteralValue::Boolean(found)) if !*found.inner());
    empty && never && one.accu_var != ACCUMULATOR
}

/// The size of what is written in the expression itself.
fn written(of: &Expr) -> Option<Range> {
    let length = match of {
        Expr::Literal(LiteralValue::String(text)) => text.inner().chars().count(),
        Expr::Literal(LiteralValue::Bytes(bytes)) => bytes.inner().len(),
        Expr::Literal(_) => 1,
        Expr::List(list) => list.elements.len(),
        Expr::Map(map) => map.entries.len(),
        _ => return None,
    };
    Some(Range::exactly(length as u64))
}

fn scalar(of: &Type) -> bool {
    match of {
        Type::Bool | Type::Double | Type::Duration | Type::Int | Type::Timestamp | Type::Uint => {
            true
        }
        other => other.unwrap_optional().is_some_and(scalar),
    }
}
