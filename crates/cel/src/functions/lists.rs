//! The list extensions of Kubernetes and of cel-go.
use std::cmp::Ordering;
use std::sync::Arc;

use super::{no_overload, operators};
use crate::equality::contains;
use crate::error::Fault;
use crate::value::{List, Outcome, Value};

const RANGE_MAX: i64 = 1_000_000;

/// `indexOf` and `lastIndexOf` of strings and lists.
pub fn index(name: &str, args: &[Value]) -> Outcome {
    let last = name == "lastIndexOf";
    match args {
        [Value::String(text), Value::String(part)] => {
            let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
            let from = match (last, part.is_empty()) {
                (true, true) => length,
                (true, false) => (length - 1).max(0),
                (false, _) => 0,
            };
            text_index(last, text, part, from)
        }
        [Value::String(text), Value::String(part), Value::Int(from)] => {
            text_index(last, text, part, *from)
        }
        [Value::List(list), wanted] => {
            let items = list.values()?;
            let mut found = -1;
            for (at, one) in items.iter().enumerate() {
                if one.equals(wanted)? && (last || found < 0) {
                    found = i64::try_from(at).unwrap_or(-1);
                }
            }
            Ok(Value::Int(found))
        }
        _ => Err(no_overload(name, args)),
    }
}

fn text_index(last: bool, text: &str, part: &str, from: i64) -> Outcome {
    if part.is_empty() {
        return Ok(Value::Int(from));
    }
    let start =
        usize::try_from(from).map_err(|_| Fault::new(format!("index out of range: {from}")))?;
    let (text, part): (Vec<char>, Vec<char>) = (text.chars().collect(), part.chars().collect());
    if start >= text.len() || part.len() > text.len() {
        return Ok(Value::Int(-1));
    }
    let end = text.len() - part.len();
    let fits = |at: &usize| text[*at..*at + part.len()] == part[..];
    let found = if last {
        (0..=start.min(end)).rev().find(fits)
    } else {
        (start..=end).find(fits)
    };
    Ok(Value::Int(
        found.and_then(|at| i64::try_from(at).ok()).unwrap_or(-1),
    ))
}

/// The other functions, by name.
pub fn call(name: &str, args: &[Value]) -> Outcome {
    match (name, args) {
        ("lists.range", [Value::Int(count)]) => {
            if *count > RANGE_MAX {
                return Err(Fault::Budget);
            }
            Ok(Value::from((0..*count).map(Value::Int).collect::<Vec<_>>()))
        }
        ("slice", [Value::List(list), Value::Int(start), Value::Int(end)]) => {
            slice(list, *start, *end)
        }
        ("flatten", [Value::List(list)]) => flatten(list, 1),
        ("flatten", [Value::List(list), Value::Int(depth)]) => flatten(list, *depth),
        ("sort", [Value::List(list)]) => sort(list, list),
        ("@sortByAssociatedKeys", [Value::List(list), Value::List(keys)]) => sort(list, keys),
        ("distinct", [Value::List(list)]) => {
            let mut found = Vec::new();
            for one in list.iter() {
                let one = one?;
                if !contains(&found, &one)? {
                    found.push(one);
                }
            }
            Ok(Value::from(found))
        }
        ("reverse", [Value::List(list)]) => {
            let mut items = list.values()?;
            items.reverse();
            Ok(Value::from(items))
        }
        ("first", [Value::List(list)]) => optional(list.get(0)),
        ("last", [Value::List(list)]) => {
            optional(list.len().checked_sub(1).and_then(|at| list.get(at)))
        }
        ("isSorted", [Value::List(list)]) => {
            let items = list.values()?;
            for pair in items.windows(2) {
                if compare(&pair[0], &pair[1])? == Ordering::Greater {
                    return Ok(Value::Bool(false));
                }
            }
            Ok(Value::Bool(true))
        }
        ("min" | "max", [Value::List(list)]) => extreme(name, list),
        ("sum", [Value::List(list)]) => sum(list),
        _ => Err(no_overload(name, args)),
    }
}

fn optional(found: Option<Outcome>) -> Outcome {
    Ok(Value::Optional(found.transpose()?.map(Arc::new)))
}

fn compare(a: &Value, b: &Value) -> Result<Ordering, Fault> {
    a.compare(b).ok_or_else(|| Fault::new("no such overload"))
}

fn extreme(name: &str, list: &List) -> Outcome {
    let wanted = if name == "min" {
        Ordering::Less
    } else {
        Ordering::Greater
    };
    let mut found: Option<Value> = None;
    for one in list.iter() {
        let one = one?;
        let better = match &found {
            Some(best) => compare(&one, best)? == wanted,
            None => true,
        };
        if better {
            found = Some(one);
        }
    }
    found.ok_or_else(|| Fault::new(format!("{name} called on empty list")))
}

fn sum(list: &List) -> Outcome {
    let mut total: Option<Value> = None;
    for one in list.iter() {
        let one = one?;
        total = Some(match total {
            Some(before) => operators::call("_+_", &[before, one])?,
            None => one,
        });
    }
    Ok(total.unwrap_or(Value::Int(0)))
}

fn slice(list: &List, start: i64, end: i64) -> Outcome {
    let fail = |why: String| Err(Fault::new(format!("cannot slice({start}, {end}), {why}")));
    let (Ok(from), Ok(to)) = (usize::try_from(start), usize::try_from(end)) else {
        return fail("negative indexes not supported".to_owned());
    };
    if from > to {
        return fail("start index must be less than or equal to end index".to_owned());
    }
    if to > list.len() {
        return fail(format!("list is length {}", list.len()));
    }
    let items = (from..to)
        .filter_map(|at| list.get(at))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Value::from(items))
}

fn flatten(list: &List, depth: i64) -> Outcome {
    if depth < 0 {
        return Err(Fault::new("level must be non-negative"));
    }
    let mut out = Vec::new();
    flatten_into(&mut out, list, depth)?;
    Ok(Value::from(out))
}

fn flatten_into(out: &mut Vec<Value>, list: &List, depth: i64) -> Result<(), Fault> {
    for one in list.iter() {
        match one? {
            Value::List(inner) if depth > 0 => flatten_into(out, &inner, depth - 1)?,
            other => out.push(other),
        }
    }
    Ok(())
}

fn sort(list: &List, keys: &List) -> Outcome {
    if list.len() != keys.len() {
        return Err(Fault::new(format!(
            "@sortByAssociatedKeys() expected a list of the same size as the associated keys \
             list, but got {} and {} elements respectively",
            list.len(),
            keys.len()
        )));
    }
    let keys = keys.values()?;
    if let Some(first) = keys.first() {
        if first.compare(first).is_none() {
            return Err(Fault::new("list elements must be comparable"));
        }
        if keys.iter().any(|key| key.type_name() != first.type_name()) {
            return Err(Fault::new("list elements must have the same type"));
        }
    }
    let mut pairs: Vec<(Value, Value)> = keys.into_iter().zip(list.values()?).collect();
    pairs.sort_by(|a, b| a.0.compare(&b.0).unwrap_or(Ordering::Equal));
    Ok(Value::from(
        pairs
            .into_iter()
            .map(|(_, value)| value)
            .collect::<Vec<_>>(),
    ))
}
