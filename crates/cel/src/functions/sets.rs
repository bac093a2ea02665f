//! `sets.contains`, `sets.equivalent` and `sets.intersects`.
use super::no_overload;
use crate::equality::contains;
use crate::error::Fault;
use crate::value::{List, Outcome, Value};

/// The functions, by name.
pub fn call(name: &str, args: &[Value]) -> Outcome {
    let [Value::List(a), Value::List(b)] = args else {
        return Err(no_overload(name, args));
    };
    Ok(Value::Bool(match name {
        "sets.contains" => covers(a, b)?,
        "sets.equivalent" => covers(a, b)? && covers(b, a)?,
        _ => {
            let known = b.values()?;
            let mut found = false;
            for one in a.iter() {
                found = found || contains(&known, &one?)?;
            }
            found
        }
    }))
}

fn covers(a: &List, b: &List) -> Result<bool, Fault> {
    let known = a.values()?;
    for one in b.iter() {
        if !contains(&known, &one?)? {
            return Ok(false);
        }
    }
    Ok(true)
}
