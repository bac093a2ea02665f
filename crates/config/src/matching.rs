//! Which requests a route means.
use std::{fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A regular expression that must match the whole text; compared by its text.
#[derive(Clone)]
pub struct Pattern(Arc<regex::Regex>);

impl Pattern {
    /// Compiles `text`.
    ///
    /// # Errors
    /// What is wrong with the expression.
    pub fn new(text: &str) -> Result<Self, regex::Error> {
        regex::RegexBuilder::new(&format!("^(?:{text})$"))
            .size_limit(1 << 20)
            .build()
            .map(|regex| Self(Arc::new(regex)))
    }

    /// Whether the whole of `text` matches.
    #[must_use]
    pub fn covers(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    /// `text` with the expression's groups put into `replacement` (`$1`).
    #[must_use]
    pub fn replace(&self, text: &str, replacement: &str) -> String {
        self.0.replace(text, replacement).into_owned()
    }

    fn text(&self) -> &str {
        let whole = self.0.as_str();
        whole
            .strip_prefix("^(?:")
            .and_then(|rest| rest.strip_suffix(")$"))
            .unwrap_or(whole)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text().fmt(f)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.text())
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::new(&text).map_err(|why| {
            let line = why.to_string().replace('\n', " ");
            serde::de::Error::custom(format!("{text:?} is no regular expression: {line}"))
        })
    }
}

/// Which paths (without the query).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathMatch {
    /// This path and nothing else.
    Exact(Arc<str>),
    /// This path and what is below it, by whole segments: `/pay` means `/pay/x`, never `/payments`.
    Prefix(Arc<str>),
    /// Every path that begins so, within a segment too.
    StartsWith(Arc<str>),
    /// Paths that the expression covers whole.
    Regex(Pattern),
}

impl Default for PathMatch {
    fn default() -> Self {
        Self::Prefix("/".into())
    }
}

/// Which values of a header field or query parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueMatch {
    Exact(Arc<str>),
    Prefix(Arc<str>),
    Suffix(Arc<str>),
    Contains(Arc<str>),
    Regex(Pattern),
    /// It is there (`true`) or not (`false`).
    Present(bool),
    /// An integer from `.0` to below `.1`.
    Range(i64, i64),
}

impl ValueMatch {
    /// Whether `value` (`None`: not there) is meant.
    #[must_use]
    pub fn covers(&self, value: Option<&str>) -> bool {
        match (self, value) {
            (Self::Present(wanted), value) => *wanted == value.is_some(),
            (_, None) => false,
            (Self::Exact(text), Some(value)) => **text == *value,
            (Self::Prefix(text), Some(value)) => value.starts_with(&**text),
            (Self::Suffix(text), Some(value)) => value.ends_with(&**text),
            (Self::Contains(text), Some(value)) => value.contains(&**text),
            (Self::Regex(pattern), Some(value)) => pattern.covers(value),
            (Self::Range(from, to), Some(value)) => value
                .parse()
                .is_ok_and(|number: i64| (*from..*to).contains(&number)),
        }
    }
}

/// A header field or query parameter that must be as said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Header names are compared without case.
    pub name: Arc<str>,
    pub value: ValueMatch,
    /// Everything else is meant instead.
    #[serde(default)]
    pub invert: bool,
}

/// All that must hold for a request.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Match {
    pub path: PathMatch,
    /// Any of these; every one when empty.
    pub methods: Vec<Arc<str>>,
    pub headers: Vec<Condition>,
    pub query: Vec<Condition>,
    /// Only gRPC requests.
    pub grpc: bool,
    /// Share of the requests that match otherwise, percent.
    pub percent: Option<f64>,
    /// The case of the path does not matter.
    pub ignore_case: bool,
}
