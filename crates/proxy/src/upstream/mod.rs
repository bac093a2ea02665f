//! Where requests go: clusters, their endpoints, and what keeps requests off what is broken.
//!
//! | module | concept |
//! | --- | --- |
//! | `cluster` | a group of endpoints with its rules; stable while its configuration changes |
//! | `endpoint` | one address, its health and load |
//! | `view` `pick` `hashing` | who may be chosen now, and the choice |
//! | `pool` `dial` | connections, kept and made |
//! | `outlier` `breaker` | what answers badly is left alone; ceilings |
pub mod breaker;
pub mod cluster;
pub mod dial;
pub mod endpoint;
pub mod hashing;
pub mod outlier;
pub mod pick;
pub mod pool;
pub mod view;

pub use cluster::Cluster;
pub use endpoint::Endpoint;
