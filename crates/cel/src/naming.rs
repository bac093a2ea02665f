//! What names in expressions stand for, and the types of functions and fields.
use std::collections::HashMap;
use std::sync::Arc;

use cel::common::ast::Expr;

use crate::types::Type;

/// The names of types, as values.
pub fn type_name(name: &str) -> Option<Type> {
    let found = match name {
        "bool" | "int" | "uint" | "double" | "string" | "bytes" => crate::types::parse(name)?,
        "list" => Type::List(Arc::new(Type::Dyn)),
        "map" => Type::Map(Arc::new(Type::Dyn), Arc::new(Type::Dyn)),
        "null_type" => Type::Null,
        "type" => Type::Type(None),
        "google.protobuf.Timestamp" => Type::Timestamp,
        "google.protobuf.Duration" => Type::Duration,
        "net.IP" | "net.CIDR" => crate::types::parse(name)?,
        "optional_type" => Type::optional(Type::Dyn),
        _ => return None,
    };
    Some(found)
}

/// `a.b.c` as text, when the expression is nothing but names.
pub fn qualified(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) if !select.test => Some(format!(
            "{}.{}",
            qualified(&select.operand.expr)?,
            select.field
        )),
        _ => None,
    }
}

/// The type of a field of `Object…` and `JSONPatch`.
pub fn object_field(name: &str, field: &str) -> Type {
    match (name, field) {
        ("JSONPatch", "op" | "path" | "from") => Type::String,
        ("JSONPatch", "value") => Type::Dyn,
        ("JSONPatch", _) => Type::Error,
        _ => Type::Dyn,
    }
}

/// A declared type with fresh variables for its parameters.
pub fn instance(of: &Type, fresh: &HashMap<char, Type>) -> Type {
    match of {
        Type::Param(letter) => fresh.get(letter).cloned().unwrap_or(Type::Dyn),
        Type::List(item) => Type::List(Arc::new(instance(item, fresh))),
        Type::Map(key, value) => Type::Map(
            Arc::new(instance(key, fresh)),
            Arc::new(instance(value, fresh)),
        ),
        Type::Opaque(name, parameters) => Type::Opaque(
            name.clone(),
            parameters.iter().map(|one| instance(one, fresh)).collect(),
        ),
        Type::Type(Some(inner)) => Type::Type(Some(Arc::new(instance(inner, fresh)))),
        other => other.clone(),
    }
}
