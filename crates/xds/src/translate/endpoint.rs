//! Endpoints with their localities, priorities, weights and health.
use std::sync::Arc;

use cloudwright_config::{
    Address, Endpoint,
    endpoint::{Health, Locality},
    resources::Assignment,
};

use super::{
    common,
    context::{Bad, Context, unread},
};
use crate::schema::{cluster as schema, core as core_schema};

/// `endpoint.ClusterLoadAssignment`; names instead of IP addresses only where `names` says so.
pub fn assignment(cx: &mut Context, bytes: &[u8], names: bool) -> Result<Assignment, Bad> {
    let mut called = Arc::default();
    let mut endpoints = Vec::new();
    cx.read(&schema::ASSIGNMENT, bytes, |cx, name, value| {
        match name {
            "cluster_name" => called = value.text()?.into(),
            "endpoints" => locality(cx, value.bytes()?, names, &mut endpoints)?,
            "policy" => cx.read(&schema::ASSIGNMENT_POLICY, value.bytes()?, |_, name, _| {
                unread(name)
            })?,
            _ => return unread(name),
        }
        Ok(())
    })?;
    endpoints.shrink_to_fit();
    Ok(Assignment {
        name: called,
        endpoints,
    })
}

fn locality(
    cx: &mut Context,
    bytes: &[u8],
    names: bool,
    endpoints: &mut Vec<Endpoint>,
) -> Result<(), Bad> {
    let first = endpoints.len();
    let (mut place, mut priority) = (None, 0);
    cx.read(&schema::LOCALITY_ENDPOINTS, bytes, |cx, name, value| {
        match name {
            "locality" => place = place_of(cx, value.bytes()?)?,
            "lb_endpoints" => endpoints.extend(endpoint(cx, value.bytes()?, names)?),
            "priority" => priority = value.u32()?,
            _ => return unread(name),
        }
        Ok(())
    })?;
    for one in endpoints.iter_mut().skip(first) {
        one.priority = priority;
        one.locality.clone_from(&place);
    }
    Ok(())
}

fn place_of(cx: &mut Context, bytes: &[u8]) -> Result<Option<Arc<Locality>>, Bad> {
    let mut place = Locality::default();
    cx.read(&core_schema::LOCALITY, bytes, |_, name, value| {
        match name {
            "region" => place.region = value.text()?.into(),
            "zone" => place.zone = value.text()?.into(),
            "sub_zone" => place.sub_zone = value.text()?.into(),
            _ => return unread(name),
        }
        Ok(())
    })?;
    Ok((place != Locality::default()).then(|| Arc::new(place)))
}

/// Where Envoy looks for what `transport_socket_matches` compares.
const KEY: &str = "envoy.transport_socket_match";

/// One endpoint; `None` when its weight is 0, which means that it gets nothing.
fn endpoint(cx: &mut Context, bytes: &[u8], names: bool) -> Result<Option<Endpoint>, Bad> {
    let (mut address, mut weight) = (None, 1);
    let (mut health, mut identity) = (Health::Healthy, None);
    cx.read(&schema::LB_ENDPOINT, bytes, |cx, name, value| {
        match name {
            "endpoint" => address = Some(host(cx, value.bytes()?)?),
            "health_status" => {
                health = match value.u64()? {
                    0 | 1 | 5 => Health::Healthy,
                    2 | 4 => Health::Unhealthy,
                    3 => Health::Draining,
                    _ => return Err(Bad::unsupported()),
                }
            }
            "metadata" => identity = identity_of(cx, value.bytes()?)?,
            "load_balancing_weight" => weight = value.wrapped_u32()?,
            _ => return unread(name),
        }
        Ok(())
    })?;
    let address = address.ok_or_else(|| Bad::new("is needed").within("endpoint"))?;
    if matches!(address, Address::Name(..)) && !names {
        let reason = format!("{address} is a name: only clusters of type *_DNS resolve them");
        return Err(Bad::new(reason).within("endpoint.address"));
    }
    Ok((weight > 0).then(|| Endpoint {
        weight,
        identity,
        health,
        ..Endpoint::at(address)
    }))
}

fn host(cx: &mut Context, bytes: &[u8]) -> Result<Address, Bad> {
    let mut found = None;
    cx.read(&schema::ENDPOINT, bytes, |cx, name, value| match name {
        "address" => {
            found = Some(common::address(cx, value.bytes()?)?);
            Ok(())
        }
        _ => unread(name),
    })?;
    found.ok_or_else(|| Bad::new("is needed").within("address"))
}

/// `identity` of the metadata for `envoy.transport_socket_match` (see `sockets`) or `cloudwright`: the
/// SPIFFE ID that the endpoint must prove.
fn identity_of(cx: &mut Context, bytes: &[u8]) -> Result<Option<Arc<str>>, Bad> {
    let mut found = None;
    cx.read(&core_schema::METADATA, bytes, |cx, _, value| {
        let (KEY | "cloudwright", Some(fields)) = value.entry()? else {
            return Ok(());
        };
        cx.read(&core_schema::STRUCT, fields.bytes()?, |cx, _, value| {
            let ("identity", Some(value)) = value.entry()? else {
                return Ok(());
            };
            cx.read(&core_schema::VALUE, value.bytes()?, |cx, _, value| {
                found = Some(cx.shared(value.text()?));
                Ok(())
            })
        })
    })?;
    Ok(found)
}
