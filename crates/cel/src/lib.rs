//! The Common Expression Language as Kubernetes speaks it.
//!
//! The `cel` crate parses; the checks, the evaluation with its cost limits, and Kubernetes' types
//! and functions are here. Values are views on shared JSON: nothing is copied to be looked at.
//!
//! ```
//! use cloudwright_cel::{Environment, Json, Schema, Value, Variable};
//!
//! let schema = Json::parse(br#"{"type":"object","properties":{"replicas":{"type":"integer"}}}"#)?;
//! let variable = Variable::declared("self", &schema, false, false)?;
//! let environment = Environment::new(vec![variable], false);
//! let program = environment.compile("self.replicas <= 5")?;
//! let mut activation = environment.activation();
//! activation.values[0] = Some(environment.variables()[0].value(&Json::parse(br#"{"replicas":3}"#)?));
//! assert!(matches!(program.evaluate(&mut activation, 1000), Ok(Value::Bool(true))));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
mod check;
mod convert;
mod cost;
mod decls;
mod equality;
mod error;
mod escape;
mod estimate;
mod eval;
mod folding;
mod functions;
mod json;
mod literals;
mod naming;
mod parse;
mod plan;
mod program;
mod regexes;
mod schema;
mod times;
mod types;
mod value;

pub use convert::{schema_duration, text as value_text};
pub use error::{CompileError, Fault};
pub use escape::{escape, unescape};
pub use eval::Activation;
pub use functions::authz::{Decision, Question};
pub use functions::quantity::Quantity;
pub use json::{Fields, Json, double, quoted};
pub use program::{Environment, Program, Variable, result_json};
pub use regexes::{Pattern, compile as compile_pattern};
pub use schema::Schema;
pub use times::{parse_date, parse_timestamp};
pub use types::Type;
pub use value::{Outcome, Value};
