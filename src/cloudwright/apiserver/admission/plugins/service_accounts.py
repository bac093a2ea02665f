"""ServiceAccount: every pod has one that exists, and its token unless it does not want it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import anyio

from cloudwright.apiserver import encoding
from cloudwright.apiserver.admission.plugins.plugin import PODS, Plugin, refused, written
from cloudwright.apiserver.admission.review import Review
from cloudwright.apiserver.errors import SlowWatcherError
from cloudwright.apiserver.registry import storage_of
from cloudwright.apiserver.store.interface import Record, Store
from cloudwright.model import names
from cloudwright.model.objects import Object, annotations_of

DEFAULT = "default"
PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
PREFIX = "kube-api-access-"
SECONDS = 3607
_MIRROR = "kubernetes.io/config.mirror"
_ACCOUNTS = storage_of("", "serviceaccounts")
_PATIENCE = 2.0
"""How long a pod waits for the account ``default`` of its namespace, which a controller makes."""


class ServiceAccounts(Plugin):
    """Looks the account up, mounts its token, adds its pull secrets."""

    about = PODS
    on = frozenset({"CREATE"})

    def __init__(self, store: Store) -> None:
        self._store = store

    async def mutate(self, review: Review) -> None:
        """Complete the pod. Raises ``ApiError`` 403: the account does not exist."""
        pod = written(review)
        spec = pod.get("spec")
        if not isinstance(spec, dict) or _MIRROR in annotations_of(pod):
            return
        name = str(spec.get("serviceAccountName") or spec.get("serviceAccount") or DEFAULT)
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        account = await self._account(review, name)
        wanted = spec.get("automountServiceAccountToken")
        if wanted is None:
            wanted = account.get("automountServiceAccountToken", True)
        if wanted:
            _mount(spec)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            pulls = [{"name": entry.get("name", "")} for entry in account["imagePullSecrets"]]
            spec["imagePullSecrets"] = pulls

    async def _account(self, review: Review, name: str) -> Object:
        where = f"{review.namespace}/{name}"
        record = await self._store.get(f"{_ACCOUNTS}{where}")
        if record is None and name == DEFAULT:
            record = await self._appearing(review.namespace, name)
        if record is None:
            message = f'error looking up service account {where}: serviceaccount "{name}" not found'
            raise refused(review, message)
        return encoding.decode(record.value)

    async def _appearing(self, namespace: str, name: str) -> Record | None:
        """Wait until the account is made, for a short while."""
        key, prefix = f"{_ACCOUNTS}{namespace}/{name}", f"{_ACCOUNTS}{namespace}/"
        watch = self._store.watch(prefix, after=self._store.revision)
        try:
            with anyio.move_on_after(_PATIENCE):
                while True:
                    found = await self._store.get(key)
                    if found is not None:
                        return found
                    await watch.batch()
        except SlowWatcherError:
            return await self._store.get(key)
        finally:
            watch.close()
        return None


def _containers(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for part in ("initContainers", "containers"):
        yield from (one for one in spec.get(part) or () if isinstance(one, dict))


def _mount(spec: dict[str, Any]) -> None:
    """Give each container the volume with token, root certificate and namespace."""
    volumes = [entry for entry in spec.get("volumes") or () if isinstance(entry, dict)]
    held = [str(entry.get("name")) for entry in volumes]
    name = next((one for one in held if one.startswith(PREFIX)), "")
    volume = name or names.generate_name(PREFIX, secrets.token_bytes(8))
    needed = False
    for container in _containers(spec):
        mounts = container.get("volumeMounts") or []
        if any(isinstance(one, dict) and one.get("mountPath") == PATH for one in mounts):
            continue
        mount = {"name": volume, "readOnly": True, "mountPath": PATH}
        container["volumeMounts"] = [*mounts, mount]
        needed = True
    if needed and not name:
        spec["volumes"] = [*(spec.get("volumes") or ()), _volume(volume)]


def _volume(name: str) -> dict[str, Any]:
    field = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    certificate = {"key": "ca.crt", "path": "ca.crt"}
    sources = [
        {"serviceAccountToken": {"expirationSeconds": SECONDS, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [certificate]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": field}]}},
    ]
    return {"name": name, "projected": {"defaultMode": 420, "sources": sources}}
