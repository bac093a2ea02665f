//! Active health checks and outlier detection.
use std::time::Duration;

use cloudwright_config::cluster::{Check, HealthCheck, Outlier};

use super::{
    common,
    context::{Bad, Context, shared, unread},
};
use crate::schema::cluster as schema;

/// `core.HealthCheck`.
pub fn check(cx: &mut Context, bytes: &[u8]) -> Result<HealthCheck, Bad> {
    let mut kind = None;
    let mut out = HealthCheck {
        check: Check::Tcp {},
        interval: Duration::from_secs(10),
        timeout: Duration::from_secs(1),
        unhealthy_after: 3,
        healthy_after: 2,
    };
    cx.read(&schema::HEALTH_CHECK, bytes, |cx, name, value| {
        match name {
            "timeout" => out.timeout = value.duration()?,
            "interval" => out.interval = value.duration()?,
            "unhealthy_threshold" => out.unhealthy_after = value.wrapped_u32()?,
            "healthy_threshold" => out.healthy_after = value.wrapped_u32()?,
            "http_health_check" => kind = Some(http(cx, value.bytes()?)?),
            "grpc_health_check" => kind = Some(grpc(cx, value.bytes()?)?),
            "tcp_health_check" => {
                cx.read(&schema::TCP_CHECK, value.bytes()?, |_, name, _| {
                    unread(name)
                })?;
                kind = Some(Check::Tcp {});
            }
            _ => return unread(name),
        }
        Ok(())
    })?;
    out.check = kind.ok_or_else(|| Bad::new("http, grpc or tcp_health_check is needed"))?;
    if out.interval.is_zero() {
        return Err(Bad::new("must be more than 0").within("interval"));
    }
    Ok(out)
}

fn http(cx: &mut Context, bytes: &[u8]) -> Result<Check, Bad> {
    let (mut host, mut path) = (None, "/");
    let mut statuses = None;
    cx.read(&schema::HTTP_CHECK, bytes, |cx, name, value| {
        match name {
            "host" => host = Some(value.text()?).filter(|text| !text.is_empty()),
            "path" => path = value.text()?,
            "expected_statuses" => {
                if statuses.is_some() {
                    return Err(Bad::new("one range at most"));
                }
                statuses = Some(common::range(cx, value.bytes()?)?);
            }
            "method" if value.u64()? > 1 => return Err(Bad::new("only GET is supported")),
            "method" => {}
            _ => return unread(name),
        }
        Ok(())
    })?;
    let (start, end) = statuses.unwrap_or((200, 201));
    let status = |value: i64| {
        u16::try_from(value)
            .ok()
            .filter(|code| (100..600).contains(code))
    };
    let (Some(from), Some(to)) = (status(start), status(end - 1)) else {
        return Err(Bad::new("statuses are from 100 to 599").within("expected_statuses"));
    };
    Ok(Check::Http {
        path: path.into(),
        host: host.map(Into::into),
        from,
        to,
    })
}

fn grpc(cx: &mut Context, bytes: &[u8]) -> Result<Check, Bad> {
    let mut service = "";
    cx.read(&schema::GRPC_CHECK, bytes, |_, name, value| match name {
        "service_name" => {
            service = value.text()?;
            Ok(())
        }
        _ => unread(name),
    })?;
    Ok(Check::Grpc {
        service: shared(service),
    })
}

/// `cluster.OutlierDetection`, with Envoy's defaults.
pub fn outlier(cx: &mut Context, bytes: &[u8]) -> Result<Outlier, Bad> {
    let mut out = Outlier {
        max_percent: 10.0,
        ..Outlier::default()
    };
    let (mut enforce_5xx, mut enforce_gateway, mut enforce_failure) = (100, 0, 0);
    let mut failure = 85;
    cx.read(&schema::OUTLIER, bytes, |_, name, value| {
        match name {
            "interval" => out.interval = value.duration()?,
            "base_ejection_time" => out.base_ejection = value.duration()?,
            "max_ejection_time" => out.max_ejection = value.duration()?,
            "consecutive_5xx" => out.consecutive_errors = value.wrapped_u32()?,
            "consecutive_gateway_failure" => {
                out.consecutive_gateway_errors = value.wrapped_u32()?;
            }
            "max_ejection_percent" => out.max_percent = f64::from(value.wrapped_u32()?.min(100)),
            "enforcing_consecutive_5xx" => enforce_5xx = value.wrapped_u32()?,
            "enforcing_consecutive_gateway_failure" => enforce_gateway = value.wrapped_u32()?,
            "enforcing_failure_percentage" => enforce_failure = value.wrapped_u32()?,
            "failure_percentage_threshold" => failure = value.wrapped_u32()?.min(100),
            "failure_percentage_request_volume" => out.minimum_requests = value.wrapped_u32()?,
            _ => return unread(name),
        }
        Ok(())
    })?;
    if enforce_5xx == 0 {
        out.consecutive_errors = 0;
    }
    if enforce_gateway == 0 {
        out.consecutive_gateway_errors = 0;
    }
    if enforce_failure > 0 {
        out.failure_percent = f64::from(failure);
    }
    Ok(out)
}
