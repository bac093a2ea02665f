//! A cluster as requests see it. The object stays while its configuration and endpoints change, so
//! that routes point at it once; each part is swapped by pointer and readers never wait.
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use arc_swap::{ArcSwap, ArcSwapOption};
use cloudwright_config::{Cluster as Config, Endpoint as Model};

use cloudwright_guard::{Bucket, Take};

use super::{
    Endpoint,
    breaker::Load,
    endpoint::Reason,
    outlier::{self, Answer},
    pick::{self, Draw},
    view::View,
};
use crate::credentials::ClientTls;

/// What a new configuration replaces as a whole.
pub struct Settings {
    pub config: Arc<Config>,
    pub tls: Option<Arc<ClientTls>>,
}

/// A group of endpoints with its rules.
pub struct Cluster {
    pub name: Arc<str>,
    pub load: Load,
    settings: ArcSwapOption<Settings>,
    endpoints: ArcSwap<Vec<Arc<Endpoint>>>,
    view: ArcSwap<View>,
    turn: AtomicU64,
    bucket: Bucket,
}

impl Cluster {
    /// A cluster that a route names but nobody described yet; it has no endpoints.
    #[must_use]
    pub fn unknown(name: Arc<str>) -> Self {
        Self {
            name,
            load: Load::default(),
            settings: ArcSwapOption::empty(),
            endpoints: ArcSwap::default(),
            view: ArcSwap::default(),
            turn: AtomicU64::new(fastrand::u64(..1 << 16)),
            bucket: Bucket::default(),
        }
    }

    /// Its rules; `None` while it is not described.
    #[must_use]
    pub fn settings(&self) -> arc_swap::Guard<Option<Arc<Settings>>> {
        self.settings.load()
    }

    /// All endpoints, well or not.
    #[must_use]
    pub fn endpoints(&self) -> Arc<Vec<Arc<Endpoint>>> {
        self.endpoints.load_full()
    }

    /// Takes over rules; endpoints stay.
    pub fn configure(&self, config: Arc<Config>, tls: Option<Arc<ClientTls>>) {
        self.settings
            .store(Some(Arc::new(Settings { config, tls })));
        self.refresh();
    }

    /// No longer described: no endpoints, no rules.
    pub fn forget(&self) {
        for endpoint in self.endpoints.load().iter() {
            endpoint.pool.retire();
        }
        self.settings.store(None);
        self.endpoints.store(Arc::default());
        self.refresh();
    }

    /// Takes over endpoints; those that stay keep their state and connections.
    pub fn discover(&self, models: &[Model], now_ms: u64) {
        let old = self.endpoints.load_full();
        let mut known: HashMap<_, &Arc<Endpoint>> = HashMap::with_capacity(old.len());
        for one in old.iter() {
            known.insert((&one.address, one.priority), one);
        }
        let mut new = Vec::with_capacity(models.len());
        for model in models {
            let key = (&model.address, model.priority);
            match known.get(&key).filter(|one| one.is(model)) {
                Some(one) => {
                    one.discovered(model);
                    new.push(Arc::clone(one));
                    known.remove(&key);
                }
                None => new.push(Arc::new(Endpoint::new(model, now_ms))),
            }
        }
        for gone in known.values() {
            gone.pool.retire();
        }
        self.endpoints.store(Arc::new(new));
        self.refresh();
    }

    /// Makes the view anew after a change of health.
    pub fn refresh(&self) {
        let view = match &*self.settings.load() {
            Some(settings) => View::build(&self.endpoints.load(), &settings.config),
            None => View::default(),
        };
        self.view.store(Arc::new(view));
    }

    /// How many endpoints there are, and how many of them are well.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let view = self.view.load();
        (view.total, view.well)
    }

    /// Chooses an endpoint for a request that was at `tried` already.
    #[must_use]
    pub fn pick(
        &self,
        tried: &[Arc<Endpoint>],
        hash: Option<u64>,
        now_ms: u64,
    ) -> Option<Arc<Endpoint>> {
        let settings = self.settings.load();
        let draw = Draw {
            turn: self.turn.fetch_add(1, Relaxed),
            random: fastrand::u64(..),
            now_ms,
            hash,
            tried,
        };
        pick::pick(&self.view.load(), &settings.as_ref()?.config, &draw)
    }

    /// Whether its own limit lets one more request through now; else nanoseconds until it may.
    ///
    /// # Errors
    /// The nanoseconds.
    pub fn admit(&self, settings: &Settings, now_ns: u64) -> Result<(), u64> {
        let Some(rate) = settings.config.max_rate else {
            return Ok(());
        };
        match self
            .bucket
            .take(&crate::plane::served::pace(rate), 1, now_ns)
        {
            Take::Granted => Ok(()),
            Take::Wait(ns) => Err(ns),
        }
    }

    /// Notes what came of a request, and ejects the endpoint when it is time to.
    pub fn answered(&self, endpoint: &Endpoint, answer: Answer, now_ms: u64) {
        let settings = self.settings.load();
        let Some(rule) = settings.as_ref().and_then(|it| it.config.outlier.as_ref()) else {
            return;
        };
        if outlier::note(endpoint, answer, Some(rule)) {
            self.eject(endpoint, rule, now_ms);
        }
    }

    fn eject(&self, endpoint: &Endpoint, rule: &cloudwright_config::cluster::Outlier, now_ms: u64) {
        if endpoint.is_marked(Reason::Ejected) {
            return;
        }
        let all = self.endpoints.load();
        let ejected = all
            .iter()
            .filter(|one| one.is_marked(Reason::Ejected))
            .count();
        if outlier::may_eject(rule, ejected, all.len()) {
            let pause = outlier::pause(rule, endpoint.ejections());
            endpoint.eject(now_ms + u64::try_from(pause.as_millis()).unwrap_or(u64::MAX / 2));
            self.refresh();
        }
    }

    /// Notes what a health check said.
    pub fn checked(&self, endpoint: &Endpoint, well: bool) {
        if endpoint.mark(Reason::Check, !well) {
            self.refresh();
        }
    }

    /// Ends ejections whose time is over.
    pub fn recover(&self, now_ms: u64) {
        let recovered = self
            .endpoints
            .load()
            .iter()
            .filter(|one| one.recover(now_ms))
            .count();
        if recovered > 0 {
            self.refresh();
        }
    }

    /// The end of an interval of outlier detection.
    pub fn interval(&self, now_ms: u64) {
        let settings = self.settings.load();
        if let Some(rule) = settings.as_ref().and_then(|it| it.config.outlier.as_ref()) {
            for endpoint in self.endpoints.load().iter() {
                if outlier::interval(endpoint, rule) {
                    self.eject(endpoint, rule, now_ms);
                } else {
                    endpoint.forgive();
                }
            }
        }
    }
}
