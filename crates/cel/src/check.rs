//! Static checks: every name is declared, every operand has a type that its operator takes.
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, ListExpr, LiteralValue, MapExpr,
    SelectExpr, StructExpr, operators,
};

use crate::decls;
use crate::error::{CompileError, Complaint};
use crate::literals::homogeneous;
use crate::naming::{instance, object_field, qualified, type_name};
use crate::parse::Parsed;
use crate::plan::place;
use crate::types::{Mapping, Type, most_general};

/// What is declared outside of an expression.
pub trait Scope {
    /// The type of a variable.
    fn variable(&self, name: &str) -> Option<Type>;
    /// Whether `Object{…}` and `JSONPatch{…}` may be made.
    fn mutation(&self) -> bool;
}

/// What the checks found out.
pub struct Checked {
    /// The type of each node.
    pub types: HashMap<u64, Type>,
    /// Selections and identifiers that are qualified names of variables or types.
    pub names: HashMap<u64, Arc<str>>,
    /// Calls whose target is not a value but the first part of the function's name.
    pub functions: HashMap<u64, Arc<str>>,
    /// The overloads that a call may be of.
    pub overloads: HashMap<u64, Vec<&'static decls::Overload>>,
    /// The declared variables that are referred to.
    pub used: BTreeSet<String>,
    pub result: Type,
}

/// Check an expression.
pub fn check(source: &str, parsed: &Parsed, scope: &dyn Scope) -> Result<Checked, CompileError> {
    let mut checker = Checker {
        parsed,
        source,
        scope,
        locals: Vec::new(),
        mapping: Mapping::default(),
        fresh: 0,
        complaints: Vec::new(),
        found: Checked {
            types: HashMap::new(),
            names: HashMap::new(),
            functions: HashMap::new(),
            overloads: HashMap::new(),
            used: BTreeSet::new(),
            result: Type::Dyn,
        },
    };
    let result = checker.check(&parsed.expression);
    if !checker.complaints.is_empty() {
        return Err(CompileError::new(source, checker.complaints));
    }
    let mut found = checker.found;
    for one in found.types.values_mut() {
        *one = checker.mapping.substitute(one, true);
    }
    let mixed = homogeneous(&parsed.expression, &found.types);
    if !mixed.is_empty() {
        let complaint = |(id, text): (u64, String)| {
            let start = parsed
                .places
                .offset_for(id)
                .map_or(0, |(start, _)| start as usize);
            Complaint {
                at: place(source, start),
                text,
            }
        };
        return Err(CompileError::new(
            source,
            mixed.into_iter().map(complaint).collect(),
        ));
    }
    found.result = checker.mapping.substitute(&result, true);
    Ok(found)
}

struct Checker<'a> {
    parsed: &'a Parsed,
    source: &'a str,
    scope: &'a dyn Scope,
    locals: Vec<(String, Type)>,
    mapping: Mapping,
    fresh: u32,
    complaints: Vec<Complaint>,
    found: Checked,
}

