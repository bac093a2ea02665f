//! Field sets that were written under another schema: lists and maps that have become atomic.

use crate::element::Element;
use crate::schema::{MapType, Schema, TypeId};
use crate::set::Set;

/// What must change in a set; paths are from the root.
#[derive(Default)]
struct Changes<'a> {
    roots: Set<'a>,
}

impl Schema {
    /// `set` as it would have been written under this schema; `None`: as it is.
    #[must_use]
    pub fn reconciled<'a>(&self, set: &Set<'a>) -> Option<Set<'a>> {
        let mut changes = Changes::default();
        self.reconcile(self.root(), Some(set), false, &mut Vec::new(), &mut changes);
        if changes.roots.is_empty() {
            return None;
        }
        Some(set.without_trees(&changes.roots).union(&changes.roots))
    }

    fn reconcile<'a>(
        &self,
        id: TypeId,
        set: Option<&Set<'a>>,
        atomic: bool,
        path: &mut Vec<Element<'a>>,
        changes: &mut Changes<'a>,
    ) {
        let atom = self.atom(id);
        if let Some(map) = &atom.map {
            if map.element.is_some_and(|id| self.is_deduced(id)) && map.fields.is_empty() {
                return;
            }
            if !atomic && map.atomic {
                if set.is_some_and(|set| !set.is_empty()) {
                    changes.roots.insert(path);
                }
                return;
            }
            if let Some(set) = set {
                self.reconcile_each(set, path, changes, |element| member_type(map, element));
            }
        } else if atom.scalar.is_none()
            && let Some(list) = &atom.list
        {
            if !atomic && list.atomic {
                changes.roots.insert(path);
                return;
            }
            if let Some(set) = set {
                self.reconcile_each(set, path, changes, |_| Some(list.element));
            }
        }
    }

    fn reconcile_each<'a>(
        &self,
        set: &Set<'a>,
        path: &mut Vec<Element<'a>>,
        changes: &mut Changes<'a>,
        type_of: impl Fn(&Element<'a>) -> Option<TypeId>,
    ) {
        let mut visit = |element: &Element<'a>, below: Option<&Set<'a>>, member: bool| {
            if let Some(id) = type_of(element) {
                path.push(element.clone());
                self.reconcile(id, below, member && below.is_none(), path, changes);
                path.pop();
            }
        };
        for (element, below) in &set.children {
            visit(element, Some(below), false);
        }
        for element in &set.members {
            if set.child(element).is_none() {
                visit(element, None, true);
            }
        }
    }
}

fn member_type(map: &MapType, element: &Element<'_>) -> Option<TypeId> {
    match element {
        Element::Field(name) => map.field(name).map(|field| field.id).or(map.element),
        _ => map.element,
    }
}
