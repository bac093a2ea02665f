//! One thing that is wrong with an object.
use std::fmt::Write as _;

use cloudwright_cel::Json;

/// What an error shows of the value.
#[derive(Clone, Debug, PartialEq)]
pub enum Shown {
    Value(Json),
    Omitted,
}

/// A problem, in the terms of Kubernetes' `field.Error`.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    pub path: String,
    /// `Required`, `Invalid`, `TypeInvalid`, `NotSupported`, `TooLong`, `TooMany`, `Duplicate` …
    pub reason: &'static str,
    pub message: String,
    pub shown: Shown,
}

impl Problem {
    pub fn new(path: String, reason: &'static str, shown: Shown, message: String) -> Self {
        Problem {
            path,
            reason,
            message,
            shown,
        }
    }

    pub fn invalid(path: String, value: Json, message: String) -> Self {
        Problem::new(path, "Invalid", Shown::Value(value), message)
    }

    pub fn required(path: String, message: &str) -> Self {
        Problem::new(path, "Required", Shown::Omitted, message.to_owned())
    }

    /// As upstream prints it.
    #[must_use]
    pub fn text(&self) -> String {
        let title = match self.reason {
            "Required" => "Required value",
            "Forbidden" => "Forbidden",
            "Duplicate" => "Duplicate value",
            "NotSupported" => "Unsupported value",
            "TooLong" => "Too long",
            "TooMany" => "Too many",
            "InternalError" => "Internal error",
            _ => "Invalid value",
        };
        let mut out = format!("{}: {title}", self.path);
        if let Shown::Value(value) = &self.shown {
            let _ = write!(out, ": {value}");
        }
        if !self.message.is_empty() {
            let _ = write!(out, ": {}", self.message);
        }
        out
    }

    /// Whether rules are not even tried on such an object.
    #[must_use]
    pub fn blocks(&self) -> bool {
        matches!(
            self.reason,
            "NotSupported" | "Required" | "TooLong" | "TooMany" | "TypeInvalid"
        )
    }
}

/// Where in an object one is.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    Field(&'a str),
    Key(&'a str),
    Index(usize),
}

/// A path, rendered only when something is wrong.
#[derive(Clone, Copy, Debug)]
pub struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Option<Step<'a>>,
}

impl<'a> Path<'a> {
    pub const ROOT: Path<'static> = Path {
        parent: None,
        step: None,
    };

    pub fn then(&'a self, step: Step<'a>) -> Path<'a> {
        Path {
            parent: Some(self),
            step: Some(step),
        }
    }

    pub fn field(&'a self, name: &'a str) -> Path<'a> {
        self.then(Step::Field(name))
    }

    pub fn key(&'a self, name: &'a str) -> Path<'a> {
        self.then(Step::Key(name))
    }

    pub fn index(&'a self, at: usize) -> Path<'a> {
        self.then(Step::Index(at))
    }

    fn steps(&self) -> Vec<Step<'a>> {
        let mut found = Vec::new();
        let mut at = Some(self);
        while let Some(path) = at {
            found.extend(path.step);
            at = path.parent;
        }
        found.reverse();
        found
    }

    /// `spec.list[0].map[key]`.
    #[must_use]
    pub fn text(&self) -> String {
        self.render(false)
    }

    /// `spec.list[0].map.key`, as the schema validator of upstream writes it.
    #[must_use]
    pub fn dotted(&self) -> String {
        self.render(true)
    }

    fn render(&self, dotted: bool) -> String {
        let mut out = String::new();
        for step in self.steps() {
            let _ = match step {
                Step::Key(name) if !dotted => write!(out, "[{name}]"),
                Step::Field(name) | Step::Key(name) => {
                    let dot = if out.is_empty() { "" } else { "." };
                    write!(out, "{dot}{name}")
                }
                Step::Index(at) => write!(out, "[{at}]"),
            };
        }
        out
    }

    /// The text of the root is upstream's for "no path".
    #[must_use]
    pub fn text_or_nil(&self) -> String {
        let text = self.text();
        if text.is_empty() {
            "<nil>".to_owned()
        } else {
            text
        }
    }
}
