//! The extension module `cloudwright._native`: thin wrappers, no logic of its own.
use pyo3::prelude::*;

#[pymodule]
mod _native {
    use super::pyfunction_version;
    #[pymodule_export]
    use pyfunction_version::version;
}

mod pyfunction_version {
    use pyo3::prelude::*;

    /// The version of the native parts, to be compared with the package's own.
    #[pyfunction]
    pub fn version() -> &'static str {
        env!("CARGO_PKG_VERSION")
    }
}
