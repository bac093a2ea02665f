//! Clusters: discovery, balancing, limits, what is spoken.
use std::sync::Arc;

use cloudwright_config::{
    Cluster, Discovery, LoadBalancer,
    cluster::{CircuitBreaker, Protocol, ZoneAware},
};

use super::{
    balance, common,
    context::{Bad, Context, Warning, expect, unread},
    endpoint, health, protocol, sockets,
    tls::{self, Credentials},
};
use crate::{
    schema::{cluster as schema, tls as tls_schema},
    wire::Value,
};

/// A cluster and what it refers to.
#[derive(Debug)]
pub struct ClusterParts {
    pub cluster: Arc<Cluster>,
    /// The service name whose endpoints must come.
    pub endpoints: Option<Arc<str>>,
    pub credentials: Credentials,
}

#[derive(Default)]
struct Draft {
    kind: u64,
    service: Arc<str>,
    policy: u64,
    balancer: Option<LoadBalancer>,
}

/// `cluster.Cluster`.
pub fn cluster(cx: &mut Context, bytes: &[u8]) -> Result<ClusterParts, Bad> {
    let name = name_of(bytes)?;
    let mut out = Cluster::named(Arc::clone(&name));
    let mut draft = Draft::default();
    let mut credentials = Credentials::default();
    let (mut load, mut matched) = (None, None);
    out.connect_timeout = std::time::Duration::from_secs(5);
    cx.read(&schema::CLUSTER, bytes, |cx, field, value| match field {
        "load_assignment" => {
            load = Some(value.bytes()?);
            Ok(())
        }
        "transport_socket" => {
            let found = tls::socket(cx, value.bytes()?, &tls_schema::UPSTREAM_TLS)?;
            let owner = format!("cluster/{name}");
            out.tls = found
                .map(|bytes| tls::upstream(cx, bytes, &owner, &mut credentials))
                .transpose()
                .map_err(|bad| bad.within("typed_config"))?;
            Ok(())
        }
        "transport_socket_matches" => {
            let owner = format!("cluster/{name}");
            sockets::add(cx, value, &owner, &mut matched, &mut credentials)
        }
        _ => one_field(cx, field, value, &mut out, &mut draft),
    })?;
    if matched.is_some() && out.tls.is_some() {
        let reason = "transport_socket beside them is not supported";
        return Err(Bad::new(reason).within("transport_socket_matches"));
    }
    out.tls = out.tls.or(matched);
    finish(cx, &mut out, draft, load)?;
    let endpoints = match &out.discovery {
        Discovery::Eds { service } if service.is_empty() => Some(name),
        Discovery::Eds { service } => Some(Arc::clone(service)),
        _ => None,
    };
    Ok(ClusterParts {
        cluster: Arc::new(out),
        endpoints,
        credentials,
    })
}

fn name_of(bytes: &[u8]) -> Result<Arc<str>, Bad> {
    super::name_field(bytes, 1)
}

fn one_field(
    cx: &mut Context,
    field: &'static str,
    value: Value<'_>,
    out: &mut Cluster,
    draft: &mut Draft,
) -> Result<(), Bad> {
    match field {
        "name" => {}
        "type" => draft.kind = value.u64()?,
        "eds_cluster_config" => draft.service = eds(cx, value.bytes()?)?,
        "connect_timeout" => out.connect_timeout = value.duration()?,
        "lb_policy" => draft.policy = value.u64()?,
        "health_checks" => out.health_checks.push(health::check(cx, value.bytes()?)?),
        "circuit_breakers" => circuit_breakers(cx, value.bytes()?, out)?,
        "outlier_detection" => out.outlier = Some(health::outlier(cx, value.bytes()?)?),
        "dns_refresh_rate" => {
            cx.warn(Warning::Value(
                "Cluster.dns_refresh_rate: the records' own time to live counts".into(),
            ));
        }
        "common_lb_config" => common_lb(cx, value.bytes()?, out)?,
        "ring_hash_lb_config"
        | "maglev_lb_config"
        | "least_request_lb_config"
        | "round_robin_lb_config" => {
            draft.balancer = Some(balance::classic(cx, field, value.bytes()?, out)?);
        }
        "original_dst_lb_config" => {
            cx.read(&schema::ORIGINAL_DST, value.bytes()?, |_, name, _| {
                unread(name)
            })?;
        }
        "load_balancing_policy" => {
            draft.balancer = Some(balance::policy(cx, value.bytes()?, out)?);
            draft.policy = 7;
        }
        "typed_extension_protocol_options" => {
            if let ("envoy.extensions.upstreams.http.v3.HttpProtocolOptions", Some(any)) =
                value.entry()?
            {
                let bytes = expect(&schema::UPSTREAM_OPTIONS, any)?;
                protocol::options(cx, bytes, out)?;
            } else {
                return Err(Bad::unsupported().within(value.entry()?.0));
            }
        }
        "http_protocol_options" => {
            protocol::http1(cx, value)?;
            out.protocol = Protocol::Http1;
        }
        "http2_protocol_options" => {
            protocol::http2(cx, value, out)?;
            out.protocol = Protocol::Http2;
        }
        "common_http_protocol_options" => protocol::common(cx, value, out)?,
        "upstream_http_protocol_options" => protocol::auto_sni(cx, value)?,
        "upstream_connection_options" => {
            cx.read(
                &schema::UPSTREAM_CONNECTION,
                value.bytes()?,
                |_, name, _| unread(name),
            )?;
        }
        _ => return unread(field),
    }
    Ok(())
}

