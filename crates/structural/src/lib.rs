//! Structural OpenAPI v3 schemas as CustomResourceDefinitions use them, compiled once.
//!
//! A `Structure` prunes what it does not know, fills in defaults, and says what is wrong with an
//! object in upstream's words: the schema's own constraints, the uniqueness of lists, and the rules
//! in `x-kubernetes-validations`. What an update leaves as it was is not complained about again.
mod compile;
mod correlate;
mod costs;
mod fill;
mod formats;
mod lists;
mod problem;
mod prune;
mod rules;
mod validate;

pub use compile::{Rule, RuleProblem, Structure};
pub use costs::RuleCost;
pub use problem::{Problem, Shown};
pub use validate::Verdict;
