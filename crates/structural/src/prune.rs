//! Removing what a schema does not know.
use std::sync::Arc;

use cloudwright_cel::Json;

use crate::compile::{Additional, Node, Structure};
use crate::problem::Path;

impl Structure {
    /// Remove the unknown fields of an object; their paths, sorted.
    ///
    /// `apiVersion`, `kind` and `metadata` of the root are left alone.
    pub fn prune(&self, object: &mut Json) -> Vec<String> {
        let mut found = Vec::new();
        prune(&self.root, object, &Path::ROOT, true, &mut found);
        found.sort();
        found
    }
}

fn is_meta(name: &str) -> bool {
    matches!(name, "apiVersion" | "kind" | "metadata")
}

fn prune(node: &Node, value: &mut Json, path: &Path<'_>, embedded: bool, found: &mut Vec<String>) {
    let embedded = embedded || node.embedded;
    match value {
        Json::Object(fields) => {
            if fields.is_empty() || !needs(node, fields, embedded) {
                return;
            }
            let keep = |name: &str, inner: &mut Json| {
                if embedded && is_meta(name) {
                    return true;
                }
                match (node.member(name), &node.additional) {
                    (Some((one, _)), _) => {
                        prune(one, inner, &path.field(name), false, found);
                        true
                    }
                    (None, Additional::Any(true)) => true,
                    (None, _) if node.preserve => true,
                    (None, _) => {
                        found.push(path.field(name).text());
                        false
                    }
                }
            };
            Arc::make_mut(fields).retain(keep);
        }
        Json::List(items) => {
            let Some(one) = &node.items else { return };
            if !items
                .iter()
                .any(|item| matches!(item, Json::Object(_) | Json::List(_)))
            {
                return;
            }
            for (at, item) in Arc::make_mut(items).iter_mut().enumerate() {
                prune(one, item, &path.index(at), false, found);
            }
        }
        _ => {}
    }
}

/// Whether a member is unknown, or may have unknown ones in it.
fn needs(node: &Node, fields: &cloudwright_cel::Fields, embedded: bool) -> bool {
    fields.iter().any(|(name, value)| {
        let container = matches!(value, Json::Object(_) | Json::List(_));
        match node.member(name) {
            _ if embedded && is_meta(name) => false,
            Some(_) => container,
            None => !node.preserve && !matches!(node.additional, Additional::Any(true)),
        }
    })
}
