//! The functions that expressions may call, by name.
pub mod authz;
pub mod format;
pub mod lists;
pub mod net;
pub mod operators;
pub mod printing;
pub mod quantity;
pub mod semver;
pub mod sets;
pub mod standard;
pub mod strings;
pub mod url;

use crate::error::Fault;
use crate::value::{Outcome, Value};

/// The code of a function: its name and its arguments, the target first.
pub type Function = fn(&str, &[Value]) -> Outcome;

/// The error of a call that no overload takes.
#[must_use]
pub fn no_overload(name: &str, args: &[Value]) -> Fault {
    let kinds: Vec<&str> = args.iter().map(Value::type_name).collect();
    Fault::new(format!("no such overload: {name}({})", kinds.join(", ")))
}

/// The code of a declared function.
#[must_use]
pub fn find(name: &str) -> Option<Function> {
    Some(match name {
        "!_" | "-_" | "_==_" | "_!=_" | "_<_" | "_<=_" | "_>_" | "_>=_" | "_+_" | "_-_" | "_*_"
        | "_/_" | "_%_" | "_[_]" | "_[?_]" | "@in" | "@in_constant" => operators::call,
        "size"
        | "type"
        | "dyn"
        | "matches"
        | "contains"
        | "startsWith"
        | "endsWith"
        | "getDate"
        | "getDayOfMonth"
        | "getDayOfWeek"
        | "getDayOfYear"
        | "getFullYear"
        | "getHours"
        | "getMilliseconds"
        | "getMinutes"
        | "getMonth"
        | "getSeconds"
        | "optional.of"
        | "optional.ofNonZeroValue"
        | "optional.none"
        | "optional.unwrap"
        | "unwrapOpt"
        | "value"
        | "hasValue"
        | "cel.@mapInsert" => standard::call,
        "int" | "uint" | "double" | "bool" | "bytes" | "string" | "duration" | "timestamp" => {
            crate::convert::cast
        }
        "charAt"
        | "lowerAscii"
        | "upperAscii"
        | "replace"
        | "split"
        | "substring"
        | "trim"
        | "join"
        | "strings.quote"
        | "find"
        | "findAll"
        | "jsonpatch.escapeKey" => strings::call,
        "format" => printing::call,
        "indexOf" | "lastIndexOf" => lists::index,
        "isSorted"
        | "sum"
        | "min"
        | "max"
        | "slice"
        | "flatten"
        | "sort"
        | "@sortByAssociatedKeys"
        | "lists.range"
        | "distinct"
        | "reverse"
        | "first"
        | "last" => lists::call,
        "sets.contains" | "sets.equivalent" | "sets.intersects" => sets::call,
        "url" | "isURL" | "getScheme" | "getHost" | "getHostname" | "getPort"
        | "getEscapedPath" | "getQuery" => url::call,
        "ip"
        | "isIP"
        | "ip.isCanonical"
        | "family"
        | "isUnspecified"
        | "isLoopback"
        | "isLinkLocalMulticast"
        | "isLinkLocalUnicast"
        | "isGlobalUnicast"
        | "cidr"
        | "isCIDR"
        | "containsIP"
        | "containsCIDR"
        | "prefixLength"
        | "masked" => net::call,
        "isGreaterThan" | "isLessThan" | "compareTo" => compare,
        "quantity" | "isQuantity" | "sign" | "asApproximateFloat" | "asInteger" | "isInteger"
        | "add" | "sub" => quantity::call,
        "semver" | "isSemver" | "major" | "minor" | "patch" => semver::call,
        "validate" => format::validate,
        "format.named" => format::named,
        name if name.starts_with("format.") => format::constant,
        "path" | "group" | "serviceAccount" | "resource" | "subresource" | "namespace" | "name"
        | "fieldSelector" | "labelSelector" | "errored" | "error" | "allowed" | "reason" => {
            authz::call
        }
        _ => return None,
    })
}

fn compare(name: &str, args: &[Value]) -> Outcome {
    let order = match args {
        [Value::Quantity(a), Value::Quantity(b)] => a.cmp(b),
        [Value::Semver(a), Value::Semver(b)] => a.compare(b),
        _ => return Err(no_overload(name, args)),
    };
    Ok(match name {
        "isGreaterThan" => Value::Bool(order.is_gt()),
        "isLessThan" => Value::Bool(order.is_lt()),
        _ => Value::Int(order as i64),
    })
}
