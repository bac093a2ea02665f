//! Walks over objects by their type: which fields there are, and how two objects differ.

use std::borrow::Cow;

use crate::MergeError;
use crate::element::Element;
use crate::schema::{Atom, ListType, MapType, Schema, TypeId};
use crate::set::Set;
use crate::value::Value;

/// How one object differs from another. No field is in two of the sets.
#[derive(Debug, Clone, Default)]
pub struct Comparison<'a> {
    /// Only in the first.
    pub removed: Set<'a>,
    /// In both, with other values.
    pub modified: Set<'a>,
    /// Only in the second.
    pub added: Set<'a>,
}

impl<'a> Comparison<'a> {
    /// Forget what a strategy resets anyway.
    pub(crate) fn ignore(&mut self, fields: &Set<'a>) {
        if !fields.is_empty() {
            self.removed = self.removed.without_trees(fields);
            self.modified = self.modified.without_trees(fields);
            self.added = self.added.without_trees(fields);
        }
    }

    fn attach(&mut self, element: Element<'a>, node: Node<'a>) {
        for (own, inner, member) in [
            (&mut self.removed, node.below.removed, node.removed),
            (&mut self.modified, node.below.modified, node.modified),
            (&mut self.added, node.below.added, node.added),
        ] {
            if !inner.members.is_empty() || !inner.children.is_empty() {
                own.children.push((element.clone(), inner));
            }
            if member {
                own.members.push(element.clone());
            }
        }
    }

    fn sort(&mut self) {
        self.removed.sort();
        self.modified.sort();
        self.added.sort();
    }
}

/// A compared child: what is so of itself, and of what is below it.
#[derive(Default)]
struct Node<'a> {
    removed: bool,
    modified: bool,
    added: bool,
    leaf: bool,
    below: Comparison<'a>,
}

/// Which of a type's possibilities a value takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A struct or map.
    Map,
    /// A scalar.
    Scalar,
    /// A list.
    List,
}

/// The possibility of `atom` that `value` takes; `None`: the type allows nothing at all.
pub(crate) fn kind_of(atom: &Atom, value: Option<&Value<'_>>) -> Option<Kind> {
    match value {
        Some(Value::Map(_)) if atom.map.is_some() => return Some(Kind::Map),
        Some(Value::List(_)) if atom.list.is_some() => return Some(Kind::List),
        Some(value) if value.is_scalar() && atom.scalar.is_some() => return Some(Kind::Scalar),
        _ => {}
    }
    if atom.map.is_some() {
        Some(Kind::Map)
    } else if atom.scalar.is_some() {
        Some(Kind::Scalar)
    } else {
        atom.list.is_some().then_some(Kind::List)
    }
}

/// The kinds to walk two values by: one, unless they take different possibilities.
pub(crate) fn kinds_of(
    atom: &Atom,
    left: Option<&Value<'_>>,
    right: Option<&Value<'_>>,
) -> (Option<Kind>, Option<Kind>) {
    match (left, right) {
        (_, None) => (kind_of(atom, left), None),
        (None, _) => (kind_of(atom, right), None),
        _ => {
            let (one, two) = (kind_of(atom, left), kind_of(atom, right));
            (one, if one == two { None } else { two })
        }
    }
}

/// The items of a list; `None` for anything else.
pub(crate) fn items<'v, 'a>(value: Option<&'v Value<'a>>) -> Option<&'v [Value<'a>]> {
    match value {
        Some(Value::List(items)) => Some(items),
        _ => None,
    }
}

type Members<'v, 'a> = &'v [(Cow<'a, str>, Value<'a>)];

/// The members of a map; `None` for anything else.
pub(crate) fn members<'v, 'a>(value: Option<&'v Value<'a>>) -> Option<Members<'v, 'a>> {
    match value {
        Some(Value::Map(members)) => Some(members),
        _ => None,
    }
}

/// Walk the members of two maps together, by key.
pub(crate) fn zip<'v, 'a>(
    left: Members<'v, 'a>,
    right: Members<'v, 'a>,
    mut each: impl FnMut(
        &'v Cow<'a, str>,
        Option<&'v Value<'a>>,
        Option<&'v Value<'a>>,
    ) -> Result<(), MergeError>,
) -> Result<(), MergeError> {
    let (mut i, mut j) = (0, 0);
    loop {
        let order = match (left.get(i), right.get(j)) {
            (None, None) => return Ok(()),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some((one, _)), Some((two, _))) => one.cmp(two),
        };
        let one = order.is_le().then(|| &left[i]);
        let two = order.is_ge().then(|| &right[j]);
        i += usize::from(one.is_some());
        j += usize::from(two.is_some());
        if let Some((key, _)) = one.or(two) {
            each(
                key,
                one.map(|(_, value)| value),
                two.map(|(_, value)| value),
            )?;
        }
    }
}

