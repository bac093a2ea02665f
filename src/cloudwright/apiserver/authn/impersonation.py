"""Acting as somebody else (``kubectl --as``): allowed to who may ``impersonate`` every part of him.

The request's headers ``Impersonate-User``, ``-Group``, ``-Uid`` and ``-Extra-KEY`` name the user;
headers that stand more than once arrive here as one, joined by commas.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import unquote

from cloudwright.apiserver.authn.authenticator import ANONYMOUS, UNAUTHENTICATED
from cloudwright.apiserver.authn.claims import groups as account_groups
from cloudwright.apiserver.authn.claims import split_username
from cloudwright.apiserver.errors import bad_request, forbidden
from cloudwright.apiserver.identity import AUTHENTICATED, Attributes, Authorizer, User

PREFIX = "impersonate-"
_USER, _GROUP, _UID = f"{PREFIX}user", f"{PREFIX}group", f"{PREFIX}uid"
_EXTRA = f"{PREFIX}extra-"
_GROUP_NAME = "authentication.k8s.io"


def wanted(headers: Mapping[str, str]) -> bool:
    """Whether the request asks for it. Header names are in lower case."""
    if PREFIX not in "\n".join(headers):  # told at once of all that do not
        return False
    return any(name.startswith(PREFIX) for name in headers)


async def act(user: User, headers: Mapping[str, str], authorizer: Authorizer) -> User:
    """The user whom ``user`` acts as.

    Raises:
        ApiError: 400, no user is named; 403, something of him may not be impersonated.
    """
    name = headers.get(_USER, "")
    groups = _values(headers.get(_GROUP, ""))
    uid = headers.get(_UID, "")
    extra = {
        unquote(header.removeprefix(_EXTRA)): _values(value)
        for header, value in sorted(headers.items())
        if header.startswith(_EXTRA)
    }
    if not name:
        if not (groups or uid or extra):
            return user
        raise bad_request(
            f"requested {_as_go(groups, uid, extra)} without impersonating a user name"
        )
    for attributes in _parts(name, groups, uid, extra):
        verdict = await authorizer.authorize(user, attributes)
        if not verdict.allowed:
            reason = f": {verdict.reason}" if verdict.reason else ""
            message = attributes.denial(user.name) + reason
            raise forbidden(attributes.group, attributes.resource, attributes.name, message)
    account = split_username(name)
    if account is not None and not groups:
        groups = account_groups(account[0])
    pairs = tuple(sorted((key.lower(), values) for key, values in extra.items()))
    return User(name, _completed(name, groups), uid, pairs)


def _parts(
    name: str, groups: tuple[str, ...], uid: str, extra: Mapping[str, tuple[str, ...]]
) -> list[Attributes]:
    account = split_username(name)
    if account is not None:
        found = [
            Attributes("impersonate", "", "serviceaccounts", namespace=account[0], name=account[1])
        ]
    else:
        found = [Attributes("impersonate", "", "users", name=name)]
    found += [Attributes("impersonate", "", "groups", name=group) for group in groups]
    found += [
        Attributes("impersonate", _GROUP_NAME, "userextras", key.lower(), name=value)
        for key, values in extra.items()
        for value in values
    ]
    if uid:
        found.append(Attributes("impersonate", _GROUP_NAME, "uids", name=uid))
    return found


def _as_go(groups: tuple[str, ...], uid: str, extra: Mapping[str, tuple[str, ...]]) -> str:
    """A user without a name as upstream's message shows it (Go's ``%#v``)."""

    def texts(values: tuple[str, ...]) -> str:
        return "{" + ", ".join(json.dumps(value) for value in values) + "}"

    many = f"[]string{texts(groups)}" if groups else "[]string(nil)"
    pairs = ", ".join(f"{json.dumps(key)}:[]string{texts(extra[key])}" for key in sorted(extra))
    more = f"map[string][]string{{{pairs}}}" if extra else "map[string][]string(nil)"
    return f'&user.DefaultInfo{{Name:"", UID:{json.dumps(uid)}, Groups:{many}, Extra:{more}}}'


def _completed(name: str, groups: tuple[str, ...]) -> tuple[str, ...]:
    """The groups with the one that tells whether the user is known."""
    if name == ANONYMOUS.name:
        return groups if UNAUTHENTICATED in groups else (*groups, UNAUTHENTICATED)
    if AUTHENTICATED in groups or UNAUTHENTICATED in groups:
        return groups
    return (*groups, AUTHENTICATED)


def _values(header: str) -> tuple[str, ...]:
    return tuple(value.strip() for value in header.split(",") if value.strip())
