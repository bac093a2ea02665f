//! Authentication, authorization and rate limits of the data plane, as decisions.
//!
//! Nothing here sends, reads files, waits or looks at a clock: the proxy brings the head of a
//! request, [`Facts`] about its connection and the time ([`Now`]), and does what the answer says.
//!
//! | module | concept |
//! | --- | --- |
//! | `config` | what may be configured |
//! | `authenticate` | who calls: [`Authenticator`] → [`Verdict`] |
//! | `jwt` | tokens, keys and their rotation |
//! | `authorize` | what he may: [`Authorizer`] → [`Decision`] |
//! | `limit` | how often: [`Limiter`] → [`Grant`] |
//! | `refusal` | every no, over HTTP, gRPC and gRPC-Web |
//! | `principal` `facts` | who and what is known |
//! | `pattern` `hash` | tools |
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod authenticate;
mod authorize;
pub mod config;
mod facts;
mod hash;
mod jwt;
mod limit;
mod pattern;
mod principal;
mod refusal;

pub use authenticate::{Accepted, Answer, Authenticator, Check, DueFetch, MAX_BODY, Verdict};
pub use authorize::{Authorizer, Decision};
pub use facts::{Facts, Now};
pub use jwt::{Fetch, MAX_JWKS, MAX_TOKEN, Token, TokenError};
pub use limit::{Bucket, Grant, Limiter, Pace, Subject, Table, Take};
pub use principal::{KeyHolder, Principal, Principals};
pub use refusal::{Extra, Flavor, Reason, Refusal, grpc_code, grpc_message};
