//! What an evaluation costs, in the units of cel-go and Kubernetes.
use crate::value::{Items, List, Map, Value};

pub const NAME: u64 = 1;
pub const LIST: u64 = 10;
pub const MAP: u64 = 30;
pub const STRUCT: u64 = 40;
/// A question to an authorizer: two of them fit into one evaluation.
pub const CHECK: u64 = 350_000;

/// How large a value is: characters, bytes, items, members; 1 for all others.
#[must_use]
pub fn size(value: &Value) -> u64 {
    let length = match value {
        Value::String(text) => text.chars().count(),
        Value::Pattern(pattern) => pattern.text.chars().count(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(list) => list.len(),
        Value::Map(map) => map.len(),
        Value::Optional(Some(inner)) => return size(inner),
        Value::Ip(address) => {
            if address.is_ipv4() {
                4
            } else {
                16
            }
        }
        Value::Cidr(_, bits) => usize::from(*bits).div_ceil(8),
        _ => 1,
    };
    length as u64
}

/// The size in tenths, rounded up: traversing text is cheap.
fn tenth(size: u64) -> u64 {
    size.div_ceil(10)
}

fn pattern(text: &Value, pattern: u64) -> u64 {
    tenth(size(text) + 1) * pattern.div_ceil(4)
}

fn traversal(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.len() as u64 / 10,
        Value::Bytes(bytes) => bytes.len() as u64 / 10,
        Value::List(list) => list_traversal(list),
        Value::Map(map) => map_traversal(map),
        _ => 1,
    }
}

fn list_traversal(list: &List) -> u64 {
    match &list.items {
        Items::Made(items) => items.iter().map(traversal).sum(),
        Items::Json(_) => list.iter().flatten().map(|one| traversal(&one)).sum(),
    }
}

fn map_traversal(map: &Map) -> u64 {
    let one = |key: &Value| {
        let value = map.find(key).and_then(Result::ok);
        traversal(key) + value.as_ref().map_or(1, traversal)
    };
    map.keys().iter().map(one).sum()
}

fn allocating(factor: f64, size: u64) -> u64 {
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )]
    let cost = (size as f64 * factor) as u64;
    cost + 1 + LIST
}

fn self_compare(list: &Value) -> u64 {
    let length = size(list);
    let text = match list {
        Value::List(list) => {
            matches!(list.get(0), Some(Ok(Value::String(_) | Value::Bytes(_))))
        }
        _ => false,
    };
    allocating(if text { 2.1 } else { 2.0 }, length.saturating_mul(length))
}

/// What a call cost.
#[must_use]
pub fn call(name: &str, args: &[Value], result: &Value) -> u64 {
    let arg = |at: usize| args.get(at).map_or(1, size);
    match (name, args) {
        ("_==_" | "_!=_", [a, b]) => match a {
            Value::Quantity(_)
            | Value::Ip(_)
            | Value::Cidr(..)
            | Value::Format(_)
            | Value::Url(_)
            | Value::Semver(_)
            | Value::Authorization(_) => 1,
            _ => tenth(size(a).min(size(b))),
        },
        ("_<_" | "_<=_" | "_>_" | "_>=_", [Value::String(_) | Value::Bytes(_), _]) => {
            tenth(arg(0).min(arg(1)))
        }
        ("_+_", [Value::String(_) | Value::Bytes(_), _]) => tenth(arg(0) + arg(1)),
        ("@in", [_, Value::List(list)]) => list.len() as u64,
        ("@in_constant", _) => 0,
        ("startsWith" | "endsWith" | "strings.quote" | "format", _)
        | ("bytes", [Value::String(_)])
        | ("string", [Value::Bytes(_)])
        | ("url" | "lowerAscii" | "upperAscii" | "substring" | "trim", _)
        | ("jsonpatch.escapeKey" | "cidr" | "isIP" | "isCIDR", _)
        | ("quantity" | "isQuantity" | "semver" | "isSemver", _)
        | ("ip", [Value::String(_)]) => tenth(arg(0)),
        ("replace" | "split" | "ip.isCanonical", _) => (2 * arg(0)).div_ceil(10),
        ("join", _) => (2 * size(result)).div_ceil(10),
        ("matches" | "find" | "findAll", [text, regex, ..]) => pattern(text, size(regex)),
        ("contains", _) => tenth(arg(0)) * tenth(arg(1)),
        ("validate", [Value::Format(format), text]) => pattern(text, format.regex_size),
        ("isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf", [first, ..]) => {
            traversal(first)
        }
        ("containsIP", [network, other]) => {
            let text = if matches!(other, Value::String(_)) {
                tenth(size(other))
            } else {
                0
            };
            (2 * size(network)).div_ceil(10) + text
        }
        ("containsCIDR", [network, other]) => {
            let text = if matches!(other, Value::String(_)) {
                tenth(size(other))
            } else {
                0
            };
            (2 * size(network)).div_ceil(10) + tenth(size(network)) + 1 + text
        }
        ("fieldSelector" | "labelSelector", _) => {
            LIST + tenth(arg(1)) + arg(1) / 2 * (LIST + STRUCT)
        }
        ("sets.contains" | "sets.intersects", _) => arg(0).saturating_mul(arg(1)) + 1,
        ("sets.equivalent", _) => arg(0).saturating_mul(arg(1)).saturating_mul(2) + 1,
        ("slice" | "lists.range" | "reverse", _) => allocating(1.0, size(result)),
        ("flatten", [list, rest @ ..]) => {
            let depth = match rest {
                [Value::Int(depth)] => u32::try_from(*depth).unwrap_or(u32::MAX),
                _ => 1,
            };
            allocating(f64::from(depth), size(list))
        }
        ("distinct" | "sort", [list]) | ("@sortByAssociatedKeys", [_, list]) => self_compare(list),
        _ => 1,
    }
}
