"""What is in the token of a service account, and what must hold for it to be good. Pure.

Names and rules are upstream's (``kubernetes.io`` private claims, KEP-1205). Times are seconds since
the epoch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cloudwright.apiserver.identity import Extra, User
from cloudwright.apiserver.registry import storage_of

LEEWAY = 60.0
LEGACY_ISSUER = "kubernetes/serviceaccount"
PREFIX = "system:serviceaccount:"
ACCOUNTS = "system:serviceaccounts"
_LEGACY = "kubernetes.io/serviceaccount/"


class ClaimError(Exception):
    """The token is not good; the text may be shown to who checks tokens."""


@dataclass(frozen=True, slots=True)
class Holder:
    """An object that must exist, with that uid, for the token to be good."""

    plural: str
    namespace: str
    name: str
    uid: str

    @property
    def key(self) -> str:
        """Where the store keeps it."""
        return f"{storage_of('', self.plural)}{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Claims:
    """A token of a service account, understood."""

    namespace: str
    account: str
    uid: str
    audiences: tuple[str, ...]
    """Empty in legacy tokens: this API."""
    issued: float = 0.0
    not_before: float = 0.0
    expires: float | None = None
    token_id: str = ""
    pod: tuple[str, str] | None = None
    """Name and uid, as of the next two."""
    node: tuple[str, str] | None = None
    secret: tuple[str, str] | None = None
    legacy: bool = field(default=False)
    """The secret must hold this very token."""

    def holders(self) -> list[Holder]:
        """Everything that must exist; the account comes first."""
        found = [Holder("serviceaccounts", self.namespace, self.account, self.uid)]
        if self.secret is not None:
            found.append(Holder("secrets", self.namespace, *self.secret))
        if self.pod is not None:
            found.append(Holder("pods", self.namespace, *self.pod))
        elif self.node is not None:
            found.append(Holder("nodes", "", *self.node))
        return found

    def check_times(self, now: float) -> None:
        """Refuse a token out of its time. Raises ``ClaimError``."""
        if self.expires is not None and now > self.expires + LEEWAY:
            raise ClaimError("service account token has expired")
        if now < self.not_before - LEEWAY:
            raise ClaimError("service account token is not valid yet")
        if now < self.issued - LEEWAY:
            raise ClaimError("service account token is issued in the future")

    def good_for(self, wanted: Iterable[str], own: tuple[str, ...]) -> tuple[str, ...]:
        """The audiences of ``wanted`` (of this API, ``own``, when empty) that it names.

        Raises:
            ClaimError: it names none of them.
        """
        wanted = tuple(wanted) or own
        named = self.audiences or own
        found = tuple(audience for audience in named if audience in wanted)
        if not found:
            shown, asked = (" ".join(f'"{one}"' for one in many) for many in (named, wanted))
            raise ClaimError(
                f"token audiences [{shown}] is invalid for the target audiences [{asked}]"
            )
        return found

    def user(self) -> User:
        """Whom the token speaks for."""
        extra: dict[str, tuple[str, ...]] = {}
        if self.pod is not None:
            extra["authentication.kubernetes.io/pod-name"] = (self.pod[0],)
            extra["authentication.kubernetes.io/pod-uid"] = (self.pod[1],)
        if self.node is not None:
            extra["authentication.kubernetes.io/node-name"] = (self.node[0],)
            if self.node[1]:
                extra["authentication.kubernetes.io/node-uid"] = (self.node[1],)
        if self.token_id:
            extra["authentication.kubernetes.io/credential-id"] = (f"JTI={self.token_id}",)
        pairs: Extra = tuple(sorted(extra.items()))
        return User(username(self.namespace, self.account), groups(self.namespace), self.uid, pairs)

    def as_json(self, issuer: str) -> dict[str, Any]:
        """The claims of a bound token."""
        kubernetes: dict[str, Any] = {
            "namespace": self.namespace,
            "serviceaccount": {"name": self.account, "uid": self.uid},
        }
        for name, held in (("pod", self.pod), ("node", self.node), ("secret", self.secret)):
            if held is not None:
                kubernetes[name] = {"name": held[0], **({"uid": held[1]} if held[1] else {})}
        return {
            "aud": list(self.audiences),
            "exp": int(self.expires or 0),
            "iat": int(self.issued),
            "iss": issuer,
            "jti": self.token_id,
            "kubernetes.io": kubernetes,
            "nbf": int(self.not_before),
            "sub": username(self.namespace, self.account),
        }

    def as_legacy_json(self) -> dict[str, Any]:
        """The claims of a token that lives in a Secret."""
        return {
            "iss": LEGACY_ISSUER,
            f"{_LEGACY}namespace": self.namespace,
            f"{_LEGACY}secret.name": (self.secret or ("", ""))[0],
            f"{_LEGACY}service-account.name": self.account,
            f"{_LEGACY}service-account.uid": self.uid,
            "sub": username(self.namespace, self.account),
        }


def username(namespace: str, account: str) -> str:
    """``system:serviceaccount:NS:NAME``."""
    return f"{PREFIX}{namespace}:{account}"


def groups(namespace: str) -> tuple[str, ...]:
    """The groups of a namespace's accounts."""
    return (ACCOUNTS, f"{ACCOUNTS}:{namespace}")


