//! What must hold between resources before a set is used.
use cloudwright_guard::config::{Jwks, Provider};

use crate::{
    Action, Cluster, ConfigError, Discovery, Forward, Listener, LoadBalancer, Resources, Route,
    guard::Guard, listener::Protocol, matching::PathMatch,
};

/// Every problem of a whole set; empty when it can be used.
#[must_use]
pub fn all(resources: &Resources) -> Vec<ConfigError> {
    let mut problems = Vec::new();
    for one in resources.listeners.values() {
        listener(one, resources, &mut problems);
    }
    for table in resources.routes.values() {
        for host in &table.virtual_hosts {
            let place = format!("routes {:?} virtual host {:?}", table.name, host.name);
            if host.domains.is_empty() {
                problems.push(ConfigError::new(&place, "has no domains (\"*\" is all)"));
            }
            for domain in &host.domains {
                if let Some(reason) = bad_domain(domain) {
                    problems.push(ConfigError::new(&place, reason));
                }
            }
            guard(&host.guard, &place, resources, &mut problems);
            for (index, one) in host.routes.iter().enumerate() {
                let place = format!("{place} route {index}");
                guard(&one.guard, &place, resources, &mut problems);
                route(one, &place, resources, &mut problems);
            }
        }
    }
    for one in resources.clusters.values() {
        cluster(one, resources, &mut problems);
    }
    for secret in resources.secrets.values() {
        if secret.certificate.is_some() != secret.key.is_some() {
            let place = format!("secret {:?}", secret.name);
            problems.push(ConfigError::new(
                place,
                "certificate and key belong together",
            ));
        }
    }
    problems
}

/// Clusters that a guard asks must be there: what is asked in vain refuses everybody.
fn guard(one: &Guard, place: &str, resources: &Resources, problems: &mut Vec<ConfigError>) {
    for provider in one.authentication.iter().flat_map(|it| &it.providers) {
        let name = match provider {
            Provider::External(external) => &external.cluster,
            Provider::Jwt(jwt) => match &jwt.jwks {
                Jwks::Url { cluster, .. } => cluster,
                _ => continue,
            },
            _ => continue,
        };
        if !resources.clusters.contains_key(name.as_str()) {
            let reason = format!("guard.authentication: there is no cluster {name:?}");
            problems.push(ConfigError::new(place, reason));
        }
    }
}

fn bad_domain(domain: &str) -> Option<String> {
    let inner = domain.strip_prefix('*').unwrap_or(domain);
    let inner = inner.strip_suffix('*').unwrap_or(inner);
    let odd = |c: char| c.is_whitespace() || matches!(c, '*' | '/');
    (domain != "*" && (inner.is_empty() || inner.contains(odd)))
        .then(|| format!("domain {domain:?} is not a host, *.SUFFIX, PREFIX.* or *"))
}

fn listener(one: &Listener, resources: &Resources, problems: &mut Vec<ConfigError>) {
    let place = format!("listener {:?}", one.name);
    let mut bad = |reason: String| problems.push(ConfigError::new(&place, reason));
    if one.limits.max_rate.is_nan() || one.limits.max_rate <= 0.0 {
        bad("limits.max_rate: more than 0".into());
    }
    if matches!(one.address, crate::Address::Name(..)) {
        bad(format!(
            "address {} is a name: an IP address is needed",
            one.address
        ));
    }
    match (one.protocol, &one.routes, &one.cluster) {
        (Protocol::Tcp, _, None) => bad("protocol tcp needs a cluster".into()),
        (Protocol::Tcp, _, Some(name)) => {
            if !resources.clusters.contains_key(name) {
                bad(format!("there is no cluster {name:?}"));
            }
        }
        (_, None, _) => bad("routes: the name of a route table is needed".into()),
        (_, Some(name), _) => {
            if !resources.routes.contains_key(name) {
                bad(format!("there are no routes {name:?}"));
            }
        }
    }
    if let Some(tls) = &one.tls {
        if tls.certificates.is_empty() {
            bad("tls.certificates: at least one secret is needed".into());
        }
        for name in &tls.certificates {
            match resources.secrets.get(name) {
                None => bad(format!("tls.certificates: there is no secret {name:?}")),
                Some(secret) if secret.certificate.is_none() => {
                    bad(format!(
                        "tls.certificates: secret {name:?} has no certificate"
                    ));
                }
                Some(_) => {}
            }
        }
        if let Some(name) = &tls.client_trust
            && resources
                .secrets
                .get(name)
                .is_none_or(|secret| secret.trust.is_none())
        {
            bad(format!(
                "tls.client_trust: there is no secret {name:?} with trust"
            ));
        }
    }
}

