//! What goes on without requests: names are resolved, endpoints asked, ejections ended, idle
//! connections let go.
use std::{collections::HashMap, sync::Arc, time::Duration};

use cloudwright_config::{
    Address, Cluster as Config, Discovery, Endpoint as Model,
    cluster::{Check, HealthCheck},
};
use http::{Method, Request, Version, request::Parts};
use http_body_util::BodyExt;
use tokio::task::{JoinHandle, JoinSet};

use super::{shared::Shared, state::Change};
use crate::{
    flow::{attempt, body::Body},
    upstream::{Cluster, Endpoint, dial::dial},
};

const TICK: Duration = Duration::from_millis(500);
const SWEEP_TICKS: u32 = 20;

/// The tasks that keep clusters.
#[derive(Default)]
pub struct Kept(HashMap<Arc<str>, JoinHandle<()>>);

impl Drop for Kept {
    fn drop(&mut self) {
        for task in self.0.values() {
            task.abort();
        }
    }
}

impl Kept {
    /// Begins and ends what `change` says.
    pub fn follow(&mut self, shared: &Arc<Shared>, change: &Change) {
        for name in &change.removed {
            if let Some(task) = self.0.remove(name) {
                task.abort();
            }
        }
        for cluster in &change.clusters {
            if let Some(task) = self.0.remove(&cluster.name) {
                task.abort();
            }
            let settings = cluster.settings().clone();
            let Some(config) = settings.map(|settings| Arc::clone(&settings.config)) else {
                continue;
            };
            let quiet = config.health_checks.is_empty()
                && config.outlier.is_none()
                && !matches!(config.discovery, Discovery::Dns { .. });
            if !quiet {
                let work = keep(Arc::clone(shared), Arc::clone(cluster), config);
                self.0.insert(Arc::clone(&cluster.name), tokio::spawn(work));
            }
        }
    }
}

async fn keep(shared: Arc<Shared>, cluster: Arc<Cluster>, config: Arc<Config>) {
    let mut tasks = JoinSet::new();
    if let Discovery::Dns { refresh } = config.discovery {
        tasks.spawn(resolve(
            Arc::clone(&shared),
            Arc::clone(&cluster),
            Arc::clone(&config),
            refresh,
        ));
    }
    for check in &config.health_checks {
        tasks.spawn(ask_all(Arc::clone(&cluster), check.clone()));
    }
    if let Some(rule) = &config.outlier {
        let (shared, cluster, interval) = (shared, Arc::clone(&cluster), rule.interval);
        tasks.spawn(async move {
            let mut ticks = tokio::time::interval(interval.max(Duration::from_millis(10)));
            ticks.tick().await;
            loop {
                ticks.tick().await;
                cluster.interval(shared.state.now_ms());
            }
        });
    }
    while tasks.join_next().await.is_some() {}
}

/// Ends ejections and lets go of idle connections, for ever.
pub async fn sweep(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(TICK);
    let mut turn = 0u32;
    loop {
        ticks.tick().await;
        turn = turn.wrapping_add(1);
        for cluster in shared.state.clusters() {
            let settings = cluster.settings().clone();
            let Some(settings) = settings else {
                continue;
            };
            if settings.config.outlier.is_some() {
                cluster.recover(shared.state.now_ms());
            }
            if turn.is_multiple_of(SWEEP_TICKS) {
                for endpoint in cluster.endpoints().iter() {
                    endpoint.pool.sweep(&settings);
                }
            }
        }
    }
}

async fn resolve(
    shared: Arc<Shared>,
    cluster: Arc<Cluster>,
    config: Arc<Config>,
    refresh: Duration,
) {
    loop {
        let mut found = Vec::new();
        let mut failed = false;
        for model in &config.endpoints {
            match &model.address {
                Address::Name(name, port) => {
                    match tokio::net::lookup_host((&**name, *port)).await {
                        Ok(all) => found.extend(all.map(|ip| Model {
                            address: Address::Ip(ip),
                            ..model.clone()
                        })),
                        // What was known stays: a resolver that is away must not end traffic.
                        Err(_) => failed = true,
                    }
                }
                _ => found.push(model.clone()),
            }
        }
        if !failed {
            found.sort_by_key(|one| one.address.to_string());
            found.dedup_by(|one, other| one.address == other.address);
            shared.state.discovered(&cluster.name, &found);
        }
        tokio::time::sleep(refresh).await;
    }
}

