"""The engine against random histories: a model of a runtime that obeys it, and time that passes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cloudwright.model.sandbox import ContainerState, ContainerStatus
from cloudwright.node import engine, observe, phases, restarts
from cloudwright.node.names import container_id
from cloudwright.node.observe import ContainerView, Facts, Failure, PodView, Stopping
from cloudwright.node.restarts import Backoff

START = datetime(2026, 1, 1, tzinfo=UTC)
RANK = {"Pending": 0, "Running": 1, "Succeeded": 2, "Failed": 2}
SETTINGS = engine.Settings()


class Machine:
    """Performs what the engine says on containers in memory, and checks each step."""

    def __init__(self, policy: str, init: int) -> None:
        self.now = START
        self.policy = policy
        self.pod: dict[str, Any] = {
            "metadata": {"name": "p", "namespace": "d", "uid": "u"},
            "spec": {
                "restartPolicy": policy,
                "initContainers": [{"name": f"i{n}", "image": "x"} for n in range(init)],
                "containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "x"}],
            },
        }
        self.held: dict[str, ContainerStatus] = {}
        self.facts: dict[str, Facts] = {}
        self.flags: dict[str, Any] = {}
        self.done = False
        self.started: list[tuple[str, int]] = []
        self.exits: dict[tuple[str, int], int] = {}
        self.forget()

    def forget(self) -> None:
        """The daemon was killed: only runtime and status remain."""
        torn = self.flags.get("torn_down", False)
        self.facts = {}
        self.flags = {"torn_down": torn, "gone": self.flags.get("gone", False)}

    def view(self) -> PodView:
        by_name = observe.by_name("u", self.held.values())

        def views(key: str) -> tuple[ContainerView, ...]:
            return tuple(
                ContainerView(
                    c["name"],
                    c,
                    key != "containers",
                    observe.attempts(self.pod, c["name"], by_name.get(c["name"], ()), self.now),
                    self.facts.get(c["name"], Facts()),
                )
                for c in self.pod["spec"][key]
            )

        return PodView(self.pod, views("initContainers"), views("containers"), **self.flags)

    def step(self) -> None:
        for _ in range(60):
            view = self.view()
            self.publish(view)
            decision = engine.decide(view, self.now, SETTINGS)
            if decision.done:
                self.done = True
                return
            progress = False
            for action in decision.actions:
                progress = self.perform(action) or progress
            if not progress:
                return
        raise AssertionError("the engine spins")

    def publish(self, view: PodView) -> None:
        old = self.pod.get("status") or {}
        new = phases.status(view, self.now, Backoff())
        if old:
            assert RANK[new["phase"]] >= RANK[old["phase"]]
            if old["phase"] in phases.TERMINAL:
                assert new["phase"] == old["phase"]
            for before, after in zip(
                old["containerStatuses"], new["containerStatuses"], strict=True
            ):
                assert after["restartCount"] >= before["restartCount"]
        ready = next(c for c in new["conditions"] if c["type"] == "Ready")["status"]
        if ready == "True":
            assert new["phase"] == "Running"
            assert not view.ending
        assert phases.status(view, self.now, Backoff()) == new
        self.pod = {**self.pod, "status": new}

    def perform(self, action: engine.Action) -> bool:
        match action:
            case engine.PrepareSandbox():
                self.flags.update(sandbox=True, prepared=True, sidecar_ready=True, ip="10.0.0.1")
            case engine.PrepareVolumes():
                self.flags["volumes"] = True
            case engine.StartContainer(name, attempt, streak):
                self.start(name, attempt, streak)
            case engine.StopContainer(name, _, reason, grace):
                stop = Stopping(reason, grace, self.now, hook_done=self.now.second % 2 == 0)
                self.facts[name] = replace(self.facts.get(name, Facts()), stop=stop)
            case engine.Signal(name, identifier, kill):
                assert self.held[identifier].state is ContainerState.RUNNING
                stop_ = self.facts[name].stop
                assert stop_ is not None
                self.facts[name] = replace(
                    self.facts[name], stop=replace(stop_, termed_at=stop_.termed_at or self.now)
                )
                if kill:
                    self.end(identifier, 137)
            case engine.RemoveContainer(identifier):
                assert self.held[identifier].state is not ContainerState.RUNNING
                del self.held[identifier]
                return False
            case engine.Drain():
                self.flags["drained"] = True
            case engine.TearDown():
                assert not any(c.state is ContainerState.RUNNING for c in self.held.values())
                self.held.clear()
                self.flags.update(torn_down=True, sandbox=False, prepared=False)
            case engine.Finalize():
                assert not self.held
                self.flags["gone"] = True
        return True

    def start(self, name: str, attempt: int, streak: int) -> None:
        identifier = container_id("u", name, attempt)
        for other in self.held.values():
            assert f"-{name}-" not in other.id or other.state is not ContainerState.RUNNING
        assert "deletionTimestamp" not in self.pod["metadata"]
        assert (name, attempt) not in self.started, "an attempt's number is used once"
        if attempt and name in ("a", "b"):
            assert restarts.wanted(self.policy, self.exits[(name, attempt - 1)])
        if name in ("a", "b"):
            for init in self.pod["spec"]["initContainers"]:
                last = max(n for i, n in self.started if i == init["name"])
                assert self.exits[(init["name"], last)] == 0
        self.started.append((name, attempt))
        self.held[identifier] = ContainerStatus(
            identifier, "u", ContainerState.RUNNING, 1, self.now, self.now
        )
        self.facts[name] = Facts(streak=streak, started=True, ready=True)

    def end(self, identifier: str, code: int) -> None:
        status = self.held[identifier]
        name, attempt = identifier.split("-")[1:]
        self.exits[(name, int(attempt))] = code
        self.held[identifier] = replace(
            status, state=ContainerState.EXITED, finished_at=self.now, exit_code=code
        )

    def happen(self, event: tuple[str, int]) -> None:
        kind, number = event
        running = sorted(c.id for c in self.held.values() if c.state is ContainerState.RUNNING)
        if kind == "exit" and running:
            self.end(running[number % len(running)], number % 3)
        elif kind == "pass":
            self.now += timedelta(seconds=number)
        elif kind == "crash":
            self.forget()
        elif kind == "condemn" and running:
            name = running[number % len(running)].split("-")[1]
            facts = self.facts.get(name, Facts())
            self.facts[name] = replace(facts, unhealthy="probe")
        elif kind == "fail":
            failure = Failure("CreateContainerError", "no", self.now, number % 5 + 1)
            name = "ab"[number % 2]
            if not any(f"-{name}-" in i for i in running):
                self.facts[name] = replace(self.facts.get(name, Facts()), failure=failure)
        elif kind == "delete" and number % 4 == 0:
            self.pod["metadata"].setdefault("deletionTimestamp", "2026-01-01T00:00:00Z")


KINDS = ["exit", "exit", "pass", "pass", "crash", "condemn", "fail", "delete"]
EVENTS = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 400)), max_size=40)


@settings(max_examples=150, deadline=None)
@given(EVENTS, st.sampled_from(["Always", "OnFailure", "Never"]), st.integers(0, 2))
def test_random_histories_keep_the_rules_and_deletion_converges(
    events: list[tuple[str, int]], policy: str, init: int
) -> None:
    machine = Machine(policy, init)
    machine.step()
    for event in events:
        machine.happen(event)
        machine.step()
    machine.pod["metadata"].setdefault("deletionTimestamp", "2026-01-01T00:00:00Z")
    for _ in range(20):
        machine.step()
        machine.now += timedelta(seconds=31)
    assert machine.done
    assert not machine.held


@given(st.integers(0, 60), st.floats(0.01, 100), st.floats(100, 1000))
def test_back_off_doubles_up_to_its_maximum(streak: int, base: float, maximum: float) -> None:
    backoff = Backoff(base, maximum)
    pause, following = restarts.delay(backoff, streak), restarts.delay(backoff, streak + 1)
    assert 0 <= pause <= following <= maximum
    assert (pause == 0) == (streak == 0)
    if 0 < following < maximum and streak:
        assert abs(following - 2 * pause) < 1e-6 * following


def test_a_long_run_resets_the_back_off() -> None:
    machine = Machine("Always", 0)
    machine.step()
    pauses = []
    for _ in range(4):
        machine.end(container_id("u", "a", len([s for s in machine.started if s[0] == "a"]) - 1), 1)
        since, count = machine.now, len(machine.started)
        machine.step()
        while len(machine.started) == count:
            machine.now += timedelta(seconds=1)
            machine.step()
        pauses.append((machine.now - since).total_seconds())
    assert pauses == [0, 10, 20, 40]
    machine.now += timedelta(seconds=601)
    machine.end(container_id("u", "a", 4), 1)
    count = len(machine.started)
    machine.step()
    assert len(machine.started) == count + 1


def test_crash_loop_is_shown_with_its_pause_and_last_state() -> None:
    machine = Machine("Always", 0)
    machine.step()
    for attempt in range(2):
        machine.end(container_id("u", "a", attempt), 5)
        machine.step()
    shown = machine.pod["status"]["containerStatuses"][0]
    assert shown["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert "back-off 10s restarting failed container=a" in shown["state"]["waiting"]["message"]
    assert shown["lastState"]["terminated"]["exitCode"] == 5
    assert shown["restartCount"] == 1


def test_a_container_that_vanished_counts_as_ended() -> None:
    machine = Machine("Always", 0)
    machine.step()
    machine.held.clear()
    machine.exits[("a", 0)] = machine.exits[("b", 0)] = 137
    machine.forget()
    machine.step()
    assert ("a", 1) in machine.started
    last = machine.pod["status"]["containerStatuses"][0]["lastState"]["terminated"]
    assert last["reason"] == "ContainerStatusUnknown"


def test_containers_wait_for_their_sidecar_but_not_for_ever() -> None:
    machine = Machine("Always", 0)
    machine.flags.update(prepared=True, volumes=True, sidecar_since=START)
    decision = engine.decide(machine.view(), START, SETTINGS)
    assert decision.actions == ()
    assert decision.wake_at == START + timedelta(seconds=SETTINGS.sidecar_wait)
    assert decision.wake_at is not None
    later = engine.decide(machine.view(), decision.wake_at, SETTINGS)
    assert [type(a).__name__ for a in later.actions] == ["StartContainer", "StartContainer"]
    conditions = phases.status(machine.view(), START, Backoff())["conditions"]
    assert {c["type"]: c["status"] for c in conditions}["Ready"] == "False"
