//! Python's view of the crate `wire`: objects as Go reads and writes them, bytes in, bytes out.

use cloudwright_wire::{Types, WireError as Error};
use pyo3::create_exception;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

create_exception!(
    _native,
    WireError,
    PyValueError,
    "(kind, message): malformed, deep, unknown, json or type."
);

fn raised(error: Error) -> PyErr {
    let kind = match error {
        Error::Malformed(_) | Error::Table(_) => "malformed",
        Error::TooDeep => "deep",
        Error::Unknown(_) => "unknown",
        Error::Json(_) => "json",
        Error::Type(_) => "type",
    };
    WireError::new_err((kind, error.to_string()))
}

/// The table of Go types.
#[pyclass(frozen)]
pub struct WireTypes {
    types: Types,
}

#[pymethods]
impl WireTypes {
    #[new]
    fn new(table: &str) -> Self {
        WireTypes {
            types: Types::new(table),
        }
    }

    fn knows(&self, name: &str) -> bool {
        self.types.knows(name)
    }

    fn decode<'py>(&self, py: Python<'py>, body: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let json = cloudwright_wire::decode(&self.types, body).map_err(raised)?;
        Ok(PyBytes::new(py, &json))
    }

    fn encode<'py>(&self, py: Python<'py>, json: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let body = cloudwright_wire::encode(&self.types, json).map_err(raised)?;
        Ok(PyBytes::new(py, &body))
    }

    fn encode_event<'py>(&self, py: Python<'py>, json: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let frame = cloudwright_wire::encode_event(&self.types, json).map_err(raised)?;
        Ok(PyBytes::new(py, &frame))
    }

    fn canonical<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        json: &[u8],
    ) -> PyResult<(Bound<'py, PyBytes>, Vec<String>)> {
        let found = cloudwright_wire::canonical(&self.types, name, json).map_err(raised)?;
        Ok((PyBytes::new(py, &found.json), found.unknown))
    }

    fn plain<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        json: &[u8],
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let found = cloudwright_wire::plain(&self.types, name, json).map_err(raised)?;
        Ok(found.map(|json| PyBytes::new(py, &json)))
    }
}

/// The canonical spelling of an amount; `None` when it is none.
#[pyfunction]
#[pyo3(signature = (text, *, milli = false))]
pub fn canonical_quantity(text: &str, milli: bool) -> Option<String> {
    cloudwright_wire::canonical_quantity(text, milli)
}
