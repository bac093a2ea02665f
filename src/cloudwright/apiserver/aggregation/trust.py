"""By what a foreign API server knows us, and the users that we name to it.

The ConfigMap ``kube-system/extension-apiserver-authentication`` has the authority of our client
certificate and the headers that may be believed from whoever shows it; it is what every API server
made with ``k8s.io/apiserver`` reads at its start.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import orjson

from cloudwright._base import logs
from cloudwright.apiserver import calls, encoding, writes
from cloudwright.apiserver.errors import ApiError, StoreError
from cloudwright.apiserver.identity import ADMINISTRATORS, User
from cloudwright.apiserver.registry import storage_of
from cloudwright.apiserver.tls import Pair, Pki
from cloudwright.client.transport import Request
from cloudwright.model.objects import Object
from cloudwright.model.resources import CONFIG_MAP

if TYPE_CHECKING:
    from cloudwright.apiserver.core import ApiCore

_log = logs.get("apiserver.aggregation")
NAMESPACE, NAME, CLIENT = "kube-system", "extension-apiserver-authentication", "front-proxy-client"
_USER = User("system:apiserver", (ADMINISTRATORS,))
_RETRY_SECONDS = 5.0
_AUTHORITIES = ("client-ca-file", "requestheader-client-ca-file")


@dataclass(frozen=True, slots=True)
class Front:
    """The authority of front proxies, and our certificate by it."""

    authority: bytes
    client: Pair


@dataclass(frozen=True, slots=True)
class Trust:
    """What is published: the authority of clients, and of front proxies."""

    clients: bytes
    front: Front


def load(directory: Path, clients: bytes) -> Trust:
    """The trust in ``directory`` (made when missing); ``clients`` is the API's own CA as PEM.

    Raises:
        CloudwrightError: a file there cannot be read as what it should be.
    """
    pki = Pki(directory / "front-proxy")
    return Trust(clients, Front(pki.ca.certificate_pem, pki.client(CLIENT, CLIENT)))


def content(trust: Trust) -> dict[str, str]:
    """The data of the ConfigMap."""
    names = {
        "requestheader-allowed-names": [CLIENT],
        "requestheader-extra-headers-prefix": ["X-Remote-Extra-"],
        "requestheader-group-headers": ["X-Remote-Group"],
        "requestheader-uid-headers": ["X-Remote-Uid"],
        "requestheader-username-headers": ["X-Remote-User"],
    }
    return {
        "client-ca-file": trust.clients.decode(),
        "requestheader-client-ca-file": trust.front.authority.decode(),
        **{name: orjson.dumps(value).decode() for name, value in names.items()},
    }


async def publish(core: ApiCore, trust: Trust) -> None:
    """Make the ConfigMap what it should be; tries until it can."""
    while True:
        try:
            await _ensure(core, content(trust))
        except (ApiError, StoreError) as error:
            _log.warning("%s is not published: %s", NAME, error.message)
            await anyio.sleep(_RETRY_SECONDS)
        else:
            return


async def _ensure(core: ApiCore, data: dict[str, str]) -> None:
    held = await core.store.get(f"{storage_of('', 'configmaps')}{NAMESPACE}/{NAME}")
    if held is None:
        wish: Object = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": NAME},
            "data": data,
        }
        await writes.create(core, _call(core, "POST", wish), wish)
        return
    found = encoding.decode(held.value)
    if _merged(found, data) != found:
        call = _call(core, "PUT", None)
        await writes.change(core, call, lambda old: _merged(old, data), attempts=5)


def _merged(old: Object, data: dict[str, str]) -> Object:
    """``old`` with what is ours. Authorities that others published stay trusted: another API
    server on the same store has its own.
    """
    before = old.get("data") or {}
    found = {**before, **data}
    for name in _AUTHORITIES:
        kept = str(before.get(name) or "")
        found[name] = kept if data[name].strip() in kept else kept + data[name]
    return {**old, "data": found}


def _call(core: ApiCore, method: str, body: Object | None) -> calls.Call:
    path = CONFIG_MAP.path(NAMESPACE, "" if method == "POST" else NAME)
    data = b"" if body is None else orjson.dumps(body)
    headers = {"user-agent": "kube-apiserver"}
    return calls.parse(Request(method, path, (), headers, data), _USER, core.registry)
