//! Who may send requests and how many, prepared; asked between the choice of a rule and its action.
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use cloudwright_config::{ConfigError, guard::Guard as Config};
use cloudwright_guard::{
    Accepted, Answer, Authenticator, Authorizer, Check, Facts, Grant, Limiter, MAX_BODY, Now,
    Principals, Refusal, Subject, Verdict,
    config::{Jwks, Provider},
};
use http::{HeaderMap, Request, request::Parts};
use http_body_util::{BodyExt, Limited};

use super::rule::Resolver;
use crate::{
    flow::{body::Body, exchange::Client, forward::Outgoing},
    plane::shared::Shared,
    upstream::Cluster,
};

/// The guards of a virtual host or route.
pub struct Guard {
    authenticator: Option<Arc<Authenticator>>,
    authorizer: Option<Authorizer>,
    limiter: Option<Arc<Limiter>>,
    /// Clusters that are asked, by name.
    clusters: HashMap<Arc<str>, Arc<Cluster>>,
}

fn read(path: &str) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|why| why.to_string())
}

fn told(why: &cloudwright_guard::config::ConfigError) -> ConfigError {
    ConfigError::new("guard", why.to_string())
}

/// Both clocks.
#[must_use]
pub fn now(shared: &Shared) -> Now {
    Now {
        monotonic_ns: shared.state.now_ns(),
        unix: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
    }
}

impl Guard {
    /// Prepares `config`; `None` when there is nothing to guard.
    ///
    /// # Errors
    /// What is wrong with it, or with a file that it names.
    pub fn new(
        config: &Config,
        label: &Arc<str>,
        resolver: &mut dyn Resolver,
    ) -> Result<Option<Self>, ConfigError> {
        if config.is_empty() {
            return Ok(None);
        }
        let mut clusters = HashMap::new();
        let mut authenticator = None;
        if let Some(config) = &config.authentication {
            let made = Authenticator::new(config, &mut read).map_err(|why| told(&why))?;
            let made = Arc::new(made);
            resolver.authenticator(&made);
            authenticator = Some(made);
            for provider in &config.providers {
                let name: Option<Arc<str>> = match provider {
                    Provider::External(external) => Some(external.cluster.as_str().into()),
                    Provider::Jwt(jwt) => match &jwt.jwks {
                        Jwks::Url { cluster, .. } => Some(cluster.as_str().into()),
                        _ => None,
                    },
                    _ => None,
                };
                if let Some(name) = name {
                    let cluster = resolver.cluster(&name);
                    clusters.insert(name, cluster);
                }
            }
        }
        let authorizer = config
            .authorization
            .as_ref()
            .map(Authorizer::new)
            .transpose()
            .map_err(|why| told(&why))?;
        let limiter = if config.rate_limits.is_empty() {
            None
        } else {
            let made = Limiter::new(&config.rate_limits).map_err(|why| told(&why))?;
            Some(resolver.limiter(label, made))
        };
        Ok(Some(Self {
            authenticator,
            authorizer,
            limiter,
            clusters,
        }))
    }

    /// Whether it asks who calls.
    #[must_use]
    pub fn authenticates(&self) -> bool {
        self.authenticator.is_some()
    }
}

/// What the guards of one request found.
#[derive(Default)]
pub struct Passed {
    grant: Option<Grant>,
}

impl Passed {
    /// Tells the client what is left of its rate, where that is wanted.
    pub fn annotate(&self, headers: &mut HeaderMap) {
        if let Some(grant) = &self.grant {
            grant.annotate(headers);
        }
    }
}

/// Asks the guards of a virtual host and of a route.
///
/// # Errors
/// The first no.
pub async fn ask(
    client: &Client,
    host: Option<&Guard>,
    route: Option<&Guard>,
    label: &str,
    parts: &mut Parts,
) -> Result<Passed, Box<Refusal>> {
    let guards = [host, route];
    let guards = || guards.iter().copied().flatten();
    let facts = Facts {
        client: client
            .peer
            .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip()),
        identity: client.identity.clone(),
    };
    let mut principals = Principals::nobody();
    // A route's own way to authenticate takes the place of its virtual host's.
    let asking = route
        .filter(|it| it.authenticates())
        .or(host.filter(|it| it.authenticates()));
    if let Some(guard) = asking
        && let Some(authenticator) = &guard.authenticator
    {
        let accepted = authenticate(client, guard, authenticator, &facts, parts).await?;
        authenticator.apply(&accepted, parts);
        principals = accepted.principals;
    }
    for guard in guards() {
        if let Some(authorizer) = &guard.authorizer
            && let Some(refusal) = authorizer.decide(parts, &facts, &principals).refusal()
        {
            return Err(Box::new(refusal));
        }
    }
    let limiters: Vec<&Limiter> = guards().filter_map(|one| one.limiter.as_deref()).collect();
    if limiters.is_empty() {
        return Ok(Passed::default());
    }
    let subject = Subject {
        parts,
        facts: &facts,
        principals: &principals,
        route: label,
        fields: &[],
    };
    let grant = Limiter::check_all(&limiters, &subject, client.shared.state.now_ns())?;
    Ok(Passed { grant: Some(grant) })
}

