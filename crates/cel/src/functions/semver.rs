//! `kubernetes.Semver`: versions by semver.org.
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use super::no_overload;
use crate::error::Fault;
use crate::value::{Outcome, Value};

/// A version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Semver {
    numbers: [u64; 3],
    pre: Vec<String>,
    build: Vec<String>,
}

fn number(text: &str, what: &str) -> Result<u64, String> {
    if text.is_empty() || !text.bytes().all(|c| c.is_ascii_digit()) {
        return Err(format!(
            "Invalid character(s) found in {what} number {}",
            crate::json::quoted(text)
        ));
    }
    if text.len() > 1 && text.starts_with('0') {
        return Err(format!(
            "{what} number must not contain leading zeroes {}",
            crate::json::quoted(text)
        )
        .replacen("major", "Major", 1)
        .replacen("minor", "Minor", 1)
        .replacen("patch", "Patch", 1));
    }
    text.parse()
        .map_err(|_| format!("{what} number {text} is too large"))
}

fn identifiers(text: &str, build: bool) -> Result<Vec<String>, String> {
    let what = if build {
        "Build meta data"
    } else {
        "Prerelease"
    };
    let parts = text.split('.').map(|part| {
        if part.is_empty() {
            return Err(format!("{what} is empty"));
        }
        if !part.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-') {
            return Err(format!(
                "Invalid character(s) found in {what} {}",
                crate::json::quoted(part)
            ));
        }
        let digits = part.bytes().all(|c| c.is_ascii_digit());
        if !build && digits && part.len() > 1 && part.starts_with('0') {
            let shown = crate::json::quoted(part);
            return Err(format!(
                "Numeric PreRelease version must not contain leading zeroes {shown}"
            ));
        }
        Ok(part.to_owned())
    });
    parts.collect()
}

impl Semver {
    /// The version of a text.
    pub fn parse(text: &str) -> Result<Semver, String> {
        if text.is_empty() {
            return Err("Version string empty".to_owned());
        }
        let parts: Vec<&str> = text.splitn(3, '.').collect();
        let [major, minor, rest] = parts.as_slice() else {
            return Err("No Major.Minor.Patch elements found".to_owned());
        };
        let (rest, build) = match rest.split_once('+') {
            Some((rest, build)) => (rest, identifiers(build, true)?),
            None => (*rest, vec![]),
        };
        let (patch, pre) = match rest.split_once('-') {
            Some((patch, pre)) => (patch, identifiers(pre, false)?),
            None => (rest, vec![]),
        };
        let numbers = [
            number(major, "major")?,
            number(minor, "minor")?,
            number(patch, "patch")?,
        ];
        Ok(Semver {
            numbers,
            pre,
            build,
        })
    }

    /// The version of a text such as `v1.2` or `01.2.3`.
    pub fn parse_loose(text: &str) -> Result<Semver, String> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let mut parts: Vec<String> = text
            .splitn(3, '.')
            .map(|part| {
                if part.len() < 2 {
                    return part.to_owned();
                }
                let bare = part.trim_start_matches('0');
                if bare.starts_with(|c: char| c.is_ascii_digit()) {
                    bare.to_owned()
                } else {
                    format!("0{bare}")
                }
            })
            .collect();
        if parts.len() < 3 {
            if parts.last().is_some_and(|part| part.contains(['+', '-'])) {
                let text = "short version cannot contain PreRelease/Build meta data";
                return Err(text.to_owned());
            }
            parts.resize(3, "0".to_owned());
        }
        Semver::parse(&parts.join("."))
    }

    /// The order of versions; build data does not count.
    #[must_use]
    pub fn compare(&self, other: &Semver) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| {
            match (self.pre.is_empty(), other.pre.is_empty()) {
                (true, true) => Ordering::Equal,
                (true, false) => Ordering::Greater,
                (false, true) => Ordering::Less,
                (false, false) => {
                    let pairs = self.pre.iter().zip(&other.pre);
                    pairs
                        .map(|(a, b)| identifier_order(a, b))
                        .find(|order| order.is_ne())
                        .unwrap_or_else(|| self.pre.len().cmp(&other.pre.len()))
                }
            }
        })
    }
}

fn identifier_order(a: &str, b: &str) -> Ordering {
    match (a.parse::<u64>(), b.parse::<u64>()) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        (Err(_), Err(_)) => a.cmp(b),
    }
}

impl fmt::Display for Semver {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.numbers;
        write!(out, "{major}.{minor}.{patch}")?;
        if !self.pre.is_empty() {
            write!(out, "-{}", self.pre.join("."))?;
        }
        if !self.build.is_empty() {
            write!(out, "+{}", self.build.join("."))?;
        }
        Ok(())
    }
}

/// The functions, by name.
pub fn call(name: &str, args: &[Value]) -> Outcome {
    let part = |one: &Semver, at: usize| {
        Ok(Value::Int(
            i64::try_from(one.numbers[at]).unwrap_or(i64::MAX),
        ))
    };
    match (name, args) {
        ("semver" | "isSemver", [Value::String(text), rest @ ..]) => {
            let loose = match rest {
                [] => false,
                [Value::Bool(loose)] => *loose,
                _ => return Err(no_overload(name, args)),
            };
            let found = if loose {
                Semver::parse_loose(text)
            } else {
                Semver::parse(text)
            };
            if name == "isSemver" {
                return Ok(Value::Bool(found.is_ok()));
            }
            found
                .map(|one| Value::Semver(Arc::new(one)))
                .map_err(Fault::new)
        }
        ("major", [Value::Semver(one)]) => part(one, 0),
        ("minor", [Value::Semver(one)]) => part(one, 1),
        ("patch", [Value::Semver(one)]) => part(one, 2),
        _ => Err(no_overload(name, args)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn order_of_versions() {
        let ordered = [
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0",
            "1.0.1+x",
        ];
        for pair in ordered.windows(2) {
            let (a, b) = (
                Semver::parse(pair[0]).unwrap(),
                Semver::parse(pair[1]).unwrap(),
            );
            assert_eq!(a.compare(&b), Ordering::Less, "{pair:?}");
        }
        for bad in [
            "", "1", "1.2", "v1.2.3", "01.2.3", "1.2.3-", "1.2.3-01", "1.2.x",
        ] {
            assert!(Semver::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Semver::parse_loose("v1.02").unwrap().to_string(), "1.2.0");
    }
}
