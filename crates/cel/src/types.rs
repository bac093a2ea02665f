//! Static types, and whether one may stand where another is wanted (cel-go's rules).
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::schema::{Schema, Shape};

/// A static type.
#[derive(Clone, Debug)]
pub enum Type {
    Dyn,
    /// The type of what has been complained about already.
    Error,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Timestamp,
    Duration,
    /// The type of a type.
    Type(Option<Arc<Type>>),
    List(Arc<Type>),
    Map(Arc<Type>, Arc<Type>),
    /// An object with the fields of a schema.
    Object(Arc<Schema>),
    /// An object without fields that expressions can see.
    Struct(Arc<str>),
    Opaque(Arc<str>, Arc<[Type]>),
    /// A type parameter of a function (before it is made fresh).
    Param(char),
    /// A free type variable.
    Var(u32),
}

pub const OPTIONAL: &str = "optional_type";

impl Type {
    /// `optional_type(inner)`.
    #[must_use]
    pub fn optional(inner: Type) -> Type {
        Type::Opaque(Arc::from(OPTIONAL), Arc::from([inner]))
    }

    /// The type inside an optional.
    #[must_use]
    pub fn unwrap_optional(&self) -> Option<&Type> {
        match self {
            Type::Opaque(name, parameters) if &**name == OPTIONAL => parameters.first(),
            _ => None,
        }
    }

    #[must_use]
    pub fn is_dyn_or_error(&self) -> bool {
        matches!(self, Type::Dyn | Type::Error)
    }

    /// The static type of the values of a schema.
    #[must_use]
    pub fn of(schema: &Arc<Schema>) -> Type {
        match &schema.shape {
            Shape::Dyn | Shape::IntOrString => Type::Dyn,
            Shape::Bool => Type::Bool,
            Shape::Int => Type::Int,
            Shape::Double => Type::Double,
            Shape::String => Type::String,
            Shape::Bytes => Type::Bytes,
            Shape::Date | Shape::Timestamp => Type::Timestamp,
            Shape::Duration => Type::Duration,
            Shape::List(items, _) => Type::List(Arc::new(Type::of(items))),
            Shape::Map(values) => Type::Map(Arc::new(Type::String), Arc::new(Type::of(values))),
            Shape::Object(_) => Type::Object(schema.clone()),
        }
    }

    /// Whether both are the same type.
    #[must_use]
    pub fn same(&self, other: &Type) -> bool {
        match (self, other) {
            (Type::List(a), Type::List(b)) => a.same(b),
            (Type::Map(a, x), Type::Map(b, y)) => a.same(b) && x.same(y),
            (Type::Object(a), Type::Object(b)) => Arc::ptr_eq(a, b),
            (Type::Struct(a), Type::Struct(b)) => a == b,
            (Type::Opaque(a, x), Type::Opaque(b, y)) => {
                a == b && x.len() == y.len() && x.iter().zip(y.iter()).all(|(x, y)| x.same(y))
            }
            (Type::Param(a), Type::Param(b)) => a == b,
            (Type::Var(a), Type::Var(b)) => a == b,
            (Type::Type(a), Type::Type(b)) => match (a, b) {
                (Some(a), Some(b)) => a.same(b),
                (a, b) => a.is_none() == b.is_none(),
            },
            _ => self.is_plain() && std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }

    fn is_plain(&self) -> bool {
        !matches!(
            self,
            Type::List(_)
                | Type::Map(..)
                | Type::Object(_)
                | Type::Struct(_)
                | Type::Opaque(..)
                | Type::Param(_)
                | Type::Var(_)
                | Type::Type(_)
        )
    }
}

impl fmt::Display for Type {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Type::Dyn => "dyn",
            Type::Error => "!error!",
            Type::Null => "null",
            Type::Bool => "bool",
            Type::Int => "int",
            Type::Uint => "uint",
            Type::Double => "double",
            Type::String => "string",
            Type::Bytes => "bytes",
            Type::Timestamp => "timestamp",
            Type::Duration => "duration",
            Type::Type(None) => "type",
            Type::Type(Some(inner)) => return write!(out, "type({inner})"),
            Type::List(item) => return write!(out, "list({item})"),
            Type::Map(key, value) => return write!(out, "map({key}, {value})"),
            Type::Object(schema) => &schema.name,
            Type::Struct(name) => name,
            Type::Opaque(name, parameters) if parameters.is_empty() => name,
            Type::Opaque(name, parameters) => {
                let shown: Vec<String> = parameters.iter().map(ToString::to_string).collect();
                return write!(out, "{name}({})", shown.join(", "));
            }
            Type::Param(name) => return write!(out, "{name}"),
            Type::Var(number) => return write!(out, "_var{number}"),
        })
    }
}

