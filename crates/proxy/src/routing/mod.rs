//! From a request to a route: the most exact domain, then the first rule that matches.
//!
//! | module | concept |
//! | --- | --- |
//! | `table` | virtual hosts by domain |
//! | `index` | rules of a virtual host, found without looking at all of them |
//! | `rule` | one rule as it is asked on the request path |
//! | `guarding` | who may, and how often |
//! | `edits` | header rules and rewrites of the target |
pub mod edits;
pub mod guarding;
pub mod index;
pub mod rule;
pub mod table;

pub use table::Table;
