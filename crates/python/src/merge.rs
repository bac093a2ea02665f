//! Python's view of the crate `merge`: field ownership and server-side apply on JSON bytes.

use std::cell::RefCell;

use cloudwright_merge::{
    Element, Managed, Managers, MergeError as Error, Request, Schema, Set, Value, Versions,
};
use pyo3::create_exception;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

create_exception!(
    _native,
    MergeError,
    PyValueError,
    "An object does not fit its schema, or managed fields are none."
);
create_exception!(
    _native,
    MergePatchError,
    MergeError,
    "The applied configuration does not fit its schema."
);
create_exception!(
    _native,
    MergeConflict,
    MergeError,
    "Others own fields: the argument is a list of (manager, field)."
);

fn raised(error: Error) -> PyErr {
    match error {
        Error::Conflicts(found) => {
            let pairs: Vec<(String, String)> = found
                .into_iter()
                .map(|one| (one.manager, one.field))
                .collect();
            MergeConflict::new_err((pairs,))
        }
        Error::Patch(text) => MergePatchError::new_err(text),
        other => MergeError::new_err(other.to_string()),
    }
}

fn json(text: &[u8]) -> PyResult<serde_json::Value> {
    serde_json::from_slice(text).map_err(|error| MergeError::new_err(error.to_string()))
}

/// The compiled types of one kind in one version.
#[pyclass(frozen)]
pub struct MergeSchema {
    schema: Schema,
}

#[pymethods]
impl MergeSchema {
    /// The type of objects that no schema describes.
    #[staticmethod]
    fn untyped() -> Self {
        MergeSchema {
            schema: Schema::untyped(),
        }
    }

    /// A built-in kind: definition `name` of `definitions` (JSON).
    #[staticmethod]
    fn from_definitions(definitions: &[u8], shapes: &[u8], name: &str) -> PyResult<Self> {
        let schema = Schema::from_definitions(&json(definitions)?, &json(shapes)?, name);
        Ok(MergeSchema {
            schema: schema.map_err(raised)?,
        })
    }

    /// A custom kind from its structural schema (JSON).
    #[staticmethod]
    fn from_structural(
        schema: &[u8],
        definitions: &[u8],
        meta: &str,
        preserve: bool,
    ) -> PyResult<Self> {
        let found = Schema::from_structural(&json(schema)?, &json(definitions)?, meta, preserve);
        Ok(MergeSchema {
            schema: found.map_err(raised)?,
        })
    }

    /// The object as Go's structs write it.
    fn shape<'py>(&self, py: Python<'py>, obj: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let mut value = Value::parse(obj).map_err(raised)?;
        self.schema.shape(self.schema.root(), &mut value);
        Ok(written(py, &value))
    }
}

/// Fields that a strategy resets.
#[pyclass(frozen)]
pub struct MergeFields {
    set: Set<'static>,
}

#[pymethods]
impl MergeFields {
    #[new]
    fn new(paths: Vec<Vec<String>>) -> Self {
        let mut set = Set::default();
        for path in paths {
            let steps: Vec<Element<'static>> = path
                .into_iter()
                .map(|step| Element::Field(step.into()))
                .collect();
            set.insert(&steps);
        }
        MergeFields { set }
    }
}

/// Other versions: their schemas, and a function of Python that converts objects.
struct Others<'s> {
    schemas: &'s [(String, Bound<'s, MergeSchema>)],
    convert: Option<Bound<'s, PyAny>>,
    /// What the function raised: the caller is told, whatever became of the merge.
    raised: RefCell<Option<PyErr>>,
}

impl Others<'_> {
    fn raised<T>(&self, done: Result<T, Error>) -> PyResult<T> {
        match self.raised.take() {
            Some(error) => Err(error),
            None => done.map_err(raised),
        }
    }
}

impl<'s> Versions<'s> for Others<'s> {
    fn schema(&self, api_version: &str) -> Option<&'s Schema> {
        let found = self.schemas.iter().find(|(name, _)| name == api_version);
        found.map(|(_, schema)| &schema.get().schema)
    }

    fn convert(&self, object: &Value<'_>, api_version: &str) -> Result<Value<'static>, Error> {
        let failed = |error: PyErr| {
            let text = format!("failed to convert: {error}");
            self.raised.replace(Some(error));
            Error::Typed(text)
        };
        let Some(convert) = &self.convert else {
            return Err(Error::Typed("no conversion is known".to_owned()));
        };
        let mut text = Vec::new();
        object.write(&mut text);
        let given = PyBytes::new(convert.py(), &text);
        let found = convert.call1((given, api_version)).map_err(failed)?;
        let found = found
            .cast::<PyBytes>()
            .map_err(|error| failed(error.into()))?;
        Ok(Value::parse(found.as_bytes())?.into_owned())
    }
}

fn written<'py>(py: Python<'py>, value: &Value<'_>) -> Bound<'py, PyBytes> {
    let mut text = Vec::with_capacity(1024);
    value.write(&mut text);
    PyBytes::new(py, &text)
}

