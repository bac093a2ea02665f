//! What is constant is made once, when a program is planned.
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::convert;
use crate::plan::{Node, type_value};
use crate::schema::Schema;
use crate::value::{Entries, Map, Outcome, Value, key_of};

/// Whether a function turns a value into one of another type.
pub fn is_cast(name: &str) -> bool {
    matches!(
        name,
        "bool"
            | "bytes"
            | "double"
            | "duration"
            | "dyn"
            | "int"
            | "string"
            | "timestamp"
            | "type"
            | "uint"
    )
}

/// A constant, cast in advance.
pub fn casted(name: &str, value: &Value) -> Outcome {
    match name {
        "dyn" => Ok(value.clone()),
        "type" => Ok(type_value(value.type_name())),
        _ => convert::cast(name, std::slice::from_ref(value)),
    }
}

/// A list of constants is a constant.
pub fn folded_list(elements: Vec<Node>, optional: Vec<usize>) -> Node {
    let constants = elements.iter().map(|one| match one {
        Node::Constant(value) => Some(value.clone()),
        _ => None,
    });
    match constants.collect::<Option<Vec<_>>>() {
        Some(items) if optional.is_empty() => Node::Constant(Value::from(items)),
        _ => Node::List { elements, optional },
    }
}

/// A map of constants is a constant.
pub fn folded_map(entries: Vec<(Node, Node, bool)>) -> Node {
    let constants = entries.iter().map(|one| match one {
        (Node::Constant(key), Node::Constant(value), false) => {
            Some((key_of(key).ok()?, value.clone()))
        }
        _ => None,
    });
    match constants.collect::<Option<BTreeMap<_, _>>>() {
        Some(made) => Node::Constant(Value::Map(Map {
            entries: Entries::Made(Arc::new(made)),
            schema: Schema::dynamic().clone(),
        })),
        None => Node::Map(entries),
    }
}
