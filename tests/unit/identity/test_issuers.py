"""Tokens of other issuers: an OpenID provider over HTTPS, claims, keys that change."""

from __future__ import annotations

import http.server
import json
import ssl
import threading
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from cloudwright._base.clock import ManualClock, SystemClock
from cloudwright._base.paths import Paths
from cloudwright.apiserver.authn import ANONYMOUS, Authenticator
from cloudwright.apiserver.authn.issuerfile import configuration, load
from cloudwright.apiserver.authn.issuers import IssuerProblem, IssuerTokens, fetched
from cloudwright.apiserver.errors import ApiError
from cloudwright.apiserver.identity import User
from cloudwright.apiserver.tls import Pki

pytestmark = pytest.mark.anyio


def entry(url="https://id.example", **more):
    issuer = {"url": url, "audiences": ["cluster"]}
    issuer.update(more.pop("issuer", {}))
    mappings = {
        "username": {"claim": "sub", "prefix": "id:"},
        "groups": {"claim": "teams", "prefix": "id:"},
        "uid": {"claim": "oid"},
    }
    return {"issuer": issuer, "claimMappings": mappings, **more}


def config(*entries, **more):
    return configuration(
        {
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "AuthenticationConfiguration",
            "jwt": list(entries),
            **more,
        }
    )


class Provider:
    """An OpenID provider in memory."""

    def __init__(self, url="https://id.example"):
        self.url, self.asked = url, []
        self.turn("one")

    def turn(self, kid):
        self.key, self.kid = ec.generate_private_key(ec.SECP256R1()), kid

    def fetch(self, url, _authority):
        self.asked.append(url)
        if url.endswith("/.well-known/openid-configuration"):
            return json.dumps({"issuer": self.url, "jwks_uri": f"{self.url}/keys"}).encode()
        jwk = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key()))
        return json.dumps({"keys": [{**jwk, "kid": self.kid, "alg": "ES256"}]}).encode()

    def token(self, now, **claims):
        content = {"iss": self.url, "aud": "cluster", "sub": "ann", "exp": int(now) + 300}
        content |= claims
        return jwt.encode(content, self.key, algorithm="ES256", headers={"kid": self.kid})


@pytest.fixture
def world():
    provider, clock = Provider(), ManualClock()
    rules = [{"claim": "org", "requiredValue": "us"}]
    made = config(entry(claimValidationRules=rules))
    return provider, clock, IssuerTokens(made.issuers, clock, provider.fetch)


async def refusal(tokens, token):
    with pytest.raises(ApiError) as error:
        assert await tokens.by_token(token) is None
    assert error.value.http_status == 401
    return error.value.hint


async def test_claims_become_a_user(world):
    provider, clock, tokens = world
    now = clock.now().timestamp()
    token = provider.token(now, teams=["a", "b"], oid="7", org="us")
    user = User("id:ann", ("id:a", "id:b"), "7")
    assert await tokens.by_token(token) == user
    assert await tokens.by_token(token) == user
    assert len(provider.asked) == 2
    found = await Authenticator(issuers=tokens).user(None, {"authorization": f"Bearer {token}"})
    assert found == User("id:ann", ("id:a", "id:b", "system:authenticated"), "7")


async def test_what_does_not_fit_is_refused(world):
    provider, clock, tokens = world
    now = clock.now().timestamp()
    assert "different value" in await refusal(tokens, provider.token(now, org="them"))
    assert "expired" in await refusal(tokens, provider.token(now - 1000, org="us"))
    assert "udience" in await refusal(tokens, provider.token(now, aud="other", org="us"))
    assert "not present" in await refusal(tokens, provider.token(now, sub="", org="us"))
    assert "groups" in await refusal(tokens, provider.token(now, teams=[1], org="us"))
    assert await tokens.by_token(provider.token(now, iss="https://other", org="us")) is None
    forged = Provider()
    await refusal(tokens, forged.token(now, org="us"))
    for algorithm, key in (("HS256", "x" * 40), ("none", None)):
        content = {"iss": provider.url, "aud": "cluster", "sub": "ann", "exp": now + 300}
        await refusal(tokens, jwt.encode(content, key, algorithm, headers={"kid": "one"}))


async def test_keys_that_change_are_fetched_but_not_all_the_time(world):
    provider, clock, tokens = world
    now = clock.now().timestamp()
    assert await tokens.by_token(provider.token(now, org="us"))
    provider.turn("two")
    token = provider.token(now, org="us")
    assert "no key of that id" in await refusal(tokens, token)
    clock.advance(11)
    assert await tokens.by_token(token)
    asked = len(provider.asked)
    for number in range(5):
        provider.turn(f"unknown{number}")
        await refusal(tokens, provider.token(now, org="us"))
    assert len(provider.asked) == asked


