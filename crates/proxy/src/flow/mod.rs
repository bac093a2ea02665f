//! A request's way: from its head to the last byte of its answer, in the task of its client.
//!
//! | module | concept |
//! | --- | --- |
//! | `body` `pump` | message bodies, and sending one over HTTP/2 |
//! | `replay` | bodies that several attempts can read |
//! | `attempt` | one request to one endpoint |
//! | `forward` | attempts, deadlines, hedges and copies |
//! | `exchange` | the rule that a request meets, and what it makes of it |
//! | `filtering` | filters in Python |
//! | `affinity` | what keeps a client at an endpoint |
//! | `grpc` | gRPC-Web and JSON, turned into gRPC and back |
//! | `finish` | what is counted and logged at the end |
pub mod affinity;
pub mod attempt;
pub mod body;
pub mod exchange;
pub mod filtering;
pub mod finish;
pub mod forward;
pub mod grpc;
pub mod pump;
pub mod replay;
