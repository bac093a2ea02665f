//! The client against the real host: a Python interpreter with Cloudwright installed, named by
//! `CLOUDWRIGHT_PYTHON` or found as `.venv/bin/python` of the repository.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::print_stdout)]

mod world;

use std::time::Duration;

use bytes::Bytes;
use cloudwright_filters::{Origin, Verdict};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use world::{World, added, request};

#[tokio::test]
async fn a_filter_adds_a_header_only_where_it_matches() {
    let Some(world) = World::start(&[("add.py", world::ADD_HEADER)]).await else {
        return;
    };
    let (parts, verdict) = world.ask("/api/x").await;
    assert!(verdict.is_none());
    assert_eq!(parts.headers["x-added"], "yes");
    assert!(world.client.chain(&request("/other")).is_none());
    assert_eq!(world.figures("add-header").calls, 1);
    world.stop().await;
}

#[tokio::test]
async fn a_filter_that_raises_is_undone_and_left_out_or_refuses() {
    let raises = "
from cloudwright.proxy import Filter, Match
class Half(Filter):
    timeout_ms = 20000
    order = 1
    def on_request(self, request):
        request.headers['x-half'] = '1'
        {}['x']
class Closed(Filter):
    timeout_ms = 20000
    match = Match(path='/closed')
    on_error = 'refuse'
    def on_request(self, request):
        raise ValueError('no')
";
    let files = [("add.py", world::ADD_HEADER), ("raises.py", raises)];
    let Some(world) = World::start(&files).await else {
        return;
    };
    let (parts, answer) = world.ask("/api/x").await;
    assert!(answer.is_none());
    assert_eq!(added(&parts), ["yes"]);
    assert!(!parts.headers.contains_key("x-half"));
    let (_, answer) = world.ask("/closed").await;
    let answer = answer.expect("refused");
    assert!(answer.failed);
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(
        (world.figures("half").errors, world.figures("half").bypasses),
        (1, 1)
    );
    assert_eq!(
        (
            world.figures("closed").errors,
            world.figures("closed").refusals
        ),
        (1, 1)
    );
    let log = world.log();
    assert!(log.contains("raises.py:8: KeyError: 'x'"), "{log}");
    world.stop().await;
}

#[tokio::test]
async fn a_filter_answers_the_request_itself() {
    let says_no = "
from cloudwright.proxy import Filter, respond
class No(Filter):
    timeout_ms = 20000
    async def on_request(self, request):
        if request.headers.get('authorization') is None:
            return respond(401, 'who?', {'www-authenticate': 'Bearer'})
";
    let Some(world) = World::start(&[("no.py", says_no)]).await else {
        return;
    };
    let (_, answer) = world.ask("/").await;
    let answer = answer.expect("an answer");
    assert!(!answer.failed);
    assert_eq!(
        (answer.status, &answer.body[..]),
        (StatusCode::UNAUTHORIZED, &b"who?"[..])
    );
    assert_eq!(answer.headers["www-authenticate"], "Bearer");
    assert_eq!(world.figures("no").answers, 1);
    world.stop().await;
}

#[tokio::test]
async fn after_too_many_failures_a_filter_is_not_asked() {
    let fails = "
from cloudwright.proxy import Budget, Filter
class Fails(Filter):
    timeout_ms = 20000
    budget = Budget(errors=3, window_s=60, open_s=600)
    def on_request(self, request):
        raise RuntimeError
";
    let Some(world) = World::start(&[("fails.py", fails)]).await else {
        return;
    };
    for _ in 0..5 {
        let (_, answer) = world.ask("/").await;
        assert!(answer.is_none());
    }
    let figures = world.figures("fails");
    assert_eq!(
        (figures.calls, figures.bypasses, figures.open),
        (3, 5, true)
    );
    assert!(world.client.chain(&request("/")).is_none());
    world.stop().await;
}

