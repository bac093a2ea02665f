"""Every namespace has the ConfigMap ``kube-root-ca.crt``: by it pods know that the API is ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import orjson

from cloudwright._base import loading, logs
from cloudwright.apiserver import calls, encoding
from cloudwright.apiserver.errors import ApiError, CompactedError, SlowWatcherError, StoreError
from cloudwright.apiserver.identity import ADMINISTRATORS, User
from cloudwright.apiserver.registry import storage_of
from cloudwright.client.transport import Request
from cloudwright.model.objects import Object
from cloudwright.model.resources import CONFIG_MAP

if TYPE_CHECKING:
    from cloudwright.apiserver.core import ApiCore

_log = logs.get("apiserver.rootca")
NAME = "kube-root-ca.crt"
_USER = User("system:serviceaccount:kube-system:root-ca-cert-publisher", (ADMINISTRATORS,))
_NAMESPACES, _MAPS = storage_of("", "namespaces"), storage_of("", "configmaps")
_NOTE = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal "
    "endpoints such as the internal service IP or kubernetes.default.svc. No other usage is "
    "guaranteed across distributions of Kubernetes clusters."
)
_RETRY_SECONDS = 1.0


async def run(core: ApiCore, authority: bytes) -> None:
    """Publish ``authority`` (PEM) in every namespace until cancelled."""
    while True:
        try:
            await _follow(core, authority.decode())
        except (CompactedError, SlowWatcherError):
            continue
        except (ApiError, StoreError) as error:
            _log.warning("the root certificate is not published: %s", error.message)
            await anyio.sleep(_RETRY_SECONDS)


async def _follow(core: ApiCore, authority: str) -> None:
    page = await core.store.page(_NAMESPACES)
    watch = core.store.watch("/core/", after=page.revision)
    try:
        for record in page.records:
            await _ensure(core, record.key.rpartition("/")[2], authority)
        while True:
            for event in await watch.batch():
                if event.key.startswith(_NAMESPACES) and event.created and not event.deleted:
                    await _ensure(core, event.key.rpartition("/")[2], authority)
                elif event.key.startswith(_MAPS) and event.key.endswith(f"/{NAME}"):
                    await _ensure(core, event.key.split("/")[3], authority)
    finally:
        watch.close()


async def _ensure(core: ApiCore, namespace: str, authority: str) -> None:
    space = await core.store.get(f"{_NAMESPACES}/{namespace}")
    if space is None or encoding.decode(space.value)["metadata"].get("deletionTimestamp"):
        return
    held = await core.store.get(f"{_MAPS}{namespace}/{NAME}")
    data = {"ca.crt": authority}
    if held is not None and encoding.decode(held.value).get("data") == data:
        return
    await loading.ahead("cloudwright.apiserver.writes")
    from cloudwright.apiserver import writes

    try:
        if held is None:
            wish: Object = {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {
                    "name": NAME,
                    "annotations": {"kubernetes.io/description": _NOTE},
                },
                "data": data,
            }
            await writes.create(core, _call(core, "POST", namespace, wish), wish)
        else:
            call = _call(core, "PUT", namespace, None)
            await writes.change(core, call, lambda old: {**old, "data": data}, attempts=5)
    except ApiError as error:
        # Somebody else was faster, or the namespace is going away.
        if error.http_status not in (403, 404, 409):
            raise


def _call(core: ApiCore, method: str, namespace: str, body: Object | None) -> calls.Call:
    path = CONFIG_MAP.path(namespace, "" if method == "POST" else NAME)
    data = b"" if body is None else orjson.dumps(body)
    return calls.parse(Request(method, path, body=data), _USER, core.registry)
