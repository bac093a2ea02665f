//! The protocol's engine against a control plane without I/O.
#![allow(clippy::unwrap_used, clippy::expect_used)]
mod support;

use std::time::{Duration, Instant};

use cloudwright_config::check;
use cloudwright_xds::{
    Engine, Kind, Update,
    engine::Settings,
    message::{Names, Request},
};
use support::*;

struct World {
    engine: Engine,
    server: Server,
    now: Instant,
    updates: Vec<Update>,
    /// Why the proxy refuses every update.
    broken: Option<String>,
}

impl World {
    fn new(delta: bool) -> Self {
        let settings = Settings {
            delta,
            ..Settings::default()
        };
        Self {
            engine: Engine::new(&settings),
            server: Server::new(delta),
            now: Instant::now(),
            updates: Vec::new(),
            broken: None,
        }
    }

    fn shop(&mut self) {
        self.server
            .set(Kind::Cluster, "a", eds_cluster("a", "", 10));
        self.server
            .set(Kind::Endpoints, "a", assignment("a", &[1, 2]));
        self.server
            .set(Kind::Listener, "l", rds_listener("l", 80, "r"));
        self.server.set(Kind::Routes, "r", routes("r", &["a"]));
    }

    fn send(&mut self, requests: Vec<Request>) {
        for one in requests {
            self.server.take(&one);
        }
    }

    fn connect(&mut self) {
        self.server.disconnect();
        let first = self.engine.connected();
        assert!(first[0].node && first[1..].iter().all(|one| !one.node));
        self.send(first);
        self.settle();
    }

    fn deliver(&mut self, answer: &[u8]) {
        let (updates, broken) = (&mut self.updates, &self.broken);
        let mut sink = |update: &Update| {
            assert_eq!(check::all(&update.resources), []);
            if let Some(reason) = broken {
                return Err(reason.clone());
            }
            updates.push(update.clone());
            Ok(())
        };
        let requests = self.engine.receive(self.now, answer, &mut sink).unwrap();
        self.send(requests);
    }

    fn settle(&mut self) {
        while let Some(answer) = self.server.due() {
            self.deliver(&answer);
        }
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        let updates = &mut self.updates;
        let mut sink = |update: &Update| {
            updates.push(update.clone());
            Ok(())
        };
        let requests = self.engine.tick(self.now, &mut sink);
        self.send(requests);
        self.settle();
    }

    fn ports(&self, cluster: &str) -> Vec<u16> {
        let resources = self.engine.resources();
        let cluster = &resources.clusters[cluster];
        let port = |one: &cloudwright_config::Endpoint| match one.address {
            cloudwright_config::Address::Ip(address) => address.port(),
            _ => panic!("not an IP"),
        };
        resources.endpoints(cluster).iter().map(port).collect()
    }
}

fn both(test: impl Fn(World)) {
    test(World::new(false));
    test(World::new(true));
}

#[test]
fn references_are_followed() {
    both(|mut world| {
        world.shop();
        world.connect();
        assert_eq!(world.ports("a"), [1, 2]);
        let resources = world.engine.resources();
        assert!(resources.listeners.contains_key("l") && resources.routes.contains_key("r"));
        assert_eq!(world.server.refusals, []);
        for kind in [Kind::Cluster, Kind::Endpoints, Kind::Listener, Kind::Routes] {
            assert!(world.server.acks.contains(&kind), "{kind}");
        }
        assert!(world.engine.status().waiting.is_empty());
    });
}

#[test]
fn one_endpoint_touches_nothing_else() {
    both(|mut world| {
        world.shop();
        world.connect();
        let before = world.engine.resources().clone();
        world
            .server
            .set(Kind::Endpoints, "a", assignment("a", &[1, 2, 3]));
        world.settle();
        assert_eq!(world.ports("a"), [1, 2, 3]);
        let update = world.updates.last().unwrap();
        assert_eq!(update.changed.assignments, ["a".into()]);
        assert!(update.changed.clusters.is_empty() && update.changed.routes.is_empty());
        let same = std::sync::Arc::ptr_eq(&before.routes["r"], &update.resources.routes["r"]);
        assert!(same);
    });
}

#[test]
fn the_same_again_is_no_update() {
    both(|mut world| {
        world.shop();
        world.connect();
        let before = world.updates.len();
        let acks = world.server.acks.len();
        world.server.set(Kind::Routes, "r", routes("r", &["a"]));
        world.settle();
        assert_eq!(world.updates.len(), before);
        assert_eq!(world.server.acks.len(), acks + 1);
    });
}

