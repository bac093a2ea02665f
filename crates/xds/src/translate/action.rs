//! How requests are sent: clusters, deadlines, retries, copies, rewrites.
use std::{sync::Arc, time::Duration};

use cloudwright_config::{
    Forward,
    policy::{HashKey, Hedge, Mirror, Retry, RetryOn},
    route::Weighted,
};

use super::{
    common,
    context::{Bad, Context, Warning, unread},
    route::Defaults,
};
use crate::{schema::route as schema, wire::Value};

/// Envoy's timeout of routes that say nothing.
const TIMEOUT: Duration = Duration::from_secs(15);

/// `route.RouteAction`.
pub fn forward(cx: &mut Context, bytes: &[u8]) -> Result<Forward, Bad> {
    let mut out = Forward {
        timeout: Some(TIMEOUT),
        ..Forward::default()
    };
    cx.read(&schema::ROUTE_ACTION, bytes, |cx, name, value| {
        match name {
            "cluster" => out.cluster = Some(cx.shared(value.text()?)),
            "weighted_clusters" => out.clusters = weighted(cx, value.bytes()?)?,
            "timeout" => out.timeout = Some(value.duration()?).filter(|time| !time.is_zero()),
            "idle_timeout" => {
                out.idle_timeout = Some(value.duration()?).filter(|time| !time.is_zero());
            }
            "retry_policy" => out.retry = Some(retry(cx, value.bytes()?)?),
            "hedge_policy" => out.hedge = hedge(cx, value.bytes()?)?,
            "request_mirror_policies" => out.mirrors.push(mirror(cx, value.bytes()?)?),
            "prefix_rewrite" => {
                out.rewrite.prefix = Some(value.text()?)
                    .filter(|t| !t.is_empty())
                    .map(Into::into);
            }
            "regex_rewrite" => {
                out.rewrite.regex = Some(common::regex_rewrite(cx, value.bytes()?)?);
            }
            "host_rewrite_literal" => out.rewrite.host = Some(value.text()?.into()),
            "auto_host_rewrite" => out.rewrite.auto_host = value.wrapped_bool()?,
            "hash_policy" => out.hash.extend(hash_key(cx, value.bytes()?)?),
            "upgrade_configs" => out.upgrades |= upgrade(cx, value)?,
            _ => return unread(name),
        }
        Ok(())
    })?;
    if out.cluster.is_some() != out.clusters.is_empty() {
        return Err(Bad::new("one of cluster and weighted_clusters is needed"));
    }
    Ok(out)
}

/// Puts in what the virtual host says for all its routes.
pub fn complete(forward: &mut Forward, defaults: &Defaults) {
    if forward.retry.is_none() {
        forward.retry.clone_from(&defaults.retry);
    }
    if forward.hedge.is_none() {
        forward.hedge.clone_from(&defaults.hedge);
    }
    if forward.mirrors.is_empty() {
        forward.mirrors.clone_from(&defaults.mirrors);
    }
    let Some(hedge) = &mut forward.hedge else {
        return;
    };
    // A try that takes too long is not given up: another one begins beside it.
    match forward.retry.as_mut().and_then(|retry| {
        let attempts = retry.attempts.saturating_add(1);
        retry.per_try_timeout.take().map(|delay| (delay, attempts))
    }) {
        Some((delay, attempts)) => {
            hedge.delay = delay;
            hedge.attempts = attempts.clamp(2, 10);
        }
        None => forward.hedge = None,
    }
}

fn weighted(cx: &mut Context, bytes: &[u8]) -> Result<Vec<Weighted>, Bad> {
    let mut out: Vec<Weighted> = Vec::new();
    cx.read(&schema::WEIGHTED_CLUSTERS, bytes, |cx, _, value| {
        let (mut called, mut weight) = ("", 0);
        cx.read(&schema::CLUSTER_WEIGHT, value.bytes()?, |_, name, value| {
            match name {
                "name" => called = value.text()?,
                "weight" => weight = value.wrapped_u32()?,
                _ => return unread(name),
            }
            Ok(())
        })?;
        if called.is_empty() {
            return Err(Bad::new("is needed").within("name"));
        }
        out.push(Weighted {
            cluster: cx.shared(called),
            weight,
        });
        Ok(())
    })?;
    let sum: u64 = out.iter().map(|one| u64::from(one.weight)).sum();
    if sum == 0 || u32::try_from(sum).is_err() {
        return Err(Bad::new("the sum of weights must be from 1 to 4294967295"));
    }
    Ok(out)
}

/// `route.RetryPolicy`.
pub fn retry(cx: &mut Context, bytes: &[u8]) -> Result<Retry, Bad> {
    let mut out = Retry {
        attempts: 1,
        on: Vec::new(),
        statuses: Vec::new(),
        per_try_timeout: None,
        backoff: Duration::from_millis(25),
        max_backoff: Duration::from_millis(250),
        non_idempotent: true,
    };
    cx.read(&schema::RETRY, bytes, |cx, name, value| {
        match name {
            "retry_on" => {
                for word in value.text()?.split(',').map(str::trim) {
                    retry_on(cx, word, &mut out.on);
                }
            }
            "num_retries" => out.attempts = value.wrapped_u32()?,
            "per_try_timeout" => {
                out.per_try_timeout = Some(value.duration()?).filter(|time| !time.is_zero());
            }
            "retriable_status_codes" => value.numbers(|code| {
                out.statuses.push(u16::try_from(code).unwrap_or(u16::MAX));
            })?,
            "retry_back_off" => backoff(cx, value.bytes()?, &mut out)?,
            _ => return unread(name),
        }
        Ok(())
    })?;
    if out.attempts > 10 {
        return Err(Bad::new("10 at most").within("num_retries"));
    }
    if let Some(code) = out.statuses.iter().find(|code| !(100..600).contains(*code)) {
        let reason = format!("{code} is no status");
        return Err(Bad::new(reason).within("retriable_status_codes"));
    }
    Ok(out)
}

