//! One rule as it is asked on the request path: conditions beyond the path, and the action.
use std::sync::Arc;

use cloudwright_config::{
    Action as ConfigAction, ConfigError, Forward as ConfigForward, Route,
    matching::{Condition, ValueMatch},
};
use cloudwright_guard::{Authenticator, Limiter};
use http::{HeaderName, Method, request::Parts};

use super::{edits::Edits, guarding::Guard};
use crate::{headers, telemetry::Series, upstream::Cluster};

/// Finds what names mean while rules are prepared.
pub trait Resolver {
    /// The cluster of a name; one that nobody described yet has no endpoints.
    fn cluster(&mut self, name: &Arc<str>) -> Arc<Cluster>;
    /// The numbers of a route.
    fn series(&mut self, label: &Arc<str>) -> Arc<Series>;
    /// One that reads files, to be told when they change.
    fn authenticator(&mut self, made: &Arc<Authenticator>);
    /// The limits of a route or virtual host, which go on with the buckets they had.
    fn limiter(&mut self, label: &Arc<str>, made: Limiter) -> Arc<Limiter>;
}

/// Where a request is sent.
pub struct Forward {
    /// Running sums of the weights with their clusters.
    targets: Vec<(u64, Arc<Cluster>)>,
    pub mirrors: Vec<(f64, Arc<Cluster>)>,
}

impl Forward {
    fn new(config: &ConfigForward, resolver: &mut dyn Resolver) -> Self {
        let mut targets = Vec::new();
        let mut sum = 0u64;
        if let Some(name) = &config.cluster {
            targets.push((1, resolver.cluster(name)));
        }
        for target in config.clusters.iter().filter(|one| one.weight > 0) {
            sum += u64::from(target.weight);
            targets.push((sum, resolver.cluster(&target.cluster)));
        }
        let mirrors = config
            .mirrors
            .iter()
            .map(|mirror| (mirror.percent, resolver.cluster(&mirror.cluster)))
            .collect();
        Self { targets, mirrors }
    }

    /// The cluster that `random` falls on.
    #[must_use]
    pub fn choose(&self, random: u64) -> Option<&Arc<Cluster>> {
        if let [(_, only)] = self.targets.as_slice() {
            return Some(only);
        }
        let total = self.targets.last()?.0;
        let point = u64::try_from((u128::from(random) * u128::from(total)) >> 64).ok()?;
        let at = self.targets.partition_point(|(sum, _)| *sum <= point);
        self.targets.get(at).map(|(_, cluster)| cluster)
    }
}

/// A rule, prepared.
pub struct Rule {
    /// In logs and metrics.
    pub label: Arc<str>,
    pub config: Arc<Route>,
    pub forward: Option<Forward>,
    pub request_edits: Edits,
    pub response_edits: Edits,
    pub series: Arc<Series>,
    pub guard: Option<Guard>,
    methods: Vec<Method>,
    headers: Vec<(HeaderName, ValueMatch, bool)>,
}

fn conditions(list: &[Condition]) -> Result<Vec<(HeaderName, ValueMatch, bool)>, ConfigError> {
    list.iter()
        .map(|one| {
            let name = HeaderName::from_bytes(one.name.as_bytes()).map_err(|_| {
                let reason = format!("{:?} is no header name", one.name);
                ConfigError::new("match.headers", reason)
            })?;
            Ok((name, one.value.clone(), one.invert))
        })
        .collect()
}

fn label(config: &Route) -> Arc<str> {
    if !config.name.is_empty() {
        return Arc::clone(&config.name);
    }
    match &config.action {
        ConfigAction::Forward(forward) => match (&forward.cluster, forward.clusters.first()) {
            (Some(name), _) => Arc::clone(name),
            (None, Some(first)) => Arc::clone(&first.cluster),
            (None, None) => "forward".into(),
        },
        ConfigAction::Redirect(_) => "redirect".into(),
        ConfigAction::Respond(_) => "respond".into(),
    }
}

impl Rule {
    /// Prepares `config`.
    ///
    /// # Errors
    /// A header name, value or method that HTTP does not have.
    pub fn new(config: &Arc<Route>, resolver: &mut dyn Resolver) -> Result<Self, ConfigError> {
        let methods = config
            .matches
            .methods
            .iter()
            .map(|text| {
                Method::from_bytes(text.as_bytes()).map_err(|_| {
                    ConfigError::new("match.methods", format!("{text:?} is no method"))
                })
            })
            .collect::<Result<_, _>>()?;
        let label = label(config);
        Ok(Self {
            config: Arc::clone(config),
            forward: match &config.action {
                ConfigAction::Forward(forward) => Some(Forward::new(forward, resolver)),
                _ => None,
            },
            request_edits: Edits::new(&config.request_headers)?,
            response_edits: Edits::new(&config.response_headers)?,
            series: resolver.series(&label),
            guard: Guard::new(&config.guard, &label, resolver)?,
            label,
            methods,
            headers: conditions(&config.matches.headers)?,
        })
    }

    /// Whether all but the path holds.
    #[must_use]
    pub fn holds(&self, parts: &Parts, random: u64) -> bool {
        let matches = &self.config.matches;
        (self.methods.is_empty() || self.methods.contains(&parts.method))
            && self.headers.iter().all(|(name, value, invert)| {
                let found = parts
                    .headers
                    .get(name)
                    .and_then(|field| field.to_str().ok());
                value.covers(found) != *invert
            })
            && (matches.query.is_empty() || self.query_holds(parts))
            && (!matches.grpc || headers::is_grpc(&parts.headers))
            && matches.percent.is_none_or(|percent| {
                // 53 bits are what a double holds.
                (random >> 11) as f64 / (1u64 << 53) as f64 * 100.0 < percent
            })
    }

    fn query_holds(&self, parts: &Parts) -> bool {
        let query = parts.uri.query().unwrap_or_default();
        self.config.matches.query.iter().all(|one| {
            let found = query
                .split('&')
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .find(|(name, _)| *name == &*one.name)
                .map(|(_, value)| value);
            one.value.covers(found) != one.invert
        })
    }
}