#[test]
fn one_bad_resource_refuses_the_whole_answer() {
    both(|mut world| {
        world.shop();
        world.connect();
        let before = world.engine.resources().clone();
        world.server.set(Kind::Cluster, "b", static_cluster("b", 9));
        let wrong = build(|out| {
            out.text(1, "c").number(2, 9);
        });
        world.server.set(Kind::Cluster, "c", wrong);
        world.settle();
        let (kind, reason) = world.server.refusals.pop().unwrap();
        assert_eq!(kind, Kind::Cluster);
        assert!(
            reason.contains("cluster \"c\": type: not supported"),
            "{reason}"
        );
        assert!(std::sync::Arc::ptr_eq(&before, world.engine.resources()));
        let status = &world.engine.status().types[&Kind::Cluster];
        assert_eq!((status.rejected, status.resources), (1, 1));
        assert_eq!(status.last_rejection.as_ref().unwrap().reason, reason);
        world.server.set(Kind::Cluster, "c", static_cluster("c", 9));
        // The server sends what it has not been told to be in force.
        world
            .server
            .set(Kind::Cluster, "b", static_cluster("b", 10));
        world.settle();
        assert_eq!(world.ports("b"), [10]);
        assert_eq!(world.ports("c"), [9]);
    });
}

#[test]
fn what_the_proxy_refuses_is_refused() {
    both(|mut world| {
        world.shop();
        world.connect();
        let before = world.engine.resources().clone();
        world.broken = Some("the key does not fit".into());
        world
            .server
            .set(Kind::Endpoints, "a", assignment("a", &[7]));
        world.server.set(Kind::Cluster, "z", static_cluster("z", 7));
        world.settle();
        let reasons: Vec<_> = world.server.refusals.iter().map(|one| &one.1).collect();
        assert_eq!(reasons, ["the key does not fit"; 2]);
        assert!(std::sync::Arc::ptr_eq(&before, world.engine.resources()));
        world.broken = None;
        world
            .server
            .set(Kind::Endpoints, "a", assignment("a", &[8]));
        world.settle();
        assert_eq!(world.ports("a"), [8]);
    });
}

#[test]
fn a_cluster_waits_for_its_endpoints_and_then_no_longer() {
    both(|mut world| {
        world
            .server
            .set(Kind::Cluster, "a", eds_cluster("a", "svc", 10));
        world
            .server
            .set(Kind::Listener, "l", rds_listener("l", 80, "r"));
        world.server.set(Kind::Routes, "r", routes("r", &["a"]));
        world.connect();
        assert_eq!(world.updates.len(), 0);
        let status = world.engine.status();
        assert_eq!(status.waiting, ["cluster a", "listener l"]);
        let due = world.engine.deadline(world.now).unwrap();
        assert_eq!(due - world.now, Duration::from_secs(15));
        world.wait(Duration::from_secs(15));
        assert_eq!(world.ports("a"), [0_u16; 0]);
        assert!(world.engine.resources().listeners.contains_key("l"));
        assert_eq!(world.engine.deadline(world.now), None);
        world
            .server
            .set(Kind::Endpoints, "svc", assignment("svc", &[5]));
        world.settle();
        assert_eq!(world.ports("a"), [5]);
        assert!(world.engine.status().waiting.is_empty());
    });
}

#[test]
fn the_old_version_serves_until_the_new_one_is_ready() {
    both(|mut world| {
        world.shop();
        world.connect();
        world
            .server
            .set(Kind::Cluster, "a", eds_cluster("a", "other", 20));
        world
            .server
            .set(Kind::Listener, "l", rds_listener("l", 81, "more"));
        world.settle();
        assert_eq!(world.engine.resources().clusters["a"].max_streams, 10);
        assert_eq!(world.ports("a"), [1, 2]);
        let listener = &world.engine.resources().listeners["l"];
        assert_eq!(listener.routes.as_deref(), Some("r"));
        world
            .server
            .set(Kind::Endpoints, "other", assignment("other", &[3]));
        world
            .server
            .set(Kind::Routes, "more", routes("more", &["a"]));
        world.settle();
        assert_eq!(world.engine.resources().clusters["a"].max_streams, 20);
        assert_eq!(world.ports("a"), [3]);
        let listener = &world.engine.resources().listeners["l"];
        assert_eq!(listener.routes.as_deref(), Some("more"));
        assert!(!world.engine.resources().routes.contains_key("r"));
        assert!(!world.engine.resources().assignments.contains_key("a"));
    });
}

#[test]
fn a_missing_cluster_is_one_without_endpoints() {
    both(|mut world| {
        world.shop();
        world.connect();
        world
            .server
            .set(Kind::Routes, "r", routes("r", &["a", "gone"]));
        world.settle();
        assert_eq!(world.ports("gone"), [0_u16; 0]);
        world
            .server
            .set(Kind::Cluster, "gone", static_cluster("gone", 4));
        world.settle();
        assert_eq!(world.ports("gone"), [4]);
        world.server.remove(Kind::Cluster, "gone");
        world.settle();
        assert_eq!(world.ports("gone"), [0_u16; 0]);
        world.server.set(Kind::Routes, "r", routes("r", &["a"]));
        world.settle();
        assert!(!world.engine.resources().clusters.contains_key("gone"));
    });
}

