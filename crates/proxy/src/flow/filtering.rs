//! The filters of a request, which run in a process of their own.
use cloudwright_filters::{Chain, Event, FilteredBody, Origin, Verdict};
use http::{Request, Response, header, request::Parts};
use http_body::Body as _;

use super::{
    body::{Body, Source},
    exchange::Client,
};
use crate::plane::shared::Shared;

/// Says on standard error what an operator wants to read.
pub fn report(event: Event) {
    match event {
        Event::Loaded { filters } => eprintln!("filters: {}", filters.join(", ")),
        other => eprintln!("filters: {other:?}"),
    }
}

/// The filters that match; most requests have none, and nothing was sent then.
#[must_use]
pub fn chain(shared: &Shared, parts: &Parts) -> Option<Chain> {
    shared.filters.get()?.chain(parts)
}

/// A body as the filters of `chain` leave it.
fn body(filtered: FilteredBody<Body>) -> Body {
    Source::Filtered(Box::new(filtered)).into()
}

/// Asks about a request: it goes on changed, or is answered.
///
/// # Errors
/// The answer.
pub async fn request(
    client: &Client,
    chain: &Chain,
    route: &str,
    message: Request<Body>,
) -> Result<Request<Body>, Response<Body>> {
    let (mut parts, incoming) = message.into_parts();
    let origin = Origin {
        client: client.peer.map(|peer| peer.ip()),
        https: client.secure,
        route,
        identity: client.identity.as_deref().unwrap_or_default(),
    };
    match chain
        .request(&parts, &origin, incoming.is_end_stream())
        .await
    {
        Verdict::Respond(answer) => Err(answer.into_response().map(Body::full)),
        Verdict::Continue(changes) => {
            changes.apply_request(&mut parts);
            let incoming = if chain.wants_request_body() && !incoming.is_end_stream() {
                parts.headers.remove(header::CONTENT_LENGTH);
                body(chain.request_body(incoming))
            } else {
                incoming
            };
            Ok(Request::from_parts(parts, incoming))
        }
    }
}

/// Asks about an answer.
pub async fn response(chain: &Chain, message: Response<Body>) -> Response<Body> {
    let (mut parts, mut incoming) = message.into_parts();
    if chain.wants_response() {
        match chain.response(&parts, incoming.is_end_stream()).await {
            Verdict::Continue(changes) => changes.apply_response(&mut parts),
            Verdict::Respond(answer) => {
                // What the endpoint said is given up; the record of the exchange ends with it.
                let finish = incoming.take_finish();
                let answer = answer.into_response().map(Body::full);
                return match finish {
                    Some(finish) => answer.map(|body| body.finishing(finish)),
                    None => answer,
                };
            }
        }
    }
    if chain.wants_response_body() && !incoming.is_end_stream() {
        parts.headers.remove(header::CONTENT_LENGTH);
        let finish = incoming.take_finish();
        let filtered = body(chain.response_body(incoming));
        let whole = match finish {
            Some(finish) => filtered.finishing(finish),
            None => filtered,
        };
        return Response::from_parts(parts, whole);
    }
    Response::from_parts(parts, incoming)
}
