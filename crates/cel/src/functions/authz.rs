//! The builders of questions to an authorizer, and its decisions.
use std::collections::BTreeMap;
use std::sync::Arc;

use super::no_overload;
use crate::error::Fault;
use crate::value::{Outcome, Value};

/// What is asked: `verb`, `group`, `resource` … as text.
pub type Question = BTreeMap<&'static str, Arc<str>>;

/// What an authorizer said.
#[derive(Clone, Debug, Default)]
pub struct Decision {
    pub allowed: bool,
    pub reason: String,
    pub error: String,
}

/// A step on the way from `authorizer` to a decision.
#[derive(Clone, Debug)]
pub enum Check {
    Authorizer(Question),
    Path(Question),
    Group(Question),
    Resource(Question),
    Decided(Decision),
}

impl Check {
    /// The name of its type.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Check::Authorizer(_) => "kubernetes.authorization.Authorizer",
            Check::Path(_) => "kubernetes.authorization.PathCheck",
            Check::Group(_) => "kubernetes.authorization.GroupCheck",
            Check::Resource(_) => "kubernetes.authorization.ResourceCheck",
            Check::Decided(_) => "kubernetes.authorization.Decision",
        }
    }

    /// The whole question of `check(verb)`.
    #[must_use]
    pub fn question(&self, verb: &Arc<str>) -> Option<Question> {
        match self {
            Check::Path(question) | Check::Resource(question) => {
                let mut question = question.clone();
                question.insert("verb", verb.clone());
                Some(question)
            }
            _ => None,
        }
    }
}

/// The authorizer, as a value.
#[must_use]
pub fn authorizer() -> Value {
    Value::Authorization(Arc::new(Check::Authorizer(Question::new())))
}

/// A resource check that starts from the request's own resource.
#[must_use]
pub fn resource(question: Question) -> Value {
    Value::Authorization(Arc::new(Check::Resource(question)))
}

fn with(question: &Question, name: &'static str, text: &Arc<str>) -> Question {
    let mut question = question.clone();
    question.insert(name, text.clone());
    question
}

/// The functions, by name; `check` itself is the evaluator's.
pub fn call(name: &str, args: &[Value]) -> Outcome {
    let [Value::Authorization(check), rest @ ..] = args else {
        return Err(no_overload(name, args));
    };
    let empty = |text: &Arc<str>| text.trim().is_empty();
    let made = match (name, check.as_ref(), rest) {
        ("path", Check::Authorizer(question), [Value::String(path)]) => {
            if empty(path) {
                return Err(Fault::new("path must not be empty"));
            }
            Check::Path(with(question, "path", path))
        }
        ("group", Check::Authorizer(question), [Value::String(group)]) => {
            Check::Group(with(question, "group", group))
        }
        (
            "serviceAccount",
            Check::Authorizer(_),
            [Value::String(namespace), Value::String(account)],
        ) => {
            if !super::format::valid("dns1123Subdomain", account) {
                return Err(Fault::new("Invalid service account name"));
            }
            if !super::format::valid("dns1123Label", namespace) {
                return Err(Fault::new("Invalid service account namespace"));
            }
            Check::Authorizer(Question::from([
                ("serviceAccountNamespace", namespace.clone()),
                ("serviceAccountName", account.clone()),
            ]))
        }
        ("resource", Check::Group(question), [Value::String(resource)]) => {
            if empty(resource) {
                return Err(Fault::new("resource must not be empty"));
            }
            Check::Resource(with(question, "resource", resource))
        }
        (_, Check::Resource(question), [Value::String(text)]) => {
            let field = match name {
                "subresource" => "subresource",
                "namespace" => "namespace",
                "name" => "name",
                "fieldSelector" => "fieldSelector",
                "labelSelector" => "labelSelector",
                _ => return Err(no_overload(name, args)),
            };
            Check::Resource(with(question, field, text))
        }
        (_, Check::Decided(decision), []) => {
            return Ok(match name {
                "allowed" => Value::Bool(decision.allowed),
                "errored" => Value::Bool(!decision.error.is_empty()),
                "error" => Value::from(decision.error.as_str()),
                "reason" => Value::from(decision.reason.as_str()),
                _ => return Err(no_overload(name, args)),
            });
        }
        _ => return Err(no_overload(name, args)),
    };
    Ok(Value::Authorization(Arc::new(made)))
}