impl Schema {
    /// The type of the member `key`.
    pub(crate) fn member(map: &MapType, key: &str) -> Result<TypeId, MergeError> {
        map.field(key)
            .map(|field| field.id)
            .or(map.element)
            .ok_or_else(|| MergeError::Typed(format!(".{key}: field not declared in schema")))
    }

    /// What selects `item` in a list that is not atomic.
    pub(crate) fn item_element<'a>(
        &'a self,
        list: &'a ListType,
        item: &Value<'a>,
    ) -> Result<Element<'a>, String> {
        if list.keys.is_empty() {
            return match item {
                Value::Map(_) => {
                    Err("associative list without keys has an element that's a map type".to_owned())
                }
                Value::List(_) => {
                    Err("not supported: associative list with lists as elements".to_owned())
                }
                Value::Null => Err(
                    "associative list without keys has an element that's an explicit null"
                        .to_owned(),
                ),
                scalar => Ok(Element::Value(scalar.clone())),
            };
        }
        match item {
            Value::Map(_) => {}
            Value::Null => {
                return Err("associative list with keys may not have a null element".to_owned());
            }
            _ => return Err("associative list with keys may not have non-map elements".to_owned()),
        }
        let fields = self.atom(list.element).map.as_ref();
        let mut found = Vec::with_capacity(list.keys.len());
        for key in &list.keys {
            if let Some(value) = item.get(key) {
                found.push((Cow::Borrowed(key.as_ref()), value.clone()));
            } else if let Some(default) = fields
                .and_then(|map| map.field(key))
                .and_then(|field| field.default.clone())
            {
                found.push((Cow::Borrowed(key.as_ref()), default));
            }
        }
        if found.is_empty() {
            let keys: Vec<String> = list.keys.iter().map(|key| format!("{key:?}")).collect();
            return Err(format!(
                "associative list with keys has an element that omits all key fields [{}] \
                 (and doesn't have default values for any key fields)",
                keys.join(" ")
            ));
        }
        found.sort_by(|(one, _), (two, _)| one.cmp(two));
        Ok(Element::Key(found))
    }

    /// The fields and items that `value` mentions.
    ///
    /// # Errors
    /// `MergeError::Typed`: it does not fit the schema.
    pub fn field_set<'a>(&'a self, value: &Value<'a>) -> Result<Set<'a>, MergeError> {
        Ok(self.fields_of(self.root(), value)?.0)
    }

    fn fields_of<'a>(
        &'a self,
        id: TypeId,
        value: &Value<'a>,
    ) -> Result<(Set<'a>, bool), MergeError> {
        let atom = self.atom(id);
        let mut set = Set::default();
        match kind_of(atom, Some(value)) {
            Some(Kind::Scalar) => return Ok((set, true)),
            Some(Kind::Map) => {
                let Some(map) = &atom.map else {
                    return Ok((set, false));
                };
                if map.atomic {
                    return Ok((set, true));
                }
                for (key, inner) in members(Some(value)).unwrap_or_default() {
                    let element = Element::Field(key.clone());
                    let (below, own) = self.fields_of(Schema::member(map, key)?, inner)?;
                    let empty = match inner {
                        Value::Null => true,
                        Value::Map(members) => members.is_empty(),
                        _ => false,
                    };
                    if own || empty || map.field(key).is_none() {
                        set.members.push(element.clone());
                    }
                    if !below.is_empty() {
                        set.children.push((element, below));
                    }
                }
            }
            Some(Kind::List) => {
                let Some(list) = &atom.list else {
                    return Ok((set, false));
                };
                if list.atomic {
                    return Ok((set, true));
                }
                self.fields_of_items(list, items(Some(value)).unwrap_or_default(), &mut set)?;
            }
            None => {
                return Err(MergeError::Typed(
                    "schema error: invalid atom: inlined".to_owned(),
                ));
            }
        }
        Ok((set, false))
    }

    fn fields_of_items<'a>(
        &'a self,
        list: &'a ListType,
        items: &[Value<'a>],
        set: &mut Set<'a>,
    ) -> Result<(), MergeError> {
        let mut found = self.indexed(list, items)?;
        found.sort_by(|(one, _), (two, _)| one.cmp(two));
        for group in found.chunk_by(|(one, _), (two, _)| one == two) {
            let Some((element, at)) = group.first() else {
                continue;
            };
            set.members.push(element.clone());
            if group.len() == 1 {
                let (below, _) = self.fields_of(list.element, &items[*at])?;
                if !below.is_empty() {
                    set.children.push((element.clone(), below));
                }
            }
        }
        Ok(())
    }

    /// The elements of a list's items with their places.
    pub(crate) fn indexed<'a>(
        &'a self,
        list: &'a ListType,
        items: &[Value<'a>],
    ) -> Result<Vec<(Element<'a>, usize)>, MergeError> {
        let each = |(at, item)| {
            let element = self.item_element(list, item);
            let element =
                element.map_err(|text| MergeError::Typed(format!("element {at}: {text}")));
            Ok((element?, at))
        };
        items.iter().enumerate().map(each).collect()
    }

    /// How `right` differs from `left`.
    ///
    /// # Errors
    /// `MergeError::Typed`: one does not fit the schema.
    pub fn compare<'a>(
        &'a self,
        left: &Value<'a>,
        right: &Value<'a>,
    ) -> Result<Comparison<'a>, MergeError> {
        Ok(self.compared(self.root(), Some(left), Some(right))?.below)
    }

    fn compared<'a>(
        &'a self,
        id: TypeId,
        left: Option<&Value<'a>>,
        right: Option<&Value<'a>>,
    ) -> Result<Node<'a>, MergeError> {
        let atom = self.atom(id);
        let mut node = Node::default();
        let (first, second) = kinds_of(atom, left, right);
        self.compare_as(atom, first, left, right, &mut node)?;
        if second.is_some() {
            node.leaf = false;
            self.compare_as(atom, second, left, right, &mut node)?;
        }
        if !node.leaf {
            node.added |= left.is_none();
            node.removed |= right.is_none();
        }
        Ok(node)
    }

    fn compare_as<'a>(
        &'a self,
        atom: &'a Atom,
        kind: Option<Kind>,
        left: Option<&Value<'a>>,
        right: Option<&Value<'a>>,
        node: &mut Node<'a>,
    ) -> Result<(), MergeError> {
        let empty = |count: Option<usize>| count.unwrap_or(0) == 0;
        match kind {
            None => {
                return Err(MergeError::Typed(
                    "schema error: invalid atom: inlined".to_owned(),
                ));
            }
            Some(Kind::Scalar) => {}
            Some(Kind::Map) => {
                let (one, two) = (members(left), members(right));
                let bare = empty(one.map(<[_]>::len)) && empty(two.map(<[_]>::len));
                if let Some(map) = &atom.map
                    && !map.atomic
                    && !bare
                {
                    let below = &mut node.below;
                    zip(
                        one.unwrap_or_default(),
                        two.unwrap_or_default(),
                        |key, one, two| {
                            let inner = self.compared(Schema::member(map, key)?, one, two)?;
                            below.attach(Element::Field(key.clone()), inner);
                            Ok(())
                        },
                    )?;
                    return Ok(());
                }
            }
            Some(Kind::List) => {
                let (one, two) = (items(left), items(right));
                let bare = empty(one.map(<[_]>::len)) && empty(two.map(<[_]>::len));
                if let Some(list) = &atom.list
                    && !list.atomic
                    && !bare
                {
                    let (one, two) = (one.unwrap_or_default(), two.unwrap_or_default());
                    return self.compare_items(list, one, two, &mut node.below);
                }
            }
        }
        node.leaf = true;
        match (left, right) {
            (None, _) => node.added = true,
            (_, None) => node.removed = true,
            (Some(one), Some(two)) => node.modified |= one != two,
        }
        Ok(())
    }

    fn compare_items<'a>(
        &'a self,
        list: &'a ListType,
        left: &[Value<'a>],
        right: &[Value<'a>],
        below: &mut Comparison<'a>,
    ) -> Result<(), MergeError> {
        let mut all: Vec<(Element<'a>, bool, usize)> = Vec::with_capacity(left.len() + right.len());
        for (side, items) in [(false, left), (true, right)] {
            let found = self.indexed(list, items)?;
            all.extend(found.into_iter().map(|(element, at)| (element, side, at)));
        }
        all.sort_by(|one, two| one.0.cmp(&two.0));
        for group in all.chunk_by(|one, two| one.0 == two.0) {
            let Some((element, _, _)) = group.first() else {
                continue;
            };
            let of = |wanted: bool| group.iter().filter(move |(_, side, _)| *side == wanted);
            let one: Vec<&Value<'a>> = of(false).map(|(_, _, at)| &left[*at]).collect();
            let two: Vec<&Value<'a>> = of(true).map(|(_, _, at)| &right[*at]).collect();
            let node = self.compare_group(list.element, &one, &two)?;
            below.attach(element.clone(), node);
        }
        below.sort();
        Ok(())
    }

    /// Items with the same element: repeated ones are compared as if they were atomic.
    fn compare_group<'a>(
        &'a self,
        id: TypeId,
        one: &[&Value<'a>],
        two: &[&Value<'a>],
    ) -> Result<Node<'a>, MergeError> {
        let (left, right) = (one.first().copied(), two.first().copied());
        Ok(match (one.len(), two.len()) {
            (0 | 1, 0 | 1) => self.compared(id, left, right)?,
            (2.., 2..) => Node {
                modified: one != two,
                ..Node::default()
            },
            (2.., _) => {
                let mut node = match right {
                    Some(right) => self.compared(id, None, Some(right))?,
                    None => Node::default(),
                };
                node.removed = true;
                node
            }
            _ => {
                let mut node = match left {
                    Some(left) => self.compared(id, Some(left), None)?,
                    None => Node::default(),
                };
                node.added = true;
                node
            }
        })
    }
}
