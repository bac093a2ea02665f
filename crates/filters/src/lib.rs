//! Filters in Python, seen from the proxy: which requests they are for, what their host process is
//! asked, what is done with its answers, and what is done without them.
//!
//! ```text
//! let (client, host) = Host::new(options);       // the host's supervisor
//! tokio::spawn(host.run(shutdown));              // starts it, restarts it
//! let loaded = client.ready().await?;            // before the first request is served
//!
//! if let Some(chain) = client.chain(&parts) {    // None: no filter matches; nothing was sent
//!     match chain.request(&parts, &origin, end).await {
//!         Verdict::Continue(changes) => changes.apply_request(&mut parts),
//!         Verdict::Respond(answer) => return answer.into_response(),
//!     }
//!     let body = chain.request_body(body);        // the same body when no filter wants it
//!     …
//!     match chain.response(&response_parts, end).await { … }
//!     let body = chain.response_body(body);
//! }
//! ```
//!
//! - [`matcher`], [`table`]: which filters are for a request, decided here without the host
//! - [`protocol`], [`mutation`]: the frames, and changes applied to a message
//! - [`circuit`], [`stats`]: each filter's budget and figures
//! - [`link`](crate::link), [`io`](crate::io): calls under way, and the socket that carries them
//! - [`client`], [`chain`], [`body`]: what the proxy calls
//! - [`host`]: the process, its start and restart

pub mod body;
pub mod chain;
pub mod circuit;
pub mod client;
pub mod declaration;
pub mod event;
pub mod host;
mod io;
mod link;
pub mod matcher;
pub mod mutation;
pub mod protocol;
pub mod stats;
pub mod table;

pub use body::{BodyError, FilteredBody};
pub use chain::{Chain, Origin, Verdict};
pub use client::{Client, Loaded, NotReady};
pub use event::{Event, Report};
pub use host::{Host, Options};
pub use mutation::{Answer, Mutations};
pub use stats::Figures;