def split_username(name: str) -> tuple[str, str] | None:
    """``(namespace, account)`` of a service account's user name."""
    if not name.startswith(PREFIX):
        return None
    namespace, _, account = name.removeprefix(PREFIX).partition(":")
    return (namespace, account) if namespace and account and ":" not in account else None


def read(claims: Mapping[str, Any]) -> Claims:
    """The claims of a token whose signature is good.

    Raises:
        ClaimError: something is missing or of a wrong type.
    """
    if claims.get("iss") == LEGACY_ISSUER:
        return _read_legacy(claims)
    private = claims.get("kubernetes.io")
    if not isinstance(private, dict):
        raise ClaimError("the token has no kubernetes.io claims")
    account = _reference(private, "serviceaccount")
    namespace = private.get("namespace")
    if account is None or not isinstance(namespace, str) or not namespace:
        raise ClaimError("the token does not name a service account")
    if claims.get("sub") != username(namespace, account[0]):
        raise ClaimError("sub claim is invalid")
    audiences = claims.get("aud", [])
    audiences = [audiences] if isinstance(audiences, str) else audiences
    if not isinstance(audiences, list) or not all(isinstance(one, str) for one in audiences):
        raise ClaimError("aud claim is invalid")
    return Claims(
        namespace,
        account[0],
        account[1],
        tuple(audiences),
        _time(claims, "iat") or 0.0,
        _time(claims, "nbf") or 0.0,
        _time(claims, "exp"),
        str(claims.get("jti", "")),
        _reference(private, "pod"),
        _reference(private, "node"),
        _reference(private, "secret"),
    )


def _read_legacy(claims: Mapping[str, Any]) -> Claims:
    found = []
    for name, shown in (
        ("namespace", "namespace"),
        ("service-account.name", "serviceAccountName"),
        ("service-account.uid", "serviceAccountUID"),
        ("secret.name", "secretName"),
    ):
        value = claims.get(f"{_LEGACY}{name}")
        if not isinstance(value, str) or not value:
            raise ClaimError(f"{shown} claim is missing")
        found.append(value)
    namespace, account, uid, secret = found
    if claims.get("sub") != username(namespace, account):
        raise ClaimError("sub claim is invalid")
    return Claims(namespace, account, uid, (), secret=(secret, ""), legacy=True)


def _reference(private: Mapping[str, Any], name: str) -> tuple[str, str] | None:
    found = private.get(name)
    if found is None:
        return None
    if not isinstance(found, dict):
        raise ClaimError(f"{name} claim is invalid")
    named, uid = found.get("name"), found.get("uid", "")
    if not isinstance(named, str) or not named or not isinstance(uid, str):
        raise ClaimError(f"{name} claim is invalid")
    return named, uid


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e15:
        raise ClaimError(f"{name} claim is invalid")
    return float(value)
