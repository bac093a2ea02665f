//! JSON values between Python and Rust.
use std::sync::Arc;

use cloudwright_cel::{Fields, Json};
use pyo3::exceptions::{PyRecursionError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

const DEPTH_MAX: usize = 500;

/// The JSON value of a Python one: what `json` would write, or the bytes of JSON.
pub fn from_python(value: &Bound<'_, PyAny>) -> PyResult<Json> {
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Json::parse(bytes.as_bytes())
            .map_err(|error| PyValueError::new_err(error.to_string()));
    }
    convert(value, 0)
}

fn convert(value: &Bound<'_, PyAny>, depth: usize) -> PyResult<Json> {
    if depth > DEPTH_MAX {
        return Err(PyRecursionError::new_err("the value is nested too deeply"));
    }
    // In the order of how often they occur.
    if let Ok(text) = value.cast_exact::<PyString>() {
        return Ok(Json::String(Arc::from(text.to_str()?)));
    }
    if let Ok(dict) = value.cast_exact::<PyDict>() {
        let mut members = Vec::with_capacity(dict.len());
        for (name, inner) in dict.iter() {
            let name = name.cast::<PyString>()?;
            members.push((Arc::from(name.to_str()?), convert(&inner, depth + 1)?));
        }
        return Ok(Json::Object(Arc::new(Fields::new(members))));
    }
    if let Ok(list) = value.cast_exact::<PyList>() {
        let items = list.iter().map(|inner| convert(&inner, depth + 1));
        return Ok(Json::List(Arc::new(items.collect::<PyResult<_>>()?)));
    }
    if let Ok(flag) = value.cast_exact::<PyBool>() {
        return Ok(Json::Bool(flag.is_true()));
    }
    if value.is_none() {
        return Ok(Json::Null);
    }
    other(value, depth)
}

fn other(value: &Bound<'_, PyAny>, depth: usize) -> PyResult<Json> {
    if value.cast::<PyInt>().is_ok() {
        if let Ok(number) = value.extract::<i64>() {
            return Ok(Json::Int(number));
        }
        return Ok(match value.extract::<u64>() {
            Ok(number) => Json::Uint(number),
            Err(_) => Json::Double(value.extract::<f64>()?),
        });
    }
    if let Ok(number) = value.cast::<PyFloat>() {
        return Ok(Json::Double(number.value()));
    }
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(Json::String(Arc::from(text.to_str()?)));
    }
    if let Ok(dict) = value.cast::<PyDict>() {
        return convert(dict.copy()?.as_any(), depth);
    }
    if let Ok(items) = value.cast::<PyTuple>() {
        let items = items.iter().map(|inner| convert(&inner, depth + 1));
        return Ok(Json::List(Arc::new(items.collect::<PyResult<_>>()?)));
    }
    let kind = value.get_type().name()?.to_string();
    Err(PyTypeError::new_err(format!("a {kind} is no JSON value")))
}

/// The Python value of a JSON one.
pub fn to_python<'py>(py: Python<'py>, value: &Json) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Json::Null => py.None().into_bound(py),
        Json::Bool(flag) => PyBool::new(py, *flag).to_owned().into_any(),
        Json::Int(number) => number.into_pyobject(py)?.into_any(),
        Json::Uint(number) => number.into_pyobject(py)?.into_any(),
        Json::Double(number) => PyFloat::new(py, *number).into_any(),
        Json::String(text) => PyString::new(py, text).into_any(),
        Json::List(items) => {
            let list = PyList::empty(py);
            for item in items.iter() {
                list.append(to_python(py, item)?)?;
            }
            list.into_any()
        }
        Json::Object(fields) => {
            let dict = PyDict::new(py);
            for (name, inner) in fields.iter() {
                dict.set_item(&**name, to_python(py, inner)?)?;
            }
            dict.into_any()
        }
    })
}