/// What free type variables stand for.
#[derive(Clone, Debug, Default)]
pub struct Mapping {
    found: HashMap<u32, Type>,
}

impl Mapping {
    /// Whether a value of type `a` may stand where `b` is wanted; binds variables when so.
    pub fn assign(&mut self, a: &Type, b: &Type) -> bool {
        self.attempt(|one| one.assignable(a, b))
    }

    /// The same for lists of types.
    pub fn assign_all(&mut self, a: &[Type], b: &[Type]) -> bool {
        self.attempt(|one| one.all_assignable(a, b))
    }

    fn attempt(&mut self, what: impl FnOnce(&mut Mapping) -> bool) -> bool {
        let before = self.found.clone();
        let fits = what(self);
        if !fits {
            self.found = before;
        }
        fits
    }

    fn all_assignable(&mut self, a: &[Type], b: &[Type]) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| self.assignable(a, b))
    }

    fn assignable(&mut self, a: &Type, b: &Type) -> bool {
        if let Type::Var(variable) = b {
            let (fits, known) = self.substitutes(a, *variable);
            if fits || known {
                return fits;
            }
        }
        if let Type::Var(variable) = a {
            return self.substitutes(b, *variable).0;
        }
        if a.is_dyn_or_error() || b.is_dyn_or_error() {
            return true;
        }
        match (a, b) {
            (Type::Null, other) | (other, Type::Null) => matches!(
                other,
                Type::Null
                    | Type::Opaque(..)
                    | Type::Object(_)
                    | Type::Struct(_)
                    | Type::Duration
                    | Type::Timestamp
            ),
            (Type::Type(_), Type::Type(_)) => true,
            (Type::List(a), Type::List(b)) => self.assignable(a, b),
            (Type::Map(a, x), Type::Map(b, y)) => self.assignable(a, b) && self.assignable(x, y),
            (Type::Opaque(a, x), Type::Opaque(b, y)) => a == b && self.all_assignable(x, y),
            _ => a.same(b),
        }
    }

    /// Whether `variable` may stand for `a`, and whether it stood for something before.
    fn substitutes(&mut self, a: &Type, variable: u32) -> (bool, bool) {
        if a.same(&Type::Var(variable)) {
            return (true, true);
        }
        if let Some(known) = self.found.get(&variable).cloned() {
            if a.same(&known) {
                return (true, true);
            }
            if self.assignable(a, &known) {
                let wider = most_general(a, &known);
                if self.absent(variable, &wider) {
                    self.found.insert(variable, wider);
                }
                return (true, true);
            }
            return (false, true);
        }
        if self.absent(variable, a) {
            self.found.insert(variable, a.clone());
            return (true, false);
        }
        (false, false)
    }

    fn absent(&self, variable: u32, within: &Type) -> bool {
        match within {
            Type::Var(other) => {
                *other != variable
                    && self
                        .found
                        .get(other)
                        .is_none_or(|found| self.absent(variable, found))
            }
            Type::List(item) => self.absent(variable, item),
            Type::Map(key, value) => self.absent(variable, key) && self.absent(variable, value),
            Type::Opaque(_, parameters) => parameters.iter().all(|one| self.absent(variable, one)),
            Type::Type(Some(inner)) => self.absent(variable, inner),
            _ => true,
        }
    }

    /// `of` with its bound variables replaced; the free ones become `dyn` when `close`.
    #[must_use]
    pub fn substitute(&self, of: &Type, close: bool) -> Type {
        match of {
            Type::Var(variable) => match self.found.get(variable) {
                Some(found) => self.substitute(found, close),
                None if close => Type::Dyn,
                None => of.clone(),
            },
            Type::List(item) => Type::List(Arc::new(self.substitute(item, close))),
            Type::Map(key, value) => Type::Map(
                Arc::new(self.substitute(key, close)),
                Arc::new(self.substitute(value, close)),
            ),
            Type::Opaque(name, parameters) => Type::Opaque(
                name.clone(),
                parameters
                    .iter()
                    .map(|one| self.substitute(one, close))
                    .collect(),
            ),
            Type::Type(Some(inner)) => Type::Type(Some(Arc::new(self.substitute(inner, close)))),
            other => other.clone(),
        }
    }
}

