//! A bare proxy, to measure what the protocol costs: accept, a pooled upstream, back.
//!
//! `bare ours|hyper LISTEN UPSTREAM`, one thread; compare the CPU time of the process.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use cloudwright_http1::server::RequestBody;
use cloudwright_http1::{Limits, client, server};
use http::{Request, Response, StatusCode};
use http_body_util::Either;
use tokio::net::{TcpListener, TcpStream};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, kind, listen, upstream] = arguments.as_slice() else {
        return Err("bare ours|hyper LISTEN UPSTREAM".into());
    };
    let upstream: SocketAddr = upstream.parse()?;
    let listener = TcpListener::bind(listen).await?;
    match kind.as_str() {
        "ours" => ours(listener, upstream).await,
        "hyper" => with_hyper::run(listener, upstream).await,
        _ => Err("ours or hyper".into()),
    }
}

struct Pool {
    upstream: SocketAddr,
    idle: Mutex<Vec<client::Connection<TcpStream>>>,
    limits: Arc<Limits>,
}

impl client::Reclaim<TcpStream> for Pool {
    fn ended(&self, connection: Option<client::Connection<TcpStream>>) {
        if let Some(connection) = connection {
            self.idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(connection);
        }
    }
}

impl Pool {
    async fn get(self: &Arc<Self>) -> std::io::Result<client::Connection<TcpStream>> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => {
                let io = TcpStream::connect(self.upstream).await?;
                io.set_nodelay(true)?;
                client::Connection::new(io, Arc::clone(&self.limits))
            }
        };
        connection.set_reclaim(Arc::clone(self) as Arc<dyn client::Reclaim<TcpStream>>);
        Ok(connection)
    }
}

async fn ours(listener: TcpListener, upstream: SocketAddr) -> Result<(), Failure> {
    let limits = Arc::new(Limits::default());
    let pool = Arc::new(Pool {
        upstream,
        idle: Mutex::default(),
        limits: Arc::clone(&limits),
    });
    loop {
        let (io, _) = listener.accept().await?;
        io.set_nodelay(true)?;
        let connection = server::Connection::new(io, Arc::clone(&limits));
        tokio::spawn(serve(connection, Arc::clone(&pool)));
    }
}

async fn serve(mut connection: server::Connection<TcpStream>, pool: Arc<Pool>) {
    // The work on a request is boxed, so that the task of an idle connection is small.
    while let Some(work) = connection.accept().await.map(Box::new) {
        let Ok(request) = *work else { continue };
        if Box::pin(exchange(&mut connection, request, &pool))
            .await
            .is_err()
        {
            return;
        }
    }
}

async fn exchange(
    connection: &mut server::Connection<TcpStream>,
    request: Request<RequestBody<TcpStream>>,
    pool: &Arc<Pool>,
) -> Result<(), cloudwright_http1::Error> {
    let response = match pool.get().await {
        Ok(upstream) => upstream.send(request).await.ok(),
        Err(_) => None,
    };
    let response = response
        .map(|response| response.map(Either::Left))
        .unwrap_or_else(|| {
            let mut response = Response::new(Either::Right(http_body_util::Empty::new()));
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            response
        });
    connection.respond(response).await
}

/// The same with hyper.
mod with_hyper {
    use std::cell::RefCell;
    use std::rc::Rc;

    use hyper::body::Incoming;
    use hyper::client::conn::http1::SendRequest;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;

    use super::{Failure, Request, Response, SocketAddr, TcpListener, TcpStream};

    type Idle = Rc<RefCell<Vec<SendRequest<Incoming>>>>;

    pub(super) async fn run(listener: TcpListener, upstream: SocketAddr) -> Result<(), Failure> {
        let idle = Idle::default();
        let local = tokio::task::LocalSet::new();
        local
            .run_until(async {
                loop {
                    let (io, _) = listener.accept().await?;
                    io.set_nodelay(true)?;
                    let idle = Rc::clone(&idle);
                    let service = service_fn(move |request| {
                        let idle = Rc::clone(&idle);
                        async move { exchange(request, upstream, &idle).await }
                    });
                    tokio::task::spawn_local(
                        hyper::server::conn::http1::Builder::new()
                            .serve_connection(TokioIo::new(io), service),
                    );
                }
            })
            .await
    }

    async fn exchange(
        request: Request<Incoming>,
        upstream: SocketAddr,
        idle: &Idle,
    ) -> Result<Response<Incoming>, Failure> {
        let pooled = loop {
            let next = idle.borrow_mut().pop();
            match next {
                Some(sender) if sender.is_closed() => {}
                next => break next,
            }
        };
        let mut sender = match pooled {
            Some(sender) => sender,
            None => {
                let io = TcpStream::connect(upstream).await?;
                io.set_nodelay(true)?;
                let (sender, connection) =
                    hyper::client::conn::http1::handshake(TokioIo::new(io)).await?;
                tokio::task::spawn_local(connection);
                sender
            }
        };
        sender.ready().await?;
        let response = sender.send_request(request).await?;
        idle.borrow_mut().push(sender);
        Ok(response)
    }
}
