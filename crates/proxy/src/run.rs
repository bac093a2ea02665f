//! Starts the listeners of a role, waits for the signal to end, and ends in order.
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use cloudwright_xds::Control;
use tokio::{
    net::UdpSocket,
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};

use crate::{
    admin,
    bootstrap::{Bootstrap, Role},
    dns_server,
    drain::Phase,
    gateway, inbound, outbound,
    plane::{self, file::Ended, shared::Shared},
    proxy::Proxy,
    rest, serve,
    watch::{self, Watch},
};

const SWEEP: Duration = Duration::from_secs(10);
const CLOSE: Duration = Duration::from_millis(500);

/// Runs a proxy until SIGTERM or SIGINT; the error is one line for people.
pub async fn run(boot: Bootstrap, trim: fn()) -> Result<(), String> {
    let role = boot.role;
    let proxy = Arc::new(Proxy::new(boot)?);
    let mut term = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| error.to_string())?;
    let watch = Watch::new(&proxy)?;
    watch::all(&proxy);
    let mut tasks = JoinSet::new();
    match role {
        Role::Sidecar => sidecar(&proxy, &mut tasks).await?,
        Role::Gateway => gateway_listeners(&proxy, &mut tasks)?,
    }
    let admin = gateway::bind_unix(&proxy.boot.admin)?;
    tasks.spawn(admin::serve(Arc::clone(&proxy), admin));
    tasks.spawn(watch.run(Arc::clone(&proxy)));
    tasks.spawn(Arc::clone(&proxy.log).run());
    tasks.spawn(sweep(Arc::clone(&proxy)));
    tasks.spawn(rest::watch(Arc::clone(&proxy.drain), trim));
    tokio::select! { _ = term.recv() => {}, _ = interrupt.recv() => {} }
    stop(&proxy).await;
    tasks.shutdown().await;
    for socket in [Some(&proxy.boot.admin), proxy.boot.mesh_socket.as_ref()]
        .into_iter()
        .flatten()
    {
        let _ = std::fs::remove_file(socket); // Gone already is as good.
    }
    Ok(())
}

async fn stop(proxy: &Arc<Proxy>) {
    proxy.drain.advance(Phase::Stopping);
    // Connections that were just accepted get their answer and their GOAWAY first.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let limit = Duration::from_millis(proxy.boot.drain_timeout_ms);
    if !proxy.drain.wait_idle(limit).await {
        let left = proxy.drain.active();
        eprintln!(
            "stopped with {left} requests unfinished after {} ms",
            limit.as_millis()
        );
    }
    proxy.tasks.close();
    // What is left are idle connections; they had their GOAWAY and need no more than a moment.
    let _ = tokio::time::timeout(CLOSE, proxy.tasks.wait()).await;
    let _ = tokio::time::timeout(CLOSE, proxy.log.flush()).await;
}

/// What a proxy is told on the command line besides its configuration.
pub struct Options {
    /// Gives memory back to the system.
    pub trim: Option<fn()>,
    /// `-`, a file, or `off`.
    pub access_log: String,
    pub admin: Option<PathBuf>,
    /// Folder of filters in Python.
    pub filters: Option<PathBuf>,
    /// The interpreter that runs them.
    pub python: PathBuf,
}

/// Where a proxy's configuration comes from.
pub enum Origin {
    /// A file that is read again when it changes.
    File(PathBuf),
    /// A control plane.
    Control(Box<Control>),
}