/// The more general of two types that fit each other.
#[must_use]
pub fn most_general(a: &Type, b: &Type) -> Type {
    if less_specific(a, b) {
        a.clone()
    } else {
        b.clone()
    }
}

fn less_specific(a: &Type, b: &Type) -> bool {
    if matches!(a, Type::Dyn | Type::Var(_) | Type::Param(_)) {
        return true;
    }
    if matches!(b, Type::Dyn | Type::Var(_) | Type::Param(_)) {
        return false;
    }
    match (a, b) {
        (Type::List(a), Type::List(b)) => less_specific(a, b),
        (Type::Map(a, x), Type::Map(b, y)) => less_specific(a, b) && less_specific(x, y),
        (Type::Opaque(a, x), Type::Opaque(b, y)) => {
            a == b && x.len() == y.len() && x.iter().zip(y.iter()).all(|(x, y)| less_specific(x, y))
        }
        (Type::Type(_), Type::Type(_)) => true,
        _ => a.same(b),
    }
}

/// A type from its text: `int`, `list(string)`, `map(string, dyn)`, `optional_type(A)`, `authorizer`.
#[must_use]
pub fn parse(text: &str) -> Option<Type> {
    let (found, rest) = parse_one(text.trim())?;
    rest.trim().is_empty().then_some(found)
}

fn parse_one(text: &str) -> Option<(Type, &str)> {
    let text = text.trim_start();
    let end = text.find(['(', ')', ',', ' ']).unwrap_or(text.len());
    let (name, mut rest) = text.split_at(end);
    let mut parameters = Vec::new();
    if let Some(inner) = rest.strip_prefix('(') {
        rest = inner;
        loop {
            let (one, after) = parse_one(rest)?;
            parameters.push(one);
            let after = after.trim_start();
            if let Some(next) = after.strip_prefix(',') {
                rest = next;
            } else {
                rest = after.strip_prefix(')')?;
                break;
            }
        }
    }
    Some((named(name, parameters)?, rest))
}

fn named(name: &str, parameters: Vec<Type>) -> Option<Type> {
    let mut parameters = parameters.into_iter();
    let structs = |name: &str| Type::Struct(Arc::from(name));
    let found = match name {
        "dyn" => Type::Dyn,
        "null" => Type::Null,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "timestamp" => Type::Timestamp,
        "duration" => Type::Duration,
        "type" => Type::Type(parameters.next().map(Arc::new)),
        "list" => Type::List(Arc::new(parameters.next()?)),
        "map" => Type::Map(Arc::new(parameters.next()?), Arc::new(parameters.next()?)),
        "optional_type" => Type::optional(parameters.next()?),
        "net.IP" | "net.CIDR" => Type::Opaque(Arc::from(name), Arc::from([])),
        "url" => structs("kubernetes.URL"),
        "quantity" => structs("kubernetes.Quantity"),
        "semver" => structs("kubernetes.Semver"),
        "format" => structs("kubernetes.NamedFormat"),
        "authorizer" => structs("kubernetes.authorization.Authorizer"),
        "path_check" => structs("kubernetes.authorization.PathCheck"),
        "group_check" => structs("kubernetes.authorization.GroupCheck"),
        "resource_check" => structs("kubernetes.authorization.ResourceCheck"),
        "decision" => structs("kubernetes.authorization.Decision"),
        _ => {
            let mut letters = name.chars();
            match (letters.next(), letters.next()) {
                (Some(letter), None) if letter.is_ascii_uppercase() => Type::Param(letter),
                _ => return None,
            }
        }
    };
    Some(found)
}
