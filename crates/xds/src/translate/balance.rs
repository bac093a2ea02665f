//! Load balancing: the classic fields and `load_balancing_policy`.
use cloudwright_config::{Cluster, LoadBalancer, cluster::SlowStart};

use super::{
    common,
    context::{Bad, Context, Warning, expect, unread},
};
use crate::{
    schema::{Message, cluster as schema, core as core_schema},
    wire::Value,
};

/// `ring_hash_lb_config` and its like.
pub fn classic(
    cx: &mut Context,
    field: &str,
    bytes: &[u8],
    out: &mut Cluster,
) -> Result<LoadBalancer, Bad> {
    match field {
        "ring_hash_lb_config" => parameters(
            cx,
            &schema::RING_HASH,
            bytes,
            LoadBalancer::RingHash { size: 1024 },
            out,
        ),
        "maglev_lb_config" => parameters(
            cx,
            &schema::MAGLEV,
            bytes,
            LoadBalancer::Maglev { size: 65_537 },
            out,
        ),
        "least_request_lb_config" => parameters(
            cx,
            &schema::LEAST_REQUEST,
            bytes,
            LoadBalancer::LeastRequest { choices: 2 },
            out,
        ),
        _ => parameters(
            cx,
            &schema::ROUND_ROBIN,
            bytes,
            LoadBalancer::RoundRobin,
            out,
        ),
    }
}

/// `cluster.LoadBalancingPolicy`: the first policy that is known counts.
pub fn policy(cx: &mut Context, bytes: &[u8], out: &mut Cluster) -> Result<LoadBalancer, Bad> {
    let (mut found, mut others) = (None, String::new());
    cx.read(&schema::LB_POLICY, bytes, |cx, _, value| {
        if found.is_some() {
            return Ok(());
        }
        let mut any = None;
        cx.read(&schema::LB_POLICY_ONE, value.bytes()?, |cx, _, value| {
            cx.read(
                &core_schema::TYPED_EXTENSION,
                value.bytes()?,
                |_, name, value| {
                    if name == "typed_config" {
                        any = Some(value);
                    }
                    Ok(())
                },
            )
        })?;
        let Some(any) = any else { return Ok(()) };
        found = known(cx, any, out)?;
        if found.is_none() {
            others.push_str(any.any()?.0);
            others.push(' ');
        }
        Ok(())
    })?;
    found.ok_or_else(|| Bad::new(format!("none of [{}] is supported", others.trim_end())))
}

fn known(cx: &mut Context, any: Value<'_>, out: &mut Cluster) -> Result<Option<LoadBalancer>, Bad> {
    let (kind, _) = any.any()?;
    let policies: [(&'static Message, LoadBalancer); 5] = [
        (&schema::LB_ROUND_ROBIN, LoadBalancer::RoundRobin),
        (
            &schema::LB_LEAST_REQUEST,
            LoadBalancer::LeastRequest { choices: 2 },
        ),
        (&schema::LB_RING_HASH, LoadBalancer::RingHash { size: 1024 }),
        (&schema::LB_MAGLEV, LoadBalancer::Maglev { size: 65_537 }),
        (&schema::LB_RANDOM, LoadBalancer::Random),
    ];
    for (message, default) in policies {
        if message.name == kind {
            let bytes = expect(message, any)?;
            return parameters(cx, message, bytes, default, out).map(Some);
        }
    }
    Ok(None)
}

fn parameters(
    cx: &mut Context,
    message: &'static Message,
    bytes: &[u8],
    mut found: LoadBalancer,
    out: &mut Cluster,
) -> Result<LoadBalancer, Bad> {
    cx.read(message, bytes, |cx, name, value| {
        match (name, &mut found) {
            ("choice_count", LoadBalancer::LeastRequest { choices }) => {
                *choices = value.wrapped_u32()?;
            }
            (
                "minimum_ring_size" | "table_size",
                LoadBalancer::RingHash { size } | LoadBalancer::Maglev { size },
            ) => {
                let wanted = value.wrapped_u64()?;
                *size = u32::try_from(wanted).map_err(|_| Bad::new("is too large"))?;
            }
            ("slow_start_config", _) => {
                let classic = [&schema::ROUND_ROBIN, &schema::LEAST_REQUEST];
                let inner = if classic.iter().any(|one| std::ptr::eq(*one, message)) {
                    &schema::SLOW_START
                } else {
                    &schema::LB_SLOW_START
                };
                out.slow_start = Some(slow_start(cx, inner, value.bytes()?)?);
            }
            _ => return unread(name),
        }
        Ok(())
    })?;
    Ok(found)
}

fn slow_start(cx: &mut Context, message: &'static Message, bytes: &[u8]) -> Result<SlowStart, Bad> {
    let mut found = SlowStart {
        window: std::time::Duration::ZERO,
        minimum_percent: 10.0,
    };
    cx.read(message, bytes, |cx, name, value| {
        match name {
            "slow_start_window" => found.window = value.duration()?,
            "min_weight_percent" => {
                found.minimum_percent = common::percent(cx, value.bytes()?)?;
            }
            _ => return unread(name),
        }
        Ok(())
    })?;
    if found.window.is_zero() {
        cx.warn(Warning::Value(
            "slow_start_window: 0 is no slow start".into(),
        ));
    }
    Ok(found)
}
