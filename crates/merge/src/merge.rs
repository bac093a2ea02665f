//! Merge of an applied configuration into an object, and removal of fields.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::MergeError;
use crate::element::Element;
use crate::schema::{Atom, ListType, MapType, Schema, TypeId};
use crate::set::Set;
use crate::typed::{Kind, items, kind_of, kinds_of, members, zip};
use crate::value::Value;

impl Schema {
    /// `object` with `applied` merged in: nothing is removed, and `applied` wins.
    ///
    /// # Errors
    /// `MergeError::Typed`: one does not fit the schema.
    pub fn merge<'a>(
        &'a self,
        object: &Value<'a>,
        applied: &Value<'a>,
    ) -> Result<Value<'a>, MergeError> {
        let merged = self.merged(self.root(), Some(object), Some(applied))?;
        Ok(merged.unwrap_or(Value::Map(Vec::new())))
    }

    fn merged<'a>(
        &'a self,
        id: TypeId,
        left: Option<&Value<'a>>,
        right: Option<&Value<'a>>,
    ) -> Result<Option<Value<'a>>, MergeError> {
        let atom = self.atom(id);
        let (first, second) = kinds_of(atom, left, right);
        let one = self.merge_as(atom, first, left, right)?;
        match second {
            None => Ok(one),
            Some(_) => self.merge_as(atom, second, left, right),
        }
    }

    fn merge_as<'a>(
        &'a self,
        atom: &'a Atom,
        kind: Option<Kind>,
        left: Option<&Value<'a>>,
        right: Option<&Value<'a>>,
    ) -> Result<Option<Value<'a>>, MergeError> {
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
                    let mut out = Vec::new();
                    zip(
                        one.unwrap_or_default(),
                        two.unwrap_or_default(),
                        |key, one, two| {
                            if let Some(value) = self.merged(Schema::member(map, key)?, one, two)? {
                                out.push((key.clone(), value));
                            }
                            Ok(())
                        },
                    )?;
                    return Ok((!out.is_empty()).then_some(Value::Map(out)));
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
                    let out = ListMerge::new(self, list, one, two)?.run()?;
                    return Ok((!out.is_empty()).then_some(Value::List(out)));
                }
            }
        }
        Ok(right.or(left).cloned())
    }

    /// `value` without the fields and items of `set`.
    #[must_use]
    pub fn without<'a>(&'a self, value: &Value<'a>, set: &Set<'a>) -> Value<'a> {
        self.remove(self.root(), value, set)
    }

    fn remove<'a>(&'a self, id: TypeId, value: &Value<'a>, set: &Set<'a>) -> Value<'a> {
        let atom = self.atom(id);
        match (kind_of(atom, Some(value)), value) {
            (Some(Kind::Scalar), value) => value.clone(),
            (Some(Kind::Map), Value::Map(members)) => match &atom.map {
                Some(map) if !map.atomic => self.remove_members(map, members, set),
                _ => Value::Null,
            },
            (Some(Kind::List), Value::List(items)) => match &atom.list {
                Some(list) if !list.atomic => self.remove_items(list, items, set),
                _ => Value::Null,
            },
            _ => Value::Null,
        }
    }

    fn remove_members<'a>(
        &'a self,
        map: &'a MapType,
        members: &[(Cow<'a, str>, Value<'a>)],
        set: &Set<'a>,
    ) -> Value<'a> {
        let mut out = Vec::with_capacity(members.len());
        for (key, inner) in members {
            let element = Element::Field(key.clone());
            if set.has_member(&element) {
                continue;
            }
            let kept = match (set.child(&element), Schema::member(map, key)) {
                (Some(below), Ok(id)) if !below.is_empty() => self.remove(id, inner, below),
                _ => inner.clone(),
            };
            out.push((key.clone(), kept));
        }
        if out.is_empty() {
            Value::Null
        } else {
            Value::Map(out)
        }
    }

    fn remove_items<'a>(
        &'a self,
        list: &'a ListType,
        items: &[Value<'a>],
        set: &Set<'a>,
    ) -> Value<'a> {
        let mut out = Vec::with_capacity(items.len());
        for item in items {
            let Ok(element) = self.item_element(list, item) else {
                out.push(item.clone());
                continue;
            };
            if set.has_member(&element) {
                continue;
            }
            out.push(match set.child(&element) {
                Some(below) if !below.is_empty() => self.remove(list.element, item, below),
                _ => item.clone(),
            });
        }
        if out.is_empty() {
            Value::Null
        } else {
            Value::List(out)
        }
    }
}

