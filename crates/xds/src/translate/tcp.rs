//! TCP listeners (`filters.network.tcp_proxy.TcpProxy`).
use std::sync::Arc;

use super::context::{Bad, Context, unread};
use crate::schema::listener as schema;

/// The message's full name.
pub const NAME: &str = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";

/// The cluster that connections go to.
pub fn cluster(cx: &mut Context, bytes: &[u8]) -> Result<Arc<str>, Bad> {
    let mut found = Vec::new();
    cx.read(&schema::TCP_PROXY, bytes, |cx, name, value| match name {
        "cluster" => {
            found.push((value.text()?, 1));
            Ok(())
        }
        "weighted_clusters" => cx.read(&schema::TCP_WEIGHTED, value.bytes()?, |cx, _, value| {
            let (mut called, mut weight) = ("", 0);
            cx.read(&schema::TCP_WEIGHT, value.bytes()?, |_, name, value| {
                match name {
                    "name" => called = value.text()?,
                    "weight" => weight = value.u32()?,
                    _ => return unread(name),
                }
                Ok(())
            })?;
            found.push((called, weight));
            Ok(())
        }),
        _ => unread(name),
    })?;
    found.retain(|(_, weight)| *weight > 0);
    match found.as_slice() {
        [(name, _)] if !name.is_empty() => Ok((*name).into()),
        [] | [_] => Err(Bad::new("is needed").within("cluster")),
        _ => Err(Bad::new("more than one cluster is not supported").within("weighted_clusters")),
    }
}
