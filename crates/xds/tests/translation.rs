//! From Envoy's messages to configuration: what is refused, and by which words.
#![allow(clippy::unwrap_used, clippy::expect_used)]
mod support;

use cloudwright_config::{Action, matching::PathMatch};
use cloudwright_xds::{
    Kind,
    translate::{Context, Resource, resource},
    wire::Writer,
};
use proptest::prelude::*;
use support::{any as put_any, build, http_listener, router, routes, socket, static_cluster};

fn refused(kind: Kind, bytes: &[u8]) -> String {
    match resource(&mut Context::default(), kind, bytes) {
        Ok(found) => panic!("{found:?}"),
        Err(bad) => bad.to_string(),
    }
}

fn with(mut bytes: Vec<u8>, fill: impl FnOnce(&mut Writer)) -> Vec<u8> {
    bytes.extend(build(fill));
    bytes
}

#[test]
fn a_refusal_names_the_field() {
    let table = build(|out| {
        out.text(1, "r");
        for path in ["/fine", "bad"] {
            out.message(2, |host| {
                host.text(2, path);
                host.message(3, |route| {
                    route.message(1, |matches| {
                        matches.text(2, path);
                    });
                    route.message(2, |action| {
                        action.text(1, "c");
                    });
                });
            });
        }
    });
    // A domain with a slash comes first.
    assert_eq!(
        refused(Kind::Routes, &table),
        "virtual_hosts[0].domains: \"/fine\" is not a host, *SUFFIX, PREFIX* or *"
    );
    let dynamic = build(|out| {
        out.text(1, "r");
        out.message(2, |host| {
            host.text(2, "*");
            host.message(3, |route| {
                route.message(1, |matches| {
                    matches.text(1, "/").message(13, |_| ());
                });
            });
        });
    });
    assert_eq!(
        refused(Kind::Routes, &dynamic),
        "virtual_hosts.routes.match.dynamic_metadata: not supported"
    );
}

#[test]
fn what_would_change_who_may_is_refused() {
    let limited = http_listener("l", 80, |manager| {
        manager.message(3, |rds| {
            rds.text(2, "r");
        });
        manager.message(5, |filter| {
            filter.text(1, "rbac");
            put_any(filter, 4, "envoy.extensions.filters.http.rbac.v3.RBAC", &[]);
        });
    });
    assert_eq!(
        refused(Kind::Listener, &limited),
        "filter_chains.filters.http_filters[0].rbac: \
         envoy.extensions.filters.http.rbac.v3.RBAC is not supported"
    );
    let optional = http_listener("l", 80, |manager| {
        manager.message(3, |rds| {
            rds.text(2, "r");
        });
        manager.message(5, |filter| {
            filter.text(1, "x").number(6, 1);
            put_any(filter, 4, "x.y.Z", &[]);
        });
    });
    let mut context = Context::default();
    resource(&mut context, Kind::Listener, &optional).unwrap();
    let warnings: Vec<_> = context.warnings.iter().map(ToString::to_string).collect();
    assert!(
        warnings.contains(&"http_filters: x.y.Z is left out".to_owned()),
        "{warnings:?}"
    );
}

#[test]
fn unknown_fields_of_strict_messages_are_refused() {
    let secret = build(|out| {
        out.text(1, "s");
        out.message(4, |validation| {
            validation.message(1, |source| {
                source.text(3, "ca");
            });
            validation.number(99, 1);
        });
    });
    assert_eq!(
        refused(Kind::Secret, &secret),
        "validation_context.field 99: not known, and could change who may or what is meant"
    );
    let mut context = Context::default();
    let cluster = with(static_cluster("c", 1), |out| {
        out.number(999, 1);
    });
    resource(&mut context, Kind::Cluster, &cluster).unwrap();
    let warnings: Vec<_> = context.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings, ["Cluster: field 999 is not known"]);
}

#[test]
fn prefixes_mean_what_envoy_means() {
    let table = with(routes("r", &["a"]), |out| {
        out.message(2, |host| {
            host.text(2, "other");
            host.message(3, |route| {
                route.message(1, |matches| {
                    matches.text(1, "/");
                });
                route.message(2, |action| {
                    action.text(1, "a");
                });
            });
        });
    });
    let found = resource(&mut Context::default(), Kind::Routes, &table);
    let Resource::Routes(parts) = found.unwrap() else {
        panic!("not routes")
    };
    let host = &parts.table.virtual_hosts[0];
    assert_eq!(
        host.routes[0].matches.path,
        PathMatch::StartsWith("/a".into())
    );
    let other = &parts.table.virtual_hosts[1].routes[0];
    assert_eq!(other.matches.path, PathMatch::Prefix("/".into()));
    let Action::Forward(forward) = &host.routes[0].action else {
        panic!("not forwarded")
    };
    assert_eq!(forward.timeout, Some(std::time::Duration::from_secs(15)));
}

#[test]
fn endpoints_by_discovery_are_addresses() {
    let named = build(|out| {
        out.text(1, "a");
        out.message(2, |locality| {
            locality.message(2, |lb| {
                lb.message(1, |endpoint| socket(endpoint, 1, "db.example.com", 1));
            });
        });
    });
    let text = refused(Kind::Endpoints, &named);
    assert!(
        text.starts_with("endpoints.lb_endpoints.endpoint.address: db.example.com:1"),
        "{text}"
    );
}

proptest! {
    #[test]
    fn any_bytes_are_translated_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for kind in Kind::ALL {
            let _ = resource(&mut Context::default(), kind, &bytes);
        }
    }

    #[test]
    fn any_damage_is_translated_or_refused(
        at in any::<prop::sample::Index>(), byte: u8, cut in any::<prop::sample::Index>()
    ) {
        let whole = http_listener("l", 80, |manager| {
            manager.bytes(4, &routes("r", &["a", "b"]));
            router(manager);
        });
        for (kind, mut bytes) in [
            (Kind::Listener, whole),
            (Kind::Cluster, static_cluster("c", 7)),
            (Kind::Routes, routes("r", &["x", "y"])),
        ] {
            let place = at.index(bytes.len());
            bytes[place] = byte;
            let _ = resource(&mut Context::default(), kind, &bytes);
            bytes.truncate(cut.index(bytes.len()));
            let _ = resource(&mut Context::default(), kind, &bytes);
        }
    }
}
