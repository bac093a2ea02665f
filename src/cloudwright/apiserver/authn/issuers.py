"""Tokens of other issuers (OpenID Connect): whom an ``AuthenticationConfiguration`` lets in.

The file is upstream's (``apiserver.config.k8s.io/v1``): issuers with their audiences, which claims
give user name, groups, uid and extra, which claims must have which value, and where anonymous
requests are allowed; ``expressions`` has its CEL. Keys are fetched when a token names one that is
not known, at most every ten seconds.
"""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
from anyio import to_thread

from cloudwright._base import logs
from cloudwright._base.clock import Clock
from cloudwright._base.errors import UsageError
from cloudwright.apiserver.authn.accounts import issuer_of, refusal
from cloudwright.apiserver.authn.expressions import Expressions
from cloudwright.apiserver.identity import User

if TYPE_CHECKING:
    pass

_log = logs.get("apiserver.issuers")
NO_EXPRESSIONS = Expressions()
_ALGORITHMS = [f"{kind}{bits}" for kind in ("RS", "ES", "PS") for bits in (256, 384, 512)]
_KEPT_MAX = 10_000
_FETCH_SECONDS = 10.0
_DOCUMENT_MAX = 1 << 20
_TIMEOUT = 10.0


class IssuerProblem(UsageError):
    """The authentication configuration cannot be used; the message names the field."""

    default_code = "CW3213"


@dataclass(frozen=True, slots=True)
class Mapped:
    """A claim, and what is put before its value."""

    claim: str
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Issuer:
    """One issuer and how its claims are understood."""

    url: str
    audiences: tuple[str, ...]
    username: Mapped
    groups: Mapped | None = None
    uid: str = ""
    required: tuple[tuple[str, str], ...] = ()
    authority: str = ""
    """PEM; empty: the system's authorities."""
    discovery: str = ""
    """Where its configuration is, when not below ``url``."""
    expressions: Expressions = NO_EXPRESSIONS

    def user(self, claims: Mapping[str, Any]) -> User:
        """Whom a token with these claims speaks for.

        Raises:
            ValueError: a claim is missing or not as it must be.
        """
        for claim, value in self.required:
            if claims.get(claim) != value:
                raise ValueError(f"oidc: required claim {claim} set to different value")
        made = self.expressions
        for rule in made.claims:
            rule.check({"claims": claims})
        uid = str(claims.get(self.uid, "")) if self.uid else ""
        if made.uid is not None:
            uid = made.uid_of(claims)
        name = self._name(claims) if made.username is None else made.name_of(claims)
        groups = self._groups(claims) if made.groups is None else made.groups_of(claims)
        if not name:
            raise ValueError("oidc: the name of the user is empty")
        user = User(name, groups, uid, made.extra_of(claims))
        made.check_user(user)
        return user

    def _name(self, claims: Mapping[str, Any]) -> str:
        name = claims.get(self.username.claim)
        if not isinstance(name, str) or not name:
            raise ValueError(f'oidc: parse username claims "{self.username.claim}": not present')
        if self.username.claim == "email" and claims.get("email_verified", True) is not True:
            raise ValueError("oidc: email not verified")
        return self.username.prefix + name

    def _groups(self, claims: Mapping[str, Any]) -> tuple[str, ...]:
        if self.groups is None:
            return ()
        found = claims.get(self.groups.claim, [])
        many = [found] if isinstance(found, str) else found
        if not isinstance(many, list) or not all(isinstance(one, str) for one in many):
            raise ValueError(f'oidc: parse groups claim "{self.groups.claim}": not texts')
        return tuple(self.groups.prefix + one for one in many)


@dataclass(frozen=True, slots=True)
class Configuration:
    """What the file says."""

    issuers: tuple[Issuer, ...] = ()
    anonymous: frozenset[str] | None = frozenset()
    """Paths on which nobody has to say who he is; ``None``: all."""


class IssuerTokens:
    """Checks tokens of the issuers of a configuration."""

    def __init__(
        self,
        issuers: tuple[Issuer, ...],
        clock: Clock,
        fetch: Callable[[str, str], bytes] | None = None,
    ) -> None:
        self._issuers = {issuer.url: issuer for issuer in issuers}
        self._clock = clock
        self._fetch = fetch or fetched
        self._keys: dict[str, dict[str, Any]] = {}
        self._asked: dict[str, float] = {}
        self._known: dict[str, tuple[float, User]] = {}
        self._lock = anyio.Lock()

    async def by_token(self, token: str) -> User | None:
        """The user of a token; ``None``: another issuer's.

        Raises:
            ApiError: 401, it is not valid; ``hint`` says why.
        """
        now = self._clock.now().timestamp()
        known = self._known.get(token)
        if known is not None and now < known[0]:
            return known[1]
        issuer = self._issuers.get(issuer_of(token) or "")
        if issuer is None:
            return None
        import jwt

        try:
            key = await self._key(issuer, jwt.get_unverified_header(token).get("kid"))
            claims = jwt.decode(
                token,
                key,
                algorithms=_ALGORITHMS,
                audience=list(issuer.audiences),
                issuer=issuer.url,
                options={"require": ["exp", "iss", "aud"], "verify_exp": False},
            )
            until = float(claims["exp"])
            if now >= until:
                raise ValueError("oidc: verify token: token is expired")
            user = issuer.user(claims)
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise refusal(str(error)) from error
        if len(self._known) >= _KEPT_MAX:
            self._known.clear()
        self._known[token] = (until, user)
        return user

    async def _key(self, issuer: Issuer, kid: Any) -> Any:
        """The key of that id, fetched when it is not known. Raises ValueError."""
        wanted = kid if isinstance(kid, str) else ""
        for attempt in (0, 1):
            keys = self._keys.get(issuer.url, {})
            if wanted in keys:
                return keys[wanted]
            if not wanted and len(keys) == 1:
                return next(iter(keys.values()))
            if attempt == 0:
                async with self._lock:
                    await self._refresh(issuer)
        raise ValueError("failed to verify signature: no key of that id")

    async def _refresh(self, issuer: Issuer) -> None:
        now = self._clock.monotonic()
        if now - self._asked.get(issuer.url, -_FETCH_SECONDS) < _FETCH_SECONDS:
            return
        self._asked[issuer.url] = now
        try:
            self._keys[issuer.url] = await to_thread.run_sync(self._load, issuer)
        except (OSError, ValueError) as error:
            _log.warning("the keys of %s cannot be fetched: %s", issuer.url, error)

    def _load(self, issuer: Issuer) -> dict[str, Any]:
        import jwt

        where = issuer.discovery or f"{issuer.url.rstrip('/')}/.well-known/openid-configuration"
        document = json.loads(self._fetch(where, issuer.authority))
        if document.get("issuer") != issuer.url:
            raise ValueError(f"{where} is of the issuer {document.get('issuer')!r}")
        listed = json.loads(self._fetch(str(document["jwks_uri"]), issuer.authority))
        found = jwt.PyJWKSet.from_dict(listed)
        return {key.key_id or "": key.key for key in found.keys}


def fetched(url: str, authority: str) -> bytes:
    """The document at an https URL. Blocks. Raises OSError, ValueError."""
    if not url.startswith("https://"):
        raise ValueError(f"{url} is not https")
    context = ssl.create_default_context(cadata=authority or None)
    with urllib.request.urlopen(url, timeout=_TIMEOUT, context=context) as answer:  # noqa: S310
        data: bytes = answer.read(_DOCUMENT_MAX + 1)
    if len(data) > _DOCUMENT_MAX:
        raise ValueError(f"{url} is too long")
    return data
