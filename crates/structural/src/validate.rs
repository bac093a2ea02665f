//! An object against its schema's own constraints.
use std::collections::HashSet;
use std::sync::Arc;

use cloudwright_cel::{Fields, Json, double, quoted};

use crate::compile::{Additional, Bound, Node, Structure};
use crate::correlate::Pair;
use crate::formats;
use crate::problem::{Path, Problem, Shown};

const BUDGET: u64 = 10_000_000;
const UNCHECKED: &str = "some validation rules were not checked because the object was invalid; \
                         correct the existing errors to complete validation";

/// What is wrong with an object, and what was wrong before and is tolerated.
#[derive(Debug, Default)]
pub struct Verdict {
    pub problems: Vec<Problem>,
    pub warnings: Vec<String>,
}

impl Structure {
    /// Everything that is wrong with an object. With `old`, what did not change is tolerated.
    #[must_use]
    pub fn validate(&self, new: &Json, old: Option<&Json>) -> Verdict {
        let mut checker = Checker {
            found: Vec::new(),
            matched: 0,
        };
        let pair = old.map(|old| Pair {
            node: &self.root,
            new,
            old,
        });
        checker.check(&self.root, new, pair, &Path::ROOT);
        checker.embedded(&self.root, new, &Path::ROOT);
        let mut seen = HashSet::new();
        checker.found.retain(|one| seen.insert(one.text()));
        let mut verdict = Verdict {
            problems: checker.found,
            warnings: Vec::new(),
        };
        if self.root.has_lists && old.is_none_or(|old| self.repeated(old).is_empty()) {
            verdict.problems.extend(self.repeated(new));
        }
        if self.root.has_rules {
            if verdict.problems.iter().any(Problem::blocks) {
                let text = UNCHECKED.to_owned();
                verdict
                    .problems
                    .push(Problem::invalid("<nil>".to_owned(), Json::Null, text));
            } else {
                self.run_rules(new, old, BUDGET, &mut verdict);
            }
        }
        verdict
    }
}

struct Checker {
    found: Vec<Problem>,
    /// How many values had nothing wrong: the best of several alternatives has most.
    matched: u32,
}

/// The name of a value's type, as messages show it.
fn type_of(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Int(_) | Json::Uint(_) => "integer",
        Json::Double(_) => "number",
        Json::String(_) => "string",
        Json::List(_) => "array",
        Json::Object(_) => "object",
    }
}

fn number(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e21 {
        format!("{value:.0}")
    } else {
        double(value)
    }
}

impl Checker {
    fn invalid(&mut self, path: &Path<'_>, value: Json, what: &str) {
        let name = path.dotted();
        self.found.push(Problem::invalid(
            name.clone(),
            value,
            format!("{name} in body {what}"),
        ));
    }

    fn wrong_type(&mut self, path: &Path<'_>, wanted: &str, found: &str) {
        let name = path.dotted();
        let text = format!("{name} in body must be of type {wanted}: {}", quoted(found));
        let shown = Shown::Value(Json::from(found));
        self.found
            .push(Problem::new(name, "TypeInvalid", shown, text));
    }

    /// What a composition of schemas says has no path of its own.
    fn composed(&mut self, path: &Path<'_>, what: &str) {
        let text = format!("{} {what}", quoted(&path.dotted()));
        self.found
            .push(Problem::invalid("<nil>".to_owned(), Json::from(""), text));
    }

    /// Everything about one value. What looks at texts, numbers, lists or objects goes by what
    /// the value is, also where it has the wrong type.
    fn check(&mut self, node: &Node, value: &Json, pair: Option<Pair<'_>>, path: &Path<'_>) {
        let before = self.found.len();
        self.kind(node, value, path);
        if !matches!(value, Json::Null) {
            self.compositions(node, value, path);
        }
        match value {
            Json::String(text) => self.text(node, text, path),
            Json::Int(_) | Json::Uint(_) | Json::Double(_) => self.number(node, value, path),
            Json::List(items) => self.list(node, items, pair, path),
            _ => {}
        }
        self.choices(node, value, path);
        if let Json::Object(fields) = value {
            self.object(node, fields, pair, path);
        }
        if self.found.len() == before {
            self.matched += 1;
        } else if pair.is_some_and(|pair| pair.same()) {
            self.found.truncate(before);
        }
    }

    fn kind(&mut self, node: &Node, value: &Json, path: &Path<'_>) {
        let wanted = node.types();
        let found = type_of(value);
        if wanted.is_empty() || (matches!(value, Json::Null) && node.nullable) {
            return;
        }
        let whole = matches!(value, Json::Double(one) if one.fract() == 0.0);
        let fits = match wanted {
            "integer,string" => matches!(found, "integer" | "string") || whole,
            "integer" => found == "integer" || whole,
            "number" => matches!(found, "integer" | "number"),
            wanted => wanted == found,
        };
        if fits {
            return;
        }
        let text_or_list = matches!(value, Json::String(_) | Json::List(_));
        if node.format.is_empty() || matches!(value, Json::Null) {
            self.wrong_type(path, wanted, found);
        } else if !text_or_list {
            let format = match value {
                Json::Int(_) | Json::Uint(_) => "int64",
                Json::Double(_) => "float64",
                _ => "",
            };
            self.wrong_type(path, &node.format, format);
        } else if matches!(wanted, "integer" | "number") {
            self.wrong_type(path, wanted, found);
        }
    }

