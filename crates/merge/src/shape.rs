//! The form in which Go's structs write an object: no empty optional fields, all others.

use std::borrow::Cow;

use crate::schema::{MapType, Schema, Shape, TypeId, zero_of};
use crate::value::Value;

impl Schema {
    /// Bring `value` into the form that a typed object of Kubernetes has in JSON.
    pub fn shape(&self, id: TypeId, value: &mut Value<'_>) {
        let atom = self.atom(id);
        match value {
            Value::Map(_) => {
                if let Some(map) = &atom.map {
                    self.shape_map(map, value);
                }
            }
            Value::List(items) => {
                if let Some(list) = &atom.list {
                    for item in items {
                        self.shape(list.element, item);
                    }
                }
            }
            _ => {}
        }
    }

    fn shape_map(&self, map: &MapType, value: &mut Value<'_>) {
        for (name, field) in &map.fields {
            if field.shape != Shape::Free {
                fill(value, name, field.shape);
            }
        }
        let Value::Map(members) = value else {
            return;
        };
        members.retain_mut(|(name, inner)| match map.field(name) {
            Some(field) => {
                self.shape(field.id, inner);
                !absent(field.shape, inner)
            }
            None => {
                if let Some(element) = map.element {
                    self.shape(element, inner);
                }
                true
            }
        });
    }
}

/// Make an always present field present.
fn fill(value: &mut Value<'_>, name: &str, shape: Shape) {
    let missing = matches!(value.get(name), None | Some(Value::Null));
    if !missing {
        return;
    }
    let filled = match shape {
        Shape::Struct => Value::Map(Vec::new()),
        Shape::Null => Value::Null,
        _ => match zero_of(shape) {
            Some(zero) => zero,
            None => return,
        },
    };
    value.set(Cow::Owned(name.to_owned()), filled);
}

fn absent(shape: Shape, value: &Value<'_>) -> bool {
    match (shape, value) {
        (Shape::Pointer | Shape::Collection | Shape::Scalar, Value::Null) => true,
        (Shape::Collection, Value::List(items)) => items.is_empty(),
        (Shape::Collection, Value::Map(members)) => members.is_empty(),
        (Shape::Scalar, Value::Str(text)) => text.is_empty(),
        (Shape::Scalar, Value::Int(0) | Value::Bool(false)) => true,
        _ => false,
    }
}
