//! What the tests of this crate share: Envoy's messages, and a control plane without I/O.
#![allow(dead_code)]
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use cloudwright_xds::{
    Kind,
    message::{Names, Request},
    wire::{Fields, Writer},
};

pub fn any(out: &mut Writer, number: u32, name: &str, message: &[u8]) {
    out.message(number, |any| {
        any.text(1, &format!("type.googleapis.com/{name}"));
        any.bytes(2, message);
    });
}

pub fn build(fill: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut out = Writer::new();
    fill(&mut out);
    out.finish()
}

pub fn socket(out: &mut Writer, number: u32, ip: &str, port: u16) {
    out.message(number, |address| {
        address.message(1, |socket| {
            socket.text(2, ip).number(3, port.into());
        });
    });
}

/// `ConfigSource {ads {}}`.
pub fn ads(out: &mut Writer, number: u32) {
    out.message(number, |source| {
        source.bytes(3, &[]);
    });
}

/// A cluster with endpoint discovery; `streams` tells one version from another.
pub fn eds_cluster(name: &str, service: &str, streams: u32) -> Vec<u8> {
    build(|out| {
        out.text(1, name).number(2, 3);
        out.message(3, |eds| {
            ads(eds, 1);
            eds.text(2, service);
        });
        out.message(14, |http2| {
            http2.message(2, |value| {
                value.number(1, streams.into());
            });
        });
    })
}

pub fn static_cluster(name: &str, port: u16) -> Vec<u8> {
    build(|out| {
        out.text(1, name);
        out.bytes(33, &assignment(name, &[port]));
    })
}

pub fn assignment(name: &str, ports: &[u16]) -> Vec<u8> {
    build(|out| {
        out.text(1, name);
        out.message(2, |locality| {
            for port in ports {
                locality.message(2, |lb| {
                    lb.message(1, |endpoint| socket(endpoint, 1, "10.0.0.1", *port));
                });
            }
        });
    })
}

/// One virtual host for everything, one route for each cluster.
pub fn routes(name: &str, clusters: &[&str]) -> Vec<u8> {
    build(|out| {
        out.text(1, name);
        out.message(2, |host| {
            host.text(1, "all").text(2, "*");
            for cluster in clusters {
                host.message(3, |route| {
                    route.message(1, |matches| {
                        matches.text(1, &format!("/{cluster}"));
                    });
                    route.message(2, |action| {
                        action.text(1, cluster);
                    });
                });
            }
        });
    })
}

pub const HCM: &str =
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

pub fn router(out: &mut Writer) {
    out.message(5, |filter| {
        filter.text(1, "envoy.filters.http.router");
        any(
            filter,
            4,
            "envoy.extensions.filters.http.router.v3.Router",
            &[],
        );
    });
}

/// A listener with a connection manager that `fill` completes.
pub fn http_listener(name: &str, port: u16, fill: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let manager = build(|out| {
        out.text(2, name);
        fill(out);
        router(out);
    });
    build(|out| {
        out.text(1, name);
        socket(out, 2, "127.0.0.1", port);
        out.message(3, |chain| {
            chain.message(3, |filter| {
                filter.text(1, "hcm");
                any(filter, 4, HCM, &manager);
            });
        });
    })
}

/// A listener whose routes come by discovery.
pub fn rds_listener(name: &str, port: u16, routes: &str) -> Vec<u8> {
    http_listener(name, port, |manager| {
        manager.message(3, |rds| {
            ads(rds, 1);
            rds.text(2, routes);
        });
    })
}

pub fn secret(name: &str, certificate: &str, key: &str) -> Vec<u8> {
    build(|out| {
        out.text(1, name);
        out.message(2, |pair| {
            pair.message(1, |source| {
                source.text(3, certificate);
            });
            pair.message(2, |source| {
                source.text(3, key);
            });
        });
    })
}

/// What a request says, read back from its bytes by the server of the stream tests.
pub fn decode(bytes: &[u8], delta: bool) -> (Request, Vec<u8>) {
    let (mut url, mut nonce, mut error) = (String::new(), String::new(), None);
    let (mut version, mut node) = (String::new(), Vec::new());
    let (mut names, mut gone, mut known) = (Vec::new(), Vec::new(), Vec::new());
    for field in Fields::new(bytes) {
        let (number, value) = field.unwrap();
        let text = || value.text().unwrap().to_owned();
        match (delta, number) {
            (false, 1) => version = text(),
            (false, 2) | (true, 1) => node = value.bytes().unwrap().to_vec(),
            (_, 3) => names.push(text().into()),
            (false, 4) | (true, 2) => url = text(),
            (true, 4) => gone.push(text().into()),
            (true, 5) => {
                let (name, version) = value.entry().unwrap();
                let version = version.map_or("", |one| one.text().unwrap());
                known.push((Arc::from(name), Arc::from(version)));
            }
            (false, 5) | (true, 6) => nonce = text(),
            (false, 6) | (true, 7) => error = Some(status_text(value.bytes().unwrap())),
            _ => panic!("field {number} of a request"),
        }
    }
    let names = if delta {
        Names::Delta {
            subscribe: names,
            unsubscribe: gone,
            known,
        }
    } else {
        let version = version.into();
        Names::Whole { names, version }
    };
    let request = Request {
        kind: Kind::of_url(&url).unwrap(),
        nonce: nonce.into(),
        error,
        node: !node.is_empty(),
        names,
    };
    (request, node)
}

