//! The data plane: one program in two roles, the gateway at the edge and the sidecar in each pod.
//!
//! From a configuration (a file, or a control plane by xDS), in folders with a door of their own:
//! `plane` (what is in force), `routing`, `flow` (a request's way), `upstream` (clusters),
//! `credentials`, `telemetry`; above the crates `http1`, `http2`, `config`, `xds`, `guard`, `filters`.
//!
//! In the mesh, from its snapshot, above hyper (to be moved onto the same folders):
//!
//! | module | concept |
//! | --- | --- |
//! | `cli` `bootstrap` `run` `rest` | start and end of the process |
//! | `snapshot` `table` `router` `balance` | where a request goes |
//! | `inbound` `outbound` `gateway` `exchange` `serve` `tunnel` | the ways through the proxy |
//! | `forward` `retry` `body` `endpoint` `app` | upstream: attempts, replay, connections |
//! | `tls` `identity` | who the peers are |
//! | `dns` `dns_server` | names of the mesh |
//! | `admin` `probe` `drain` `watch` `proxy` | what the platform sees and steers |
//! | `record` `accesslog` `metrics` `headers` `respond` | what is told about a request |
#![forbid(unsafe_code)]

mod accesslog;
mod admin;
mod app;
mod balance;
mod body;
mod bootstrap;
mod cli;
mod credentials;
mod dns;
mod dns_server;
mod drain;
mod endpoint;
mod exchange;
mod flow;
mod forward;
mod gateway;
mod headers;
mod identity;
mod inbound;
mod io;
mod metrics;
mod outbound;
mod plane;
mod probe;
mod proxy;
mod record;
mod respond;
mod rest;
mod retry;
mod router;
mod routing;
mod run;
mod serve;
mod snapshot;
mod table;
mod telemetry;
mod tls;
mod tunnel;
mod upstream;
mod watch;

pub use cli::main;
