//! Sets without repeated items, and keyed lists without repeated keys.
use std::collections::HashMap;
use std::sync::Arc;

use cloudwright_cel::{Fields, Json};

use crate::compile::{Node, Structure};
use crate::problem::{Path, Problem, Shown};

impl Structure {
    /// What is repeated in the sets and keyed lists of an object.
    #[must_use]
    pub fn repeated(&self, object: &Json) -> Vec<Problem> {
        let mut found = Vec::new();
        walk(&self.root, object, &Path::ROOT, &mut found);
        found
    }
}

fn walk(node: &Node, value: &Json, path: &Path<'_>, found: &mut Vec<Problem>) {
    if !node.has_lists {
        return;
    }
    match value {
        Json::Object(fields) => {
            for (name, inner) in fields.iter() {
                match node.member(name) {
                    Some((one, true)) => walk(one, inner, &path.field(name), found),
                    Some((one, false)) => walk(one, inner, &path.key(name), found),
                    None => {}
                }
            }
        }
        Json::List(items) => {
            match node.list.as_deref() {
                Some("set") => {
                    repeats(items.iter().cloned(), path, found);
                }
                Some("map") => keyed(node, items, path, found),
                _ => {}
            }
            if let Some(one) = &node.items {
                for (at, item) in items.iter().enumerate() {
                    walk(one, item, &path.index(at), found);
                }
            }
        }
        _ => {}
    }
}

fn keyed(node: &Node, items: &[Json], path: &Path<'_>, found: &mut Vec<Problem>) {
    let odd = |one: &&Json| !matches!(one, Json::Object(_) | Json::Null);
    if let Some((at, one)) = items.iter().enumerate().find(|(_, one)| odd(one)) {
        let text = "must be an object for an array of list-type map".to_owned();
        found.push(Problem::invalid(path.index(at).text(), one.clone(), text));
        return;
    }
    let keys = items.iter().map(|item| {
        let of = |name: &Arc<str>| Some((name.clone(), item.get(name)?.clone()));
        Json::Object(Arc::new(Fields::new(
            node.keys.iter().filter_map(of).collect(),
        )))
    });
    repeats(keys, path, found);
}

/// The second of equal values, each value complained about once.
fn repeats(values: impl Iterator<Item = Json>, path: &Path<'_>, found: &mut Vec<Problem>) {
    let mut seen: HashMap<String, u32> = HashMap::new();
    for (at, value) in values.enumerate() {
        let times = seen.entry(value.to_string()).or_default();
        *times += 1;
        if *times == 2 {
            let path = path.index(at).text();
            found.push(Problem::new(
                path,
                "Duplicate",
                Shown::Value(value),
                String::new(),
            ));
        }
    }
}
