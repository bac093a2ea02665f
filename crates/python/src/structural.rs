//! Python's view of the crate `structural`: the schemas of custom resources.
use cloudwright_cel::Json;
use cloudwright_structural::{Shown, Structure, Verdict};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::values;

/// `(path, reason, message, shown, value)`.
type Row<'py> = (String, &'static str, String, bool, Bound<'py, PyAny>);
/// `(path, field, source, message)`.
type RuleRow = (String, &'static str, String, String);

/// A compiled structural schema; thread-safe.
#[pyclass(frozen)]
pub struct StructuralSchema {
    structure: Structure,
}

fn rows<'py>(py: Python<'py>, verdict: Verdict) -> PyResult<Vec<Row<'py>>> {
    let row = |problem: cloudwright_structural::Problem| {
        let (shown, value) = match &problem.shown {
            Shown::Value(value) => (true, values::to_python(py, value)?),
            Shown::Omitted => (false, py.None().into_bound(py)),
        };
        Ok((problem.path, problem.reason, problem.message, shown, value))
    };
    verdict.problems.into_iter().map(row).collect()
}

/// Why a text is no regular expression as Go writes them; empty when it is one.
#[pyfunction]
pub fn pattern_problem(text: &str) -> String {
    cloudwright_cel::compile_pattern(text)
        .err()
        .unwrap_or_default()
}

#[pymethods]
impl StructuralSchema {
    /// From the JSON of a schema.
    #[new]
    fn new(schema: &[u8]) -> PyResult<Self> {
        let schema =
            Json::parse(schema).map_err(|error| PyValueError::new_err(error.to_string()))?;
        Ok(StructuralSchema {
            structure: Structure::new(&schema),
        })
    }

    #[getter]
    fn has_defaults(&self) -> bool {
        self.structure.has_defaults()
    }

    /// What is wrong with the schema's rules: `(path, field, source, message)`.
    fn rule_problems(&self, py: Python<'_>) -> Vec<RuleRow> {
        let found = py.detach(|| self.structure.rule_problems());
        let row = |one: cloudwright_structural::RuleProblem| {
            (one.path, one.field, one.source, one.message)
        };
        found.into_iter().map(row).collect()
    }

    /// What each expression of a rule can cost at most: `(path, field, cost)`.
    fn rule_costs(&self, py: Python<'_>) -> Vec<(String, &'static str, u64)> {
        let found = py.detach(|| self.structure.rule_costs());
        found
            .into_iter()
            .map(|one| (one.path, one.field, one.cost))
            .collect()
    }

    /// `(object, unknown paths)`: pruned, with defaults; the object is `None` when it is as it was.
    fn prepare<'py>(
        &self,
        py: Python<'py>,
        object: &Bound<'py, PyAny>,
    ) -> PyResult<(Option<Bound<'py, PyAny>>, Vec<String>)> {
        let mut json = values::from_python(object)?;
        let unknown = self.structure.prune(&mut json);
        let filled = self.structure.fill(&mut json);
        if unknown.is_empty() && !filled {
            return Ok((None, unknown));
        }
        Ok((Some(values::to_python(py, &json)?), unknown))
    }

    /// The JSON of an object, pruned and with defaults; `None`: as it was.
    fn refresh<'py>(
        &self,
        py: Python<'py>,
        object: &[u8],
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let mut json =
            Json::parse(object).map_err(|error| PyValueError::new_err(error.to_string()))?;
        let pruned = !self.structure.prune(&mut json).is_empty();
        if !self.structure.fill(&mut json) && !pruned {
            return Ok(None);
        }
        Ok(Some(PyBytes::new(py, json.to_string().as_bytes())))
    }

    /// `None` when nothing is wrong, else `(problems, warnings)`.
    ///
    /// A problem is `(path, reason, message, shown, value)`. With `old`, what did not change is
    /// tolerated.
    #[pyo3(signature = (new, old = None))]
    fn validate<'py>(
        &self,
        py: Python<'py>,
        new: &Bound<'py, PyAny>,
        old: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Option<(Vec<Row<'py>>, Bound<'py, PyList>)>> {
        let new = values::from_python(new)?;
        // The old object is only looked at when something is wrong, or compared with it.
        if old.is_some() && !self.structure.compares() {
            let verdict = self.structure.validate(&new, None);
            if verdict.problems.is_empty() {
                return Ok(None);
            }
        }
        let old = old.map(values::from_python).transpose()?;
        let mut verdict = self.structure.validate(&new, old.as_ref());
        if verdict.problems.is_empty() && verdict.warnings.is_empty() {
            return Ok(None);
        }
        let warnings = PyList::new(py, std::mem::take(&mut verdict.warnings))?;
        Ok(Some((rows(py, verdict)?, warnings)))
    }
}
