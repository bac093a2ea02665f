"""Audit: which requests a policy keeps, what the events say, files that rotate."""

from __future__ import annotations

import json
import os

import anyio
import pytest

from cloudwright._base.clock import ManualClock
from cloudwright.apiserver.audit import Auditor, Policy, PolicyProblem, notes, sinks
from cloudwright.apiserver.audit import setup as auditing
from cloudwright.apiserver.audit.policy import DEFAULT, About
from cloudwright.apiserver.audit.sinks import FileSink, WebhookSink
from cloudwright.apiserver.identity import User
from cloudwright.client.transport import Request
from tests.unit.apiserver_core.kit import CONFIG_MAPS, Api, config_map, serving

pytestmark = pytest.mark.anyio
EVE = User("eve", ("system:authenticated",))


def policy(*rules, **more):
    return Policy.of(
        {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": list(rules), **more}
    )


def level(made, verb="create", plural="pods", group="", user="ann", **more):
    about = About(user, ("g",), verb, "/", True, group, plural, **more)
    return made.decide(about).level


def test_the_first_rule_that_matches_decides():
    made = policy(
        {"level": "None", "users": ["system:kube-proxy"], "verbs": ["watch"]},
        {"level": "Metadata", "resources": [{"group": "", "resources": ["secrets"]}]},
        {
            "level": "RequestResponse",
            "resources": [{"group": "", "resources": ["pods", "pods/*", "*/scale"]}],
            "namespaces": ["here"],
        },
        {"level": "Request", "userGroups": ["h"]},
        {"level": "Metadata", "nonResourceURLs": ["/metrics", "/api*"]},
    )
    assert level(made, "watch", user="system:kube-proxy") == "None"
    assert level(made, plural="secrets", namespace="here") == "Metadata"
    assert level(made, namespace="here") == "RequestResponse"
    assert level(made, namespace="here", subresource="exec") == "RequestResponse"
    assert level(made, plural="things", namespace="here", subresource="scale") == "RequestResponse"
    assert level(made, plural="things", namespace="here") == "None"
    assert level(made, namespace="there") == "None"
    assert level(made, group="apps", namespace="here") == "None"
    for path, wanted in [("/metrics", "Metadata"), ("/api", "Metadata"), ("/healthz", "None")]:
        assert made.decide(About("x", (), "get", path)).level == wanted
    assert made.decide(About("x", ("h",), "get", "/healthz")).level == "Request"


def test_names_of_resources_need_resources():
    made = policy(
        {
            "level": "Metadata",
            "resources": [{"group": "", "resources": ["pods"], "resourceNames": ["a"]}],
        }
    )
    assert level(made, name="a") == "Metadata"
    assert level(made, name="b") == "None"
    with pytest.raises(PolicyProblem, match="requires resources"):
        policy({"level": "Metadata", "resources": [{"group": "", "resourceNames": ["a"]}]})


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "no object of kind Policy"),
        ({"kind": "Policy", "apiVersion": "v1"}, "is not audit.k8s.io/v1"),
        ({"rules": []}, "at least one"),
        ({"rules": [{"level": "All"}]}, "is not one of None"),
        ({"rules": [{"level": "None", "verb": ["x"]}]}, "verb: unknown field"),
        ({"rules": [{"level": "None", "nonResourceURLs": ["a"]}]}, "must begin with"),
        ({"rules": [{"level": "None", "nonResourceURLs": ["/*/b"]}]}, "at its end"),
        ({"rules": [{"level": "None", "omitStages": ["Later"]}]}, "is not one of Request"),
        ({"rules": [{"level": "None", "users": "ann"}]}, "must be a list of texts"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(content, says):
    if content is not None:
        content = {"kind": "Policy", "apiVersion": "audit.k8s.io/v1", **content}
    with pytest.raises(PolicyProblem, match=says):
        Policy.of(content)


def test_reads_stay_unseen_only_where_no_rule_can_keep_them():
    assert Policy.of(DEFAULT).keeps_reads() is False
    assert policy({"level": "Metadata", "verbs": ["create"]}).keeps_reads() is False
    assert policy({"level": "Metadata"}).keeps_reads() is True
    assert policy({"level": "None", "users": ["x"]}, {"level": "Metadata"}).keeps_reads() is True


class Memory:
    """A sink that keeps events."""

    def __init__(self):
        self.events = []

    async def put(self, event):
        self.events.append(event)

    async def run(self):
        await anyio.sleep_forever()


@pytest.fixture
async def world(tmp_path):
    """A core that RBAC guards, audited into memory by a policy that a test may choose."""
    async with serving(tmp_path, clock=ManualClock()) as api:
        sink = Memory()

        def by(*rules, **more):
            api.core.audit = Auditor(api.core, policy(*rules, **more), [sink], api.core.clock)
            return sink.events

        api.by = by
        yield api


async def test_an_event_says_who_did_what_to_which_object(world):
    events = world.by({"level": "Metadata"})
    await world.ask(
        "POST", CONFIG_MAPS, config_map("a", x="1"), status=201, headers={"user-agent": "me/1"}
    )
    received, complete = events
    assert (received["stage"], complete["stage"]) == ("RequestReceived", "ResponseComplete")
    assert received["auditID"] == complete["auditID"]
    assert complete["kind"] == "Event"
    assert complete["level"] == "Metadata"
    assert complete["verb"] == "create"
    assert complete["requestURI"] == CONFIG_MAPS
    assert complete["user"] == {"username": "admin", "groups": ["system:masters"]}
    assert complete["userAgent"] == "me/1"
    assert complete["objectRef"] == {
        "resource": "configmaps",
        "namespace": "default",
        "apiVersion": "v1",
    }
    assert complete["responseStatus"] == {"metadata": {}, "code": 201}
    assert complete["annotations"]["authorization.k8s.io/decision"] == "allow"
    assert "requestObject" not in complete
    assert "responseStatus" not in received


async def test_levels_add_what_was_sent_and_what_was_answered(world):
    events = world.by(
        {"level": "RequestResponse", "verbs": ["create"], "omitManagedFields": True},
        {"level": "Request"},
        omitStages=["RequestReceived"],
    )
    await world.create(CONFIG_MAPS, config_map("a", x="1"))
    await world.patch(f"{CONFIG_MAPS}/a", {"data": {"x": "2"}})
    made, patched = events
    assert made["requestObject"]["data"] == {"x": "1"}
    assert made["responseObject"]["metadata"]["name"] == "a"
    assert "managedFields" not in made["responseObject"]["metadata"]
    assert patched["requestObject"] == {"data": {"x": "2"}}
    assert "responseObject" not in patched


async def test_a_refusal_is_kept_with_its_words(world):
    events = world.by({"level": "Metadata"}, omitStages=["RequestReceived"])
    api = Api(world.core, EVE)
    await api.get(CONFIG_MAPS, status=403)
    (event,) = events
    assert event["responseStatus"]["code"] == 403
    assert event["responseStatus"]["reason"] == "Forbidden"
    assert event["annotations"]["authorization.k8s.io/decision"] == "forbid"


async def test_what_admission_notes_is_kept(world):
    class Noting:
        async def mutate(self, review):
            review.annotations["example.org/seen"] = review.operation

        async def validate(self, review):
            return ()

    world.core.admission.append(Noting())
    events = world.by({"level": "Metadata"}, omitStages=["RequestReceived"])
    await world.create(CONFIG_MAPS, config_map("a"))
    await world.delete(f"{CONFIG_MAPS}/a")
    assert [event["annotations"]["example.org/seen"] for event in events] == ["CREATE", "DELETE"]
    assert events[0]["annotations"]["authorization.k8s.io/decision"] == "allow"


async def test_a_watch_has_a_start_and_an_end(world):
    events = world.by({"level": "Metadata"}, omitStages=["RequestReceived"])
    async with world.watch(CONFIG_MAPS):
        assert [event["stage"] for event in events] == ["ResponseStarted"]
    assert [event["stage"] for event in events] == ["ResponseStarted", "ResponseComplete"]


async def test_what_the_default_policy_keeps(world):
    sink = Memory()
    world.core.audit = Auditor(world.core, Policy.of(DEFAULT), [sink], world.core.clock)
    await world.create("/api/v1/namespaces/default/secrets", config_map("s") | {"data": {}})
    await world.get("/api/v1/namespaces/default/secrets")
    await world.create("/api/v1/namespaces/default/pods", {"metadata": {"name": "x"}}, status=422)
    secret, pod = sink.events
    assert secret["objectRef"]["resource"] == "secrets"
    assert "requestObject" not in secret
    assert pod["requestObject"]["metadata"]["name"] == "x"
    assert pod["responseStatus"]["code"] == 422


async def test_without_a_policy_nothing_is_asked(tmp_path):
    async with serving(tmp_path) as api, auditing.running(api.core, "", tmp_path / "log") as made:
        assert made is None
        assert api.core.audit is None
        notes.note("a", "b")  # nobody listens
    assert not (tmp_path / "log").exists()


async def test_events_are_lines_in_a_private_file(tmp_path):
    file, log = tmp_path / "policy.yaml", tmp_path / "audit" / "audit.log"
    rules = [{"level": "Metadata"}]
    content = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": rules}
    file.write_text(json.dumps(content))
    async with serving(tmp_path) as api, auditing.running(api.core, str(file), log):
        await api.get("/api/v1/namespaces")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["stage"] for line in lines] == ["RequestReceived", "ResponseComplete"]
    assert log.stat().st_mode & 0o777 == 0o600
    with pytest.raises(PolicyProblem, match="cannot be read"):
        auditing.load(str(tmp_path / "none.yaml"))


