//! Python's view of the crate `cel`: environments, programs and activations.
use std::sync::{Arc, Mutex, PoisonError};

use cloudwright_cel::{
    Activation, CompileError, Decision, Environment, Fault, Json, Program, Value, Variable,
};
use pyo3::create_exception;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyMapping, PyString};

use crate::values;

create_exception!(
    _native,
    CelError,
    PyValueError,
    "`(kind, message, line, column)`; kind is `compile`, `evaluate` or `budget`."
);

pub fn invalid(error: &CompileError) -> PyErr {
    let (line, column) = error.place();
    CelError::new_err(("compile", error.to_string(), line, column))
}

fn failed(fault: &Fault) -> PyErr {
    let kind = match fault {
        Fault::Budget => "budget",
        Fault::Failed(_) | Fault::Question => "evaluate",
    };
    CelError::new_err((kind, fault.to_string(), 0, 0))
}

/// A JSON value in the form that expressions read.
#[pyclass(frozen)]
pub struct CelDocument {
    pub value: Json,
}

#[pymethods]
impl CelDocument {
    #[new]
    fn new(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(CelDocument {
            value: values::from_python(value)?,
        })
    }
}

/// Declared variables.
#[pyclass(frozen)]
pub struct CelEnvironment {
    environment: Arc<Environment>,
}

fn declared(variables: &[u8]) -> PyResult<Vec<Variable>> {
    let given = Json::parse(variables).map_err(|error| PyValueError::new_err(error.to_string()))?;
    let Json::Object(given) = given else {
        return Err(PyValueError::new_err("variables are an object"));
    };
    let one = |(name, declaration): (&Arc<str>, &Json)| {
        let flag = |key: &str| {
            declaration
                .get(key)
                .and_then(Json::as_bool)
                .unwrap_or(false)
        };
        let dynamic = Json::from("dyn");
        let schema = declaration.get("schema").unwrap_or(&dynamic);
        Variable::declared(name, schema, flag("resource"), flag("optional"))
            .map_err(|error| invalid(&error))
    };
    given.iter().map(one).collect()
}

fn checked(program: &Program, result: &str) -> PyResult<()> {
    let found = program.result().to_string();
    if result == "any" || found == result {
        return Ok(());
    }
    let article = if result == "bool" {
        "cel expression"
    } else {
        "messageExpression"
    };
    let text = format!("{article} must evaluate to a {result}");
    Err(CelError::new_err(("compile", text, 0, 0)))
}

#[pymethods]
impl CelEnvironment {
    #[new]
    fn new(variables: &[u8], mutation: bool) -> PyResult<Self> {
        let environment = Arc::new(Environment::new(declared(variables)?, mutation));
        Ok(CelEnvironment { environment })
    }

    fn compile(&self, py: Python<'_>, source: &str, result: &str) -> PyResult<CelProgram> {
        let made = py.detach(|| self.environment.compile(source));
        let program = Arc::new(made.map_err(|error| invalid(&error))?);
        checked(&program, result)?;
        Ok(CelProgram {
            program,
            environment: self.environment.clone(),
        })
    }

    fn compose(&self, py: Python<'_>, name: &str, source: &str) -> PyResult<CelProgram> {
        let made = py.detach(|| self.environment.compose(name, source));
        Ok(CelProgram {
            program: made.map_err(|error| invalid(&error))?,
            environment: self.environment.clone(),
        })
    }
}

fn bind(environment: &Environment, bindings: &Bound<'_, PyAny>) -> PyResult<Activation> {
    let mut activation = environment.activation();
    let mut set = |name: &str, value: &Bound<'_, PyAny>| -> PyResult<()> {
        let Some(slot) = environment.slot(name) else {
            return Ok(());
        };
        let variable = &environment.variables()[slot];
        activation.values[slot] = Some(match value.cast::<CelDocument>() {
            Ok(document) => variable.value(&document.get().value),
            Err(_) => variable.value(&values::from_python(value)?),
        });
        Ok(())
    };
    if let Ok(dict) = bindings.cast::<PyDict>() {
        for (name, value) in dict.iter() {
            set(name.cast::<PyString>()?.to_str()?, &value)?;
        }
    } else {
        for item in bindings.cast::<PyMapping>()?.items()?.iter() {
            let (name, value) = item.extract::<(String, Bound<'_, PyAny>)>()?;
            set(&name, &value)?;
        }
    }
    Ok(activation)
}

/// Values of an environment's variables.
#[pyclass(frozen)]
pub struct CelActivation {
    activation: Mutex<Activation>,
    environment: Arc<Environment>,
}

impl CelActivation {
    fn lock(&self) -> std::sync::MutexGuard<'_, Activation> {
        self.activation
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl CelActivation {
    #[new]
    fn new(environment: &CelEnvironment, bindings: &Bound<'_, PyAny>) -> PyResult<Self> {
        let environment = environment.environment.clone();
        let activation = Mutex::new(bind(&environment, bindings)?);
        Ok(CelActivation {
            activation,
            environment,
        })
    }

    #[getter]
    fn cost(&self) -> u64 {
        self.lock().cost
    }

    fn question<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let activation = self.lock();
        let Some(question) = activation.question() else {
            return Ok(None);
        };
        let found = PyDict::new(py);
        for (name, text) in question {
            found.set_item(name, &**text)?;
        }
        Ok(Some(found))
    }

    fn answer(&self, allowed: bool, reason: String, error: String) {
        self.lock().answer(Decision {
            allowed,
            reason,
            error,
        });
    }
}

/// A compiled expression.
#[pyclass(frozen)]
pub struct CelProgram {
    program: Arc<Program>,
    environment: Arc<Environment>,
}

#[pymethods]
impl CelProgram {
    #[getter]
    fn r#type(&self) -> String {
        self.program.result().to_string()
    }

    fn uses(&self, variable: &str) -> bool {
        self.program.uses(variable)
    }

    fn evaluate<'py>(
        &self,
        py: Python<'py>,
        bindings: &Bound<'py, PyAny>,
        cost_limit: u64,
    ) -> PyResult<Bound<'py, PyAny>> {
        if let Ok(activation) = bindings.cast::<CelActivation>() {
            let activation = activation.get();
            if !Arc::ptr_eq(&activation.environment, &self.environment) {
                return Err(PyValueError::new_err(
                    "the activation is of another environment",
                ));
            }
            return self.run(py, &mut activation.lock(), cost_limit);
        }
        let mut activation = bind(&self.environment, bindings)?;
        self.run(py, &mut activation, cost_limit)
    }
}

impl CelProgram {
    fn run<'py>(
        &self,
        py: Python<'py>,
        activation: &mut Activation,
        limit: u64,
    ) -> PyResult<Bound<'py, PyAny>> {
        match self.program.evaluate(activation, limit) {
            Ok(Value::Bool(found)) => Ok(PyBool::new(py, found).to_owned().into_any()),
            Ok(found) => {
                let json = cloudwright_cel::result_json(&found).map_err(|fault| failed(&fault))?;
                values::to_python(py, &json)
            }
            Err(fault) => Err(failed(&fault)),
        }
    }
}
