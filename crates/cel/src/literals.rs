//! Whether the items of list and map literals are of one type.
use std::collections::HashMap;

use cel::common::ast::{EntryExpr, Expr, IdedExpr};

use crate::types::Type;

/// The items of literals that are of another type than those before; inside `format` anything goes.
pub fn homogeneous(root: &IdedExpr, types: &HashMap<u64, Type>) -> Vec<(u64, String)> {
    let mut found = Vec::new();
    let mut waiting = vec![root];
    while let Some(node) = waiting.pop() {
        match &node.expr {
            Expr::Call(call) if call.func_name == "format" => continue,
            Expr::List(list) => {
                let items = list.elements.iter().enumerate();
                let items = items.map(|(at, one)| (one.id, list.optional_indices.contains(&at)));
                same_types(items, types, &mut found);
            }
            Expr::Map(map) => {
                let entries = map.entries.iter().filter_map(|entry| match &entry.expr {
                    EntryExpr::MapEntry(one) => Some(one),
                    EntryExpr::StructField(_) => None,
                });
                same_types(
                    entries.clone().map(|one| (one.key.id, false)),
                    types,
                    &mut found,
                );
                same_types(
                    entries.map(|one| (one.value.id, one.optional)),
                    types,
                    &mut found,
                );
            }
            _ => {}
        }
        crate::parse::children(&node.expr, &mut waiting);
    }
    found
}

fn same_types(
    items: impl Iterator<Item = (u64, bool)>,
    types: &HashMap<u64, Type>,
    found: &mut Vec<(u64, String)>,
) {
    let mut first: Option<&Type> = None;
    for (id, optional) in items {
        let Some(mut one) = types.get(&id) else {
            continue;
        };
        if optional {
            one = one.unwrap_optional().unwrap_or(one);
        }
        match first {
            Some(before) if !before.same(one) => {
                found.push((id, format!("expected type '{before}' but found '{one}'")));
                return;
            }
            Some(_) => {}
            None => first = Some(one),
        }
    }
}
