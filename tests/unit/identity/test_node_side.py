"""The node's side: tokens that are renewed in time, and only the objects that pods use."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import anyio
import pytest

from cloudwright._base.clock import ManualClock
from cloudwright._base.errors import UnreachableError
from cloudwright.apiserver.authn.accounts import AccountTokens
from cloudwright.apiserver.authn.keys import SigningKeys
from cloudwright.apiserver.authn.requests import TokenRequests
from cloudwright.apiserver.authz.nodes import NodeAuthorizer
from cloudwright.apiserver.identity import ADMINISTRATORS, User, Verdict
from cloudwright.apiserver.local import LocalTransport
from cloudwright.client.client import Client
from cloudwright.node import environment, tokens, volumes
from cloudwright.node.errors import VolumeError
from cloudwright.node.objects import PodObjects
from tests.unit.apiserver_core.kit import CONFIG_MAPS, PODS, config_map, pod, serving

pytestmark = pytest.mark.anyio
NODE = User("system:node:n1", ("system:nodes",))
ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"


def with_token(name, **source):
    sources = [{"serviceAccountToken": {"path": "token", "expirationSeconds": 1000, **source}}]
    volume = {"name": "t", "projected": {"sources": sources}}
    return pod(name, nodeName="n1", serviceAccountName="robot", volumes=[volume])


class Guard:
    """Administrators may do everything, nodes what is theirs."""

    def __init__(self):
        self.nodes = None

    async def authorize(self, user, wanted):
        if ADMINISTRATORS in user.groups:
            return Verdict(True)
        return await self.nodes.authorize(user, wanted)


class World:
    def __init__(self, api, clock, accounts):
        self.api, self.clock, self.accounts = api, clock, accounts
        self.client = Client(LocalTransport(api.core, NODE))
        self.warned = []
        self.neighbours = SimpleNamespace(
            client=self.client, tokens={}, now=clock.now, warn=self.warn
        )

    async def warn(self, _pod, reason, message):
        self.warned.append((reason, message))

    async def pod(self, made):
        return await self.api.create(PODS, made)

    def files(self, made):
        held = {key: token.text for key, token in self.neighbours.tokens.items()}
        (plan,) = volumes.plan(made, lambda *_: None, {}, tokens=held)
        return {name: content.data for name, content in plan.files.items()}


@pytest.fixture
async def world(tmp_path):
    clock, guard = ManualClock(), Guard()
    async with serving(tmp_path, clock=clock, authorizer=guard) as api:
        guard.nodes = NodeAuthorizer(api.core.store)
        accounts = AccountTokens(api.core.store, SigningKeys(tmp_path / "keys"), clock)
        api.core.on_subresource("", "serviceaccounts", "token", TokenRequests(accounts))
        await api.create(ACCOUNTS, {"metadata": {"name": "robot"}})
        yield World(api, clock, accounts)


async def test_a_volume_gets_a_token_of_the_pod(world):
    made = await world.pod(with_token("p"))
    with pytest.raises(VolumeError, match="no token for token yet"):
        world.files(made)
    await tokens.resolve(world.neighbours, made)
    token = world.files(made)["token"].decode()
    user, _ = await world.accounts.by_token(token)
    assert user.name == "system:serviceaccount:default:robot"
    assert dict(user.extra)["authentication.kubernetes.io/pod-name"] == ("p",)


async def test_audiences_have_tokens_of_their_own(world):
    made = await world.pod(with_token("p", audience="vault"))
    await tokens.resolve(world.neighbours, made)
    token = world.files(made)["token"].decode()
    assert (await world.accounts.by_token(token, ("vault",)))[1] == ("vault",)


async def test_it_is_renewed_after_four_fifths_of_its_life(world):
    made = await world.pod(with_token("p"))
    assert tokens.renewal(world.neighbours, made) is None
    await tokens.resolve(world.neighbours, made)
    first = world.files(made)
    assert tokens.renewal(world.neighbours, made) == world.clock.now() + timedelta(seconds=800)
    world.clock.advance(799)
    await tokens.resolve(world.neighbours, made)
    assert world.files(made) == first
    world.clock.advance(1)
    await tokens.resolve(world.neighbours, made)
    assert world.files(made) != first
    assert await world.accounts.by_token(world.files(made)["token"].decode())


async def test_long_lives_are_renewed_daily(world):
    made = await world.pod(with_token("p", expirationSeconds=10 * 86400))
    await tokens.resolve(world.neighbours, made)
    assert tokens.renewal(world.neighbours, made) == world.clock.now() + timedelta(days=1)


async def test_an_api_that_is_away_is_asked_again_later(world, monkeypatch):
    made = await world.pod(with_token("p"))
    await tokens.resolve(world.neighbours, made)
    first = world.files(made)

    async def away(*_, **__):
        raise UnreachableError("not there")

    monkeypatch.setattr(world.client, "create", away)
    world.clock.advance(801)
    await tokens.resolve(world.neighbours, made)
    assert world.files(made) == first
    assert world.warned == [("FailedTokenRenewal", "not there")]
    assert tokens.renewal(world.neighbours, made) > world.clock.now()
    world.clock.advance(200)
    with pytest.raises(VolumeError, match="gives no token for service account robot"):
        await tokens.resolve(world.neighbours, made)
    assert tokens.renewal(world.neighbours, made) > world.clock.now()


async def test_it_is_forgotten_with_its_pod(world):
    made = await world.pod(with_token("p"))
    await tokens.resolve(world.neighbours, made)
    tokens.forget(world.neighbours, made["metadata"]["uid"])
    assert world.neighbours.tokens == {}


async def test_the_root_certificate_is_no_configuration_of_the_pod():
    sources = [{"configMap": {"name": "kube-root-ca.crt"}}, {"configMap": {"name": "mine"}}]
    made = pod("p", volumes=[{"name": "v", "projected": {"sources": sources}}])
    made["metadata"] |= {"namespace": "default", "uid": "u"}

    def lookup(kind, _, name):
        metadata = {"name": name, "resourceVersion": "7"}
        return {"kind": kind, "metadata": metadata, "data": {name: "x"}}

    plans = volumes.plan(made, lookup, {})
    assert volumes.applied(plans) == "mine@7"
    assert set(plans[0].files) == {"kube-root-ca.crt", "mine"}


async def test_only_what_held_pods_use_is_followed(world):
    changes = []
    objects = PodObjects(world.client, lambda kind, obj: changes.append((kind, obj["metadata"])))
    await world.api.create(CONFIG_MAPS, config_map("c", x="1"))
    await world.api.create(CONFIG_MAPS, config_map("other", x="1"))
    volume = {"name": "v", "configMap": {"name": "c"}}
    first = await world.pod(pod("p", nodeName="n1", volumes=[volume]))
    second = await world.pod(pod("q", nodeName="n1", volumes=[volume]))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(objects.run)
        await objects.wait_running()
        for made in (first, second):
            objects.hold(made)
            await objects.ready(made)
        assert objects.lookup("ConfigMap", "default", "c")["data"] == {"x": "1"}
        assert objects.lookup("ConfigMap", "default", "other") is None
        await world.api.patch(f"{CONFIG_MAPS}/c", {"data": {"x": "2"}})
        with anyio.fail_after(20):
            while objects.lookup("ConfigMap", "default", "c")["data"] != {"x": "2"}:
                await anyio.sleep(0.01)
        objects.release(first)
        assert objects.lookup("ConfigMap", "default", "c")
        objects.release(second)
        assert objects.lookup("ConfigMap", "default", "c") is None
        assert {metadata["name"] for _, metadata in changes} == {"c"}
        tasks.cancel_scope.cancel()


def test_variables_of_the_api():
    assert environment.of_api(None) == {}
    found = environment.of_api(("10.96.0.1", 443))
    assert found["KUBERNETES_SERVICE_HOST"] == "10.96.0.1"
    assert found["KUBERNETES_PORT_443_TCP_ADDR"] == "10.96.0.1"
    container = {"env": [{"name": "URL", "value": "https://$(KUBERNETES_SERVICE_HOST)/"}]}
    resolved = environment.resolve(container, pod("p"), lambda *_: None, {}, found)
    assert resolved["URL"] == "https://10.96.0.1/"
