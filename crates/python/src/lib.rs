//! The extension module `cloudwright._native`: thin wrappers, no logic of their own.
mod cel;
mod face;
mod layers;
mod merge;
mod structural;
mod values;
mod wire;

use pyo3::prelude::*;

#[pymodule]
mod _native {
    #[pymodule_export]
    use crate::cel::{CelActivation, CelDocument, CelEnvironment, CelError, CelProgram};
    #[pymodule_export]
    use crate::face::FaceServer;
    #[pymodule_export]
    use crate::layers::{LayerError, compress_layer, extract_layer};
    #[pymodule_export]
    use crate::merge::{
        MergeConflict, MergeError, MergeFields, MergePatchError, MergeSchema, managed_apply,
        managed_problem, managed_scale, managed_unscale, managed_update,
    };
    #[pymodule_export]
    use crate::structural::{StructuralSchema, pattern_problem};
    #[pymodule_export]
    use crate::version;
    #[pymodule_export]
    use crate::wire::{WireError, WireTypes, canonical_quantity};
}

/// The version of the native parts, to be compared with the package's own.
#[pyfunction]
fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