#[test]
fn what_was_known_survives_the_stream() {
    both(|mut world| {
        world.shop();
        world.connect();
        let before = world.engine.resources().clone();
        world.engine.disconnected();
        assert!(std::sync::Arc::ptr_eq(&before, world.engine.resources()));
        let first = world.engine.connected();
        let clusters = first.iter().find(|one| one.kind == Kind::Cluster).unwrap();
        match &clusters.names {
            Names::Whole { version, .. } => assert!(!version.is_empty()),
            Names::Delta { known, .. } => assert_eq!(&*known[0].0, "a"),
        }
        // The server has changed meanwhile.
        world.server.remove(Kind::Listener, "l");
        world
            .server
            .set(Kind::Endpoints, "a", assignment("a", &[6]));
        world.connect();
        assert_eq!(world.ports("a"), [6]);
        assert!(world.engine.resources().listeners.is_empty());
        assert!(world.engine.resources().routes.is_empty());
    });
}

#[test]
fn nobody_asked() {
    both(|mut world| {
        world.shop();
        let early = build(|out| {
            any(out, 2, Kind::Cluster.message(), &static_cluster("x", 1));
            out.text(4, &Kind::Cluster.url()).text(5, "1");
        });
        world.deliver(&early);
        world.connect();
        assert!(!world.engine.resources().clusters.contains_key("x"));
        // Endpoints that were never asked for.
        world
            .server
            .set(Kind::Endpoints, "x", assignment("x", &[1]));
        let other = build(|out| {
            out.text(
                4,
                "type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration",
            );
            out.text(5, "1");
        });
        world.deliver(&other);
        world.settle();
        assert_eq!(world.engine.status().types[&Kind::Endpoints].resources, 1);
        let broken = [0xff; 4];
        let result = world
            .engine
            .receive(world.now, &broken, &mut |_: &Update| Ok(()));
        assert!(result.is_err());
    });
}

fn with_ttl(seconds: u64, body: Option<&[u8]>, version: &str) -> Vec<u8> {
    build(|out| {
        out.text(1, version);
        let wrapped = build(|resource| {
            resource.text(1, version).text(3, "a");
            if let Some(body) = body {
                any(resource, 2, Kind::Endpoints.message(), body);
            }
            resource.message(6, |ttl| {
                ttl.number(1, seconds);
            });
        });
        any(out, 2, "envoy.service.discovery.v3.Resource", &wrapped);
        out.text(4, &Kind::Endpoints.url()).text(5, version);
    })
}

#[test]
fn a_resource_lives_as_long_as_it_is_said() {
    let mut world = World::new(false);
    world.shop();
    world.connect();
    world.deliver(&with_ttl(10, Some(&assignment("a", &[1, 2])), "t1"));
    world.wait(Duration::from_secs(9));
    world.deliver(&with_ttl(10, None, "t2"));
    world.wait(Duration::from_secs(9));
    assert_eq!(world.ports("a"), [1, 2]);
    let due = world.engine.deadline(world.now).unwrap();
    world.wait(due - world.now);
    assert_eq!(world.ports("a"), [0_u16; 0]);
}

#[test]
fn delta_removes_endpoints() {
    let mut world = World::new(true);
    world.shop();
    world.connect();
    world.server.remove(Kind::Endpoints, "a");
    world.settle();
    assert_eq!(world.ports("a"), [0_u16; 0]);
    assert!(world.engine.status().waiting.is_empty());
}

#[test]
fn a_listener_waits_for_its_secret() {
    both(|mut world| {
        let tls = build(|out| {
            out.message(1, |common| {
                common.message(6, |sds| {
                    sds.text(1, "cert");
                    ads(sds, 2);
                });
            });
        });
        let chain = |listener: Vec<u8>| {
            // The chain of the plain listener, and TLS.
            let mut out = cloudwright_xds::wire::Writer::new();
            for field in cloudwright_xds::wire::Fields::new(&listener) {
                let (number, value) = field.unwrap();
                let mut bytes = value.bytes().unwrap().to_vec();
                if number == 3 {
                    bytes.extend(build(|chain| {
                        chain.message(6, |socket| {
                            let name =
                                "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";
                            socket.text(1, "tls");
                            any(socket, 3, name, &tls);
                        });
                    }));
                }
                out.bytes(number, &bytes);
            }
            out.finish()
        };
        world.shop();
        world
            .server
            .set(Kind::Listener, "l", chain(rds_listener("l", 80, "r")));
        world.connect();
        assert!(world.engine.resources().listeners.is_empty());
        world.wait(Duration::from_secs(60));
        assert!(world.engine.resources().listeners.is_empty());
        world
            .server
            .set(Kind::Secret, "cert", secret("cert", "chain", "key"));
        world.settle();
        assert!(world.engine.resources().listeners.contains_key("l"));
        assert!(world.engine.resources().secrets.contains_key("cert"));
        world.server.remove(Kind::Listener, "l");
        world.settle();
        assert!(world.engine.resources().secrets.is_empty());
    });
}
