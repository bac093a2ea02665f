//! Defaults, and nulls that mean "not given".
use std::sync::Arc;

use cloudwright_cel::Json;

use crate::compile::{Additional, Node, Structure};

impl Structure {
    /// Drop nulls that are not allowed and fill in defaults; whether anything changed.
    pub fn fill(&self, object: &mut Json) -> bool {
        let dropped = drop_nulls(Some(&self.root), object);
        let filled = self.root.has_defaults && fill(&self.root, object);
        dropped || filled
    }
}

fn has_null(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::Object(fields) => fields.iter().any(|(_, inner)| has_null(inner)),
        Json::List(items) => items.iter().any(has_null),
        _ => false,
    }
}

fn drop_nulls(node: Option<&Node>, value: &mut Json) -> bool {
    if !has_null(value) {
        return false;
    }
    let mut changed = false;
    match value {
        Json::Object(fields) => Arc::make_mut(fields).retain(|name, inner| {
            let one = node.and_then(|node| node.member(name)).map(|(one, _)| one);
            if matches!(inner, Json::Null) {
                let drop = one.is_some_and(|one| !one.nullable && one.default.is_none());
                changed |= drop;
                return !drop;
            }
            changed |= drop_nulls(one, inner);
            true
        }),
        Json::List(items) => {
            let one = node.and_then(|node| node.items.as_deref());
            for item in Arc::make_mut(items) {
                changed |= drop_nulls(one, item);
            }
        }
        _ => {}
    }
    changed
}

fn fill(node: &Node, value: &mut Json) -> bool {
    if !node.inner().any(|one| one.has_defaults) {
        return false;
    }
    let mut changed = false;
    match value {
        Json::Object(fields) => {
            for (name, one) in node.properties.iter().filter(|(_, one)| one.has_defaults) {
                let missing = match fields.get(name) {
                    None => true,
                    Some(Json::Null) => !one.nullable,
                    Some(_) => false,
                };
                if missing && let Some(default) = &one.default {
                    Arc::make_mut(fields).insert(name.clone(), default.clone());
                    changed = true;
                }
                let inner = Arc::make_mut(fields).get_mut(name);
                changed |= inner.is_some_and(|inner| fill(one, inner));
            }
            if let Additional::Schema(one) = &node.additional
                && one.has_defaults
            {
                for (name, inner) in Arc::make_mut(fields).iter_mut() {
                    if !node.properties.contains_key(name) {
                        changed |= fill_entry(one, inner);
                    }
                }
            }
        }
        Json::List(items) => {
            if let Some(one) = node.items.as_deref().filter(|one| one.has_defaults) {
                for item in Arc::make_mut(items) {
                    changed |= fill_entry(one, item);
                }
            }
        }
        _ => {}
    }
    changed
}

fn fill_entry(node: &Node, value: &mut Json) -> bool {
    let mut changed = false;
    if matches!(value, Json::Null)
        && !node.nullable
        && let Some(default) = &node.default
    {
        *value = default.clone();
        changed = true;
    }
    fill(node, value) || changed
}
