//! Real streams: an HTTP/2 server in this process that speaks gRPC over TCP, TLS and a Unix socket.
#![allow(clippy::unwrap_used, clippy::expect_used)]
mod support;

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use cloudwright_config::{Address, Resources};
use cloudwright_xds::{
    Client, Control, Kind, Running, Update,
    grpc::{Deframer, frame},
    options::ControlTls,
    session::SessionError,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use support::{Server, assignment, decode, eds_cluster, rds_listener, routes};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::{Mutex, Notify, watch},
    task::JoinHandle,
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A control plane behind a socket; changes are pushed to its streams.
#[derive(Clone)]
struct Plane {
    server: Arc<Mutex<Server>>,
    changed: Arc<Notify>,
    nodes: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Plane {
    fn new(delta: bool) -> Self {
        let mut server = Server::new(delta);
        server.set(Kind::Cluster, "a", eds_cluster("a", "", 10));
        server.set(Kind::Endpoints, "a", assignment("a", &[1, 2]));
        server.set(Kind::Listener, "l", rds_listener("l", 80, "r"));
        server.set(Kind::Routes, "r", routes("r", &["a"]));
        Self {
            server: Arc::new(Mutex::new(server)),
            changed: Arc::new(Notify::new()),
            nodes: Arc::default(),
        }
    }

    async fn set(&self, kind: Kind, name: &str, bytes: Vec<u8>) {
        self.server.lock().await.set(kind, name, bytes);
        self.changed.notify_one();
    }

    /// Serves one connection with one stream, until it ends.
    async fn serve(&self, io: impl AsyncRead + AsyncWrite + Unpin + Send) -> Result<(), h2::Error> {
        let mut connection = h2::server::handshake(io).await?;
        let Some(first) = connection.accept().await else {
            return Ok(());
        };
        let (request, mut respond) = first?;
        let delta = self.server.lock().await.delta;
        let method = if delta { "Delta" } else { "Stream" };
        let path = request.uri().path().to_owned();
        assert!(
            path.ends_with(&format!("/{method}AggregatedResources")),
            "{path}"
        );
        let head = http::Response::builder()
            .header("content-type", "application/grpc")
            .body(())
            .unwrap();
        let mut out = respond.send_response(head, false)?;
        let mut body = request.into_body();
        let mut deframer = Deframer::new(1 << 20);
        self.server.lock().await.disconnect();
        loop {
            while let Some(answer) = self.server.lock().await.due() {
                out.send_data(frame(&answer), false)?;
            }
            tokio::select! {
                over = connection.accept() => if over.is_none() { return Ok(()) },
                () = self.changed.notified() => {}
                chunk = body.data() => {
                    let Some(chunk) = chunk else { return Ok(()) };
                    let chunk = chunk?;
                    body.flow_control().release_capacity(chunk.len())?;
                    deframer.push(&chunk);
                    while let Some(message) = deframer.message().unwrap() {
                        let (request, node) = decode(&message, delta);
                        if request.node {
                            self.nodes.lock().await.push(node);
                        }
                        self.server.lock().await.take(&request);
                    }
                }
            }
        }
    }

    /// Accepts for ever; ends with its streams when it is aborted.
    fn listen(&self, listener: TcpListener) -> JoinHandle<()> {
        let plane = self.clone();
        tokio::spawn(async move {
            loop {
                let (io, _) = listener.accept().await.unwrap();
                let _ = plane.serve(io).await;
            }
        })
    }
}

struct Proxy {
    running: Running,
    seen: watch::Receiver<Arc<Resources>>,
}

impl Proxy {
    fn start(mut options: Control) -> Self {
        options.backoff = Duration::from_millis(5);
        options.max_backoff = Duration::from_millis(50);
        options.node.id = "proxy-1".into();
        let (put, seen) = watch::channel(Arc::new(Resources::default()));
        let sink = move |update: &Update| {
            if update.resources.clusters.contains_key("poison") {
                return Err("poison is not for us".to_owned());
            }
            put.send(Arc::clone(&update.resources))
                .map_err(|why| why.to_string())
        };
        Self {
            running: Client::spawn(options, sink),
            seen,
        }
    }

    async fn until(&mut self, wanted: impl FnMut(&Arc<Resources>) -> bool) {
        let found = timeout(PATIENCE, self.seen.wait_for(wanted)).await;
        if let Ok(found) = found {
            found.unwrap();
        } else {
            panic!("{:?}", self.running.handle.status());
        }
    }

    async fn endpoints(&mut self, count: usize) {
        self.until(|all| {
            let assignment = all.assignments.get("a");
            all.listeners.contains_key("l")
                && assignment.is_some_and(|one| one.endpoints.len() == count)
        })
        .await;
    }

    async fn error(&self, part: &str) {
        let check = async {
            loop {
                let status = self.running.handle.status();
                if status.last_error.is_some_and(|error| error.contains(part)) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let done = timeout(PATIENCE, check).await;
        assert!(done.is_ok(), "{part}: {:?}", self.running.handle.status());
    }
}

async fn local() -> (TcpListener, Control) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, Control::of(Address::Ip(address)))
}

#[tokio::test]
async fn a_stream_survives_restarts() {
    for delta in [false, true] {
        let plane = Plane::new(delta);
        let (listener, mut options) = local().await;
        let address = listener.local_addr().unwrap();
        options.delta = delta;
        let serving = plane.listen(listener);
        let mut proxy = Proxy::start(options);
        proxy.endpoints(2).await;
        plane.set(Kind::Endpoints, "a", assignment("a", &[1])).await;
        proxy.endpoints(1).await;
        serving.abort();
        let _ = serving.await;
        proxy.error("").await;
        assert_eq!(proxy.seen.borrow().assignments["a"].endpoints.len(), 1);
        plane
            .set(Kind::Endpoints, "a", assignment("a", &[1, 2, 3]))
            .await;
        let again = TcpListener::bind(address).await.unwrap();
        let serving = plane.listen(again);
        proxy.endpoints(3).await;
        let status = proxy.running.handle.status();
        assert!(status.connected && status.streams >= 2);
        assert_eq!(plane.server.lock().await.refusals, []);
        let node = &plane.nodes.lock().await[0];
        assert!(node.windows(7).any(|part| part == b"proxy-1"));
        serving.abort();
    }
}

#[tokio::test]
async fn what_the_proxy_refuses_reaches_the_server() {
    let plane = Plane::new(false);
    let (listener, options) = local().await;
    let serving = plane.listen(listener);
    let mut proxy = Proxy::start(options);
    proxy.endpoints(2).await;
    plane
        .set(
            Kind::Cluster,
            "poison",
            support::static_cluster("poison", 1),
        )
        .await;
    plane.set(Kind::Endpoints, "a", assignment("a", &[9])).await;
    // The other types go on.
    proxy.endpoints(1).await;
    let refusals = timeout(PATIENCE, async {
        loop {
            let refusals = plane.server.lock().await.refusals.clone();
            if !refusals.is_empty() {
                return refusals;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let refusals = refusals.await.unwrap();
    assert_eq!(
        refusals,
        [(Kind::Cluster, "poison is not for us".to_owned())]
    );
    let status = proxy.running.handle.status();
    assert_eq!(status.types[&Kind::Cluster].rejected, 1);
    serving.abort();
}

#[tokio::test]
async fn a_unix_socket_serves_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("xds.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let plane = Plane::new(true);
    let serving = {
        let plane = plane.clone();
        tokio::spawn(async move {
            let (io, _) = listener.accept().await.unwrap();
            let _ = plane.serve(io).await;
        })
    };
    let mut options = Control::of(Address::Unix(path.as_path().into()));
    options.delta = true;
    Proxy::start(options).endpoints(2).await;
    serving.abort();
}

/// A root and a leaf with one URI or DNS name, as PEM files; the leaf's too for the server.
fn leaf(
    folder: &Path,
    name: &str,
    san: SanType,
    issuer: &CertifiedIssuer<'_, KeyPair>,
) -> [std::path::PathBuf; 2] {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![san];
    let certificate = params.signed_by(&key, issuer).unwrap();
    let files = [format!("{name}.pem"), format!("{name}.key")].map(|file| folder.join(file));
    std::fs::write(&files[0], certificate.pem()).unwrap();
    std::fs::write(&files[1], key.serialize_pem()).unwrap();
    files
}

fn root(folder: &Path, name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(folder.join(name), issuer.pem()).unwrap();
    issuer
}

#[tokio::test]
async fn mutual_tls_by_spiffe_id() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = root(folder.path(), "ca.pem");
    root(folder.path(), "other.pem");
    let uri = |text: &str| SanType::URI(text.try_into().unwrap());
    let server = leaf(folder.path(), "server", uri("spiffe://td/control"), &issuer);
    let client = leaf(folder.path(), "client", uri("spiffe://td/proxy"), &issuer);
    let crypto = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(issuer.der().clone()).unwrap();
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
        Arc::new(roots),
        Arc::clone(&crypto),
    );
    let mut config = rustls::ServerConfig::builder_with_provider(crypto)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(
            vec![CertificateDer::from_pem_file(&server[0]).unwrap()],
            PrivateKeyDer::from_pem_file(&server[1]).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let plane = Plane::new(false);
    let (listener, mut options) = local().await;
    let serving = {
        let plane = plane.clone();
        tokio::spawn(async move {
            loop {
                let (io, _) = listener.accept().await.unwrap();
                if let Ok(io) = acceptor.accept(io).await {
                    let _ = plane.serve(io).await;
                }
            }
        })
    };
    let tls = ControlTls {
        ca: folder.path().join("ca.pem"),
        certificate: Some(client[0].clone()),
        key: Some(client[1].clone()),
        server_name: None,
        identity: Some("spiffe://td/control".into()),
    };
    let with = |change: &dyn Fn(&mut ControlTls)| {
        let mut tls = tls.clone();
        change(&mut tls);
        let mut options = options.clone();
        options.tls = Some(tls);
        Proxy::start(options)
    };
    let other = with(&|tls| tls.identity = Some("spiffe://td/else".into()));
    other.error("is not of spiffe://td/else").await;
    drop(other);
    let other = with(&|tls| tls.ca = folder.path().join("other.pem"));
    other.error("invalid peer certificate").await;
    drop(other);
    let other = with(&|tls| tls.key = None);
    other.error("certificate and key belong together").await;
    drop(other);
    let other = with(&|tls| tls.ca = folder.path().join("none.pem"));
    other.error("none.pem").await;
    drop(other);
    options.tls = Some(tls.clone());
    Proxy::start(options).endpoints(2).await;
    serving.abort();
}

#[tokio::test]
async fn a_server_that_says_no() {
    let (listener, options) = local().await;
    let serving = tokio::spawn(async move {
        for status in ["grpc", "http", "silence"] {
            let (io, _) = listener.accept().await.unwrap();
            let mut connection = h2::server::handshake(io).await.unwrap();
            let (_, mut respond) = connection.accept().await.unwrap().unwrap();
            let mut head = http::Response::new(());
            if status == "http" {
                *head.status_mut() = http::StatusCode::NOT_FOUND;
            } else {
                let headers = head.headers_mut();
                headers.insert("grpc-status", http::HeaderValue::from_static("7"));
                headers.insert("grpc-message", http::HeaderValue::from_static("not%20you"));
            }
            let _: h2::SendStream<Bytes> = respond.send_response(head, true).unwrap();
            while connection.accept().await.is_some() {}
        }
    });
    let proxy = Proxy::start(options);
    proxy.error("gRPC status 7: not you").await;
    proxy.error("HTTP status 404").await;
    assert!(!proxy.running.handle.status().connected);
    serving.abort();
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let (listener, mut options) = local().await;
    let serving = tokio::spawn(async move {
        let (io, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(io).await.unwrap();
        let stream = connection.accept().await;
        // Nobody reads from the socket any more: pings stay without an answer.
        std::future::pending::<()>().await;
        drop((stream, connection));
    });
    options.keepalive = Duration::from_millis(20);
    options.keepalive_timeout = Duration::from_millis(50);
    let proxy = Proxy::start(options);
    let silent = SessionError::Silent(Duration::from_millis(50)).to_string();
    proxy.error(&silent).await;
    serving.abort();
}
