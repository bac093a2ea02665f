"""Tokens of service accounts for the volumes of pods: asked for, kept, renewed in time.

As the kubelet: bound to the pod, renewed after 80 % of their life and at least once a day. They are
kept in memory only; a new agent asks for new ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from cloudwright._base.clock import parse_rfc3339
from cloudwright._base.errors import CloudwrightError
from cloudwright.model.objects import Object, name_of, namespace_of
from cloudwright.model.resources import SERVICE_ACCOUNT
from cloudwright.node.errors import VolumeError
from cloudwright.node.neighbours import Neighbours
from cloudwright.node.volumes import TokenKey, token_key

_LIFE_USED = 0.8
_LONGEST = timedelta(days=1)
_RETRY = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Token:
    """A token and when it is time for another."""

    text: str
    renew_at: datetime
    expires_at: datetime


def sources(pod: Object) -> Iterator[Mapping[str, Any]]:
    """Every ``serviceAccountToken`` in the pod's projected volumes."""
    for volume in pod["spec"].get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            if source.get("serviceAccountToken") is not None:
                yield source["serviceAccountToken"]


async def resolve(node: Neighbours, pod: Object) -> None:
    """Have a good token for each source in ``Neighbours.tokens``.

    Raises:
        VolumeError: there is none, and the API gives none.
    """
    for source in sources(pod):
        key = token_key(pod, source)
        held = node.tokens.get(key)
        now = node.now()
        if held is not None and now < held.renew_at:
            continue
        try:
            node.tokens[key] = await _ask(node, pod, key, now)
        except CloudwrightError as error:
            if held is not None:
                node.tokens[key] = replace(held, renew_at=now + _RETRY)
            if held is None or now >= held.expires_at:
                raise VolumeError(
                    f"the API gives no token for service account {_account(pod)}: {error.message}",
                    hint=error.hint,
                ) from error
            await node.warn(pod, "FailedTokenRenewal", error.message)


def renewal(node: Neighbours, pod: Object) -> datetime | None:
    """When the first of the pod's tokens has to be renewed; ``None``: it has none."""
    held = (node.tokens.get(token_key(pod, source)) for source in sources(pod))
    return min((token.renew_at for token in held if token is not None), default=None)


def forget(node: Neighbours, uid: str) -> None:
    """The pod is gone."""
    for key in [key for key in node.tokens if key[0] == uid]:
        del node.tokens[key]


def _account(pod: Object) -> str:
    return str(pod["spec"].get("serviceAccountName") or "default")


async def _ask(node: Neighbours, pod: Object, key: TokenKey, now: datetime) -> Token:
    uid, audience, seconds = key
    reference = {"kind": "Pod", "apiVersion": "v1", "name": name_of(pod), "uid": uid}
    spec: dict[str, Any] = {
        "audiences": [audience] if audience else [],
        "expirationSeconds": seconds,
        "boundObjectRef": reference,
    }
    body: Object = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "metadata": {"namespace": namespace_of(pod)},
        "spec": spec,
    }
    account = _account(pod)
    answer = await node.client.create(SERVICE_ACCOUNT, body, name=account, subresource="token")
    status = answer["status"]
    expires = parse_rfc3339(status["expirationTimestamp"])
    life = min((expires - now) * _LIFE_USED, _LONGEST)
    return Token(str(status["token"]), now + life, expires)