fn status_text(bytes: &[u8]) -> String {
    let fields = Fields::new(bytes).map(Result::unwrap);
    fields
        .filter(|(number, _)| *number == 2)
        .map(|(_, value)| value.text().unwrap().to_owned())
        .collect()
}

type Versions = BTreeMap<String, u64>;

/// One type on one stream, as a server sees it.
#[derive(Default, Debug, Clone)]
struct Watch {
    wildcard: bool,
    names: BTreeSet<String>,
    nonce: u64,
    /// State of the world: what was sent last. Delta: what the client has.
    sent: Versions,
    open: bool,
}

/// A control plane as pure state, for one client and both variants.
#[derive(Debug, Clone, Default)]
pub struct Server {
    pub delta: bool,
    pub state: BTreeMap<Kind, BTreeMap<String, (u64, Vec<u8>)>>,
    clock: u64,
    watches: BTreeMap<Kind, Watch>,
    pub refusals: Vec<(Kind, String)>,
    pub acks: Vec<Kind>,
}

impl Server {
    pub fn new(delta: bool) -> Self {
        Self {
            delta,
            ..Self::default()
        }
    }

    pub fn set(&mut self, kind: Kind, name: &str, bytes: Vec<u8>) {
        self.clock += 1;
        let all = self.state.entry(kind).or_default();
        all.insert(name.to_owned(), (self.clock, bytes));
    }

    pub fn remove(&mut self, kind: Kind, name: &str) {
        self.clock += 1;
        self.state.entry(kind).or_default().remove(name);
    }

    /// The stream is gone.
    pub fn disconnect(&mut self) {
        self.watches.clear();
    }

    /// Takes a request; what is due afterwards is found by `due`.
    pub fn take(&mut self, request: &Request) {
        let watch = self.watches.entry(request.kind).or_default();
        if let Some(reason) = &request.error {
            self.refusals.push((request.kind, reason.clone()));
        } else if !request.nonce.is_empty() {
            self.acks.push(request.kind);
        }
        match &request.names {
            Names::Whole { names, version } => {
                if !request.nonce.is_empty() && *request.nonce != *watch.nonce.to_string() {
                    return;
                }
                let names: BTreeSet<_> = names.iter().map(ToString::to_string).collect();
                let grown = !watch.open || names != watch.names;
                watch.wildcard = names.is_empty() && (!watch.open || watch.wildcard);
                watch.names = names;
                if grown {
                    watch.sent.clear();
                }
                let first = !watch.open;
                watch.open = true;
                if first && !version.is_empty() && **version == *self.clock.to_string() {
                    let visible = self.visible(request.kind);
                    if let Some(watch) = self.watches.get_mut(&request.kind) {
                        watch.sent = visible;
                        watch.nonce = self.clock;
                    }
                }
            }
            Names::Delta {
                subscribe,
                unsubscribe,
                known,
            } => {
                watch.wildcard |= !watch.open && subscribe.is_empty();
                watch.open = true;
                for (name, version) in known {
                    let version = version.parse().unwrap();
                    watch.sent.insert(name.to_string(), version);
                }
                for name in subscribe {
                    watch.names.insert(name.to_string());
                    // A client that asks again may have forgotten what it had.
                    if known.is_empty() {
                        watch.sent.remove(&**name);
                    }
                }
                for name in unsubscribe {
                    watch.names.remove(&**name);
                    watch.sent.remove(&**name);
                }
            }
        }
    }

    fn visible(&self, kind: Kind) -> Versions {
        let watch = &self.watches[&kind];
        let all = self.state.get(&kind).into_iter().flatten();
        all.filter(|(name, _)| watch.wildcard || watch.names.contains(*name))
            .map(|(name, (version, _))| (name.clone(), *version))
            .collect()
    }

    /// The next answer that is due.
    pub fn due(&mut self) -> Option<Vec<u8>> {
        let kinds: Vec<_> = self.watches.keys().copied().collect();
        kinds.into_iter().find_map(|kind| self.due_of(kind))
    }

    fn due_of(&mut self, kind: Kind) -> Option<Vec<u8>> {
        let visible = self.visible(kind);
        let watch = self.watches.get_mut(&kind)?;
        let empty = visible.is_empty() && watch.nonce > 0;
        if watch.sent == visible && (self.delta || watch.nonce > 0 || empty) {
            return None;
        }
        if !self.delta && visible.is_empty() && !watch.wildcard {
            return None;
        }
        let before = std::mem::replace(&mut watch.sent, visible.clone());
        self.clock += 1;
        watch.nonce = self.clock;
        let nonce = watch.nonce.to_string();
        let state = self.state.get(&kind).cloned().unwrap_or_default();
        Some(build(|out| {
            out.text(1, &self.clock.to_string());
            for (name, version) in &visible {
                let body = &state[name].1;
                if !self.delta {
                    any(out, 2, kind.message(), body);
                } else if before.get(name) != Some(version) {
                    out.message(2, |resource| {
                        resource.text(1, &version.to_string()).text(3, name);
                        any(resource, 2, kind.message(), body);
                    });
                }
            }
            out.text(4, &kind.url()).text(5, &nonce);
            for name in before
                .keys()
                .filter(|name| self.delta && !visible.contains_key(*name))
            {
                out.bytes(6, name.as_bytes());
            }
        }))
    }
}