    fn choices(&mut self, node: &Node, value: &Json, path: &Path<'_>) {
        if node.choices.is_empty() || node.choices.iter().any(|one| same(one, value)) {
            return;
        }
        let allowed: Vec<String> = node
            .choices
            .iter()
            .map(|one| match one {
                Json::String(text) => quoted(text),
                other => quoted(&other.to_string()),
            })
            .collect();
        let text = format!("supported values: {}", allowed.join(", "));
        let shown = Shown::Value(value.clone());
        self.found
            .push(Problem::new(path.dotted(), "NotSupported", shown, text));
    }

    fn text(&mut self, node: &Node, text: &Arc<str>, path: &Path<'_>) {
        let value = || Json::String(text.clone());
        let (least, most) = node.length;
        if least.is_some() || most.is_some() {
            let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
            if let Some(most) = most.filter(|most| length > *most) {
                let unit = if most == 1 { "byte" } else { "bytes" };
                let says = format!("may not be more than {most} {unit}");
                self.found
                    .push(Problem::new(path.dotted(), "TooLong", Shown::Omitted, says));
                return self.format(node, text, path);
            }
            if let Some(least) = least.filter(|least| length < *least) {
                self.invalid(
                    path,
                    value(),
                    &format!("should be at least {least} chars long"),
                );
                return self.format(node, text, path);
            }
        }
        match &node.pattern {
            Some((_, Ok(pattern))) if pattern.regex.is_match(text) => {}
            Some((source, Ok(_))) => {
                self.invalid(path, value(), &format!("should match '{source}'"));
            }
            Some((source, Err(why))) => {
                let says = format!("should match '{source}, but pattern is invalid: {why}'");
                self.invalid(path, value(), &says);
            }
            None => {}
        }
        self.format(node, text, path);
    }

    fn format(&mut self, node: &Node, text: &str, path: &Path<'_>) {
        if !node.format.is_empty() && !formats::fits(&node.format, text) {
            self.wrong_type(path, &node.format, text);
        }
    }

    fn number(&mut self, node: &Node, value: &Json, path: &Path<'_>) {
        let given = value.as_f64().unwrap_or_default();
        if node.kind.as_deref() == Some("integer") && !fits_integer(&node.format, value) {
            let format = match &*node.format {
                "" => "(default format)".to_owned(),
                format => format!("with format {format}"),
            };
            let place = path.dotted();
            let text = format!("Checked value must be of type integer {format} in {place}");
            self.found
                .push(Problem::invalid("<nil>".to_owned(), Json::from(""), text));
        }
        if let Some(step) = node.multiple
            && (given / step).fract().abs() > 1e-9
        {
            let says = format!("should be a multiple of {}", number(step));
            self.invalid(path, value.clone(), &says);
        }
        let beyond = |bound: Bound, sign: f64| {
            bound.filter(|(limit, exclusive)| {
                let over = (given - limit) * sign;
                over > 0.0 || (*exclusive && over == 0.0)
            })
        };
        if let Some((limit, exclusive)) = beyond(node.minimum, -1.0) {
            let or = if exclusive { "" } else { " or equal to" };
            let says = format!("should be greater than{or} {}", number(limit));
            self.invalid(path, value.clone(), &says);
        }
        if let Some((limit, exclusive)) = beyond(node.maximum, 1.0) {
            let or = if exclusive { "" } else { " or equal to" };
            let says = format!("should be less than{or} {}", number(limit));
            self.invalid(path, value.clone(), &says);
        }
    }

    fn list(&mut self, node: &Node, items: &[Json], pair: Option<Pair<'_>>, path: &Path<'_>) {
        if let Some(one) = &node.items {
            for (at, item) in items.iter().enumerate() {
                let inner = pair.and_then(|pair| pair.index(at));
                self.check(one, item, inner, &path.index(at));
            }
        }
        let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
        if let Some(least) = node.count.0.filter(|least| length < *least) {
            let says = format!("should have at least {least} items");
            self.invalid(path, Json::Int(length), &says);
        }
        self.too_many(node.count.1, length, path);
        let repeated = |at: usize| items[..at].contains(&items[at]);
        if node.unique && (0..items.len()).any(repeated) {
            self.invalid(path, Json::from(""), "shouldn't contain duplicates");
        }
    }

    fn too_many(&mut self, most: Option<i64>, length: i64, path: &Path<'_>) {
        if let Some(most) = most.filter(|most| length > *most) {
            let unit = if most == 1 { "item" } else { "items" };
            let says = format!("must have at most {most} {unit}");
            let shown = Shown::Value(Json::Int(length));
            self.found
                .push(Problem::new(path.dotted(), "TooMany", shown, says));
        }
    }