impl Checker<'_> {
    fn complain(&mut self, id: u64, text: String) {
        let start = self
            .parsed
            .places
            .offset_for(id)
            .map_or(0, |(start, _)| start as usize);
        let at = place(self.source, start);
        self.complaints.push(Complaint { at, text });
    }

    fn undeclared(&mut self, id: u64, name: &str) -> Type {
        self.complain(
            id,
            format!("undeclared reference to '{name}' (in container '')"),
        );
        Type::Error
    }

    fn variable(&mut self) -> Type {
        self.fresh += 1;
        Type::Var(self.fresh - 1)
    }

    fn closed(&self, of: &Type) -> Type {
        self.mapping.substitute(of, true)
    }

    fn look_up(&mut self, name: &str) -> Option<Type> {
        if let Some((_, found)) = self.locals.iter().rev().find(|(local, _)| local == name) {
            return Some(found.clone());
        }
        if let Some(found) = self.scope.variable(name) {
            self.found.used.insert(name.to_owned());
            return Some(found);
        }
        type_name(name).map(|found| Type::Type(Some(Arc::new(found))))
    }

    fn check(&mut self, node: &IdedExpr) -> Type {
        let found = match &node.expr {
            Expr::Literal(literal) => match literal {
                LiteralValue::Boolean(_) => Type::Bool,
                LiteralValue::Bytes(_) => Type::Bytes,
                LiteralValue::Double(_) => Type::Double,
                LiteralValue::Int(_) => Type::Int,
                LiteralValue::Null => Type::Null,
                LiteralValue::String(_) => Type::String,
                LiteralValue::UInt(_) => Type::Uint,
            },
            Expr::Ident(name) => self.identifier(node.id, name),
            Expr::Select(select) => self.select(node, select),
            Expr::Call(call) => self.call(node.id, call),
            Expr::List(list) => self.list(list),
            Expr::Map(map) => self.map(map),
            Expr::Struct(given) => self.structure(node.id, given),
            Expr::Comprehension(one) => self.comprehension(one),
            Expr::Unspecified => Type::Error,
        };
        self.found.types.insert(node.id, found.clone());
        found
    }

    fn identifier(&mut self, id: u64, name: &str) -> Type {
        // A leading dot asks for the outermost scope.
        let bare = name.strip_prefix('.').unwrap_or(name);
        match self.look_up(bare) {
            Some(found) => {
                self.found.names.insert(id, Arc::from(bare));
                found
            }
            None => self.undeclared(id, name),
        }
    }

    fn select(&mut self, node: &IdedExpr, select: &SelectExpr) -> Type {
        if let Some(prefix) = qualified(&select.operand.expr) {
            let name = format!("{prefix}.{}", select.field);
            if let Some(found) = self.look_up(&name) {
                self.found.names.insert(node.id, Arc::from(name));
                return if select.test { Type::Bool } else { found };
            }
        }
        let found = self.field(node.id, &select.operand, &select.field, false);
        if select.test { Type::Bool } else { found }
    }

    fn field(&mut self, id: u64, operand: &IdedExpr, field: &str, optional: bool) -> Type {
        let operand = self.check(operand);
        let operand = self.mapping.substitute(&operand, false);
        let inner = operand.unwrap_optional();
        let optional = optional || inner.is_some();
        let target = inner.unwrap_or(&operand);
        let result = match target {
            Type::Map(_, value) => (**value).clone(),
            Type::Object(schema) => {
                let property = schema.property(field).and_then(|one| one.schema.as_ref());
                if let Some(found) = property {
                    Type::of(found)
                } else {
                    self.complain(id, format!("undefined field '{field}'"));
                    Type::Error
                }
            }
            Type::Struct(name) if self.is_object(name) => object_field(name, field),
            Type::Struct(_) => {
                self.complain(id, format!("undefined field '{field}'"));
                Type::Error
            }
            Type::Var(_) => {
                self.mapping.assign(&Type::Dyn, target);
                Type::Dyn
            }
            other if other.is_dyn_or_error() => Type::Dyn,
            other => {
                let text = format!("type '{other}' does not support field selection");
                self.complain(id, text);
                Type::Dyn
            }
        };
        let result = self.mapping.substitute(&result, false);
        if optional {
            Type::optional(result)
        } else {
            result
        }
    }

    fn is_object(&self, name: &str) -> bool {
        self.scope.mutation()
            && (name == "Object" || name == "JSONPatch" || name.starts_with("Object."))
    }

    fn call(&mut self, id: u64, call: &CallExpr) -> Type {
        if call.func_name == operators::OPT_SELECT
            && let [operand, field] = call.args.as_slice()
        {
            let Expr::Literal(LiteralValue::String(name)) = &field.expr else {
                self.complain(field.id, "unsupported optional field selection".to_owned());
                return Type::Error;
            };
            return self.field(id, operand, name.inner(), true);
        }
        let mut given: Vec<Type> = call.args.iter().map(|one| self.check(one)).collect();
        let name = call.func_name.strip_prefix('.').unwrap_or(&call.func_name);
        let Some(target) = &call.target else {
            return self.resolve(id, name, given, None, &call.args);
        };
        if let Some(prefix) = qualified(&target.expr) {
            let full = format!("{prefix}.{name}");
            if self.declared(&full) {
                self.found.functions.insert(id, Arc::from(full.as_str()));
                return self.resolve(id, &full, given, None, &call.args);
            }
        }
        let target_type = self.check(target);
        given.insert(0, target_type);
        self.resolve(id, name, given, Some(target), &call.args)
    }

    fn declared(&self, name: &str) -> bool {
        let mutation = name == "jsonpatch.escapeKey";
        decls::find(name).is_some() && (!mutation || self.scope.mutation())
    }

    fn resolve(
        &mut self,
        id: u64,
        name: &str,
        given: Vec<Type>,
        target: Option<&IdedExpr>,
        args: &[IdedExpr],
    ) -> Type {
        let declared = self.declared(name);
        let Some(overloads) = decls::find(name).filter(|_| declared) else {
            return self.undeclared(id, name);
        };
        if matches!(name, operators::LOGICAL_AND | operators::LOGICAL_OR) {
            return self.logical(args, &given);
        }
        let mut result: Option<Type> = None;
        for overload in overloads
            .iter()
            .filter(|one| one.member == target.is_some())
        {
            let fresh: HashMap<char, Type> = overload
                .parameters
                .iter()
                .map(|letter| (*letter, self.variable()))
                .collect();
            let wanted: Vec<Type> = overload
                .arguments
                .iter()
                .map(|one| instance(one, &fresh))
                .collect();
            if !self.mapping.assign_all(&given, &wanted) {
                continue;
            }
            self.found.overloads.entry(id).or_default().push(overload);
            let found = self
                .mapping
                .substitute(&instance(&overload.result, &fresh), false);
            result = Some(match result {
                Some(before) if !matches!(before, Type::Dyn) && !found.same(&before) => Type::Dyn,
                Some(before) => before,
                None => found,
            });
        }
        result.unwrap_or_else(|| {
            let shown: Vec<String> = given
                .iter()
                .map(|one| self.closed(one).to_string())
                .collect();
            let signature = match target {
                Some(_) => format!("{}.({})", shown[0], shown[1..].join(", ")),
                None => format!("({})", shown.join(", ")),
            };
            let text = format!("found no matching overload for '{name}' applied to '{signature}'");
            self.complain(id, text);
            Type::Error
        })
    }

    fn logical(&mut self, args: &[IdedExpr], given: &[Type]) -> Type {
        let mut result = Type::Bool;
        for (arg, one) in args.iter().zip(given) {
            if !self.mapping.assign(one, &Type::Bool) {
                let text = format!("expected type 'bool' but found '{}'", self.closed(one));
                self.complain(arg.id, text);
                result = Type::Error;
            }
        }
        result
    }

    fn unwrapped(&mut self, node: &IdedExpr, given: Type, optional: bool) -> Type {
        if !optional {
            return given;
        }
        if let Some(inner) = given.unwrap_optional() {
            return inner.clone();
        }
        if !matches!(given, Type::Dyn) {
            let text = format!("expected type 'optional_type({given})' but found '{given}'");
            self.complain(node.id, text);
        }
        given
    }

    fn join(&mut self, before: Option<Type>, now: Type) -> Type {
        let Some(before) = before else { return now };
        if self.mapping.assign(&before, &now) {
            return most_general(&before, &now);
        }
        // Whether that is allowed is seen when every type is known.
        Type::Dyn
    }

    fn list(&mut self, list: &ListExpr) -> Type {
        let mut item = None;
        for (at, element) in list.elements.iter().enumerate() {
            let found = self.check(element);
            let found = self.unwrapped(element, found, list.optional_indices.contains(&at));
            item = Some(self.join(item, found));
        }
        Type::List(Arc::new(item.unwrap_or_else(|| self.variable())))
    }

    fn map(&mut self, map: &MapExpr) -> Type {
        let (mut key, mut value) = (None, None);
        for entry in &map.entries {
            let EntryExpr::MapEntry(entry) = &entry.expr else {
                continue;
            };
            let found = self.check(&entry.key);
            key = Some(self.join(key, found));
            let found = self.check(&entry.value);
            let found = self.unwrapped(&entry.value, found, entry.optional);
            value = Some(self.join(value, found));
        }
        let key = key.unwrap_or_else(|| self.variable());
        let value = value.unwrap_or_else(|| self.variable());
        Type::Map(Arc::new(key), Arc::new(value))
    }

    fn structure(&mut self, id: u64, given: &StructExpr) -> Type {
        let name = given
            .type_name
            .strip_prefix('.')
            .unwrap_or(&given.type_name);
        if !self.is_object(name) {
            return if type_name(name).is_some() {
                self.complain(id, format!("'{name}' is not a message type"));
                Type::Error
            } else {
                self.undeclared(id, name)
            };
        }
        for entry in &given.entries {
            let EntryExpr::StructField(field) = &entry.expr else {
                continue;
            };
            let found = self.check(&field.value);
            let found = self.unwrapped(&field.value, found, field.optional);
            let wanted = object_field(name, &field.field);
            if matches!(wanted, Type::Error) {
                self.complain(entry.id, format!("undefined field '{}'", field.field));
            } else if !self.mapping.assign(&wanted, &found) {
                let text = format!(
                    "expected type of field '{}' is '{wanted}' but provided type is '{}'",
                    field.field,
                    self.closed(&found)
                );
                self.complain(entry.id, text);
            }
        }
        Type::Struct(Arc::from(name))
    }

    fn comprehension(&mut self, one: &ComprehensionExpr) -> Type {
        let range = self.check(&one.iter_range);
        let accumulator = self.check(&one.accu_init);
        let range = self.mapping.substitute(&range, false);
        let two = one.iter_var2.is_some();
        let (first, second) = match &range {
            Type::List(item) if two => (Type::Int, (**item).clone()),
            Type::List(item) => ((**item).clone(), Type::Error),
            Type::Map(key, value) => ((**key).clone(), (**value).clone()),
            Type::Var(_) | Type::Dyn | Type::Error => {
                self.mapping.assign(&Type::Dyn, &range);
                (Type::Dyn, Type::Dyn)
            }
            other => {
                let text = format!(
                    "expression of type '{other}' cannot be range of a comprehension \
                     (must be list, map, or dynamic)"
                );
                self.complain(one.iter_range.id, text);
                (Type::Error, Type::Error)
            }
        };
        let outer = self.locals.len();
        self.locals
            .push((one.accu_var.clone(), accumulator.clone()));
        let inner = self.locals.len();
        self.locals.push((one.iter_var.clone(), first));
        if let Some(name) = &one.iter_var2 {
            self.locals.push((name.clone(), second));
        }
        let cond = self.check(&one.loop_cond);
        self.must_be(&one.loop_cond, &Type::Bool, &cond);
        let step = self.check(&one.loop_step);
        self.must_be(&one.loop_step, &accumulator, &step);
        self.locals.truncate(inner);
        let result = self.check(&one.result);
        self.locals.truncate(outer);
        self.mapping.substitute(&result, false)
    }

    fn must_be(&mut self, node: &IdedExpr, wanted: &Type, found: &Type) {
        if !self.mapping.assign(wanted, found) {
            let (a, b) = (self.closed(wanted), self.closed(found));
            self.complain(node.id, format!("expected type '{a}' but found '{b}'"));
        }
    }
}
