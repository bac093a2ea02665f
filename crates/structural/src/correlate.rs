//! Which old value a new one came from, and whether it is still the same.
use cloudwright_cel::Json;

use crate::compile::Node;

/// A value and the old one that it came from.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    pub node: &'a Node,
    pub new: &'a Json,
    pub old: &'a Json,
}

impl<'a> Pair<'a> {
    /// The pair of a member.
    pub fn key(&self, name: &str) -> Option<Pair<'a>> {
        let (node, _) = self.node.member(name)?;
        Some(Pair {
            node,
            new: self.new.get(name)?,
            old: self.old.get(name)?,
        })
    }

    /// The pair of an item: only keyed lists tell which was which.
    pub fn index(&self, at: usize) -> Option<Pair<'a>> {
        let new = self.new.as_list()?.get(at)?;
        let old = keyed(self.node, self.old.as_list()?, new)?;
        Some(Pair {
            node: self.node.items.as_deref()?,
            new,
            old,
        })
    }

    /// Whether the value is what it was.
    pub fn same(&self) -> bool {
        match (self.new, self.old) {
            (Json::List(new), Json::List(old)) => {
                if new.len() != old.len() {
                    return false;
                }
                if self.node.list.as_deref() != Some("map") {
                    return new == old;
                }
                (0..new.len()).all(|at| self.index(at).is_some_and(|pair| pair.same()))
            }
            (Json::Object(new), Json::Object(old)) => {
                new.len() == old.len()
                    && new
                        .iter()
                        .all(|(name, _)| self.key(name).is_some_and(|pair| pair.same()))
            }
            (new, old) => new == old,
        }
    }
}

/// The old item with the keys of a new one, in a list of type `map`.
pub fn keyed<'a>(node: &Node, old: &'a [Json], new: &Json) -> Option<&'a Json> {
    if node.list.as_deref() != Some("map") || node.keys.is_empty() {
        return None;
    }
    let scalar = |value: &Json| !matches!(value, Json::Object(_) | Json::List(_) | Json::Null);
    let keys: Vec<&Json> = node
        .keys
        .iter()
        .map(|key| new.get(key).filter(|one| scalar(one)))
        .collect::<Option<_>>()?;
    old.iter().find(|one| {
        node.keys
            .iter()
            .zip(&keys)
            .all(|(name, wanted)| one.get(name) == Some(*wanted))
    })
}
