"""Conversion of custom objects between versions by a webhook (``ConversionReview``).

Readers and writers convert without waiting, by ``Conversions.converter``: what is not known yet
raises ``NeedsConversionError``, and whoever can wait asks the webhook and tries again
(``ApiCore.handle``), or had it asked for a whole batch before (``ready``: lists and watches).

What a webhook said is kept by the content of the object without what it may not change (uid,
revision, times …); those are always the object's own.
"""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

import orjson

from cloudwright._base.errors import CloudwrightError
from cloudwright.apiserver import encoding
from cloudwright.apiserver.errors import ApiError
from cloudwright.apiserver.registry import Hook, Served
from cloudwright.apiserver.webhooks.errors import WebhookError
from cloudwright.model.objects import Object

Post = Callable[[Mapping[str, Any], bytes], Awaitable[bytes]]
"""``post(client_config, body)`` gives the answer; may raise ``WebhookError``."""
_KEPT_MAX = 20_000
_VOLATILE = (
    *("uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp"),
    *("deletionGracePeriodSeconds", "managedFields", "ownerReferences", "finalizers", "selfLink"),
)


class NeedsConversionError(CloudwrightError):
    """An object in this version is not known yet; ask the webhook and try again."""

    default_code = "CW3320"

    def __init__(self, hook: Hook, api_version: str, obj: Object) -> None:
        super().__init__(f"{obj.get('kind')} must be converted to {api_version}")
        self.hook, self.api_version, self.obj = hook, api_version, obj


class Conversions:
    """Asks webhooks and keeps what they say."""

    def __init__(self, post: Post | None = None) -> None:
        self.post = post
        """Set once there is somebody who can call webhooks."""
        self._kept: OrderedDict[tuple[str, str, bytes], bytes] = OrderedDict()

    def converter(self, crd: Object, api_version: str) -> Callable[[Object], Object]:
        """Gives objects of ``crd`` in ``api_version``.

        Raises:
            NeedsConversionError: by the conversion, the webhook was not asked about it.
        """
        from cloudwright.apiserver import crds

        hook = crds.hook_of(crd)

        def convert(obj: Object) -> Object:
            if obj.get("apiVersion") == api_version:
                return obj
            kept = self._kept.get(_key(hook, api_version, obj))
            if kept is None:
                raise NeedsConversionError(hook, api_version, obj)
            return _restored(orjson.loads(kept), obj)

        return convert

    def seed(self, crd: Object, api_version: str, obj: Object, converted: Object) -> None:
        """``converted`` is ``obj`` in ``api_version``: it came from there."""
        from cloudwright.apiserver import crds

        self._keep(_key(crds.hook_of(crd), api_version, obj), converted)

    async def ask(self, need: NeedsConversionError) -> None:
        """Ask the webhook about one object.

        Raises:
            ApiError: 500, it cannot be asked or does not convert.
        """
        await self._ask(need.hook, need.api_version, [need.obj])

    async def ready(self, served: Served, values: Iterable[bytes | None]) -> None:
        """Ask about all of these stored objects at once, as far as they are not known.

        Raises:
            ApiError: 500, the webhook cannot be asked or does not convert.
        """
        if served.hook is None:
            return
        wanted = served.resource.api_version
        missing: dict[tuple[str, str, bytes], Object] = {}
        for value in values:
            if value is not None:
                obj = encoding.decode(value)
                key = _key(served.hook, wanted, obj)
                if obj["apiVersion"] != wanted and key not in self._kept:
                    missing[key] = obj
        if missing:
            await self._ask(served.hook, wanted, list(missing.values()))

    async def _ask(self, hook: Hook, api_version: str, objects: Sequence[Object]) -> None:
        about = f"conversion webhook for {objects[0]['apiVersion']}, Kind={objects[0]['kind']}"
        number = str(uuid.uuid4())
        request = {"uid": number, "desiredAPIVersion": api_version, "objects": list(objects)}
        known = next((one for one in hook.review_versions if one in ("v1", "v1beta1")), "v1")
        review = {
            "kind": "ConversionReview",
            "apiVersion": f"apiextensions.k8s.io/{known}",
            "request": request,
        }
        try:
            if self.post is None:
                raise WebhookError("no webhook can be called from here")
            answer = await self.post(hook.config, orjson.dumps(review))
            found = _converted(answer, number, objects, api_version)
        except WebhookError as error:
            raise _failed(f"{about} failed: {error.message}") from error
        for obj, converted in zip(objects, found, strict=True):
            self._keep(_key(hook, api_version, obj), converted)

    def _keep(self, key: tuple[str, str, bytes], converted: Object) -> None:
        self._kept[key] = orjson.dumps(converted)
        self._kept.move_to_end(key)
        while len(self._kept) > _KEPT_MAX:
            self._kept.popitem(last=False)


def _key(hook: Hook, api_version: str, obj: Object) -> tuple[str, str, bytes]:
    metadata = {k: v for k, v in (obj.get("metadata") or {}).items() if k not in _VOLATILE}
    if metadata.get("generateName"):
        metadata.pop("name", None)
    content = orjson.dumps({**obj, "metadata": metadata}, option=orjson.OPT_SORT_KEYS)
    return hook.name, api_version, content


def _restored(converted: Object, obj: Object) -> Object:
    """Only labels and annotations of the metadata may be converted."""
    metadata = dict(obj["metadata"])
    for name in ("labels", "annotations"):
        value = (converted.get("metadata") or {}).get(name)
        if value:
            metadata[name] = value
        else:
            metadata.pop(name, None)
    return {**converted, "metadata": metadata}


def _converted(
    answer: bytes, number: str, objects: Sequence[Object], api_version: str
) -> list[Object]:
    """The objects of a ``ConversionReview``.

    Raises:
        WebhookError: it is none, or they are not those that were sent.
    """
    try:
        response = orjson.loads(answer)["response"]
        result = response.get("result") or {}
        found = response.get("convertedObjects") or []
        if response.get("uid") != number:
            raise WebhookError(f'expected response.uid="{number}", got "{response.get("uid")}"')
        if result.get("status") != "Success":
            text = result.get("message") or "response.result.status was not Success"
            raise WebhookError(str(text))
        if len(found) != len(objects):
            raise WebhookError(f"returned {len(found)} objects, expected {len(objects)}")
        for at, (obj, converted) in enumerate(zip(objects, found, strict=True)):
            _check(at, obj, converted, api_version)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WebhookError(f"the answer is no ConversionReview: {error}") from error
    return list(found)


def _check(at: int, obj: Object, converted: Object, api_version: str) -> None:
    where = f"invalid converted object at index {at}"
    if converted.get("apiVersion") != api_version:
        given = converted.get("apiVersion")
        raise WebhookError(f"{where}: invalid groupVersion (expected {api_version}, got {given})")
    if converted.get("kind") != obj.get("kind"):
        kinds = f"expected {obj.get('kind')}, got {converted.get('kind')}"
        raise WebhookError(f"{where}: invalid kind ({kinds})")
    before, after = obj.get("metadata") or {}, converted.get("metadata") or {}
    for name in ("name", "namespace", "uid"):
        if before.get(name) != after.get(name):
            raise WebhookError(
                f"{where}: metadata.{name} was changed from {before.get(name)!r} to "
                f"{after.get(name)!r}"
            )


def _failed(message: str) -> ApiError:
    return ApiError(500, "InternalError", message)
