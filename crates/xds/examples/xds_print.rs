//! Connects to an xDS server and prints what it sends, one JSON object a line.
//!
//!     xds_print CONTROL.json             updates; `status`, `refuse REASON`, `accept` on stdin
//!     xds_print --translate MESSAGE      one resource from stdin (its bytes), by its full name
//!     xds_print --schema                 what is done with each field
#![allow(clippy::print_stdout)]
use std::{
    collections::BTreeMap,
    io::{Read, Write},
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

use cloudwright_config::Resources;
use cloudwright_xds::{Client, Control, Kind, Update, schema, translate};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["--schema"] => serde_json::to_value(schema::all().collect::<Vec<_>>())
            .map_err(|why| why.to_string())
            .map(say),
        ["--translate", message] => translated(message).map(say),
        [file] => run(file),
        _ => Err("usage: xds_print CONTROL.json | --translate MESSAGE | --schema".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "xds_print: {why}");
            ExitCode::from(2)
        }
    }
}

fn say(value: Value) {
    let mut out = std::io::stdout().lock();
    // Whoever reads is gone: there is nobody to tell.
    let _ = writeln!(out, "{value}").and_then(|()| out.flush());
}

fn translated(message: &str) -> Result<Value, String> {
    let kind = Kind::of_url(message).ok_or_else(|| format!("{message} is no resource"))?;
    let mut bytes = Vec::new();
    let read = std::io::stdin().read_to_end(&mut bytes);
    read.map_err(|why| why.to_string())?;
    let mut context = translate::Context::default();
    let found = translate::resource(&mut context, kind, &bytes);
    let warnings: Vec<_> = context.warnings.iter().map(ToString::to_string).collect();
    let mut out = json!({"warnings": warnings});
    match found {
        Err(bad) => out["error"] = json!(bad.to_string()),
        Ok(translate::Resource::Listener(parts)) => {
            out["resource"] = json!(*parts.listener);
            out["secrets"] = json!(parts.credentials.inline);
            out["table"] = json!(parts.inline_table.as_ref().map(|inline| &inline.table));
        }
        Ok(translate::Resource::Routes(parts)) => out["resource"] = json!(*parts.table),
        Ok(translate::Resource::Cluster(parts)) => {
            out["resource"] = json!(*parts.cluster);
            out["secrets"] = json!(parts.credentials.inline);
        }
        Ok(translate::Resource::Assignment(found)) => out["resource"] = json!(*found),
        Ok(translate::Resource::Secret(found)) => out["resource"] = json!(*found),
    }
    Ok(out)
}

fn shown(resources: &Resources) -> Value {
    fn named<T: serde::Serialize>(all: &BTreeMap<Arc<str>, Arc<T>>) -> Value {
        json!(all)
    }
    json!({
        "listeners": named(&resources.listeners),
        "routes": named(&resources.routes),
        "clusters": named(&resources.clusters),
        "assignments": named(&resources.assignments),
        "secrets": named(&resources.secrets),
    })
}

fn run(file: &str) -> Result<(), String> {
    let text = std::fs::read_to_string(file).map_err(|why| format!("{file}: {why}"))?;
    let options: Control = serde_json::from_str(&text).map_err(|why| format!("{file}: {why}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|why| why.to_string())?;
    let refusal = Arc::new(Mutex::new(None::<String>));
    let asked = Arc::clone(&refusal);
    let sink = move |update: &Update| {
        if let Some(reason) = &*refusal.lock().unwrap_or_else(PoisonError::into_inner) {
            return Err(reason.clone());
        }
        say(json!({
            "resources": shown(&update.resources),
            "changed": {
                "listeners": update.changed.listeners,
                "routes": update.changed.routes,
                "clusters": update.changed.clusters,
                "assignments": update.changed.assignments,
                "secrets": update.changed.secrets,
            },
        }));
        Ok(())
    };
    runtime.block_on(async {
        let running = Client::spawn(options, sink);
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let mut refusal = asked.lock().unwrap_or_else(PoisonError::into_inner);
            match line.split_once(' ') {
                Some(("refuse", reason)) => *refusal = Some(reason.to_owned()),
                _ if line == "accept" => *refusal = None,
                _ => {}
            }
            say(json!({"status": running.handle.status()}));
        }
    });
    Ok(())
}
