"""Tokens of service accounts: issued, bound, checked, expired, rotated, reviewed."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloudwright._base.clock import ManualClock
from cloudwright._base.errors import CloudwrightError
from cloudwright.apiserver.authn import Authenticator
from cloudwright.apiserver.authn.accounts import AccountTokens
from cloudwright.apiserver.authn.claims import ClaimError, read, split_username
from cloudwright.apiserver.authn.keys import SigningKeys
from cloudwright.apiserver.authn.requests import TokenRequests
from cloudwright.apiserver.errors import ApiError
from tests.unit.apiserver_core.kit import Api, pod, serving

pytestmark = pytest.mark.anyio
ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
PODS = "/api/v1/namespaces/default/pods"
TOKEN = f"{ACCOUNTS}/robot/token"
REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"


class World:
    """A core that issues tokens, and its clock."""

    def __init__(self, api: Api, clock: ManualClock, tokens: AccountTokens) -> None:
        self.api, self.clock, self.tokens = api, clock, tokens

    async def token(self, status: int = 201, **spec):
        answer = await self.api.create(TOKEN, {"spec": spec}, status=status)
        return answer["status"]["token"] if status == 201 else answer["message"]

    async def refused(self, token, *audiences):
        with pytest.raises(ApiError) as error:
            assert await self.tokens.by_token(token, audiences) is None
        assert error.value.http_status == 401
        return error.value.hint


@pytest.fixture
async def world(tmp_path):
    clock = ManualClock()
    async with serving(tmp_path, clock=clock) as api:
        tokens = AccountTokens(api.core.store, SigningKeys(tmp_path / "keys"), clock)
        api.core.tokens = Authenticator(accounts=tokens)
        api.core.on_subresource("", "serviceaccounts", "token", TokenRequests(tokens))
        await api.create(ACCOUNTS, {"metadata": {"name": "robot"}})
        yield World(api, clock, tokens)


def claims(token):
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


async def test_a_token_speaks_for_its_account(world):
    token = await world.token()
    found = claims(token)
    assert found["sub"] == "system:serviceaccount:default:robot"
    assert found["exp"] - found["iat"] == 3600
    assert found["aud"] == [world.tokens.issuer]
    user, audiences = await world.tokens.by_token(token)
    assert user.name == "system:serviceaccount:default:robot"
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:default")
    assert user.uid == found["kubernetes.io"]["serviceaccount"]["uid"]
    assert dict(user.extra)["authentication.kubernetes.io/credential-id"] == (
        f"JTI={found['jti']}",
    )
    assert audiences == (world.tokens.issuer,)


async def test_it_expires(world):
    token = await world.token(expirationSeconds=600)
    world.clock.advance(600 + 59)
    assert await world.tokens.by_token(token)
    world.clock.advance(2)
    assert await world.refused(token) == (
        "[invalid bearer token, service account token has expired]"
    )


async def test_it_is_for_its_audiences_only(world):
    token = await world.token(audiences=["vault", "db"])
    assert "is invalid for the target audiences" in await world.refused(token)
    assert (await world.tokens.by_token(token, ("db", "other")))[1] == ("db",)


async def test_it_dies_with_its_account_also_when_one_of_that_name_comes_again(world):
    token = await world.token()
    assert await world.tokens.by_token(token)
    await world.api.delete(f"{ACCOUNTS}/robot")
    assert 'serviceaccounts "robot" not found' in await world.refused(token)
    await world.api.create(ACCOUNTS, {"metadata": {"name": "robot"}})
    assert "does not match claim" in await world.refused(token)


async def test_a_bound_token_dies_with_its_pod(world):
    await world.api.create(PODS, pod("p", serviceAccountName="robot", nodeName="n1"))
    ref = {"kind": "Pod", "apiVersion": "v1", "name": "p"}
    token = await world.token(boundObjectRef=ref)
    user, _ = await world.tokens.by_token(token)
    extra = dict(user.extra)
    assert extra["authentication.kubernetes.io/pod-name"] == ("p",)
    assert extra["authentication.kubernetes.io/node-name"] == ("n1",)
    # While it ends, and for a minute, its token still is good.
    await world.api.delete(f"{PODS}/p", {"gracePeriodSeconds": 30})
    assert await world.tokens.by_token(token)
    world.clock.advance(30 + 61)
    assert "has been invalidated" in await world.refused(token)
    await world.api.delete(f"{PODS}/p", {"gracePeriodSeconds": 0})
    assert "has been invalidated" in await world.refused(token)


async def test_changes_of_other_objects_cost_no_look_up(world, monkeypatch):
    token = await world.token()
    assert await world.tokens.by_token(token)
    reads = []
    real = world.api.core.store.get

    async def get(key):
        reads.append(key)
        return await real(key)

    monkeypatch.setattr(world.api.core.store, "get", get, raising=False)
    for number in range(5):
        await world.api.create(PODS, pod(f"other{number}"))
        reads.clear()
        assert await world.tokens.by_token(token)
        assert reads == []
    await world.api.patch(f"{ACCOUNTS}/robot", {"metadata": {"labels": {"a": "b"}}})
    reads.clear()
    assert await world.tokens.by_token(token)
    assert len(reads) == 1


@pytest.mark.parametrize(
    ("spec", "status", "says"),
    [
        ({"expirationSeconds": 599}, 422, "may not specify a duration less than 10 minutes"),
        ({"expirationSeconds": (1 << 32) + 1}, 422, "larger than 2^32 seconds"),
        ({"expirationSeconds": "soon"}, 400, "cannot be handled"),
        ({"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "x"}}, 404, "not found"),
        ({"boundObjectRef": {"kind": "ConfigMap", "apiVersion": "v1"}}, 400, "cannot bind token"),
        ({"boundObjectRef": {"kind": "Pod", "apiVersion": "apps/v1"}}, 400, "cannot bind token"),
    ],
)
async def test_odd_requests_are_refused(world, spec, status, says):
    assert says in await world.token(status, **spec)


async def test_a_token_is_not_bound_to_somebody_else_s_pod(world):
    await world.api.create(PODS, pod("p"))
    ref = {"kind": "Pod", "apiVersion": "v1", "name": "p"}
    assert "different serviceaccount name" in await world.token(400, boundObjectRef=ref)
    await world.api.create(PODS, pod("q", serviceAccountName="robot"))
    ref = {"kind": "Pod", "apiVersion": "v1", "name": "q", "uid": "other"}
    assert "does not match the UID in record" in await world.token(409, boundObjectRef=ref)


async def test_keys_rotate_and_old_tokens_stay_good(world, tmp_path):
    old = await world.token()
    world.tokens.keys.rotate()
    new = await world.token()
    again = AccountTokens(world.api.core.store, SigningKeys(tmp_path / "keys"), world.clock)
    for token in (old, new):
        assert await again.by_token(token)
    kids = [key.kid for key in again.keys.all()]
    assert len(set(kids)) == 2
    # Of two servers with one directory, either may rotate.
    world.tokens.keys.rotate()
    assert await again.by_token(await world.token())
    assert len(again.keys.all()) == 3
    mode = (tmp_path / "keys" / "signing.key").stat().st_mode & 0o777
    assert mode == 0o600
    (tmp_path / "keys" / "signing.key").write_text("no key")
    with pytest.raises(CloudwrightError, match="is not a signing key"):
        SigningKeys(tmp_path / "keys")


async def test_token_reviews(world):
    token = await world.token(audiences=["vault"])

    async def review(**spec):
        return (await world.api.create(REVIEWS, {"spec": spec}))["status"]

    good = await review(token=token, audiences=["vault"])
    assert good["authenticated"] is True
    assert good["user"]["username"] == "system:serviceaccount:default:robot"
    assert "system:authenticated" in good["user"]["groups"]
    assert good["audiences"] == ["vault"]
    assert "authenticated" not in await review(token=token)
    bad = await review(token="nonsense")
    assert "authenticated" not in bad
    assert "invalid bearer token" in bad["error"]
    answer = await world.api.create(REVIEWS, {"spec": {}}, status=400)
    assert "token is required" in answer["message"]


def _changed(token, part, change):
    parts = token.split(".")
    text = parts[part]
    content = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    content.update(change)
    data = base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()
    return ".".join([*parts[:part], data, *parts[part + 1 :]])


async def test_nothing_in_a_token_can_be_changed(world):
    token = await world.token()
    for part, change in (
        (1, {"sub": "system:serviceaccount:kube-system:admin"}),
        (1, {"exp": 1 << 40}),
        (1, {"aud": ["x"]}),
        (0, {"alg": "none"}),
        (0, {"alg": "HS256"}),
        (0, {"kid": "other"}),
        (0, {"kid": 7}),
    ):
        assert await world.refused(_changed(token, part, change))
    head, body, _ = token.split(".")
    assert await world.refused(f"{head}.{body}.")
    assert await world.tokens.by_token(_changed(token, 1, {"iss": "https://evil"})) is None


@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_no_text_is_taken_for_a_token_or_breaks_anything(shared_tokens, data):
    import anyio

    token = shared_tokens.sample
    kind = data.draw(st.sampled_from(("text", "cut", "flip", "splice")))
    if kind == "text":
        given_text = data.draw(st.text())
    elif kind == "cut":
        given_text = token[: data.draw(st.integers(0, len(token) - 1))]
    elif kind == "flip":
        at = data.draw(st.integers(0, len(token) - 2))
        given_text = token[:at] + data.draw(st.characters()) + token[at + 1 :]
    else:
        payload = data.draw(st.binary(max_size=60))
        body = base64.urlsafe_b64encode(payload).decode()
        head, _, end = token.split(".")
        given_text = f"{head}.{body}.{end}"

    async def ask():
        try:
            return await shared_tokens.tokens.by_token(given_text)
        except ApiError as error:
            return None if error.http_status == 401 else error

    # The last character has bits that do not count: base64 of the signature may decode the same.
    assert given_text == token or anyio.run(ask) is None or given_text[:-1] == token[:-1]


class _Shared:
    def __init__(self, tokens, sample):
        self.tokens, self.sample = tokens, sample


@pytest.fixture
def shared_tokens(tmp_path):
    from cloudwright.apiserver.authn.claims import Claims

    class Store:
        """Has nothing: only what passes every check of the token itself would ask it."""

        revision = 0

        def watch(self, prefix, *, after):
            return self

        progress = 0

        async def get(self, key):
            return None

    clock = ManualClock()
    tokens = AccountTokens(Store(), SigningKeys(tmp_path / "k"), clock)
    made = tokens.issue(Claims("ns", "robot", "uid", (tokens.issuer,)), 3600)
    return _Shared(tokens, made)


@given(
    st.dictionaries(
        st.sampled_from(("iss", "sub", "aud", "exp", "iat", "nbf", "jti", "kubernetes.io")),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=4),
            lambda inner: (
                st.lists(inner, max_size=2)
                | st.dictionaries(
                    st.sampled_from(("namespace", "serviceaccount", "pod", "name", "uid")), inner
                )
            ),
            max_leaves=6,
        ),
    )
)
def test_any_claims_are_read_or_refused(content):
    try:
        found = read(content)
    except ClaimError:
        return
    assert split_username(found.user().name) == (found.namespace, found.account)


def test_user_names_of_accounts():
    assert split_username("system:serviceaccount:ns:name") == ("ns", "name")
    for name in ("system:serviceaccount:ns", "system:serviceaccount::x", "ann", "a:b:c:d"):
        assert split_username(name) is None


async def test_tokens_bound_to_secrets_and_nodes_end_with_them(world):
    secrets, nodes = "/api/v1/namespaces/default/secrets", "/api/v1/nodes"
    await world.api.create(secrets, {"metadata": {"name": "s"}})
    await world.api.create(nodes, {"metadata": {"name": "n"}})
    held = [
        await world.token(boundObjectRef={"kind": kind, "apiVersion": "v1", "name": name})
        for kind, name in (("Secret", "s"), ("Node", "n"))
    ]
    for token in held:
        assert await world.tokens.by_token(token)
    await world.api.delete(f"{secrets}/s")
    assert "has been invalidated" in await world.refused(held[0])
    user, _ = await world.tokens.by_token(held[1])
    assert dict(user.extra)["authentication.kubernetes.io/node-name"] == ("n",)
    await world.api.delete(f"{nodes}/n")
    await world.api.create(nodes, {"metadata": {"name": "n"}})
    assert "does not match service account node ref claim" in await world.refused(held[1])


async def test_a_dry_run_gives_no_token(world):
    answer = await world.api.create(TOKEN, {"spec": {}}, dryRun="All")
    assert "status" not in answer


async def test_names_in_the_body_must_be_those_of_the_path(world):
    for field, value in (("name", "other"), ("namespace", "other")):
        body = {"metadata": {field: value}, "spec": {}}
        answer = await world.api.create(TOKEN, body, status=422)
        assert f"must match the service account {field} if specified" in answer["message"]
    answer = await world.api.create(TOKEN, {"metadata": {"uid": "x"}, "spec": {}}, status=409)
    assert "does not match the UID of the service account" in answer["message"]
    answer = await world.api.create(TOKEN, {"kind": "Pod", "apiVersion": "v1"}, status=400)
    assert "cannot be handled as a TokenRequest" in answer["message"]
    assert (await world.api.get(TOKEN, status=405))["reason"] == "MethodNotAllowed"