async def test_the_provider_is_asked_over_https(tmp_path):
    pki = Pki(Paths.find(tmp_path).pki)
    pair = pki.server(["localhost", "127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate_file, pair.key_file)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            data = provider.fetch(self.path, "")
            self.send_response(200)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    provider = Provider(f"https://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        authority = pki.ca.certificate_pem.decode()
        made = config(entry(provider.url, issuer={"certificateAuthority": authority}))
        tokens = IssuerTokens(made.issuers, SystemClock())
        assert await tokens.by_token(provider.token(time.time()))
        made = config(entry(provider.url))
        strict = IssuerTokens(made.issuers, SystemClock())
        assert "no key of that id" in await refusal(strict, provider.token(time.time()))
    finally:
        server.shutdown()
        server.server_close()
    with pytest.raises(ValueError, match="is not https"):
        fetched("http://127.0.0.1/", "")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"issuer": {"url": "http://x"}}, "must begin with https"),
        ({"issuer": {"audiences": []}}, "at least one is required"),
        ({"claimMappings": {}}, "username: required"),
        (
            {"claimMappings": {"username": {"expression": "claims.sub", "claim": "sub"}}},
            "cannot be set beside expression",
        ),
        ({"claimMappings": {"username": {"expression": "clams.sub"}}}, "undeclared reference"),
        ({"claimMappings": {"username": {"expression": "claims.email"}}}, "email_verified"),
        ({"claimValidationRules": [{"expression": "'a'"}]}, "must evaluate to a bool"),
        ({"userValidationRules": [{"expression": "user.nobody"}]}, "undefined field"),
        (
            {
                "claimMappings": {
                    "username": {"expression": "claims.sub"},
                    "extra": [{"key": "Bad", "valueExpression": "'a'"}],
                }
            },
            "lower-case path",
        ),
        ({"claimMappings": {"username": {"claim": "sub"}}}, "claim and prefix"),
        ({"userRules": []}, "userRules: unknown field"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(change, says):
    with pytest.raises(IssuerProblem, match=says):
        config(entry(**change))


def test_files(tmp_path):
    with pytest.raises(IssuerProblem, match="cannot be read"):
        load(tmp_path / "none.yaml")
    file = tmp_path / "authn.yaml"
    file.write_text("kind: Other")
    with pytest.raises(IssuerProblem, match="no AuthenticationConfiguration"):
        load(file)


def test_strangers():
    assert Authenticator().stranger("/api") is None
    only = config(anonymous={"enabled": True, "conditions": [{"path": "/metrics"}]}).anonymous
    assert Authenticator(anonymous=only).stranger("/metrics") == ANONYMOUS
    assert Authenticator(anonymous=only).stranger("/api") is None
    everywhere = config(anonymous={"enabled": True}).anonymous
    assert Authenticator(anonymous=everywhere).stranger("/api") == ANONYMOUS
    assert config().anonymous == frozenset()


CEL = {
    "claimMappings": {
        "username": {"expression": "claims.sub + '@' + claims.org"},
        "groups": {"expression": "has(claims.roles) ? claims.roles.map(r, 'r:' + r) : []"},
        "uid": {"expression": "claims.?id.orValue('none')"},
        "extra": [
            {"key": "example.org/org", "valueExpression": "claims.org"},
            {"key": "example.org/none", "valueExpression": "''"},
        ],
    },
    "claimValidationRules": [
        {"expression": "claims.exp - claims.iat <= 86400", "message": "it lives too long"},
    ],
    "userValidationRules": [
        {"expression": "!user.username.startsWith('system:')", "message": "reserved"},
        {"expression": "user.groups.all(g, g.startsWith('r:'))"},
    ],
}


def mapped(**claims):
    (issuer,) = config(entry(**CEL)).issuers
    given = {"sub": "ann", "org": "us", "exp": 100, "iat": 0, **claims}
    return issuer.user(given)


def test_expressions_say_who_it_is():
    user = mapped(roles=["dev"], id="7")
    assert (user.name, user.groups, user.uid) == ("ann@us", ("r:dev",), "7")
    assert user.extra == (("example.org/org", ("us",)),)
    assert (mapped().groups, mapped().uid) == ((), "none")


@pytest.mark.parametrize(
    ("claims", "says"),
    [
        ({"exp": 1_000_000}, "it lives too long"),
        ({"sub": "system:admin"}, "reserved"),
        ({"sub": 5}, "no such overload"),
        ({"roles": "dev"}, "expression"),
    ],
)
def test_expressions_refuse(claims, says):
    with pytest.raises(ValueError, match=says):
        mapped(**claims)
