//! Sets of fields as sorted trees, and their wire form (`metav1.FieldsV1`).

use std::cmp::Ordering;

use crate::MergeError;
use crate::element::Element;
use crate::schema::{Schema, TypeId};
use crate::value::Value;

/// Fields of one object. A node's membership says nothing of its children's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Set<'a> {
    /// The members at this level, sorted.
    pub members: Vec<Element<'a>>,
    /// Where further members are, sorted. No node is empty.
    pub children: Vec<(Element<'a>, Set<'a>)>,
}

impl<'a> Set<'a> {
    /// Read `fieldsV1`.
    ///
    /// # Errors
    /// `MergeError::Malformed`: it is none.
    pub fn from_value(value: &Value<'_>) -> Result<Set<'a>, MergeError> {
        Ok(match value {
            Value::Null => Set::default(),
            Value::Map(_) => Set::read(value)?.0,
            _ => return Err(MergeError::malformed("fieldsV1 is no object")),
        })
    }

    fn read(value: &Value<'_>) -> Result<(Set<'a>, bool), MergeError> {
        let mut set = Set::default();
        let mut member = false;
        let Value::Map(members) = value else {
            return Err(MergeError::malformed("a field of fieldsV1 is no object"));
        };
        for (key, inner) in members {
            if key == "." {
                member = true;
                continue;
            }
            let Some(element) = Element::parse(key)? else {
                continue;
            };
            let (child, is_member) = Set::read(inner)?;
            if is_member {
                set.members.push(element.clone());
            }
            if !child.is_empty() {
                set.children.push((element, child));
            }
        }
        set.sort();
        if set.is_empty() {
            member = true;
        }
        Ok((set, member))
    }

    /// Bring the members into order, after they were pushed in any.
    pub(crate) fn sort(&mut self) {
        if !self.members.is_sorted() {
            self.members.sort();
        }
        self.members.dedup();
        if !self.children.is_sorted_by(|(one, _), (two, _)| one <= two) {
            self.children.sort_by(|(one, _), (two, _)| one.cmp(two));
        }
    }

    /// Append the wire form.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_node(false, out);
    }

