//! Environments, and programs compiled in them.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use crate::check::{self, Scope};
use crate::convert;
use crate::error::{CompileError, Fault};
use crate::estimate;
use crate::eval::{self, Activation};
use crate::functions::authz;
use crate::json::Json;
use crate::parse;
use crate::plan::{self, Node, Slots, Source};
use crate::schema::Schema;
use crate::types::{self, Type};
use crate::value::{Outcome, Value};

const STACK: usize = 256 * 1024 * 1024;
const DEPTH_MAX: usize = 1000;

/// What a variable's values are.
#[derive(Clone, Debug)]
enum Kind {
    Json(Arc<Schema>),
    Text(Type),
}

/// A declared variable.
#[derive(Clone, Debug)]
pub struct Variable {
    name: Arc<str>,
    kind: Kind,
    optional: bool,
}

impl Variable {
    /// A variable whose values have a schema.
    #[must_use]
    pub fn with_schema(name: &str, schema: Arc<Schema>, optional: bool) -> Self {
        Variable {
            name: Arc::from(name),
            kind: Kind::Json(schema),
            optional,
        }
    }

    /// A variable from its declaration: a type's text, or a schema.
    pub fn declared(
        name: &str,
        declaration: &Json,
        resource: bool,
        optional: bool,
    ) -> Result<Self, CompileError> {
        let bad = || CompileError::plain(format!("the variable {name} has no type"));
        let kind = match declaration {
            Json::String(text) if &**text == "dyn" => Kind::Json(Schema::dynamic().clone()),
            Json::String(text) => Kind::Text(types::parse(text).ok_or_else(bad)?),
            schema => Kind::Json(Schema::of(schema, resource, name).ok_or_else(bad)?),
        };
        Ok(Variable {
            name: Arc::from(name),
            kind,
            optional,
        })
    }

    fn value_type(&self) -> Type {
        let inner = match &self.kind {
            Kind::Json(schema) => Type::of(schema),
            Kind::Text(found) => found.clone(),
        };
        if self.optional {
            Type::optional(inner)
        } else {
            inner
        }
    }

    /// The value of the variable that a JSON value stands for.
    pub fn value(&self, json: &Json) -> Outcome {
        if self.optional && matches!(json, Json::Null) {
            return Ok(Value::Optional(None));
        }
        let found = match &self.kind {
            Kind::Json(schema) => convert::from_json(json, schema)?,
            Kind::Text(Type::Struct(name)) if name.ends_with(".ResourceCheck") => {
                authz::resource(question(json))
            }
            Kind::Text(_) => convert::from_json(json, Schema::dynamic())?,
        };
        Ok(if self.optional {
            Value::Optional(Some(Arc::new(found)))
        } else {
            found
        })
    }

    /// The value of a variable that needs none to be given.
    #[must_use]
    pub fn given(&self) -> Option<Outcome> {
        match &self.kind {
            Kind::Text(Type::Struct(name)) if name.ends_with(".Authorizer") => {
                Some(Ok(authz::authorizer()))
            }
            _ if self.optional => Some(Ok(Value::Optional(None))),
            _ => None,
        }
    }
}

fn question(json: &Json) -> authz::Question {
    let names = ["group", "resource", "subresource", "namespace", "name"];
    let text = |name: &str| json.get(name).and_then(Json::as_str).map(Arc::from);
    names
        .into_iter()
        .filter_map(|name| Some((name, text(name)?)))
        .collect()
}

/// Declared variables, and those composed of others.
#[derive(Debug, Default)]
pub struct Environment {
    variables: Vec<Variable>,
    mutation: bool,
    composed: RwLock<Composed>,
}

type Composed = Arc<BTreeMap<Arc<str>, Arc<Program>>>;

/// A compiled expression. Evaluating it changes nothing in it.
#[derive(Debug)]
pub struct Program {
    pub(crate) root: Node,
    pub(crate) slots: usize,
    pub(crate) variables: Vec<Arc<str>>,
    pub(crate) composed: Composed,
    used: BTreeSet<String>,
    result: Type,
    most: u64,
}

struct View<'a> {
    environment: &'a Environment,
    composed: &'a Composed,
}

impl Scope for View<'_> {
    fn variable(&self, name: &str) -> Option<Type> {
        if let Some(found) = self
            .environment
            .variables
            .iter()
            .find(|one| *one.name == *name)
        {
            return Some(found.value_type());
        }
        if name == "variables" && !self.composed.is_empty() {
            return Some(Type::Struct(Arc::from("kubernetes.variables")));
        }
        self.composed
            .get(name)
            .map(|program| program.result.clone())
    }

    fn mutation(&self) -> bool {
        self.environment.mutation
    }
}

impl Slots for View<'_> {
    fn source_of(&self, name: &str) -> Option<Source> {
        let given = self
            .environment
            .variables
            .iter()
            .position(|one| *one.name == *name);
        given
            .map(Source::Given)
            .or_else(|| self.composed.contains_key(name).then_some(Source::Composed))
    }
}

impl Environment {
    /// An environment; with `mutation` also `Object{…}` and `JSONPatch{…}`.
    #[must_use]
    pub fn new(variables: Vec<Variable>, mutation: bool) -> Self {
        Environment {
            variables,
            mutation,
            composed: RwLock::default(),
        }
    }

