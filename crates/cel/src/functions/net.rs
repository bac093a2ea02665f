//! `net.IP` and `net.CIDR`.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::no_overload;
use crate::error::Fault;
use crate::json::quoted;
use crate::value::{Outcome, Value};

fn address(text: &str) -> Result<IpAddr, Fault> {
    if text.contains('%') {
        let text = format!("IP address {} with zone value is not allowed", quoted(text));
        return Err(Fault::new(text));
    }
    let found: IpAddr = text.parse().map_err(|_| {
        let shown = quoted(text);
        Fault::new(format!(
            "IP Address {shown} parse error during conversion from string: \
             ParseAddr({shown}): unable to parse IP"
        ))
    })?;
    mapped(&found, text)?;
    Ok(found)
}

fn mapped(address: &IpAddr, text: &str) -> Result<(), Fault> {
    match address {
        IpAddr::V6(one) if one.to_ipv4_mapped().is_some() => {
            let text = format!("IPv4-mapped IPv6 address {} is not allowed", quoted(text));
            Err(Fault::new(text))
        }
        _ => Ok(()),
    }
}

fn network(text: &str) -> Result<(IpAddr, u8), Fault> {
    let prefix = "network address parse error during conversion from string: ";
    let bad = |why: &str| {
        Fault::new(format!(
            "{prefix}{prefix}netip.ParsePrefix({}): {why}",
            quoted(text)
        ))
    };
    let (host, bits) = text.split_once('/').ok_or_else(|| bad("no '/'"))?;
    if host.contains('%') {
        return Err(bad("IPv6 zones cannot be present in a prefix"));
    }
    let found: IpAddr = host.parse().map_err(|_| bad("unable to parse IP"))?;
    let digits = !bits.is_empty() && bits.bytes().all(|c| c.is_ascii_digit());
    if !digits || (bits.len() > 1 && bits.starts_with('0')) {
        return Err(bad(&format!("bad bits after slash: {}", quoted(bits))));
    }
    let most = if found.is_ipv4() { 32 } else { 128 };
    let bits: u8 = bits
        .parse()
        .ok()
        .filter(|bits| *bits <= most)
        .ok_or_else(|| bad("prefix length out of range"))?;
    mapped(&found, text)?;
    Ok((found, bits))
}

fn masked(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(one) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from(u32::from(one) & mask))
        }
        IpAddr::V6(one) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from(u128::from(one) & mask))
        }
    }
}

fn contains(network: IpAddr, bits: u8, one: IpAddr) -> bool {
    network.is_ipv4() == one.is_ipv4() && masked(network, bits) == masked(one, bits)
}

fn kind(name: &str, address: &IpAddr) -> bool {
    match (name, address) {
        ("isUnspecified", one) => one.is_unspecified(),
        ("isLoopback", one) => one.is_loopback(),
        ("isLinkLocalMulticast", IpAddr::V4(one)) => one.octets()[..3] == [224, 0, 0],
        ("isLinkLocalMulticast", IpAddr::V6(one)) => one.segments()[0] & 0xff0f == 0xff02,
        ("isLinkLocalUnicast", IpAddr::V4(one)) => one.is_link_local(),
        ("isLinkLocalUnicast", IpAddr::V6(one)) => one.is_unicast_link_local(),
        (_, one) => {
            let broadcast = matches!(one, IpAddr::V4(one) if one.is_broadcast());
            !(one.is_unspecified()
                || one.is_loopback()
                || one.is_multicast()
                || broadcast
                || kind("isLinkLocalUnicast", one))
        }
    }
}

/// The functions, by name.
pub fn call(name: &str, args: &[Value]) -> Outcome {
    Ok(match (name, args) {
        ("ip", [Value::String(text)]) => Value::Ip(address(text)?),
        ("ip", [Value::Cidr(one, _)]) => Value::Ip(*one),
        ("isIP", [Value::String(text)]) => Value::Bool(address(text).is_ok()),
        ("ip.isCanonical", [Value::String(text)]) => {
            Value::Bool(address(text)?.to_string() == **text)
        }
        ("family", [Value::Ip(one)]) => Value::Int(if one.is_ipv4() { 4 } else { 6 }),
        (
            "isUnspecified"
            | "isLoopback"
            | "isLinkLocalMulticast"
            | "isLinkLocalUnicast"
            | "isGlobalUnicast",
            [Value::Ip(one)],
        ) => Value::Bool(kind(name, one)),
        ("cidr", [Value::String(text)]) => {
            let (one, bits) = network(text)?;
            Value::Cidr(one, bits)
        }
        ("isCIDR", [Value::String(text)]) => Value::Bool(network(text).is_ok()),
        ("containsIP", [Value::Cidr(one, bits), Value::String(text)]) => {
            Value::Bool(contains(*one, *bits, address(text)?))
        }
        ("containsIP", [Value::Cidr(one, bits), Value::Ip(other)]) => {
            Value::Bool(contains(*one, *bits, *other))
        }
        ("containsCIDR", [Value::Cidr(one, bits), other]) => {
            let (other, length) = match other {
                Value::String(text) => network(text)?,
                Value::Cidr(other, length) => (*other, *length),
                _ => return Err(no_overload(name, args)),
            };
            Value::Bool(contains(*one, *bits, other) && *bits <= length)
        }
        ("prefixLength", [Value::Cidr(_, bits)]) => Value::Int(i64::from(*bits)),
        ("masked", [Value::Cidr(one, bits)]) => Value::Cidr(masked(*one, *bits), *bits),
        _ => return Err(no_overload(name, args)),
    })
}
