//! gRPC for clients that do not speak it: requests are turned before a route is chosen, answers on
//! their way back.
use std::{pin::Pin, sync::Arc};

use bytes::Bytes;
use cloudwright_config::{ConfigError, grpc::Grpc as Config};
use cloudwright_transcode::{
    Call, Transcoder,
    web::{CorsPolicy, Web},
};
use http::{Request, Response};
use http_body::Body as HttpBody;

use super::{
    body::{Body, BoxError, Source},
    exchange::{self, Client},
};

/// What a listener offers, prepared.
pub struct Grpc {
    web: bool,
    transcoder: Option<Transcoder>,
    cors: Option<CorsPolicy>,
}

impl Grpc {
    /// Prepares `config`; `None` when nothing is offered.
    ///
    /// # Errors
    /// A descriptor set that cannot be read or served, a wrong origin.
    pub fn new(config: &Config, listener: &str) -> Result<Option<Arc<Self>>, ConfigError> {
        if config.is_empty() {
            return Ok(None);
        }
        let place = |field: &str| format!("listener {listener:?}: grpc.{field}");
        let mut transcoder = None;
        if let Some(told) = &config.transcode {
            let file = told.descriptors.display();
            let bad = |why: String| {
                ConfigError::new(place("transcode.descriptors"), format!("{file}: {why}"))
            };
            let bytes = std::fs::read(&told.descriptors).map_err(|why| bad(why.to_string()))?;
            let made = Transcoder::new(&bytes, told.options.clone());
            transcoder = Some(made.map_err(|why| bad(why.to_string()))?);
        }
        let cors = config.cors.as_ref().map(CorsPolicy::new).transpose();
        Ok(Some(Arc::new(Self {
            web: config.web,
            transcoder,
            cors: cors.map_err(|why| ConfigError::new(place("cors"), why))?,
        })))
    }

    /// Answers a request of any kind that the listener takes.
    pub async fn answer(&self, client: &Client, request: Request<Body>) -> Response<Body> {
        let Some(cors) = &self.cors else {
            return self.turned(client, request).await;
        };
        let (parts, body) = request.into_parts();
        if let Some(answer) = cors.preflight(&parts) {
            return answer.map(Body::full);
        }
        let asked = parts.headers.clone();
        let mut response = self.turned(client, Request::from_parts(parts, body)).await;
        cors.annotate(&asked, response.headers_mut());
        response
    }

    async fn turned(&self, client: &Client, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        if let Some(web) = Web::of(&parts.headers).filter(|_| self.web) {
            let (parts, body) = web.request(parts, body);
            let request = Request::from_parts(parts, boxed(body));
            let (parts, body) = exchange::routed(client, request).await.into_parts();
            let (parts, body) = web.response(parts, body);
            return Response::from_parts(parts, boxed(body));
        }
        match self.transcoder.as_ref().and_then(|it| it.find(&parts)) {
            None => exchange::routed(client, Request::from_parts(parts, body)).await,
            Some(Err(failure)) => failure.response().map(Body::full),
            Some(Ok(call)) => transcoded(client, &call, Request::from_parts(parts, body)).await,
        }
    }
}

async fn transcoded(client: &Client, call: &Call, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    match call.request(parts, body).await {
        Err(failure) => failure.response().map(Body::full),
        Ok(request) => {
            let response = exchange::routed(client, request.map(boxed)).await;
            call.response(response).await.map(boxed)
        }
    }
}

fn boxed<B>(body: B) -> Body
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Display,
{
    let turned = http_body_util::BodyExt::map_err(body, |why| BoxError::from(why.to_string()));
    Source::Turned(Box::pin(turned) as Pin<Box<dyn HttpBody<Data = Bytes, Error = BoxError> + Send>>)
        .into()
}
