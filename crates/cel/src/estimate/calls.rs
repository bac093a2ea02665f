//! What one call can cost, and how large its result can be.
use cel::common::ast::{Expr, IdedExpr, LiteralValue};

use super::{Estimator, Range};
use crate::cost::{CHECK, LIST, STRUCT};
use crate::decls::Overload;
use crate::types::Type;

const TEXT: f64 = 0.1;
const REGEX: f64 = 0.25;
const FORMAT_REGEX: f64 = 128.0 * REGEX;
const FORMAT_MAX: u64 = 64;
const ONE: Range = Range::exactly(1);

/// A call with what its arguments cost.
pub struct Given<'n> {
    pub name: &'n str,
    pub target: Option<&'n IdedExpr>,
    pub args: &'n [IdedExpr],
    pub costs: &'n [Range],
}

impl Given<'_> {
    pub fn arguments(&self) -> Range {
        let none = Range::exactly(0);
        self.costs.iter().fold(none, |sum, one| sum.plus(*one))
    }
}

/// A cost, and the size of the result where it is known.
type Found = (Range, Option<Range>);

impl Estimator<'_> {
    /// One overload of a call, its arguments included.
    pub fn overload(&mut self, node: &IdedExpr, given: &Given<'_>, overload: &Overload) -> Found {
        let extended = self
            .of_lists(given, overload)
            .or_else(|| self.of_kubernetes(given))
            .or_else(|| self.of_addresses(given, overload));
        if let Some((cost, size)) = extended {
            return (cost.plus(given.arguments()), size);
        }
        self.standard(node, given, overload)
    }

    fn number(node: &IdedExpr, otherwise: u64) -> u64 {
        match &node.expr {
            Expr::Literal(LiteralValue::Int(found)) => u64::try_from(*found.inner()).unwrap_or(0),
            _ => otherwise,
        }
    }

    /// The functions of cel-go's extensions for lists and sets.
    fn of_lists(&mut self, given: &Given<'_>, overload: &Overload) -> Option<Found> {
        let (factor, size) = match (given.name, given.target, given.args) {
            ("slice", Some(target), [start, end]) => {
                let most = self.size_or_unknown(target).max;
                let count = Self::number(end, most).wrapping_sub(Self::number(start, 0));
                (1.0, Range::exactly(count))
            }
            ("lists.range", None, [count]) => (1.0, Range::exactly(Self::number(count, u64::MAX))),
            ("reverse", Some(target), []) => (1.0, self.size_or_unknown(target)),
            ("flatten", Some(target), rest) => {
                let depth = rest.first().map_or(1, |one| Self::number(one, u64::MAX));
                #[allow(clippy::cast_precision_loss)]
                let depth = depth as f64;
                (depth, self.size_or_unknown(target))
            }
            ("distinct", Some(target), []) => (2.0, self.squared(target)),
            ("sort", Some(target), []) => (sorting(overload, 0), self.squared(target)),
            ("@sortByAssociatedKeys", Some(_), [keys]) => {
                (sorting(overload, 1), self.squared(keys))
            }
            ("sets.contains" | "sets.intersects" | "sets.equivalent", None, [a, b]) => {
                let product = self.size_or_unknown(a).times(self.size_or_unknown(b));
                let factor = if given.name == "sets.equivalent" {
                    2.0
                } else {
                    1.0
                };
                return Some((product.scaled(factor).plus(ONE), None));
            }
            _ => return None,
        };
        let cost = size.scaled(factor).plus(ONE).plus(Range::exactly(LIST));
        Some((cost, Some(size)))
    }

    fn squared(&mut self, node: &IdedExpr) -> Range {
        let size = self.size_or_unknown(node);
        size.times(size)
    }

    /// The functions of Kubernetes' libraries.
    fn of_kubernetes(&mut self, given: &Given<'_>) -> Option<Found> {
        let found = match (given.name, given.target, given.args) {
            ("check", ..) => (Range::exactly(CHECK), None),
            (
                "serviceAccount" | "path" | "group" | "resource" | "subresource" | "namespace"
                | "name" | "allowed" | "reason" | "error" | "errored" | "format.named" | "sign"
                | "asInteger" | "isInteger" | "asApproximateFloat" | "isGreaterThan" | "isLessThan"
                | "compareTo" | "add" | "sub" | "major" | "minor" | "patch" | "getScheme"
                | "getHostname" | "getHost" | "getPort" | "getEscapedPath" | "getQuery",
                ..,
            ) => (ONE, None),
            ("fieldSelector" | "labelSelector", _, [text]) => {
                let size = self.size_or_unknown(text);
                #[allow(clippy::cast_precision_loss)]
                let each = (LIST + STRUCT) as f64;
                let requirements = size.scaled(0.5).scaled(each);
                let cost = size.scaled(TEXT).plus(requirements);
                (cost.plus(Range::exactly(LIST)), None)
            }
            ("isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf", Some(target), _) => {
                (self.traversal(target), None)
            }
            ("url" | "jsonpatch.escapeKey", _, [text]) => {
                let size = self.size_or_unknown(text);
                (size.scaled(TEXT), Some(size))
            }
            ("lowerAscii" | "upperAscii" | "substring" | "trim", Some(target), _) => {
                let size = self.size_or_unknown(target);
                (size.scaled(TEXT), Some(size))
            }
            ("replace", Some(target), [old, new, ..]) => {
                let size = self.size_or_unknown(target);
                let (old, new) = (self.size_or_unknown(old), self.size_or_unknown(new));
                (size.scaled(2.0 * TEXT), Some(replaced(size, old, new)))
            }
            ("split", Some(target), args) => {
                let size = self.size_or_unknown(target);
                let max = args.get(1).map_or(size.max, |one| match &one.expr {
                    #[allow(clippy::cast_sign_loss)]
                    Expr::Literal(LiteralValue::Int(found)) => *found.inner() as u64,
                    _ => size.max,
                });
                (size.scaled(2.0 * TEXT), Some(Range { min: 0, max }))
            }
            ("join", Some(target), args) => {
                let size = self.joined(target, args.first());
                (size.scaled(TEXT), Some(size))
            }
            ("find" | "findAll", Some(target), [pattern, ..]) => {
                let size = self.size_or_unknown(target);
                let cost = size.plus(ONE).scaled(TEXT);
                let cost = cost.times(self.size_or_unknown(pattern).scaled(REGEX));
                (
                    cost,
                    Some(Range {
                        min: 0,
                        max: size.max,
                    }),
                )
            }
            ("quantity" | "isQuantity" | "semver" | "isSemver", _, [text, ..]) => {
                (self.size_or_unknown(text).scaled(TEXT), None)
            }
            ("validate", _, [text]) => {
                let size = self.size_or_unknown(text);
                (size.scaled(TEXT).scaled(FORMAT_REGEX), None)
            }
            ("_==_", None, [a, b]) => return self.equality(a, b),
            _ => return None,
        };
        Some(found)
    }

    /// The functions for addresses and networks.
    fn of_addresses(&mut self, given: &Given<'_>, overload: &Overload) -> Option<Found> {
        let bytes = Range { min: 4, max: 16 };
        let cost = match (given.name, given.args) {
            ("cidr" | "isIP" | "isCIDR" | "ip", [text, ..]) => {
                self.size_or_unknown(text).scaled(TEXT)
            }
            ("ip.isCanonical", [text, ..]) => self.size_or_unknown(text).scaled(2.0 * TEXT),
            (
                "masked"
                | "prefixLength"
                | "family"
                | "isUnspecified"
                | "isLoopback"
                | "isLinkLocalMulticast"
                | "isLinkLocalUnicast"
                | "isGlobalUnicast",
                _,
            ) => ONE,
            ("containsIP" | "containsCIDR", [other, ..]) => {
                let mut cost = bytes.plus(bytes).scaled(TEXT);
                if given.name == "containsCIDR" {
                    cost = cost.plus(bytes.scaled(TEXT)).plus(ONE);
                }
                if matches!(overload.arguments.get(1), Some(Type::String)) {
                    cost = cost.plus(self.size_or_unknown(other).scaled(TEXT));
                }
                cost
            }
            _ => return None,
        };
        Some((cost, None))
    }

    /// The cost of looking at each item of a list, or at a text.
    fn traversal(&mut self, target: &IdedExpr) -> Range {
        let size = self.size_or_unknown(target);
        let Some(item) = item(self.type_of(target)) else {
            return size.scaled(TEXT);
        };
        let mut each = ONE;
        if matches!(item, Type::String | Type::Bytes) {
            each = each.plus(self.item_size(target).scaled(TEXT));
        }
        size.times(each)
    }

    fn item_size(&self, list: &IdedExpr) -> Range {
        let path = self.path(list);
        if path
            .first()
            .is_none_or(|first| &**first == crate::parse::ACCUMULATOR)
        {
            return Range::UNKNOWN;
        }
        self.bound(&self.extended(list, "@items"))
            .unwrap_or(Range::UNKNOWN)
    }

    fn joined(&mut self, list: &IdedExpr, separator: Option<&IdedExpr>) -> Range {
        let count = self.size_or_unknown(list);
        let mut size = Range::exactly(0);
        if item(self.type_of(list)).is_some() {
            size = count.times(self.item_size(list));
        }
        if let Some(separator) = separator {
            let between = Range {
                min: count.min.saturating_sub(1),
                max: count.max.saturating_sub(1),
            };
            size = size.plus(self.size_or_unknown(separator).times(between));
        }
        size
    }

    fn equality(&mut self, a: &IdedExpr, b: &IdedExpr) -> Option<Found> {
        let found = self.type_of(a);
        if !found.same(self.type_of(b)) {
            return None;
        }
        let name = match found {
            Type::Opaque(name, _) | Type::Struct(name) => &**name,
            _ => return None,
        };
        match name {
            "kubernetes.Format" | "kubernetes.NamedFormat" => {
                let cost = Range {
                    min: 1,
                    max: FORMAT_MAX,
                };
                Some((cost.scaled(TEXT), None))
            }
            "kubernetes.URL" => {
                let max = self.size(b).map_or(1, |size| size.max);
                Some((Range { min: 1, max }.scaled(TEXT), None))
            }
            _ if name == crate::types::OPTIONAL => None,
            "net.IP" | "net.CIDR" => Some((ONE, None)),
            _ if matches!(found, Type::Struct(_)) => Some((ONE, None)),
            _ => None,
        }
    }

    /// cel-go's own functions.
    fn standard(&mut self, node: &IdedExpr, given: &Given<'_>, overload: &Overload) -> Found {
        let arguments = given.arguments();
        let first = overload.arguments.first();
        let (cost, size) = match (given.name, given.target, given.args) {
            ("format", Some(target), _) => (self.size_or_unknown(target).scaled(TEXT), None),
            ("bytes", None, [one]) if matches!(first, Some(Type::String)) => {
                let size = self.size_or_unknown(one);
                let max = size.max.wrapping_mul(4);
                (size.scaled(TEXT), Some(Range { min: size.min, max }))
            }
            ("string", None, [one]) if matches!(first, Some(Type::Bytes)) => {
                let size = self.size_or_unknown(one);
                let min = size.min / 4;
                (size.scaled(TEXT), Some(Range { min, max: size.max }))
            }
            ("strings.quote", None, [one]) => {
                let size = self.size_or_unknown(one);
                let quoted = Range {
                    min: size.min.wrapping_add(2),
                    max: size.max.wrapping_mul(2).wrapping_add(2),
                };
                (size.scaled(TEXT), Some(quoted))
            }
            ("startsWith" | "endsWith", _, [one]) => (self.size_or_unknown(one).scaled(TEXT), None),
            ("@in", None, [_, list])
                if matches!(overload.arguments.get(1), Some(Type::List(_))) =>
            {
                (self.size_or_unknown(list), None)
            }
            ("matches", Some(target), [pattern]) => {
                let text = self.size_or_unknown(target).plus(ONE).scaled(TEXT);
                (
                    text.times(self.size_or_unknown(pattern).scaled(REGEX)),
                    None,
                )
            }
            ("contains", Some(target), [part]) => {
                let text = self.size_or_unknown(target).scaled(TEXT);
                (text.times(self.size_or_unknown(part).scaled(TEXT)), None)
            }
            ("_?_:_", None, [_, yes, no]) => {
                let size = self.size_or_unknown(yes).union(self.size_or_unknown(no));
                if let (Some(a), Some(b)) = (self.entries_of(yes), self.entries_of(no)) {
                    self.entries.insert(node.id, a.union(b));
                }
                let [condition, yes, no] = given.costs else {
                    return (arguments, None);
                };
                return (condition.plus(yes.union(*no)), Some(size));
            }
            ("_+_", None, [a, b])
                if matches!(first, Some(Type::String | Type::Bytes | Type::List(_))) =>
            {
                let size = self.size_or_unknown(a).plus(self.size_or_unknown(b));
                if let (Some(a), Some(b)) = (self.entries_of(a), self.entries_of(b)) {
                    self.entries.insert(node.id, a.union(b));
                }
                let list = matches!(first, Some(Type::List(_)));
                (if list { ONE } else { size.scaled(TEXT) }, Some(size))
            }
            ("_==_" | "_!=_", None, [a, b]) => (self.comparison(a, b), None),
            ("_<_" | "_<=_" | "_>_" | "_>=_", None, [a, b])
                if matches!(first, Some(Type::String | Type::Bytes)) =>
            {
                (self.comparison(a, b), None)
            }
            _ => (ONE, None),
        };
        (cost.plus(arguments), size)
    }

    fn comparison(&mut self, a: &IdedExpr, b: &IdedExpr) -> Range {
        let max = self.size_or_unknown(a).max.min(self.size_or_unknown(b).max);
        let min = u64::from(max > 0);
        Range { min, max }.scaled(TEXT)
    }
}

fn item(of: &Type) -> Option<&Type> {
    match of {
        Type::List(inner) => Some(inner),
        _ => None,
    }
}

fn sorting(overload: &Overload, at: usize) -> f64 {
    match overload.arguments.get(at).and_then(item) {
        Some(Type::String | Type::Bytes) => 2.0 + TEXT,
        _ => 2.0,
    }
}

/// How long a text can become and how short, when parts of it are replaced.
fn replaced(size: Range, old: Range, new: Range) -> Range {
    let (mut count, mut kept) = (Range::exactly(0), Range::exactly(0));
    if old.min == 0 {
        count.max = size.max.saturating_add(1);
        kept.max = size.max;
    } else if new.max <= old.min {
        kept.max = size.max;
    } else {
        count.max = ratio(size.max, old.min);
    }
    if old.max == 0 {
        count.min = size.min.saturating_add(1);
        kept.min = size.min;
    } else if old.max <= new.min {
        kept.min = size.min;
    } else {
        count.min = ratio(size.min, old.max);
    }
    count.times(new).plus(kept)
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]
fn ratio(whole: u64, part: u64) -> u64 {
    (whole as f64 / part as f64).ceil() as u64
}