    fn object(&mut self, node: &Node, fields: &Fields, pair: Option<Pair<'_>>, path: &Path<'_>) {
        let count = i64::try_from(fields.len()).unwrap_or(i64::MAX);
        if let Some(least) = node.members.0.filter(|least| count < *least) {
            let says = format!("should have at least {least} properties");
            self.invalid(path, Json::Int(count), &says);
        }
        self.too_many(node.members.1, count, path);
        let root = path.dotted().is_empty();
        for (name, value) in fields.iter() {
            match node.member(name) {
                Some((one, _)) => {
                    let meta = root && matches!(&**name, "apiVersion" | "kind");
                    let inner = pair.filter(|_| !meta).and_then(|pair| pair.key(name));
                    self.check(one, value, inner, &path.field(name));
                }
                None => {
                    if matches!(node.additional, Additional::Any(false)) {
                        let name = path.field(name).dotted();
                        let text = format!("{name} in body is a forbidden property");
                        self.found
                            .push(Problem::invalid(path.dotted(), Json::from(""), text));
                    }
                }
            }
        }
        for name in &node.required {
            if fields.get(name).is_none() {
                self.found
                    .push(Problem::required(path.field(name).dotted(), ""));
            }
        }
    }

    /// What an alternative complains about, and how much of it fitted.
    fn attempt(&mut self, node: &Node, value: &Json, path: &Path<'_>) -> (Vec<Problem>, u32) {
        let mut inner = Checker {
            found: Vec::new(),
            matched: 0,
        };
        inner.check(node, value, None, path);
        (inner.found, inner.matched)
    }

    fn compositions(&mut self, node: &Node, value: &Json, path: &Path<'_>) {
        if !node.any.is_empty() {
            let mut best: Option<(Vec<Problem>, u32)> = None;
            let fitted = node.any.iter().any(|one| {
                let (found, matched) = self.attempt(one, value, path);
                let fits = found.is_empty();
                if !fits && best.as_ref().is_none_or(|(_, most)| matched > *most) {
                    best = Some((found, matched));
                }
                fits
            });
            if !fitted {
                self.composed(path, "must validate at least one schema (anyOf)");
                self.found
                    .extend(best.map(|(found, _)| found).unwrap_or_default());
            }
        }
        if !node.one.is_empty() {
            self.exactly_one(node, value, path);
        }
        if !node.all.is_empty() {
            let mut fitted = 0;
            for one in &node.all {
                let (found, _) = self.attempt(one, value, path);
                fitted += usize::from(found.is_empty());
                self.found.extend(found);
            }
            if fitted != node.all.len() {
                let none = if fitted == 0 { ". None validated" } else { "" };
                self.composed(
                    path,
                    &format!("must validate all the schemas (allOf){none}"),
                );
            }
        }
        if let Some(one) = &node.not
            && self.attempt(one, value, path).0.is_empty()
        {
            self.composed(path, "must not validate the schema (not)");
        }
    }

    fn exactly_one(&mut self, node: &Node, value: &Json, path: &Path<'_>) {
        let mut best: Option<(Vec<Problem>, u32)> = None;
        let mut fitted = 0;
        for one in &node.one {
            let (found, matched) = self.attempt(one, value, path);
            if found.is_empty() {
                fitted += 1;
                best = None;
            } else if fitted == 0 && best.as_ref().is_none_or(|(_, most)| matched > *most) {
                best = Some((found, matched));
            }
        }
        if fitted != 1 {
            let how = match fitted {
                0 => "Found none valid".to_owned(),
                many => format!("Found {many} valid alternatives"),
            };
            self.composed(
                path,
                &format!("must validate one and only one schema (oneOf). {how}"),
            );
            self.found
                .extend(best.map(|(found, _)| found).unwrap_or_default());
        }
    }

    /// Objects in the object say what they are.
    fn embedded(&mut self, node: &Node, value: &Json, path: &Path<'_>) {
        match value {
            Json::Object(fields) => {
                if node.embedded {
                    for name in ["apiVersion", "kind"] {
                        let given = fields.get(name).and_then(Json::as_str).unwrap_or("");
                        if given.is_empty() {
                            let path = path.field(name).text();
                            self.found
                                .push(Problem::required(path, "must not be empty"));
                        }
                    }
                }
                for (name, inner) in fields.iter() {
                    match node.member(name) {
                        Some((one, true)) => self.embedded(one, inner, &path.field(name)),
                        Some((one, false)) => self.embedded(one, inner, &path.key(name)),
                        None => {}
                    }
                }
            }
            Json::List(items) => {
                if let Some(one) = &node.items {
                    for (at, item) in items.iter().enumerate() {
                        self.embedded(one, item, &path.index(at));
                    }
                }
            }
            _ => {}
        }
    }
}

/// Whether a number is whole and within the bounds of an integer's format.
fn fits_integer(format: &str, value: &Json) -> bool {
    let whole = value.as_i64();
    if format == "int32" {
        whole.is_some_and(|one| i32::try_from(one).is_ok())
    } else {
        whole.is_some()
    }
}

/// Whether a value is one of those allowed; numbers are compared as numbers.
fn same(allowed: &Json, value: &Json) -> bool {
    match (allowed.as_f64(), value.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => allowed == value,
    }
}
