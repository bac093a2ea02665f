//! Resources from a control plane, by xDS.
use std::{future::Future, sync::Arc};

use cloudwright_xds::{Client, Control, Update};

use super::{file::Applier, keeping, shared::Shared};

/// Runs what the server of `control` says until `end`; while it is away, what it said last.
pub async fn run(shared: Arc<Shared>, control: Control, end: impl Future<Output = ()>) {
    let mut applier = Applier::new(&shared);
    let sink = move |update: &Update| {
        let changed = &update.changed;
        let others = [
            &changed.listeners,
            &changed.routes,
            &changed.clusters,
            &changed.secrets,
        ];
        if others.into_iter().all(Vec::is_empty) {
            applier.assign(&update.resources, &changed.assignments);
            return Ok(());
        }
        let resources = (*update.resources).clone();
        applier
            .apply(resources, false)
            .map_err(|why| why.to_string())
    };
    let running = Client::spawn(control, sink);
    // Set once: a process has one control plane.
    let _ = shared.control.set(running.handle.clone());
    let sweeper = tokio::spawn(keeping::sweep(Arc::clone(&shared)));
    end.await;
    sweeper.abort();
    crate::run::finish(&shared).await;
    drop(running);
}