    /// The schema of `self`, which estimates of cost look sizes up in.
    fn root(&self) -> Option<&Arc<Schema>> {
        let this = self.variables.iter().find(|one| &*one.name == "self")?;
        match &this.kind {
            Kind::Json(schema) => Some(schema),
            Kind::Text(_) => None,
        }
    }

    /// The declared variables, by slot.
    #[must_use]
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// The slot of a variable.
    #[must_use]
    pub fn slot(&self, name: &str) -> Option<usize> {
        self.variables.iter().position(|one| *one.name == *name)
    }

    /// The program of an expression.
    ///
    /// # Errors
    ///
    /// It is not valid.
    pub fn compile(&self, source: &str) -> Result<Program, CompileError> {
        let composed = self
            .composed
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        // Long expressions nest deeply in the parser: it gets a stack of its own.
        std::thread::scope(|threads| {
            let work = std::thread::Builder::new()
                .name("cel-compiler".to_owned())
                .stack_size(STACK)
                .spawn_scoped(threads, || self.compile_here(source, composed));
            match work.map(std::thread::ScopedJoinHandle::join) {
                Ok(Ok(found)) => found,
                Ok(Err(_)) => Err(CompileError::plain("the parser failed on the expression")),
                Err(error) => Err(CompileError::plain(format!(
                    "no thread to compile in: {error}"
                ))),
            }
        })
    }

    fn compile_here(&self, source: &str, composed: Composed) -> Result<Program, CompileError> {
        let parsed = parse::parse(source)?;
        if parse::depth(&parsed.expression) > DEPTH_MAX {
            return Err(CompileError::plain(format!(
                "expression recursion limit exceeded: {DEPTH_MAX}"
            )));
        }
        let view = View {
            environment: self,
            composed: &composed,
        };
        let checked = check::check(source, &parsed, &view)?;
        let planned = plan::plan(source, &parsed, &checked, &view)?;
        let most = estimate::most(&parsed, &checked, self.root());
        Ok(Program {
            root: planned.root,
            slots: planned.slots,
            variables: self.variables.iter().map(|one| one.name.clone()).collect(),
            composed,
            used: checked.used,
            result: checked.result,
            most,
        })
    }

    /// Declare `variables.NAME` for the expressions that are compiled from now on.
    ///
    /// # Errors
    ///
    /// The expression is not valid.
    pub fn compose(&self, name: &str, source: &str) -> Result<Arc<Program>, CompileError> {
        let program = Arc::new(self.compile(source)?);
        let mut composed = self
            .composed
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let mut all = composed.as_ref().clone();
        all.insert(Arc::from(format!("variables.{name}")), program.clone());
        *composed = Arc::new(all);
        Ok(program)
    }

    /// An activation with what needs not be given.
    #[must_use]
    pub fn activation(&self) -> Activation {
        Activation::new(self.variables.iter().map(Variable::given).collect())
    }
}

impl Program {
    /// The static type of the result.
    #[must_use]
    pub fn result(&self) -> &Type {
        &self.result
    }

    /// The most that it is estimated to cost, by the bounds that the schema of `self` gives.
    #[must_use]
    pub fn most(&self) -> u64 {
        self.most
    }

    /// Whether it refers to a declared variable.
    #[must_use]
    pub fn uses(&self, name: &str) -> bool {
        self.used.contains(name)
    }

    /// Evaluate it.
    ///
    /// # Errors
    ///
    /// The evaluation failed, or it cost more than `limit`.
    pub fn evaluate(&self, activation: &mut Activation, limit: u64) -> Outcome {
        eval::run(self, activation, limit)
    }

    /// Evaluate it to JSON.
    ///
    /// # Errors
    ///
    /// Like `evaluate`; also when the result has no JSON form, or objects have wrong type names.
    pub fn evaluate_json(&self, activation: &mut Activation, limit: u64) -> Result<Json, Fault> {
        result_json(&self.evaluate(activation, limit)?)
    }
}

/// A result as JSON.
///
/// # Errors
///
/// It has no JSON form, or objects in it have wrong type names.
pub fn result_json(found: &Value) -> Result<Json, Fault> {
    if let Value::Struct(one) = found {
        let mut wrong = Vec::new();
        type_names(found, &one.name, &mut wrong);
        if !wrong.is_empty() {
            return Err(Fault::new(wrong.join("\n")));
        }
    }
    convert::to_json(found)
}

/// Objects in objects are called after the fields they stand in.
fn type_names(value: &Value, expected: &str, wrong: &mut Vec<String>) {
    match value {
        Value::Struct(one) if &*one.name == "JSONPatch" => {}
        Value::Struct(one) => {
            if *one.name != *expected {
                wrong.push(format!(
                    "unexpected type name {:?}, expected {expected:?}, which matches field name \
                     path from root Object type",
                    &*one.name
                ));
            }
            for (field, inner) in &one.fields {
                type_names(inner, &format!("{expected}.{field}"), wrong);
            }
        }
        Value::List(list) => {
            for inner in list.iter().flatten() {
                type_names(&inner, expected, wrong);
            }
        }
        Value::Map(map) => {
            for key in map.keys() {
                if let Some(Ok(inner)) = map.find(&key) {
                    type_names(&inner, expected, wrong);
                }
            }
        }
        _ => {}
    }
}