#[tokio::test]
async fn a_filter_that_does_not_return_is_stopped_and_others_go_on() {
    let slow = "
import time
from cloudwright.proxy import Filter, Match
class Slow(Filter):
    match = Match(path='/slow')
    timeout_ms = 200
    def on_request(self, request):
        while True:
            time.sleep(0.001)
";
    let files = [("add.py", world::ADD_HEADER), ("slow.py", slow)];
    let Some(world) = World::start(&files).await else {
        return;
    };
    // On a slow machine the host may see the call too late, and does not run the hook then.
    while world.figures("slow").timeouts == 0 {
        let (_, answer) = world.ask("/slow").await;
        assert!(answer.is_none(), "it goes on without the filter");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The hook was interrupted: the same host answers the next request.
    let (parts, _) = world.ask_patiently("/api/x").await;
    assert_eq!(added(&parts), ["yes"]);
    assert!(!world.log().contains("HostEnded"), "{}", world.log());
    world.stop().await;
}

#[tokio::test]
async fn a_host_that_is_stuck_is_killed_and_started_again() {
    // The signal is blocked, so nothing but the end of the process stops the hook.
    let stuck = "
import signal, time
from cloudwright.proxy import Budget, Filter, Match
class Stuck(Filter):
    match = Match(path='/stuck')
    timeout_ms = 200
    on_error = 'refuse'
    budget = Budget(errors=100, window_s=60, open_s=600)
    def on_request(self, request):
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
        time.sleep(600)
";
    let files = [("add.py", world::ADD_HEADER), ("stuck.py", stuck)];
    let Some(world) = World::start_with(&files, Duration::from_millis(500)).await else {
        return;
    };
    // On a slow machine the host may see the call too late, and does not run the hook then.
    while !world.log().contains("was stuck in a filter") {
        let (_, answer) = world.ask("/stuck").await;
        let status = answer.map(|answer| answer.status).expect("it fails closed");
        assert!(status.is_server_error(), "{status}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (parts, _) = world.ask_patiently("/api/x").await;
    assert_eq!(added(&parts), ["yes"]);
    // The culprit is not asked again: its circuit is open, so its requests are refused at once.
    let (_, answer) = world.ask("/stuck").await;
    assert_eq!(
        answer.map(|answer| answer.status),
        Some(StatusCode::SERVICE_UNAVAILABLE)
    );
    assert!(world.figures("stuck").open);
    world.stop().await;
}

#[tokio::test]
async fn the_answer_and_both_bodies_pass_through_filters_that_want_them() {
    let upper = "
from cloudwright.proxy import Filter
class Upper(Filter):
    timeout_ms = 20000
    def on_request(self, request):
        request.state['path'] = request.path
    def on_response(self, request, response):
        response.headers['x-path'] = request.state['path']
        response.status = 203
    def on_request_body(self, request, chunk, last):
        return chunk.upper() + (b'!' if last else b'')
    async def on_response_body(self, request, chunk, last):
        held = request.state.setdefault('held', [])
        held.append(chunk)
        return b''.join(held)[::-1] if last else b''
";
    let Some(world) = World::start(&[("upper.py", upper)]).await else {
        return;
    };
    let parts = request("/path");
    let chain = world.client.chain(&parts).expect("a chain");
    let verdict = chain.request(&parts, &Origin::default(), false).await;
    assert!(matches!(verdict, Verdict::Continue(changes) if changes.is_empty()));
    let big = vec![b'a'; 100_000];
    let body = chain.request_body(Full::new(Bytes::from(big)));
    let seen = body.collect().await.expect("a body").to_bytes();
    assert_eq!(seen.len(), 100_001);
    assert!(seen.starts_with(b"AAA") && seen.ends_with(b"A!"));
    let mut head = Response::new(()).into_parts().0;
    let Verdict::Continue(changes) = chain.response(&head, false).await else {
        panic!("refused");
    };
    changes.apply_response(&mut head);
    assert_eq!(
        (head.status.as_u16(), &head.headers["x-path"]),
        (203, &"/path".parse().unwrap())
    );
    let body = chain.response_body(Full::new(Bytes::from_static(b"abc")));
    assert_eq!(body.collect().await.expect("a body").to_bytes(), "cba");
    world.stop().await;
}

#[tokio::test]
async fn a_changed_file_is_in_force_at_once_and_a_broken_one_is_not() {
    let Some(world) = World::start(&[("add.py", world::ADD_HEADER)]).await else {
        return;
    };
    world
        .write("add.py", &world::ADD_HEADER.replace("'yes'", "'changed'"))
        .await;
    assert_eq!(added(&world.ask("/api/x").await.0), ["changed"]);
    let loaded = world.write("add.py", "class Broken(:\n").await;
    assert_eq!((loaded.errors[0].line, loaded.filters.len()), (1, 1));
    assert!(
        loaded.errors[0].message.contains("SyntaxError"),
        "{:?}",
        loaded.errors
    );
    assert_eq!(added(&world.ask("/api/x").await.0), ["changed"]);
    let second = world::ADD_HEADER
        .replace("AddHeader", "Second")
        .replace("def", "async def");
    world
        .write(
            "second.py",
            &second.replace("['x-added'] = 'yes'", ".add('x-added', 'two')"),
        )
        .await;
    assert_eq!(added(&world.ask("/api/x").await.0), ["changed", "two"]);
    let loaded = world.remove("add.py").await;
    assert_eq!(
        (loaded.filters, loaded.errors.len()),
        (vec!["second".to_owned()], 0)
    );
    assert_eq!(added(&world.ask("/api/x").await.0), ["two"]);
    let loaded = world.remove("second.py").await;
    assert!(loaded.filters.is_empty() && world.client.chain(&request("/api/x")).is_none());
    world.stop().await;
}

#[tokio::test]
async fn filters_are_stopped_when_the_proxy_ends() {
    let leaves = "
import pathlib
from cloudwright.proxy import Filter
class Leaves(Filter):
    def on_request(self, request): ...
    def stop(self):
        pathlib.Path(self.settings['mark']).write_text('stopped')
";
    let mark = tempfile::tempdir().unwrap();
    let mark = mark.path().join("mark");
    let settings = format!("settings: {{mark: {}}}\n", mark.display());
    let files = [("leaves.py", leaves), ("leaves.yaml", settings.as_str())];
    let Some(world) = World::start(&files).await else {
        return;
    };
    world.stop().await;
    assert_eq!(std::fs::read_to_string(&mark).unwrap(), "stopped");
}

#[tokio::test]
async fn many_requests_at_once_each_get_their_own_answer() {
    let echo = "
from cloudwright.proxy import Filter
class Echo(Filter):
    timeout_ms = 20000
    def on_request(self, request):
        request.headers['x-echo'] = request.target
";
    let Some(world) = World::start(&[("echo.py", echo)]).await else {
        return;
    };
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..500 {
        let client = world.client.clone();
        tasks.spawn(async move {
            let mut parts = request(&format!("/{number}"));
            let chain = client.chain(&parts).expect("a chain");
            if let Verdict::Continue(changes) =
                chain.request(&parts, &Origin::default(), true).await
            {
                changes.apply_request(&mut parts);
            }
            assert_eq!(parts.headers["x-echo"], format!("/{number}"));
        });
    }
    tasks.join_all().await;
    assert_eq!(world.figures("echo").calls, 500);
    let mut metrics = String::new();
    world.client.write_metrics(&mut metrics);
    assert!(
        metrics.contains("cloudwright_filter_seconds_count{filter=\"echo\"} 500"),
        "{metrics}"
    );
    world.stop().await;
}

#[tokio::test]
async fn a_request_that_nobody_waits_for_any_more_leaves_nothing_behind() {
    let Some(world) = World::start(&[("add.py", world::ADD_HEADER)]).await else {
        return;
    };
    let parts = Request::get("/api/x").body(()).unwrap().into_parts().0;
    for _ in 0..50 {
        let chain = world.client.chain(&parts).expect("a chain");
        let origin = Origin::default();
        let asked = chain.request(&parts, &origin, true);
        // Polled once, so that the call is queued; then the client hangs up.
        let gone = tokio::time::timeout(Duration::ZERO, asked).await;
        drop(gone);
    }
    world
        .until(|world| world.figures("add-header").calls == 50)
        .await;
    assert_eq!(added(&world.ask("/api/x").await.0), ["yes"]);
    world.stop().await;
}
