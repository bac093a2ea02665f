//! All resources by name, as one immutable set.
use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{Cluster, Endpoint, Listener, RouteTable, Secret};

type Named<T> = BTreeMap<Arc<str>, Arc<T>>;

/// Endpoints that discovery gave for one service name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    pub name: Arc<str>,
    pub endpoints: Vec<Endpoint>,
}

/// What a proxy does, as a whole. Parts that did not change are shared with the set before:
/// `Arc::ptr_eq` tells what an update touches.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Resources {
    pub listeners: Named<Listener>,
    pub routes: Named<RouteTable>,
    pub clusters: Named<Cluster>,
    /// By the service name of `Discovery::Eds`.
    pub assignments: Named<Assignment>,
    pub secrets: Named<Secret>,
}

fn share<T: PartialEq>(new: &mut Named<T>, old: &Named<T>) {
    for (name, value) in new {
        if let Some(before) = old.get(name)
            && !Arc::ptr_eq(before, value)
            && **before == **value
        {
            *value = Arc::clone(before);
        }
    }
}

impl Resources {
    /// Takes over from `old` every part that is equal.
    #[must_use]
    pub fn sharing(mut self, old: &Self) -> Self {
        share(&mut self.listeners, &old.listeners);
        share(&mut self.routes, &old.routes);
        share(&mut self.clusters, &old.clusters);
        share(&mut self.assignments, &old.assignments);
        share(&mut self.secrets, &old.secrets);
        self
    }

    /// The endpoints of a cluster: its own, or those that discovery gave.
    #[must_use]
    pub fn endpoints<'a>(&'a self, cluster: &'a Cluster) -> &'a [Endpoint] {
        match &cluster.discovery {
            crate::Discovery::Eds { service } => {
                let name = if service.is_empty() {
                    &cluster.name
                } else {
                    service
                };
                self.assignments
                    .get(name)
                    .map_or(&[], |found| found.endpoints.as_slice())
            }
            _ => &cluster.endpoints,
        }
    }
}