/// The item of an element; `None` where the object has it more than once.
type Observed<'v, 'a> = BTreeMap<Element<'a>, Option<&'v Value<'a>>>;

/// The merge of two lists: in the order of the applied one, with the others in between.
struct ListMerge<'v, 'a> {
    schema: &'a Schema,
    list: &'a ListType,
    left: &'v [Value<'a>],
    left_elements: Vec<Element<'a>>,
    right_elements: Vec<Element<'a>>,
    left_values: Observed<'v, 'a>,
    right_values: Observed<'v, 'a>,
    /// What both have, in the order of the applied list, last first.
    shared: Vec<Element<'a>>,
    next: Option<Element<'a>>,
    merged: BTreeMap<Element<'a>, ()>,
    out: Vec<Value<'a>>,
}

impl<'v, 'a> ListMerge<'v, 'a> {
    fn new(
        schema: &'a Schema,
        list: &'a ListType,
        left: &'v [Value<'a>],
        right: &'v [Value<'a>],
    ) -> Result<Self, MergeError> {
        let mut right_values = Observed::new();
        let mut right_elements = Vec::with_capacity(right.len());
        for (element, at) in schema.indexed(list, right)? {
            if right_values
                .insert(element.clone(), Some(&right[at]))
                .is_some()
            {
                let text = format!("duplicate entries for key {element}");
                return Err(MergeError::Typed(text));
            }
            right_elements.push(element);
        }
        let mut left_values = Observed::new();
        let mut left_elements = Vec::with_capacity(left.len());
        for (element, at) in schema.indexed(list, left)? {
            if left_values.contains_key(&element) {
                left_values.insert(element.clone(), None);
            } else {
                left_values.insert(element.clone(), Some(&left[at]));
            }
            left_elements.push(element);
        }
        let both = right_elements
            .iter()
            .filter(|one| left_values.contains_key(one));
        let mut shared: Vec<Element<'a>> = both.cloned().collect();
        shared.reverse();
        let next = shared.pop();
        Ok(ListMerge {
            schema,
            list,
            left,
            left_elements,
            right_elements,
            left_values,
            right_values,
            shared,
            next,
            merged: BTreeMap::new(),
            out: Vec::new(),
        })
    }

    fn run(mut self) -> Result<Vec<Value<'a>>, MergeError> {
        let (mut l, mut r) = (0, 0);
        while l < self.left_elements.len() || r < self.right_elements.len() {
            if l < self.left_elements.len() && r < self.right_elements.len() {
                let element = self.left_elements[l].clone();
                if element == self.right_elements[r] {
                    self.take(&element)?;
                    self.next = self.shared.pop();
                    (l, r) = (l + 1, r + 1);
                    continue;
                }
                let awaited = self.next.as_ref().is_some_and(|next| *next != element);
                if awaited && self.right_values.contains_key(&element) {
                    l += 1;
                    continue;
                }
            }
            if l < self.left_elements.len() {
                let element = self.left_elements[l].clone();
                if !self.right_values.contains_key(&element) {
                    self.push(Some(&self.left[l]), None)?;
                    l += 1;
                    continue;
                } else if self.merged.contains_key(&element) {
                    l += 1;
                }
            }
            if r < self.right_elements.len() {
                let element = self.right_elements[r].clone();
                self.take(&element)?;
                r += 1;
                if self.next.as_ref() == Some(&element) {
                    self.next = self.shared.pop();
                }
            }
        }
        Ok(self.out)
    }

    /// Merge the items of both lists that `element` selects.
    fn take(&mut self, element: &Element<'a>) -> Result<(), MergeError> {
        static NULL: Value<'static> = Value::Null;
        self.merged.insert(element.clone(), ());
        let left = self
            .left_values
            .get(element)
            .map(|one| one.unwrap_or(&NULL));
        let right = self.right_values.get(element).copied().flatten();
        self.push(left, right)
    }

    fn push(
        &mut self,
        left: Option<&Value<'a>>,
        right: Option<&Value<'a>>,
    ) -> Result<(), MergeError> {
        let merged = self.schema.merged(self.list.element, left, right)?;
        self.out.extend(merged);
        Ok(())
    }
}
