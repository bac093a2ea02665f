"""Secrets of type ``kubernetes.io/service-account-token``: filled with a token that never expires.

Old clients want them; new ones use ``TokenRequest``. A Secret whose account is gone is deleted.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import anyio
import orjson

from cloudwright._base import loading, logs
from cloudwright.apiserver import calls, encoding
from cloudwright.apiserver.authn.accounts import AccountTokens
from cloudwright.apiserver.authn.claims import Claims
from cloudwright.apiserver.errors import ApiError, CompactedError, SlowWatcherError, StoreError
from cloudwright.apiserver.identity import ADMINISTRATORS, User
from cloudwright.apiserver.registry import storage_of
from cloudwright.client.transport import Request
from cloudwright.model.objects import Object, annotations_of, name_of, namespace_of, uid_of
from cloudwright.model.resources import SECRET

if TYPE_CHECKING:
    from cloudwright.apiserver.core import ApiCore

_log = logs.get("apiserver.tokens")
TYPE = "kubernetes.io/service-account-token"
NAME = "kubernetes.io/service-account.name"
UID = "kubernetes.io/service-account.uid"
_MARK = f'"{TYPE}"'.encode()
_USER = User("system:serviceaccount:kube-system:token-controller", (ADMINISTRATORS,))
_SECRETS, _ACCOUNTS = storage_of("", "secrets"), storage_of("", "serviceaccounts")
_RETRY_SECONDS = 1.0


class TokenSecrets:
    """Fills token Secrets; ``authority`` is the API's CA as PEM."""

    def __init__(self, core: ApiCore, tokens: AccountTokens, authority: bytes) -> None:
        self._core = core
        self._tokens = tokens
        self._authority = authority
        self._waiting: dict[str, set[str]] = {}
        """Store keys of Secrets by that of their account."""

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            try:
                await self._follow()
            except (CompactedError, SlowWatcherError):
                continue
            except (ApiError, StoreError) as error:
                _log.warning("token Secrets are not filled: %s", error.message)
                await anyio.sleep(_RETRY_SECONDS)

    async def _follow(self) -> None:
        """Every Secret there is, then every change of a Secret or an account."""
        store = self._core.store
        page = await store.page(_SECRETS)
        watch = store.watch("/core/", after=page.revision)
        try:
            self._waiting.clear()
            for record in page.records:
                if _MARK in record.value:
                    await self._settle(record.key)
            while True:
                for event in await watch.batch():
                    if event.key.startswith(_SECRETS):
                        if not event.deleted and _MARK in event.value:
                            await self._settle(event.key)
                    elif event.key.startswith(_ACCOUNTS):
                        for key in sorted(self._waiting.get(event.key, ())):
                            await self._settle(key)
        finally:
            watch.close()

    async def _settle(self, key: str) -> None:
        """Fill a Secret, or delete it when its account is gone."""
        record = await self._core.store.get(key)
        if record is None:
            return
        secret = encoding.decode(record.value)
        account = annotations_of(secret).get(NAME)
        if secret.get("type") != TYPE or not account or secret["metadata"].get("deletionTimestamp"):
            return
        owner = f"{_ACCOUNTS}{namespace_of(secret)}/{account}"
        self._waiting.setdefault(owner, set()).add(key)
        held = await self._core.store.get(owner)
        if held is None:
            await self._orphan(secret)
            return
        uid = uid_of(encoding.decode(held.value))
        named = annotations_of(secret).get(UID)
        if named and named != uid:
            await self._delete(secret)
        elif not named or not (secret.get("data") or {}).get("token"):
            await self._fill(secret, account, uid)

    async def _orphan(self, secret: Object) -> None:
        """Without its account: it waits when it never had one, and goes with one that is gone."""
        if annotations_of(secret).get(UID):
            await self._delete(secret)

    async def _fill(self, secret: Object, account: str, uid: str) -> None:
        held = (name_of(secret), uid_of(secret))
        claims = Claims(namespace_of(secret), account, uid, (), secret=held, legacy=True)
        data = {
            "token": self._tokens.issue_legacy(claims).encode(),
            "ca.crt": self._authority,
            "namespace": namespace_of(secret).encode(),
        }

        def alter(current: Object) -> Object:
            kept = current.get("data") or {}
            added = {name: base64.b64encode(value).decode() for name, value in data.items()}
            marks = {**annotations_of(current), UID: uid}
            metadata = {**current["metadata"], "annotations": marks}
            return {**current, "metadata": metadata, "data": {**kept, **added}}

        await loading.ahead("cloudwright.apiserver.writes")
        from cloudwright.apiserver import writes

        try:
            await writes.change(self._core, self._call("PUT", secret), alter, attempts=5)
        except ApiError as error:
            if error.http_status not in (404, 409):
                raise

    async def _delete(self, secret: Object) -> None:
        await self._core.handle(self._call("DELETE", secret).request, _USER)

    def _call(self, method: str, secret: Object) -> calls.Call:
        path = SECRET.path(namespace_of(secret), name_of(secret))
        options = {"preconditions": {"uid": uid_of(secret)}} if method == "DELETE" else None
        body = b"" if options is None else orjson.dumps(options)
        return calls.parse(Request(method, path, body=body), _USER, self._core.registry)