/// Runs what `origin` says until SIGTERM or SIGINT.
///
/// # Errors
/// Why it could not begin.
pub async fn run_plane(origin: Origin, options: Options) -> Result<(), Ended> {
    let failed = |why: std::io::Error| Ended::Failed(why.to_string());
    let (log, admin) = (options.access_log.as_str(), options.admin);
    let shared =
        Shared::new(log).map_err(|why| Ended::Failed(format!("access log {log}: {why}")))?;
    let mut term = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut tasks = JoinSet::new();
    tasks.spawn(Arc::clone(&shared.log).run());
    if let Some(trim) = options.trim {
        tasks.spawn(rest::watch(Arc::clone(&shared.drain), trim));
    }
    if let Some(folder) = options.filters {
        let report = Arc::new(crate::flow::filtering::report);
        let settings = cloudwright_filters::Options::new(options.python, folder, report);
        let (client, host) = cloudwright_filters::Host::new(settings);
        let drain = Arc::clone(&shared.drain);
        let leave = async move {
            drain.reached(Phase::Stopping).await;
        };
        tasks.spawn(host.run(leave));
        let loaded = client
            .ready()
            .await
            .map_err(|why| Ended::Failed(why.to_string()))?;
        // A filter that is missing may be one that must not be left out.
        if let Some(broken) = loaded.errors.first() {
            let (file, line, why) = (&broken.file, broken.line, &broken.message);
            return Err(Ended::Failed(format!("{file}:{line}: {why}")));
        }
        // Set once: a process has one host.
        let _ = shared.filters.set(client);
    }
    if let Some(path) = &admin {
        let listener = plane::admin::open(path).map_err(Ended::Failed)?;
        tasks.spawn(plane::admin::serve(Arc::clone(&shared), listener));
    }
    let end = async {
        tokio::select! { _ = term.recv() => {}, _ = interrupt.recv() => {} }
    };
    let result: Result<(), Ended> = match origin {
        Origin::File(file) => plane::file::run(Arc::clone(&shared), file, end).await,
        Origin::Control(control) => {
            plane::control::run(Arc::clone(&shared), *control, end).await;
            Ok(())
        }
    };
    tasks.shutdown().await;
    if let Some(path) = &admin {
        let _ = std::fs::remove_file(path); // Gone already is as good.
    }
    result
}

/// Lets requests under way end, and writes what was logged.
pub async fn finish(shared: &Arc<Shared>) {
    shared.drain.advance(Phase::Draining);
    if !shared.drain.wait_idle(Duration::from_secs(30)).await {
        eprintln!("stopped with {} requests unfinished", shared.drain.active());
    }
    // What is left are idle connections; they had their GOAWAY and need no more than a moment.
    tokio::task::yield_now().await;
    let _ = tokio::time::timeout(CLOSE, shared.log.flush()).await;
}

async fn sidecar(proxy: &Arc<Proxy>, tasks: &mut JoinSet<()>) -> Result<(), String> {
    let boot = &proxy.boot;
    // A redirect of a local packet leads to the loopback; a socket bound to all addresses would
    // answer DNS from the pod's address, which nobody asked.
    let local = if boot.listen.is_unspecified() {
        IpAddr::V4(Ipv4Addr::LOCALHOST)
    } else {
        boot.listen
    };
    let inbound = serve::bind(SocketAddr::new(boot.listen, boot.inbound_port))?;
    let outbound = serve::bind(SocketAddr::new(local, boot.outbound_port))?;
    let dns = SocketAddr::new(local, boot.dns_port);
    let dns_tcp = serve::bind(dns)?;
    let dns_udp = UdpSocket::bind(dns)
        .await
        .map_err(|e| format!("cannot listen on {dns} (UDP): {e}"))?;
    let state = || Arc::clone(proxy);
    tasks.spawn(serve::accept(
        state(),
        inbound,
        Phase::Stopping,
        inbound::handle,
    ));
    // The application may still call others while it ends: this side listens to the last.
    tasks.spawn(async_forever(state(), outbound));
    tasks.spawn(dns_server::udp(state(), dns_udp));
    tasks.spawn(serve::accept(
        state(),
        dns_tcp,
        Phase::Ended,
        dns_server::tcp,
    ));
    Ok(())
}

async fn async_forever(proxy: Arc<Proxy>, listener: tokio::net::TcpListener) {
    serve::accept(proxy, listener, Phase::Ended, outbound::handle).await;
}

fn gateway_listeners(proxy: &Arc<Proxy>, tasks: &mut JoinSet<()>) -> Result<(), String> {
    let state = || Arc::clone(proxy);
    for address in &proxy.boot.http {
        let listener = serve::bind(*address)?;
        tasks.spawn(serve::accept(
            state(),
            listener,
            Phase::Draining,
            gateway::handle_clear,
        ));
    }
    for address in &proxy.boot.https {
        let listener = serve::bind(*address)?;
        tasks.spawn(serve::accept(
            state(),
            listener,
            Phase::Draining,
            gateway::handle_tls,
        ));
    }
    if let Some(path) = &proxy.boot.mesh_socket {
        let listener = gateway::bind_unix(path)?;
        tasks.spawn(gateway::serve_mesh_socket(state(), listener));
    }
    Ok(())
}

/// Lets go of idle connections from time to time.
async fn sweep(proxy: Arc<Proxy>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        proxy.app.sweep();
        let generation = proxy.generation();
        for endpoint in proxy.table.load_full().endpoints.values() {
            endpoint.sweep(generation);
        }
    }
}
