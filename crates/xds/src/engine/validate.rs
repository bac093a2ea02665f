//! Whether a resource makes sense by itself: the data plane's own checks, with everything it names
//! taken for given.
use std::sync::Arc;

use cloudwright_config::{Cluster, Resources, RouteTable, Secret, check, secret::Pem};

use crate::translate::{Bad, Resource, tls::Credentials};

/// Checks one translated resource.
///
/// # Errors
/// The first problem.
pub fn one(resource: &Resource) -> Result<(), Bad> {
    let mut set = Resources::default();
    match resource {
        Resource::Assignment(_) => return Ok(()),
        Resource::Secret(secret) => {
            set.secrets
                .insert(Arc::clone(&secret.name), Arc::clone(secret));
        }
        Resource::Cluster(parts) => {
            secrets(&mut set, &parts.credentials);
            set.clusters
                .insert(Arc::clone(&parts.cluster.name), Arc::clone(&parts.cluster));
        }
        Resource::Routes(parts) => {
            table(&mut set, &parts.table, parts.clusters.iter());
        }
        Resource::Listener(parts) => {
            secrets(&mut set, &parts.credentials);
            if let Some(inline) = &parts.inline_table {
                table(&mut set, &inline.table, inline.clusters.iter());
            } else if let Some(name) = &parts.routes {
                let blank = RouteTable {
                    name: Arc::clone(name),
                    virtual_hosts: Vec::new(),
                };
                set.routes.insert(Arc::clone(name), Arc::new(blank));
            }
            if let Some(name) = &parts.cluster {
                given(&mut set, name);
            }
            set.listeners.insert(
                Arc::clone(&parts.listener.name),
                Arc::clone(&parts.listener),
            );
        }
    }
    match check::all(&set).into_iter().next() {
        None => Ok(()),
        Some(problem) => Err(Bad {
            path: problem.field,
            reason: problem.reason,
        }),
    }
}

fn given(set: &mut Resources, name: &Arc<str>) {
    set.clusters
        .insert(Arc::clone(name), Arc::new(Cluster::named(Arc::clone(name))));
}

fn table<'a>(
    set: &mut Resources,
    found: &Arc<RouteTable>,
    clusters: impl Iterator<Item = &'a Arc<str>>,
) {
    set.routes
        .insert(Arc::clone(&found.name), Arc::clone(found));
    for name in clusters {
        given(set, name);
    }
}

fn secrets(set: &mut Resources, credentials: &Credentials) {
    for secret in &credentials.inline {
        set.secrets
            .insert(Arc::clone(&secret.name), Arc::clone(secret));
    }
    for name in &credentials.discovered {
        let any = || Some(Pem::Inline(Arc::default()));
        let secret = Secret {
            name: Arc::clone(name),
            certificate: any(),
            key: any(),
            trust: any(),
        };
        set.secrets.insert(Arc::clone(name), Arc::new(secret));
    }
}
