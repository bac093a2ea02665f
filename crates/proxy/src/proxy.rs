//! The shared state of one proxy process, and how new files become part of it.
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use http::HeaderValue;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::{
    accesslog::AccessLog,
    app::AppPool,
    bootstrap::Bootstrap,
    drain::{Drain, Phase},
    metrics::{Gauges, Metrics},
    snapshot::Snapshot,
    table::Table,
    tls::{self, MeshTls, TlsLoadError},
};

/// What became of the snapshot and certificate files.
#[derive(Debug, Clone, Default)]
pub struct Applied {
    pub version: Option<u64>,
    pub rejected: Option<String>,
    pub certificate: Option<String>,
}

/// Shared by every listener, connection and task of the process.
pub struct Proxy {
    pub boot: Bootstrap,
    pub table: ArcSwap<Table>,
    pub tls: ArcSwapOption<MeshTls>,
    pub edge: ArcSwapOption<rustls::ServerConfig>,
    pub applied: watch::Sender<Applied>,
    /// The number of the certificate in use; connections watch it to retire.
    pub generations: watch::Sender<u64>,
    pub metrics: Metrics,
    pub log: Arc<AccessLog>,
    pub drain: Arc<Drain>,
    pub app: AppPool,
    pub tasks: TaskTracker,
    pub namespace: HeaderValue,
    pub sidecar: HeaderValue,
    started: Instant,
    seen: AtomicU64,
}

impl Proxy {
    /// Makes the state; no file but the access log is touched.
    pub fn new(boot: Bootstrap) -> Result<Self, String> {
        let log = AccessLog::open(&boot.access_log)
            .map_err(|error| format!("access_log {}: {error}", boot.access_log))?;
        let header = |text: &str| {
            HeaderValue::from_str(text).map_err(|_| format!("{text:?} cannot be a header"))
        };
        Ok(Self {
            namespace: header(&boot.namespace)?,
            sidecar: header(boot.sidecar_name())?,
            boot,
            table: ArcSwap::from_pointee(Table::default()),
            tls: ArcSwapOption::empty(),
            edge: ArcSwapOption::empty(),
            applied: watch::Sender::new(Applied::default()),
            generations: watch::Sender::new(0),
            metrics: Metrics::default(),
            log: Arc::new(log),
            drain: Arc::new(Drain::default()),
            app: AppPool::default(),
            tasks: TaskTracker::new(),
            started: Instant::now(),
            seen: AtomicU64::new(0),
        })
    }

    /// Milliseconds since the start.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The number of the certificate in use.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.seen.load(Ordering::Relaxed)
    }

    /// Reads the snapshot file; a bad one is refused whole and the old one stays.
    pub fn reload_snapshot(&self) {
        let text = match std::fs::read(&self.boot.snapshot) {
            Ok(text) => text,
            Err(error) => {
                let file = self.boot.snapshot.display();
                self.applied
                    .send_modify(|now| now.rejected = Some(format!("{file}: {error}")));
                return;
            }
        };
        match self.apply(&text) {
            Ok(version) => self.applied.send_modify(|now| {
                now.version = Some(version);
                now.rejected = None;
            }),
            Err(reason) => {
                self.metrics
                    .snapshot_rejected
                    .fetch_add(1, Ordering::Relaxed);
                eprintln!("snapshot refused: {reason}");
                self.applied.send_modify(|now| now.rejected = Some(reason));
            }
        }
    }

    fn apply(&self, text: &[u8]) -> Result<u64, String> {
        let snapshot = Snapshot::parse(text, &self.boot.trust_domain).map_err(|e| e.to_string())?;
        let old = self.table.load_full();
        let first = self.applied.borrow().version.is_none();
        if !first && snapshot.version < old.version {
            return Err(format!(
                "version: {} is older than {}",
                snapshot.version, old.version
            ));
        }
        if first || snapshot.version > old.version {
            let table = Arc::new(Table::build(&snapshot, &old, self.boot.ip));
            self.table.store(Arc::clone(&table));
            table.retire_missing(&old);
        }
        Ok(snapshot.version)
    }

    /// Reads the mesh certificate; a pair that does not match (yet) leaves the old one in use.
    pub fn reload_certificate(&self) {
        let generation = self.generation() + 1;
        match MeshTls::load(&self.boot, generation) {
            Ok(tls) => {
                let same = self
                    .tls
                    .load()
                    .as_ref()
                    .is_some_and(|old| old.facts == tls.facts);
                if same {
                    return;
                }
                self.tls.store(Some(Arc::new(tls)));
                self.seen.store(generation, Ordering::Relaxed);
                self.generations.send_replace(generation);
                for endpoint in self.table.load().endpoints.values() {
                    endpoint.sweep(generation);
                }
                self.applied.send_modify(|now| now.certificate = None);
            }
            Err(error) => self.certificate_refused(&error),
        }
    }

    /// Reads the certificate of the HTTPS listeners.
    pub fn reload_edge(&self) {
        if let (Some(cert), Some(key)) = (&self.boot.https_cert, &self.boot.https_key) {
            match tls::edge_config(cert, key) {
                Ok(config) => self.edge.store(Some(config)),
                Err(error) => self.certificate_refused(&error),
            }
        }
    }

    fn certificate_refused(&self, error: &TlsLoadError) {
        // Between the two renames of a rotation the pair never matches: that is no event.
        if !matches!(error, TlsLoadError::Mismatch { .. }) {
            self.metrics
                .certificate_rejected
                .fetch_add(1, Ordering::Relaxed);
            eprintln!("certificate refused: {error}");
        }
        self.applied
            .send_modify(|now| now.certificate = Some(error.to_string()));
    }

    /// Why the proxy is not ready; empty when it is.
    #[must_use]
    pub fn not_ready(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        let applied = self.applied.borrow();
        if applied.version.is_none() {
            let why = applied
                .rejected
                .clone()
                .unwrap_or_else(|| "not read yet".to_owned());
            reasons.push(format!("no snapshot: {why}"));
        }
        if self.tls.load().is_none() {
            let why = applied
                .certificate
                .clone()
                .unwrap_or_else(|| "not read yet".to_owned());
            reasons.push(format!("no certificate: {why}"));
        }
        if self.drain.phase() != Phase::Serving {
            reasons.push("draining".to_owned());
        }
        reasons
    }

    /// Values for a scrape.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        Gauges {
            snapshot_version: self.table.load().version,
            certificate_expiry: self
                .tls
                .load()
                .as_ref()
                .map_or(0, |tls| tls.facts.not_after),
            log_dropped: self.log.dropped.load(Ordering::Relaxed),
            active: self.drain.active(),
        }
    }
}
