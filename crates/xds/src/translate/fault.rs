//! Faults on purpose (`filters.http.fault.HTTPFault`).
use cloudwright_config::policy::Fault;

use super::{
    common,
    context::{Bad, Context, unread},
};
use crate::schema::route as schema;

/// The fault of a route or a listener; `None` when the message asks for none.
pub fn fault(cx: &mut Context, bytes: &[u8]) -> Result<Option<Fault>, Bad> {
    let mut out = Fault::default();
    cx.read(&schema::FAULT, bytes, |cx, name, value| match name {
        "delay" => cx.read(&schema::FAULT_DELAY, value.bytes()?, |cx, name, value| {
            match name {
                "fixed_delay" => out.delay = Some(value.duration()?),
                "percentage" => out.delay_percent = common::fraction(cx, value.bytes()?)?,
                _ => return unread(name),
            }
            Ok(())
        }),
        "abort" => cx.read(&schema::FAULT_ABORT, value.bytes()?, |cx, name, value| {
            match name {
                "http_status" => out.abort_status = Some(status(value.u64()?)?),
                "percentage" => out.abort_percent = common::fraction(cx, value.bytes()?)?,
                _ => return unread(name),
            }
            Ok(())
        }),
        _ => unread(name),
    })?;
    Ok((out.delay.is_some() || out.abort_status.is_some()).then_some(out))
}

fn status(code: u64) -> Result<u16, Bad> {
    match u16::try_from(code) {
        Ok(code @ 200..600) => Ok(code),
        _ => Err(Bad::new(format!("{code} is not from 200 to 599"))),
    }
}
