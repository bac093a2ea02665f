//! Field names: the common ones that the `http` crate has no constant for, without allocation.

use http::HeaderName;

use crate::error::Fault;

macro_rules! common {
    ($($name:literal)*) => {
        /// The name for these bytes.
        pub(crate) fn read(bytes: &[u8]) -> Result<HeaderName, Fault> {
            match bytes {
                $(_ if bytes.eq_ignore_ascii_case($name.as_bytes()) => {
                    const NAME: HeaderName = HeaderName::from_static($name);
                    Ok(NAME)
                })*
                _ => HeaderName::from_bytes(bytes).map_err(|_| Fault::FieldName),
            }
        }
    };
}

common! { "x-request-id" }
