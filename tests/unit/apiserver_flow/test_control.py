"""Which requests belong where, and that a flooder does not starve others."""

import anyio
import pytest

from cloudwright._base.clock import SystemClock
from cloudwright.apiserver import bootstrap
from cloudwright.apiserver.config import StoreConfig
from cloudwright.apiserver.flow import schemas
from cloudwright.apiserver.flow.control import FlowControl
from cloudwright.apiserver.flow.defaults import schemas as default_schemas
from cloudwright.apiserver.identity import AdministratorsOnly, Attributes, User
from cloudwright.apiserver.store.sqlite import open_store
from cloudwright.client.transport import Reply, Request

pytestmark = pytest.mark.anyio
EVERYONE = "system:authenticated"
FLOODER = User("flooder", (EVERYONE,))
QUIET = User("quiet", (EVERYONE,))
ROOT = User("root", ("system:masters", EVERYONE))
PODS = Attributes("list", "", "pods", "", "default")


def account(namespace, name):
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", EVERYONE)
    return User(f"system:serviceaccount:{namespace}:{name}", groups)


LEASE = Attributes("update", "coordination.k8s.io", "leases", "", "kube-system", "x")
NODE = User("system:node:a", ("system:nodes", EVERYONE))


@pytest.mark.parametrize(
    ("user", "wanted", "name"),
    [
        (ROOT, PODS, "exempt"),
        (QUIET, Attributes("get", path="/livez"), "probes"),
        (QUIET, Attributes("get", path="/metrics"), "global-default"),
        (User("system:kube-scheduler", (EVERYONE,)), LEASE, "system-leader-election"),
        (account("kube-system", "x"), LEASE, "system-leader-election"),
        (account("kube-system", "x"), PODS, "kube-system-service-accounts"),
        (account("default", "x"), PODS, "service-accounts"),
        (NODE, Attributes("patch", "", "nodes", "status", "", "a"), "system-node-high"),
        (NODE, PODS, "system-nodes"),
        (QUIET, PODS, "global-default"),
        (User("system:anonymous", ("system:unauthenticated",)), PODS, "global-default"),
        (User("odd", ()), PODS, None),
    ],
)
async def test_the_default_schemas(user, wanted, name):
    objects = default_schemas()
    for obj in objects:
        obj["metadata"]["uid"] = f"uid-{obj['metadata']['name']}"
    found = schemas.find(schemas.read(objects), user, wanted)
    assert (found.name if found else None) == name


@pytest.fixture
async def core(tmp_path):
    async with open_store(StoreConfig(tmp_path / "store.db"), SystemClock()) as store:
        yield await bootstrap.start(store, AdministratorsOnly())


async def answer():
    await anyio.sleep(0)
    return Reply(200, {"a": "b"}, b"")


async def test_answers_name_schema_and_level(core):
    control = FlowControl(core.store)
    reply = await control.run(QUIET, PODS, answer)
    request = Request("GET", "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas/global-default")
    kept = await core.handle(request, ROOT)
    assert reply.headers["x-kubernetes-pf-flowschema-uid"].encode() in kept.body
    assert reply.headers["a"] == "b"


async def test_a_flooder_does_not_starve_a_quiet_client(core):
    control = FlowControl(core.store, seats=20, wait_seconds=600)
    gate = anyio.Semaphore(0)
    statuses = []

    async def work():
        await gate.acquire()
        return Reply(200, {}, b"")

    async def ask(user):
        statuses.append((user.name, (await control.run(user, PODS, work)).status))

    async with anyio.create_task_group() as tasks:
        for _ in range(1000):
            tasks.start_soon(ask, FLOODER)
        await anyio.wait_all_tasks_blocked()
        assert set(statuses) == {("flooder", 429)}
        waiting = 1000 - len(statuses)
        tasks.start_soon(ask, QUIET)
        finished = 0
        while ("quiet", 200) not in statuses:
            gate.release()
            finished += 1
            await anyio.wait_all_tasks_blocked()
        assert finished < waiting / 4
        for _ in range(waiting):
            gate.release()
    assert ("quiet", 429) not in statuses


async def test_a_refusal_says_when_to_come_again(core):
    control = FlowControl(core.store, seats=1, wait_seconds=0.01)
    go = anyio.Event()

    async def stuck():
        await go.wait()
        return Reply(200, {}, b"")

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(control.run, QUIET, PODS, stuck)
        await anyio.wait_all_tasks_blocked()
        refused = await control.run(QUIET, PODS, stuck)
        assert (refused.status, refused.headers["retry-after"]) == (429, "1")
        assert (await control.run(ROOT, PODS, answer)).status == 200
        go.set()
    assert (await control.run(QUIET, PODS, answer)).status == 200


async def test_a_changed_configuration_counts_at_once(core):
    control = FlowControl(core.store)
    await control.run(QUIET, PODS, answer)
    assert control.place(QUIET, PODS).schema.name == "global-default"
    path = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas/global-default"
    assert (await core.handle(Request("DELETE", path), ROOT)).status == 200
    await control.run(QUIET, PODS, answer)
    assert control.place(QUIET, PODS).schema.name == "catch-all"
    path = path.replace("global-default", "catch-all")
    assert (await core.handle(Request("DELETE", path), ROOT)).status == 200
    await control.run(QUIET, PODS, answer)
    assert control.place(QUIET, PODS).schema.name == "catch-all", "it is mandatory"