fn route(one: &Route, place: &str, resources: &Resources, problems: &mut Vec<ConfigError>) {
    let mut bad = |reason: String| problems.push(ConfigError::new(place, reason));
    if let PathMatch::Exact(path) | PathMatch::Prefix(path) | PathMatch::StartsWith(path) =
        &one.matches.path
        && !path.is_empty()
        && !path.starts_with('/')
    {
        bad(format!("match.path: {path:?} must start with /"));
    }
    if one
        .matches
        .percent
        .is_some_and(|share| !(0.0..=100.0).contains(&share))
    {
        bad("match.percent: from 0 to 100".into());
    }
    match &one.action {
        Action::Forward(forward) => targets(forward, resources, &mut bad),
        Action::Redirect(redirect) => {
            if redirect
                .status
                .is_some_and(|code| ![301, 302, 303, 307, 308].contains(&code))
            {
                bad("action.redirect.status: 301, 302, 303, 307 or 308".into());
            }
        }
        Action::Respond(respond) => {
            if !(200..600).contains(&respond.status) {
                bad("action.respond.status: from 200 to 599".into());
            }
        }
    }
}

fn targets(forward: &Forward, resources: &Resources, bad: &mut impl FnMut(String)) {
    let mut exists = |field: &str, name: &str| {
        if !resources.clusters.contains_key(name) {
            bad(format!(
                "action.forward.{field}: there is no cluster {name:?}"
            ));
        }
    };
    if let Some(name) = &forward.cluster {
        exists("cluster", name);
    }
    for target in &forward.clusters {
        exists("clusters", &target.cluster);
    }
    for mirror in &forward.mirrors {
        exists("mirrors", &mirror.cluster);
    }
    if forward.cluster.is_some() != forward.clusters.is_empty() {
        bad("action.forward: either cluster or clusters is needed".into());
    }
    if !forward.clusters.is_empty() && forward.clusters.iter().all(|one| one.weight == 0) {
        bad("action.forward.clusters: every weight is 0".into());
    }
    if forward
        .retry
        .as_ref()
        .is_some_and(|retry| retry.attempts > 10)
    {
        bad("action.forward.retry.attempts: 10 at most".into());
    }
    if forward
        .hedge
        .as_ref()
        .is_some_and(|hedge| !(2..=10).contains(&hedge.attempts))
    {
        bad("action.forward.hedge.attempts: from 2 to 10".into());
    }
}

fn cluster(one: &Cluster, resources: &Resources, problems: &mut Vec<ConfigError>) {
    let place = format!("cluster {:?}", one.name);
    let mut bad = |reason: String| problems.push(ConfigError::new(&place, reason));
    let named = |address: &crate::Address| matches!(address, crate::Address::Name(..));
    for (index, endpoint) in one.endpoints.iter().enumerate() {
        if endpoint.weight == 0 {
            bad(format!("endpoints[{index}].weight: at least 1"));
        }
        if named(&endpoint.address) && !matches!(one.discovery, Discovery::Dns { .. }) {
            bad(format!(
                "endpoints[{index}].address: {} is a name: `discovery: {{dns: {{}}}}` resolves it",
                endpoint.address
            ));
        }
    }
    if one.max_streams == 0 || one.max_connections_per_endpoint == 0 {
        bad("max_streams and max_connections_per_endpoint: at least 1".into());
    }
    if one
        .max_rate
        .is_some_and(|rate| rate.is_nan() || rate <= 0.0)
    {
        bad("max_rate: more than 0".into());
    }
    match one.load_balancer {
        LoadBalancer::Maglev { size } if !prime(size) || size > 5_000_011 => {
            bad("load_balancer.maglev.size: a prime up to 5000011".into());
        }
        LoadBalancer::RingHash { size } if !(1..=8_388_608).contains(&size) => {
            bad("load_balancer.ring_hash.size: from 1 to 8388608".into());
        }
        LoadBalancer::LeastRequest { choices } if choices < 2 => {
            bad("load_balancer.least_request.choices: at least 2".into());
        }
        _ => {}
    }
    if let Some(tls) = &one.tls {
        let has = |name: &str, what: fn(&crate::Secret) -> bool| {
            resources
                .secrets
                .get(name)
                .is_some_and(|secret| what(secret))
        };
        if let Some(name) = &tls.certificate
            && !has(name, |secret| secret.certificate.is_some())
        {
            bad(format!(
                "tls.certificate: there is no secret {name:?} with a certificate"
            ));
        }
        if let Some(name) = &tls.trust
            && !has(name, |secret| secret.trust.is_some())
        {
            bad(format!("tls.trust: there is no secret {name:?} with trust"));
        }
    }
}

fn prime(number: u32) -> bool {
    number >= 2 && (2..=number.isqrt()).all(|divisor| !number.is_multiple_of(divisor))
}
