//! However messages, changes and broken streams interleave: in the end the proxy has what a proxy has
//! that was told only once.
#![allow(clippy::unwrap_used, clippy::expect_used)]
mod support;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use cloudwright_config::{Resources, check};
use cloudwright_xds::{Engine, Kind, Update, engine::Settings, message::Request};
use proptest::prelude::*;
use support::{Server, assignment, build, eds_cluster, rds_listener, routes};

#[derive(Debug, Clone)]
enum Step {
    Cluster(u8, Option<(u8, u8)>),
    Bad(u8),
    Endpoints(u8, u8),
    Listener(u8, Option<u8>),
    Routes(u8, u8, u8),
    ToServer,
    ToClient,
    Answer,
    Break,
    Wait(u8),
    RefuseNext,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let id = 0_u8..3;
    let step = prop_oneof![
        1 => (id.clone(), prop::option::of((0_u8..3, 1_u8..4))).prop_map(|(a, b)| Step::Cluster(a, b)),
        1 => id.clone().prop_map(Step::Bad),
        1 => (id.clone(), 0_u8..4).prop_map(|(a, b)| Step::Endpoints(a, b)),
        1 => (id.clone(), prop::option::of(0_u8..3)).prop_map(|(a, b)| Step::Listener(a, b)),
        1 => (id.clone(), id.clone(), id).prop_map(|(a, b, c)| Step::Routes(a, b, c)),
        4 => Just(Step::ToServer),
        4 => Just(Step::ToClient),
        4 => Just(Step::Answer),
        1 => Just(Step::Break),
        1 => (1_u8..20).prop_map(Step::Wait),
        1 => Just(Step::RefuseNext),
    ];
    prop::collection::vec(step, 1..80)
}

struct World {
    engine: Engine,
    server: Server,
    now: Instant,
    to_server: VecDeque<Request>,
    to_client: VecDeque<Vec<u8>>,
    refuse: bool,
}

impl World {
    fn new(server: Server) -> Self {
        let settings = Settings {
            delta: server.delta,
            ..Settings::default()
        };
        Self {
            engine: Engine::new(&settings),
            server,
            now: Instant::now(),
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            refuse: false,
        }
    }

    fn connect(&mut self) {
        self.server.disconnect();
        self.to_client.clear();
        self.to_server = self.engine.connected().into();
    }

    fn client(&mut self) -> bool {
        let Some(answer) = self.to_client.pop_front() else {
            return false;
        };
        let refuse = &mut self.refuse;
        let mut sink = |update: &Update| {
            assert_eq!(check::all(&update.resources), []);
            if std::mem::take(refuse) {
                return Err("not now".to_owned());
            }
            Ok(())
        };
        let requests = self.engine.receive(self.now, &answer, &mut sink).unwrap();
        self.to_server.extend(requests);
        true
    }

    fn serve(&mut self) -> bool {
        let Some(request) = self.to_server.pop_front() else {
            return false;
        };
        self.server.take(&request);
        true
    }

    fn answer(&mut self) -> bool {
        let answer = self.server.due();
        let some = answer.is_some();
        self.to_client.extend(answer);
        some
    }

    fn step(&mut self, step: Step) {
        let server = &mut self.server;
        match step {
            Step::Cluster(id, None) => server.remove(Kind::Cluster, &format!("c{id}")),
            Step::Cluster(id, Some((service, streams))) => {
                let name = format!("c{id}");
                let bytes = eds_cluster(&name, &format!("s{service}"), streams.into());
                server.set(Kind::Cluster, &name, bytes);
            }
            Step::Bad(id) => {
                let name = format!("c{id}");
                let bytes = build(|out| {
                    out.text(1, &name).number(2, 77);
                });
                server.set(Kind::Cluster, &name, bytes);
            }
            Step::Endpoints(id, count) => {
                let name = format!("s{id}");
                let ports: Vec<u16> = (1..=u16::from(count)).collect();
                server.set(Kind::Endpoints, &name, assignment(&name, &ports));
            }
            Step::Listener(id, None) => server.remove(Kind::Listener, &format!("l{id}")),
            Step::Listener(id, Some(table)) => {
                let name = format!("l{id}");
                let port = 80 + u16::from(id) * 10 + u16::from(table);
                let bytes = rds_listener(&name, port, &format!("r{table}"));
                server.set(Kind::Listener, &name, bytes);
            }
            Step::Routes(id, one, two) => {
                let name = format!("r{id}");
                let clusters = [format!("c{one}"), format!("c{two}")];
                let bytes = routes(&name, &[&clusters[0], &clusters[1]]);
                server.set(Kind::Routes, &name, bytes);
            }
            Step::ToServer => drop(self.serve()),
            Step::ToClient => drop(self.client()),
            Step::Answer => drop(self.answer()),
            Step::Break => self.connect(),
            Step::Wait(seconds) => self.wait(seconds.into()),
            Step::RefuseNext => self.refuse = true,
        }
    }

    fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        let requests = self.engine.tick(self.now, &mut |_: &Update| Ok(()));
        self.to_server.extend(requests);
    }

    fn settle(&mut self) -> Resources {
        self.refuse = false;
        for _ in 0..3 {
            while self.serve() || self.answer() || self.client() {}
            self.wait(20);
        }
        (**self.engine.resources()).clone()
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn interleavings_converge(delta: bool, steps in steps()) {
        let mut world = World::new(Server::new(delta));
        world.connect();
        for step in steps {
            world.step(step);
        }
        // Everything is well again, and said once more: refused answers are not sent again.
        world.refuse = false;
        let state = world.server.state.clone();
        for (name, (_, bytes)) in state.get(&Kind::Cluster).into_iter().flatten() {
            let bad = bytes.ends_with(&[77]);
            let again = if bad { eds_cluster(name, "s0", 9) } else { bytes.clone() };
            world.server.set(Kind::Cluster, name, again);
        }
        for kind in [Kind::Endpoints, Kind::Listener, Kind::Routes] {
            for (name, (_, bytes)) in state.get(&kind).into_iter().flatten() {
                world.server.set(kind, name, bytes.clone());
            }
        }
        // What an answer removed that was refused is told again on another stream only.
        let mut found = world.settle();
        if !world.server.refusals.is_empty() {
            world.connect();
            found = world.settle();
        }
        let mut fresh = World::new(world.server.clone());
        fresh.connect();
        prop_assert_eq!(found, fresh.settle());
    }
}
