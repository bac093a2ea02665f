"""CEL in an ``AuthenticationConfiguration``: who a token speaks for, and which tokens are good.

``claims`` are a token's claims, ``user`` is what the mappings made of them. Expressions are
compiled when the configuration is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from cloudwright.apiserver import cel
    from cloudwright.apiserver.identity import User

Result = Literal["bool", "any"]
_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}
_USER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "username": _TEXT,
        "uid": _TEXT,
        "groups": _TEXTS,
        "extra": {"type": "object", "additionalProperties": _TEXTS},
    },
}
_EMAIL = re.compile(r"""\bclaims(\.\??email|\[\??['"]email['"]\])(?![\w])""")
_VERIFIED = re.compile(r"""\bclaims(\.\??email_verified|\[\??['"]email_verified['"]\])(?![\w])""")


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition; ``message`` is said when it does not hold."""

    program: cel.Program
    message: str = ""

    def check(self, bindings: Mapping[str, Any]) -> None:
        """Raises ValueError unless it holds."""
        if _evaluated(self.program, bindings) is not True:
            said = f": {self.message}" if self.message else ""
            raise ValueError(f"oidc: validation expression '{self.program.source}' failed{said}")


@dataclass(frozen=True, slots=True)
class Expressions:
    """The expressions of one issuer; what is ``None`` or empty is not made by one."""

    username: cel.Program | None = None
    groups: cel.Program | None = None
    uid: cel.Program | None = None
    extra: tuple[tuple[str, cel.Program], ...] = ()
    claims: tuple[Rule, ...] = ()
    user: tuple[Rule, ...] = ()

    def name_of(self, claims: Mapping[str, Any]) -> str:
        """The user's name. Raises ValueError."""
        assert self.username is not None, "only asked when there is one"
        found = _evaluated(self.username, {"claims": claims})
        if not isinstance(found, str):
            raise ValueError("oidc: the username expression must give a string")
        return found

    def groups_of(self, claims: Mapping[str, Any]) -> tuple[str, ...]:
        """The user's groups. Raises ValueError."""
        assert self.groups is not None, "only asked when there is one"
        return _texts(_evaluated(self.groups, {"claims": claims}), "groups")

    def uid_of(self, claims: Mapping[str, Any]) -> str:
        """The user's uid. Raises ValueError."""
        assert self.uid is not None, "only asked when there is one"
        found = _evaluated(self.uid, {"claims": claims})
        if not isinstance(found, str):
            raise ValueError("oidc: the uid expression must give a string")
        return found

    def extra_of(self, claims: Mapping[str, Any]) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """What else is known of the user. Raises ValueError."""
        found = []
        for key, program in self.extra:
            values = _texts(_evaluated(program, {"claims": claims}), f"extra {key}")
            if values:
                found.append((key, values))
        return tuple(sorted(found))

    def check_user(self, user: User) -> None:
        """Raises ValueError when a rule about the user does not hold."""
        if not self.user:
            return
        shown = {
            "username": user.name,
            "uid": user.uid,
            "groups": list(user.groups),
            "extra": {key: list(values) for key, values in user.extra},
        }
        for rule in self.user:
            rule.check({"user": shown})


def _evaluated(program: cel.Program, bindings: Mapping[str, Any]) -> Any:
    from cloudwright.apiserver import cel

    try:
        return program.evaluate(bindings)
    except cel.CelError as error:
        raise ValueError(f"oidc: expression '{program.source}': {error.message}") from error


def _texts(found: Any, what: str) -> tuple[str, ...]:
    if found is None or found == "":
        return ()
    many = [found] if isinstance(found, str) else found
    if not isinstance(many, list) or not all(isinstance(one, str) for one in many):
        raise ValueError(f"oidc: the {what} expression must give a string or a list of strings")
    return tuple(one for one in many if one)


def on_claims(source: str, result: Result = "any") -> cel.Program:
    """The program of an expression over ``claims``. Raises CelCompileError."""
    from cloudwright.apiserver import cel

    return cel.compile(source, {"claims": "map(string, dyn)"}, result=result)


def on_user(source: str) -> cel.Program:
    """The program of a rule over ``user``. Raises CelCompileError."""
    from cloudwright.apiserver import cel

    return cel.compile(source, {"user": _USER}, result="bool")


def unverified(username: str, others: Sequence[str]) -> bool:
    """Whether a name is made from an e-mail address that nothing says is the user's own."""
    if not _EMAIL.search(username):
        return False
    return not any(_VERIFIED.search(source) for source in (username, *others))