type Lists<'py> = (Option<Bound<'py, PyBytes>>, Option<Bound<'py, PyBytes>>);

fn lists<'py>(py: Python<'py>, managed: &Managed) -> Lists<'py> {
    let bytes = |list: &Option<Vec<u8>>| list.as_ref().map(|list| PyBytes::new(py, list));
    (bytes(&managed.fields), bytes(&managed.same))
}

/// The owners after a create, update or patch: see `_native.pyi`.
#[pyfunction]
#[pyo3(signature = (schema, live, new, api_version, manager, subresource, now, ignored, schemas=Vec::new(), convert=None))]
#[allow(clippy::too_many_arguments)]
pub fn managed_update<'py>(
    py: Python<'py>,
    schema: &Bound<'py, MergeSchema>,
    live: Option<&[u8]>,
    new: &[u8],
    api_version: &str,
    manager: &str,
    subresource: &str,
    now: &str,
    ignored: &Bound<'py, MergeFields>,
    schemas: Vec<(String, Bound<'py, MergeSchema>)>,
    convert: Option<Bound<'py, PyAny>>,
) -> PyResult<Lists<'py>> {
    let others = Others {
        schemas: &schemas,
        convert,
        raised: RefCell::new(None),
    };
    let request = Request {
        schema: &schema.get().schema,
        api_version,
        manager,
        subresource,
        now,
        ignored: &ignored.get().set,
        versions: &others,
    };
    let live = live.map(Value::parse).transpose().map_err(raised)?;
    let new = Value::parse(new).map_err(raised)?;
    let managed = others.raised(cloudwright_merge::update(&request, live, new))?;
    Ok(lists(py, &managed))
}

type AppliedObject<'py> = (
    Bound<'py, PyBytes>,
    Option<Bound<'py, PyBytes>>,
    Option<Bound<'py, PyBytes>>,
);

/// The object and its owners after a server-side apply: see `_native.pyi`.
#[pyfunction]
#[pyo3(signature = (schema, live, patch, api_version, manager, subresource, now, ignored, force, schemas=Vec::new(), convert=None))]
#[allow(clippy::too_many_arguments)]
pub fn managed_apply<'py>(
    py: Python<'py>,
    schema: &Bound<'py, MergeSchema>,
    live: Option<&[u8]>,
    patch: &[u8],
    api_version: &str,
    manager: &str,
    subresource: &str,
    now: &str,
    ignored: &Bound<'py, MergeFields>,
    force: bool,
    schemas: Vec<(String, Bound<'py, MergeSchema>)>,
    convert: Option<Bound<'py, PyAny>>,
) -> PyResult<AppliedObject<'py>> {
    let others = Others {
        schemas: &schemas,
        convert,
        raised: RefCell::new(None),
    };
    let request = Request {
        schema: &schema.get().schema,
        api_version,
        manager,
        subresource,
        now,
        ignored: &ignored.get().set,
        versions: &others,
    };
    let live = live.map(Value::parse).transpose().map_err(raised)?;
    let patch = Value::parse(patch).map_err(raised)?;
    let annotation = live.as_ref().and_then(cloudwright_merge::last_applied_of);
    let annotation = annotation.map(str::to_owned);
    let last = annotation
        .as_ref()
        .and_then(|text| Value::parse(text.as_bytes()).ok());
    let applied = cloudwright_merge::apply(&request, live, &patch, last.as_ref(), force);
    let applied = others.raised(applied)?;
    let (fields, same) = lists(py, &applied.managed);
    Ok((written(py, &applied.object), fields, same))
}

/// Why a `managedFields` list (JSON) is none; `None`: it is one.
#[pyfunction]
pub fn managed_problem(managed: &[u8]) -> Option<String> {
    let found = Value::parse(managed).and_then(|value| Managers::from_value(&value).map(|_| ()));
    found.err().map(|error| error.to_string())
}

/// The owners that a Scale shows of an object's.
#[pyfunction]
pub fn managed_scale<'py>(
    py: Python<'py>,
    managed: &[u8],
    replicas: Vec<(String, String)>,
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let managed = Value::parse(managed).map_err(raised)?;
    let found = cloudwright_merge::scale_to(&managed, &replicas).map_err(raised)?;
    Ok(found.map(|list| PyBytes::new(py, &list)))
}

/// The owners of an object after those of its Scale have changed.
#[pyfunction]
pub fn managed_unscale<'py>(
    py: Python<'py>,
    managed: &[u8],
    scale: &[u8],
    api_version: &str,
    replicas: Vec<(String, String)>,
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let managed = Value::parse(managed).map_err(raised)?;
    let scale = Value::parse(scale).map_err(raised)?;
    let found = cloudwright_merge::scale_from(&managed, &scale, api_version, &replicas);
    Ok(found.map_err(raised)?.map(|list| PyBytes::new(py, &list)))
}
