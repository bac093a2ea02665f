//! How much memory and time 10,000 routes and 100,000 endpoints take.
//!
//!     cargo run --release -p cloudwright-xds --example xds_scale
#![allow(clippy::print_stdout)]
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use cloudwright_config::Resources;
use cloudwright_xds::{Engine, Kind, Update, engine::Settings, wire::Writer};

#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CLUSTERS: u32 = 1_000;
const ENDPOINTS: u32 = 100;
const ROUTES: u32 = 10_000;

fn any(out: &mut Writer, number: u32, name: &str, message: &[u8]) {
    out.message(number, |any| {
        any.text(1, &format!("type.googleapis.com/{name}"));
        any.bytes(2, message);
    });
}

fn built(fill: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut out = Writer::new();
    fill(&mut out);
    out.finish()
}

fn answer(kind: Kind, nonce: u32, resources: &[Vec<u8>]) -> Vec<u8> {
    built(|out| {
        out.text(1, &nonce.to_string());
        for one in resources {
            any(out, 2, kind.message(), one);
        }
        out.text(4, &kind.url()).text(5, &nonce.to_string());
    })
}

fn cluster(index: u32) -> Vec<u8> {
    built(|out| {
        out.text(1, &format!("outbound|80||service-{index}.default.svc"));
        out.number(2, 3);
        out.message(3, |eds| {
            eds.message(1, |source| {
                source.bytes(3, &[]);
            });
        });
    })
}

fn assignment(index: u32, shift: u32) -> Vec<u8> {
    built(|out| {
        out.text(1, &format!("outbound|80||service-{index}.default.svc"));
        for zone in ["a", "b"] {
            out.message(2, |locality| {
                locality.message(1, |place| {
                    place.text(1, "region").text(2, zone);
                });
                for endpoint in 0..ENDPOINTS / 2 {
                    let address = index * ENDPOINTS + endpoint + shift;
                    let ip = std::net::Ipv4Addr::from(0x0a00_0000 + address);
                    locality.message(2, |lb| {
                        lb.message(1, |host| {
                            host.message(1, |address| {
                                address.message(1, |socket| {
                                    socket.text(2, &ip.to_string()).number(3, 8080);
                                });
                            });
                        });
                        lb.number(2, 1);
                        lb.message(4, |weight| {
                            weight.number(1, 1);
                        });
                    });
                }
            });
        }
    })
}

fn routes() -> Vec<u8> {
    built(|out| {
        out.text(1, "all");
        for host in 0..ROUTES / 10 {
            out.message(2, |out| {
                out.text(1, &format!("host-{host}"));
                out.text(2, &format!("service-{host}.example.com"));
                for route in 0..10 {
                    out.message(3, |out| {
                        out.message(1, |matches| {
                            matches.text(1, &format!("/api/v{route}/things/"));
                        });
                        out.message(2, |action| {
                            action.text(1, &format!("outbound|80||service-{host}.default.svc"));
                            action.message(8, |timeout| {
                                timeout.number(1, 5);
                            });
                        });
                    });
                }
            });
        }
    })
}

fn listener() -> Vec<u8> {
    const HTTP: &str = "envoy.extensions.filters.network.http_connection_manager.v3";
    let manager = built(|out| {
        out.message(3, |rds| {
            rds.text(2, "all");
        });
        out.message(5, |filter| {
            any(
                filter,
                4,
                "envoy.extensions.filters.http.router.v3.Router",
                &[],
            );
        });
    });
    built(|out| {
        out.text(1, "edge");
        out.message(2, |address| {
            address.message(1, |socket| {
                socket.text(2, "0.0.0.0").number(3, 80);
            });
        });
        out.message(3, |chain| {
            chain.message(3, |filter| {
                any(
                    filter,
                    4,
                    &format!("{HTTP}.HttpConnectionManager"),
                    &manager,
                );
            });
        });
    })
}

fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let words = line.and_then(|line| line.split_whitespace().nth(1));
    words
        .and_then(|word| word.parse::<f64>().ok())
        .unwrap_or_default()
        / 1024.0
}

/// CPU time of this thread: other programs make no difference.
fn cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let nanos = u32::try_from(now.tv_nsec).unwrap_or_default();
    Duration::new(now.tv_sec.unsigned_abs(), nanos)
}

fn main() {
    let mut engine = Engine::new(&Settings::default());
    let mut current = Arc::new(Resources::default());
    let empty = resident();
    engine.connected();
    let mut total = Duration::ZERO;
    let mut bytes = 0;
    let mut step = |engine: &mut Engine, what: &str, message: Vec<u8>| {
        bytes += message.len();
        let begin = cpu();
        let mut sink = |update: &Update| {
            current = Arc::clone(&update.resources);
            Ok(())
        };
        let sent = engine.receive(Instant::now(), &message, &mut sink);
        let time = cpu() - begin;
        if what != "one endpoint" {
            total += time;
        }
        let refused = sent.iter().flatten().find_map(|one| one.error.clone());
        println!("{what}: {time:?} {}", refused.unwrap_or_default());
        drop(message);
        time
    };
    let all: Vec<_> = (0..CLUSTERS).map(cluster).collect();
    step(&mut engine, "clusters", answer(Kind::Cluster, 1, &all));
    drop(all);
    step(
        &mut engine,
        "listener",
        answer(Kind::Listener, 2, &[listener()]),
    );
    let all: Vec<_> = (0..CLUSTERS).map(|index| assignment(index, 0)).collect();
    step(&mut engine, "endpoints", answer(Kind::Endpoints, 3, &all));
    drop(all);
    step(&mut engine, "routes", answer(Kind::Routes, 4, &[routes()]));
    let mut one = Vec::new();
    for round in 0..200 {
        let message = answer(Kind::Endpoints, 10 + round, &[assignment(7, round + 1)]);
        one.push(step(&mut engine, "one endpoint", message));
    }
    one.sort();
    let median = one.get(one.len() / 2).copied().unwrap_or_default();
    let endpoints: usize = current
        .assignments
        .values()
        .map(|one| one.endpoints.len())
        .sum();
    std::thread::sleep(Duration::from_secs(2));
    println!(
        "{} clusters, {endpoints} endpoints, {} MB received: {total:?} CPU in all; \
         one endpoint {median:?}; resident {empty:.1} -> {:.1} MB",
        current.clusters.len(),
        bytes / 1_000_000,
        resident(),
    );
}