async fn authenticate(
    client: &Client,
    guard: &Guard,
    authenticator: &Arc<Authenticator>,
    facts: &Facts,
    parts: &Parts,
) -> Result<Accepted, Box<Refusal>> {
    let shared = &client.shared;
    let mut verdict = authenticator.check(parts, facts, now(shared), false);
    if matches!(verdict, Verdict::AwaitKeys) {
        fetch(shared, &guard.clusters, authenticator).await;
        verdict = authenticator.check(parts, facts, now(shared), true);
    }
    if authenticator
        .next_fetch()
        .is_some_and(|due| due <= shared.state.now_ns())
    {
        let (shared, clusters) = (Arc::clone(shared), guard.clusters.clone());
        let authenticator = Arc::clone(authenticator);
        tokio::spawn(async move { fetch(&shared, &clusters, &authenticator).await });
    }
    match verdict {
        Verdict::Accept(accepted) => Ok(accepted),
        Verdict::Refuse(refusal) => Err(Box::new(refusal)),
        Verdict::Ask(check) => inquire(shared, &guard.clusters, *check).await,
        Verdict::AwaitKeys => {
            // Told that it was the last time, the authenticator does not ask to wait again.
            let reason = cloudwright_guard::Reason::KeysUnavailable;
            Err(Box::new(Refusal::new(
                reason,
                "the keys of tokens cannot be had",
            )))
        }
    }
}

async fn send(
    shared: &Arc<Shared>,
    cluster: Option<&Arc<Cluster>>,
    timeout: std::time::Duration,
    request: Request<()>,
) -> Option<Answer> {
    let config = cloudwright_config::Forward {
        timeout: Some(timeout),
        ..cloudwright_config::Forward::default()
    };
    let outgoing = Outgoing {
        shared,
        cluster: cluster?,
        config: &config,
        hash: None,
        replay_bytes: 0,
    };
    let work = async {
        let parts = request.into_parts().0;
        let answered = outgoing.send(parts, Body::empty()).await.ok()?;
        let (head, body) = answered.response.into_parts();
        let body = Limited::new(body, MAX_BODY).collect().await.ok()?;
        Some(Answer {
            status: head.status,
            headers: head.headers,
            body: body.to_bytes(),
        })
    };
    tokio::time::timeout(timeout, work).await.ok()?
}

async fn inquire(
    shared: &Arc<Shared>,
    clusters: &HashMap<Arc<str>, Arc<Cluster>>,
    mut check: Check,
) -> Result<Accepted, Box<Refusal>> {
    let request = std::mem::replace(&mut check.request, Request::new(()));
    let answer = send(shared, clusters.get(&check.cluster), check.timeout, request).await;
    check.conclude(answer.as_ref()).map_err(Box::new)
}

/// Fetches the keys that are due.
async fn fetch(
    shared: &Arc<Shared>,
    clusters: &HashMap<Arc<str>, Arc<Cluster>>,
    authenticator: &Authenticator,
) {
    for due in authenticator.fetches(now(shared)) {
        let built = Request::builder().uri(due.fetch.uri.clone()).body(());
        let answer = match built {
            Ok(request) => {
                let cluster = clusters.get(due.fetch.cluster.as_str());
                send(shared, cluster, due.fetch.timeout, request).await
            }
            Err(_) => None,
        };
        let outcome = match &answer {
            Some(answer) if answer.status.is_success() => Ok(&answer.body[..]),
            Some(answer) => Err(format!("{} answered {}", due.fetch.cluster, answer.status)),
            None => Err(format!("{} did not answer", due.fetch.cluster)),
        };
        if let Err(why) = authenticator.fetched(due.provider, outcome, now(shared)) {
            eprintln!("keys of tokens: {why}");
        }
    }
}