async def test_full_files_are_put_aside(tmp_path):
    log = tmp_path / "audit" / "audit.log"
    sink = FileSink(log, bytes_max=400, backups=2)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sink.run)
        for number in range(40):
            await sink.put({"number": number, "text": "x" * 80})
            while sink._receiver.statistics().current_buffer_used:
                await anyio.sleep(0.001)
        tasks.cancel_scope.cancel()
    files = sorted(os.listdir(log.parent))
    assert files == ["audit.log", "audit.log.1", "audit.log.2"]
    assert all((log.parent / name).stat().st_size <= 500 for name in files)
    newest = log.read_text().splitlines()[-1]
    assert json.loads(newest)["number"] == 39


async def test_a_webhook_gets_batches_and_may_fail():
    posted = []
    failed = anyio.Event()

    async def post(body):
        if not failed.is_set():
            failed.set()
            raise OSError("not there")
        posted.append(json.loads(body))

    sink = WebhookSink(post)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sink.run)
        await sink.put({"number": 0})
        with anyio.fail_after(20):
            await failed.wait()
            for number in range(1, 451):
                await sink.put({"number": number})
            while len(posted) < 2:
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    assert posted[0]["kind"] == "EventList"
    assert [one["number"] for one in posted[0]["items"]] == [0]
    assert len(posted[1]["items"]) == 400
    assert sink.dropped == 0


async def test_a_webhook_that_takes_nothing_loses_events(monkeypatch):
    monkeypatch.setattr(sinks, "_RETRY_SECONDS", 0.0)
    tries = []

    async def post(body):
        tries.append(body)
        raise OSError("not there")

    sink = WebhookSink(post, most=2, seconds=0.01)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sink.run)
        await sink.put({"number": 0})
        with anyio.fail_after(20):
            while not sink.dropped:
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    assert sink.dropped == 1
    assert len(tries) == 4


async def test_a_request_that_crashes_is_a_panic(world):
    events = world.by({"level": "Metadata"}, omitStages=["RequestReceived"])

    async def crash():
        raise RuntimeError("bug")

    with pytest.raises(RuntimeError):
        await world.core.audit.around(Request("GET", "/api/v1/pods"), EVE, crash)
    assert events[0]["stage"] == "Panic"
