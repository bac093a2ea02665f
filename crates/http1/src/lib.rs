//! HTTP/1.1 for proxies (RFC 9112): strict against smuggling, fast, small when idle.
//!
//! Nothing here spawns a task or opens a channel: every connection is polled inside the task of
//! its caller, and a body reads from the socket it came from.
//!
//! | module | concept |
//! | --- | --- |
//! | [`server`] | connections that clients opened: accept a request, respond |
//! | [`client`] | connections to upstreams: send a request, hand the connection back |
//! | `head` | heads: finding their end, rules of framing, writing them canonically |
//! | `decode` `chunked` | bodies as they come in |
//! | `encode` `output` | bodies as they go out, few writes |
//! | `input` `timer` | reading without a buffer while idle; deadlines without a clock |
//! | [`Limits`] [`Error`] [`Fault`] | how much is taken, what is refused and why |
//!
//! A message that is passed on is always written anew from its parts ([`http`] types), never as
//! the bytes that came in: fields that belong to one hop (`connection`, `keep-alive`,
//! `transfer-encoding` …) are taken off when a head is read and decided anew when one is written.
#![forbid(unsafe_code)]

mod chunked;
pub mod client;
mod decode;
mod encode;
mod error;
mod head;
mod input;
mod limits;
mod output;
pub mod server;
mod timer;

pub use error::{BoxError, Error, Fault};
pub use limits::Limits;