fn retry_on(cx: &mut Context, word: &str, on: &mut Vec<RetryOn>) {
    let found = match word {
        "5xx" => RetryOn::ServerError,
        "gateway-error" => RetryOn::GatewayError,
        "reset" => RetryOn::Reset,
        "connect-failure" | "refused-stream" | "reset-before-request" => RetryOn::ConnectFailure,
        "retriable-4xx" => RetryOn::Conflict,
        "retriable-status-codes" => RetryOn::Statuses,
        "cancelled" => RetryOn::GrpcCancelled,
        "deadline-exceeded" => RetryOn::GrpcDeadlineExceeded,
        "internal" => RetryOn::GrpcInternal,
        "resource-exhausted" => RetryOn::GrpcResourceExhausted,
        "unavailable" => RetryOn::GrpcUnavailable,
        other => {
            if !other.is_empty() {
                let text: String = other.chars().take(60).collect();
                cx.warn(Warning::Value(format!(
                    "RetryPolicy.retry_on: {text:?} is ignored"
                )));
            }
            return;
        }
    };
    if !on.contains(&found) {
        on.push(found);
    }
}

fn backoff(cx: &mut Context, bytes: &[u8], out: &mut Retry) -> Result<(), Bad> {
    let (mut base, mut most) = (Duration::ZERO, None);
    cx.read(&schema::BACKOFF, bytes, |_, name, value| {
        match name {
            "base_interval" => base = value.duration()?,
            "max_interval" => most = Some(value.duration()?),
            _ => return unread(name),
        }
        Ok(())
    })?;
    if base.is_zero() {
        return Err(Bad::new("must be more than 0").within("base_interval"));
    }
    out.backoff = base;
    out.max_backoff = most.unwrap_or(base * 10).max(base);
    Ok(())
}

/// `route.HedgePolicy`: the delay comes from the retry policy, see [`complete`].
pub fn hedge(cx: &mut Context, bytes: &[u8]) -> Result<Option<Hedge>, Bad> {
    let mut wanted = false;
    cx.read(&schema::HEDGE, bytes, |_, name, value| match name {
        "hedge_on_per_try_timeout" => {
            wanted = value.bool()?;
            Ok(())
        }
        _ => unread(name),
    })?;
    Ok(wanted.then_some(Hedge {
        delay: Duration::ZERO,
        attempts: 2,
    }))
}

/// `route.RouteAction.RequestMirrorPolicy`.
pub fn mirror(cx: &mut Context, bytes: &[u8]) -> Result<Mirror, Bad> {
    let (mut cluster, mut percent) = ("", 100.0);
    cx.read(&schema::MIRROR, bytes, |cx, name, value| {
        match name {
            "cluster" => cluster = value.text()?,
            "runtime_fraction" => percent = common::runtime_fraction(cx, value.bytes()?)?,
            _ => return unread(name),
        }
        Ok(())
    })?;
    if cluster.is_empty() {
        return Err(Bad::new("is needed").within("cluster"));
    }
    Ok(Mirror {
        cluster: cx.shared(cluster),
        percent,
    })
}

fn hash_key(cx: &mut Context, bytes: &[u8]) -> Result<Option<HashKey>, Bad> {
    let mut found = None;
    cx.read(&schema::HASH_POLICY, bytes, |cx, kind, value| {
        let message = match kind {
            "header" => &schema::HASH_HEADER,
            "cookie" => &schema::HASH_COOKIE,
            "connection_properties" => &schema::HASH_CONNECTION,
            _ => &schema::HASH_QUERY,
        };
        let (mut called, mut ttl, mut source): (Arc<str>, _, _) = (Arc::default(), None, false);
        cx.read(message, value.bytes()?, |_, name, value| {
            match name {
                "header_name" | "name" => called = value.text()?.into(),
                "ttl" => ttl = Some(value.duration()?),
                "source_ip" => source = value.bool()?,
                _ => return unread(name),
            }
            Ok(())
        })?;
        if called.is_empty() && kind != "connection_properties" {
            return Err(Bad::new("is needed").within("name"));
        }
        found = match kind {
            "header" => Some(HashKey::Header(called)),
            "cookie" => Some(HashKey::Cookie { name: called, ttl }),
            "connection_properties" => source.then_some(HashKey::Source),
            _ => Some(HashKey::Query(called)),
        };
        Ok(())
    })?;
    Ok(found)
}

fn upgrade(cx: &mut Context, value: Value<'_>) -> Result<bool, Bad> {
    let (mut kind, mut enabled) = ("", true);
    cx.read(&schema::ROUTE_UPGRADE, value.bytes()?, |_, name, value| {
        match name {
            "upgrade_type" => kind = value.text()?,
            "enabled" => enabled = value.wrapped_bool()?,
            _ => return unread(name),
        }
        Ok(())
    })?;
    if enabled && kind.eq_ignore_ascii_case("connect") {
        return Err(Bad::unsupported().within("upgrade_type"));
    }
    Ok(enabled)
}
