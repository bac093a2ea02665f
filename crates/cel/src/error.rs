//! What can go wrong: when an expression is compiled, and when it is evaluated.
use std::fmt;

use thiserror::Error;

/// One thing that is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// Line (from 1) and column (from 0, in characters).
    pub at: (usize, usize),
    pub text: String,
}

/// An expression that is not valid; shown as cel-go shows it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub struct CompileError {
    source_text: String,
    complaints: Vec<Complaint>,
}

impl CompileError {
    #[must_use]
    pub fn new(source: &str, mut complaints: Vec<Complaint>) -> Self {
        complaints.sort_by_key(|one| one.at);
        CompileError {
            source_text: source.to_owned(),
            complaints,
        }
    }

    /// An error that is about the whole expression.
    #[must_use]
    pub fn plain(text: impl Into<String>) -> Self {
        let complaints = vec![Complaint {
            at: (0, 0),
            text: text.into(),
        }];
        CompileError {
            source_text: String::new(),
            complaints,
        }
    }

    /// Line and column (both from 1) of the first complaint; zeros: the whole expression.
    #[must_use]
    pub fn place(&self) -> (usize, usize) {
        match self.complaints.first() {
            Some(one) if one.at.0 > 0 => (one.at.0, one.at.1 + 1),
            _ => (0, 0),
        }
    }
}

impl fmt::Display for CompileError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, one) in self.complaints.iter().take(100).enumerate() {
            if number > 0 {
                out.write_str("\n")?;
            }
            let (line, column) = one.at;
            if line == 0 {
                out.write_str(&one.text)?;
                continue;
            }
            write!(out, "ERROR: <input>:{line}:{}: {}", column + 1, one.text)?;
            if let Some(text) = self.source_text.split('\n').nth(line - 1) {
                let text = text.replace('\t', " ");
                write!(out, "\n | {text}\n | ")?;
                let wide = |c: char| c.len_utf8() > 1;
                for c in text.chars().take(column) {
                    out.write_str(if wide(c) { "\u{ff0e}" } else { "." })?;
                }
                let under = text.chars().nth(column).is_some_and(wide);
                out.write_str(if under { "\u{ff3e}" } else { "^" })?;
            }
        }
        Ok(())
    }
}

/// Why an evaluation has no result.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Fault {
    /// `no such key: x`, `division by zero` …
    #[error("{0}")]
    Failed(Box<str>),
    /// The expression cost more than it may.
    #[error("operation cancelled: actual cost limit exceeded")]
    Budget,
    /// It asked an authorizer something that is not known yet.
    #[error("an authorizer must be asked")]
    Question,
}

impl Fault {
    pub fn new(text: impl Into<Box<str>>) -> Fault {
        Fault::Failed(text.into())
    }

    /// Whether it ends the whole evaluation, also inside `||` and `&&`.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Fault::Budget | Fault::Question)
    }
}