    fn write_node(&self, own: bool, out: &mut Vec<u8>) {
        out.push(b'{');
        let mut first = true;
        if own {
            out.extend_from_slice(b"\".\":{}");
            first = false;
        }
        let (mut members, mut children) = (
            self.members.iter().peekable(),
            self.children.iter().peekable(),
        );
        loop {
            let order = match (members.peek(), children.peek()) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(one), Some((two, _))) => (*one).cmp(two),
            };
            if !first {
                out.push(b',');
            }
            first = false;
            let member = if order.is_le() { members.next() } else { None };
            match (member, if order.is_ge() { children.next() } else { None }) {
                (_, Some((element, child))) => {
                    element.write(out);
                    out.push(b':');
                    child.write_node(member.is_some(), out);
                }
                (Some(element), None) => {
                    element.write(out);
                    out.extend_from_slice(b":{}");
                }
                (None, None) => {}
            }
        }
        out.push(b'}');
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty() && self.children.iter().all(|(_, child)| child.is_empty())
    }

    /// Add the field at `path`; the empty path is no field.
    pub fn insert(&mut self, path: &[Element<'a>]) {
        let Some((first, rest)) = path.split_first() else {
            return;
        };
        if rest.is_empty() {
            if let Err(at) = self.members.binary_search(first) {
                self.members.insert(at, first.clone());
            }
            return;
        }
        let at = match self
            .children
            .binary_search_by(|(found, _)| found.cmp(first))
        {
            Ok(at) => at,
            Err(at) => {
                self.children.insert(at, (first.clone(), Set::default()));
                at
            }
        };
        self.children[at].1.insert(rest);
    }

    /// Whether the field at `path` is in it.
    #[must_use]
    pub fn has(&self, path: &[Element<'_>]) -> bool {
        match path.split_first() {
            None => false,
            Some((first, [])) => self.has_member(first),
            Some((first, rest)) => self.child(first).is_some_and(|child| child.has(rest)),
        }
    }

    /// Whether `element` is a member at this level.
    #[must_use]
    pub fn has_member(&self, element: &Element<'_>) -> bool {
        self.members
            .binary_search_by(|found| found.cmp(element))
            .is_ok()
    }

    /// What is below `element`.
    #[must_use]
    pub fn child(&self, element: &Element<'_>) -> Option<&Set<'a>> {
        self.children
            .binary_search_by(|(found, _)| found.cmp(element))
            .ok()
            .map(|at| &self.children[at].1)
    }

    /// Every path in it: members of a level before what is below them.
    #[must_use]
    pub fn paths(&self) -> Vec<Vec<Element<'a>>> {
        let mut found = Vec::new();
        self.collect(&mut Vec::new(), &mut found);
        found
    }

    fn collect(&self, prefix: &mut Vec<Element<'a>>, found: &mut Vec<Vec<Element<'a>>>) {
        for member in &self.members {
            let mut path = prefix.clone();
            path.push(member.clone());
            found.push(path);
        }
        for (element, child) in &self.children {
            prefix.push(element.clone());
            child.collect(prefix, found);
            prefix.pop();
        }
    }

    /// What is in either.
    #[must_use]
    pub fn union(&self, other: &Set<'a>) -> Set<'a> {
        if other.is_empty() {
            return self.clone();
        }
        if self.is_empty() {
            return other.clone();
        }
        let members = both(&self.members, &other.members, Element::cmp, |one, two| {
            one.or(two).cloned()
        });
        let children = both(&self.children, &other.children, by_element, |one, two| {
            Some(match (one, two) {
                (Some((element, one)), Some((_, two))) => (element.clone(), one.union(two)),
                (Some(one), None) | (None, Some(one)) => one.clone(),
                (None, None) => return None,
            })
        });
        Set { members, children }
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(&self, other: &Set<'a>) -> Set<'a> {
        let members = both(&self.members, &other.members, Element::cmp, |one, two| {
            two.and(one).cloned()
        });
        let children = both(&self.children, &other.children, by_element, |one, two| {
            let (element, one) = one?;
            let common = one.intersection(&two?.1);
            (!common.is_empty()).then(|| (element.clone(), common))
        });
        Set { members, children }
    }

    /// What is in `self` but not in `other`; a parent's absence takes no children along.
    #[must_use]
    pub fn difference(&self, other: &Set<'a>) -> Set<'a> {
        if other.is_empty() {
            return self.clone();
        }
        let members = self.members_without(other);
        let children = both(&self.children, &other.children, by_element, |one, two| {
            let (element, one) = one?;
            let left = match two {
                Some((_, two)) => one.difference(two),
                None => one.clone(),
            };
            (!left.is_empty()).then(|| (element.clone(), left))
        });
        Set { members, children }
    }

    /// The same, but a field of `other` takes everything below it along.
    #[must_use]
    pub fn without_trees(&self, other: &Set<'a>) -> Set<'a> {
        if other.is_empty() {
            return self.clone();
        }
        let members = self.members_without(other);
        let children = both(&self.children, &other.children, by_element, |one, two| {
            let (element, one) = one?;
            if other.has_member(element) {
                return None;
            }
            let left = match two {
                Some((_, two)) => one.without_trees(two),
                None => one.clone(),
            };
            (!left.is_empty()).then(|| (element.clone(), left))
        });
        Set { members, children }
    }

    fn members_without(&self, other: &Set<'a>) -> Vec<Element<'a>> {
        both(&self.members, &other.members, Element::cmp, |one, two| {
            if two.is_some() { None } else { one.cloned() }
        })
    }

    /// The set with every declared field that has members below it.
    #[must_use]
    pub fn with_named_fields(&self, schema: &Schema, id: Option<TypeId>) -> Set<'a> {
        let mut out = Set {
            members: self.members.clone(),
            children: Vec::with_capacity(self.children.len()),
        };
        let atom = id.map(|id| schema.atom(id));
        for (element, child) in &self.children {
            let mut inner = None;
            match (element, atom) {
                (Element::Field(name), Some(atom)) => {
                    if let Some(map) = &atom.map {
                        let field = map.field(name);
                        if field.is_some()
                            && let Err(at) = out.members.binary_search(element)
                        {
                            out.members.insert(at, element.clone());
                        }
                        inner = field.map(|field| field.id).or(map.element);
                    }
                }
                (Element::Key(_), Some(atom)) => {
                    inner = atom.list.as_ref().map(|list| list.element);
                }
                _ => {}
            }
            out.children
                .push((element.clone(), child.with_named_fields(schema, inner)));
        }
        out
    }
}

fn by_element<'a>(one: &(Element<'a>, Set<'a>), two: &(Element<'a>, Set<'a>)) -> Ordering {
    one.0.cmp(&two.0)
}

/// Walk two sorted lists together.
fn both<T>(
    one: &[T],
    two: &[T],
    order: impl Fn(&T, &T) -> Ordering,
    pick: impl Fn(Option<&T>, Option<&T>) -> Option<T>,
) -> Vec<T> {
    let mut out = Vec::with_capacity(one.len());
    let (mut i, mut j) = (0, 0);
    while i < one.len() || j < two.len() {
        let found = match (one.get(i), two.get(j)) {
            (Some(left), Some(right)) => order(left, right),
            (Some(_), None) => Ordering::Less,
            _ => Ordering::Greater,
        };
        let left = found.is_le().then(|| &one[i]);
        let right = found.is_ge().then(|| &two[j]);
        i += usize::from(left.is_some());
        j += usize::from(right.is_some());
        out.extend(pick(left, right));
    }
    out
}