async fn ask_all(cluster: Arc<Cluster>, check: HealthCheck) {
    let mut rows: HashMap<usize, (Arc<Endpoint>, i64)> = HashMap::new();
    let mut ticks = tokio::time::interval(check.interval.max(Duration::from_millis(10)));
    loop {
        ticks.tick().await;
        let all = cluster.endpoints();
        let mut asked = JoinSet::new();
        for endpoint in all.iter() {
            let (cluster, endpoint) = (Arc::clone(&cluster), Arc::clone(endpoint));
            let check = check.clone();
            asked.spawn(async move {
                let well = tokio::time::timeout(check.timeout, ask(&cluster, &endpoint, &check))
                    .await
                    .unwrap_or(false);
                (endpoint, well)
            });
        }
        let mut next = HashMap::new();
        while let Some(Ok((endpoint, well))) = asked.join_next().await {
            let key = Arc::as_ptr(&endpoint) as usize;
            let before = rows.remove(&key).map_or(0, |(_, row)| row);
            let row = match well {
                true => before.max(0) + 1,
                false => before.min(0) - 1,
            };
            if row >= i64::from(check.healthy_after) {
                cluster.checked(&endpoint, true);
            } else if -row >= i64::from(check.unhealthy_after) {
                cluster.checked(&endpoint, false);
            }
            next.insert(key, (endpoint, row));
        }
        rows = next;
    }
}

fn request(method: Method, authority: &str, path: &str) -> Option<Parts> {
    let built = Request::builder()
        .method(method)
        .version(Version::HTTP_11)
        .uri(format!("http://{authority}{path}"))
        .header(http::header::HOST, authority)
        .header(http::header::USER_AGENT, "cloudwright-health")
        .body(());
    built.ok().map(|request| request.into_parts().0)
}

async fn ask(cluster: &Arc<Cluster>, endpoint: &Arc<Endpoint>, check: &HealthCheck) -> bool {
    let settings = cluster.settings().clone();
    let Some(settings) = settings else {
        return false;
    };
    let authority = match &endpoint.address {
        Address::Unix(_) => "localhost".to_owned(),
        other => other.to_string(),
    };
    match &check.check {
        Check::Tcp {} => dial(endpoint, &settings, false).await.is_ok(),
        Check::Http {
            path,
            host,
            from,
            to,
        } => {
            let host = host.as_deref().unwrap_or(&authority);
            let Some(parts) = request(Method::GET, host, path) else {
                return false;
            };
            let sent = attempt::send(cluster, endpoint, &settings, parts, Body::empty()).await;
            let Ok((response, hold)) = sent else {
                return false;
            };
            let well = (*from..=*to).contains(&response.status().as_u16());
            let mut body = response.into_body();
            // Read to its end, so that the connection can be used again.
            while let Some(Ok(_)) = body.frame().await {}
            drop(hold);
            well
        }
        Check::Grpc { service } => ask_grpc(cluster, endpoint, &authority, service).await,
    }
}

/// `grpc.health.v1.Health/Check`: a message with one string, an answer with one number.
async fn ask_grpc(
    cluster: &Arc<Cluster>,
    endpoint: &Arc<Endpoint>,
    authority: &str,
    service: &str,
) -> bool {
    let settings = cluster.settings().clone();
    let (Some(settings), Ok(length)) = (settings, u8::try_from(service.len())) else {
        return false;
    };
    let Some(mut parts) = request(Method::POST, authority, "/grpc.health.v1.Health/Check") else {
        return false;
    };
    let fields = [("content-type", "application/grpc"), ("te", "trailers")];
    for (name, value) in fields {
        parts
            .headers
            .insert(name, http::HeaderValue::from_static(value));
    }
    let mut message = vec![0x0a, length];
    message.extend_from_slice(service.as_bytes());
    if service.is_empty() {
        message.clear();
    }
    let mut framed = vec![0, 0, 0, 0, u8::try_from(message.len()).unwrap_or(0)];
    framed.extend(message);
    let sent = attempt::send(cluster, endpoint, &settings, parts, Body::full(framed)).await;
    let Ok((response, _hold)) = sent else {
        return false;
    };
    let Ok(answer) = response.into_body().collect().await else {
        return false;
    };
    let fine = answer
        .trailers()
        .and_then(|trailers| trailers.get("grpc-status"))
        .is_some_and(|status| status == "0");
    // SERVING is 1, in the first field.
    fine && answer.to_bytes().get(5..7) == Some(&[0x08, 0x01])
}