/// What depends on more than one field.
fn finish(
    cx: &mut Context,
    out: &mut Cluster,
    draft: Draft,
    load: Option<&[u8]>,
) -> Result<(), Bad> {
    let names = matches!(draft.kind, 1 | 2);
    out.discovery = match draft.kind {
        0 => Discovery::Static,
        1 | 2 => Discovery::Dns {
            refresh: std::time::Duration::from_secs(5),
        },
        3 => Discovery::Eds {
            service: draft.service,
        },
        4 => Discovery::OriginalDestination,
        _ => return Err(Bad::unsupported().within("type")),
    };
    if let Some(load) = load {
        if draft.kind > 2 {
            return Err(Bad::new("is only for STATIC and *_DNS").within("load_assignment"));
        }
        out.endpoints = endpoint::assignment(cx, load, names)
            .map_err(|bad| bad.within("load_assignment"))?
            .endpoints;
    }
    // Parameters count only for the policy that is chosen.
    let chosen = |wanted: LoadBalancer| match draft.balancer.clone() {
        Some(found) if std::mem::discriminant(&found) == std::mem::discriminant(&wanted) => found,
        _ => wanted,
    };
    out.load_balancer = match draft.policy {
        0 | 6 => LoadBalancer::RoundRobin,
        1 => chosen(LoadBalancer::LeastRequest { choices: 2 }),
        2 => chosen(LoadBalancer::RingHash { size: 1024 }),
        3 => LoadBalancer::Random,
        5 => chosen(LoadBalancer::Maglev { size: 65_537 }),
        7 => draft.balancer.ok_or_else(|| {
            Bad::new("is needed for LOAD_BALANCING_POLICY_CONFIG").within("load_balancing_policy")
        })?,
        _ => return Err(Bad::unsupported().within("lb_policy")),
    };
    Ok(())
}

fn eds(cx: &mut Context, bytes: &[u8]) -> Result<Arc<str>, Bad> {
    let mut service = Arc::default();
    cx.read(&schema::EDS_CONFIG, bytes, |cx, name, value| {
        match name {
            "eds_config" => common::config_source(cx, value.bytes()?)?,
            "service_name" => service = value.text()?.into(),
            _ => return unread(name),
        }
        Ok(())
    })?;
    Ok(service)
}

fn common_lb(cx: &mut Context, bytes: &[u8], out: &mut Cluster) -> Result<(), Bad> {
    cx.read(&schema::COMMON_LB, bytes, |cx, name, value| {
        match name {
            "healthy_panic_threshold" => {
                out.panic_percent = common::percent(cx, value.bytes()?)?;
            }
            "zone_aware_lb_config" => {
                let mut least = 6;
                cx.read(&schema::ZONE_AWARE, value.bytes()?, |_, name, value| {
                    match name {
                        "min_cluster_size" => {
                            least = u32::try_from(value.wrapped_u64()?).unwrap_or(u32::MAX);
                        }
                        _ => return unread(name),
                    }
                    Ok(())
                })?;
                out.zone_aware = cx.zone.clone().map(|zone| ZoneAware {
                    zone,
                    minimum_endpoints: least,
                });
            }
            _ => return unread(name),
        }
        Ok(())
    })
}

fn circuit_breakers(cx: &mut Context, bytes: &[u8], out: &mut Cluster) -> Result<(), Bad> {
    cx.read(&schema::CIRCUIT_BREAKERS, bytes, |cx, name, value| {
        let (priority, found) = thresholds(cx, value.bytes()?, &out.circuit_breaker)?;
        match (name, priority) {
            ("thresholds", 0) => out.circuit_breaker = found,
            ("per_host_thresholds", 0) => {
                out.max_connections_per_endpoint = found.max_connections;
            }
            _ => cx.warn(Warning::Value(
                "CircuitBreakers.thresholds: all requests count as of priority DEFAULT".into(),
            )),
        }
        Ok(())
    })
}

fn thresholds(
    cx: &mut Context,
    bytes: &[u8],
    before: &CircuitBreaker,
) -> Result<(u64, CircuitBreaker), Bad> {
    let (mut priority, mut out) = (0, before.clone());
    let mut budget = None;
    cx.read(&schema::THRESHOLDS, bytes, |cx, name, value| {
        match name {
            "priority" => priority = value.u64()?,
            "max_connections" => out.max_connections = value.wrapped_u32()?,
            "max_pending_requests" => out.max_pending = value.wrapped_u32()?,
            "max_requests" => out.max_requests = value.wrapped_u32()?,
            "max_retries" => {
                out.max_retries = value.wrapped_u32()?;
                out.retry_budget_percent = None;
            }
            "retry_budget" => budget = Some(retry_budget(cx, value.bytes()?)?),
            _ => return unread(name),
        }
        Ok(())
    })?;
    if let Some((percent, minimum)) = budget {
        out.retry_budget_percent = Some(percent);
        out.retry_budget_minimum = minimum;
    }
    Ok((priority, out))
}

fn retry_budget(cx: &mut Context, bytes: &[u8]) -> Result<(f64, u32), Bad> {
    let mut found = (20.0, 3);
    cx.read(&schema::RETRY_BUDGET, bytes, |cx, name, value| {
        match name {
            "budget_percent" => found.0 = common::percent(cx, value.bytes()?)?,
            "min_retry_concurrency" => found.1 = value.wrapped_u32()?,
            _ => return unread(name),
        }
        Ok(())
    })?;
    Ok(found)
}
