"""Mutating and validating admission webhooks (``admission.k8s.io/v1 AdmissionReview``).

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
"""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import anyio
import orjson

from cloudwright._base import logs
from cloudwright.apiserver.admission import matching
from cloudwright.apiserver.admission.conditions import Conditions
from cloudwright.apiserver.admission.matching import Constraints, Siblings
from cloudwright.apiserver.admission.namespaces import NamespaceLabels
from cloudwright.apiserver.admission.request import describe
from cloudwright.apiserver.admission.review import Review
from cloudwright.apiserver.cel import Authorize, CelError
from cloudwright.apiserver.errors import ApiError, forbidden
from cloudwright.apiserver.identity import User
from cloudwright.apiserver.jsonpatches import JsonPatchError, json_patch
from cloudwright.apiserver.shelf import Shelf
from cloudwright.apiserver.store.interface import Store
from cloudwright.apiserver.webhooks.caller import WebhookCaller
from cloudwright.apiserver.webhooks.errors import WebhookError
from cloudwright.model.fields import FieldError
from cloudwright.model.objects import Object
from cloudwright.model.resources import Resource

_log = logs.get("apiserver.admission")


class Converter(Protocol):
    """Turns an object of one served version into another version of the same."""

    async def __call__(self, obj: Object, origin: Resource, wanted: Resource) -> Object:
        """The object in the form of ``wanted``."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """One entry of a configuration."""

    name: str
    configuration: str
    client: Mapping[str, Any] = field(repr=False)
    constraints: Constraints = field(repr=False)
    conditions: Conditions = field(repr=False)
    ignores_failures: bool
    timeout: float
    again: bool
    """``reinvocationPolicy: IfNeeded``."""


def digest(configuration: Object) -> tuple[Webhook, ...]:
    """The webhooks of a ``Mutating-`` or ``ValidatingWebhookConfiguration``."""
    name = configuration["metadata"]["name"]
    return tuple(
        Webhook(
            str(raw["name"]),
            name,
            raw.get("clientConfig") or {},
            matching.constraints_of(raw),
            Conditions(raw.get("matchConditions") or ()),
            raw.get("failurePolicy") == "Ignore",
            float(raw.get("timeoutSeconds") or 10),
            raw.get("reinvocationPolicy") == "IfNeeded",
        )
        for raw in configuration.get("webhooks") or ()
    )


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What both kinds of webhooks need beside their configurations."""

    caller: WebhookCaller
    namespaces: NamespaceLabels
    siblings: Siblings
    convert: Converter
    authorize: Callable[[User], Authorize]


class _Webhooks:
    """What both kinds share."""

    def __init__(self, store: Store, prefix: str, around: Surroundings) -> None:
        self._shelf = Shelf(store, prefix, digest)
        self.idle = self._shelf.is_empty
        self._around = around

    async def _relevant(self, review: Review) -> list[tuple[Webhook, Resource]]:
        """The webhooks about this review, in order, with the version each wants to see."""
        configurations = await self._shelf.fresh()
        if not configurations or matching.exempt(review):
            return []
        found = []
        for key in sorted(configurations):
            for hook in configurations[key]:
                wanted = await self._wants(hook, review)
                if wanted is not None:
                    found.append((hook, wanted))
        return found

    async def _wants(self, hook: Webhook, review: Review) -> Resource | None:
        wanted = hook.constraints.target(review, self._around.siblings)
        if wanted is None:
            return None
        labels = await self._around.namespaces.of(review.namespace)
        if not hook.constraints.selects(review, labels):
            return None
        try:
            if not await hook.conditions.hold(review, wanted, self._around.authorize(review.user)):
                return None
        except CelError as error:
            if hook.ignores_failures:
                return None
            group, plural = review.resource.group, review.resource.plural
            raise forbidden(group, plural, review.name, error.message) from error
        return wanted

    async def _ask(self, hook: Webhook, wanted: Resource, review: Review) -> dict[str, Any] | None:
        """What the webhook responds; ``None`` when it failed and that may be ignored.

        Raises:
            ApiError: it denies (its own status), or it failed and may not (500).
        """
        uid = str(uuid.uuid4())
        try:
            body = orjson.dumps(await self._question(uid, wanted, review))
            answer = await self._around.caller.post(
                hook.client, body, timeout=hook.timeout, query=f"timeout={hook.timeout:g}s"
            )
            response = _response(answer, uid)
        except WebhookError as error:
            if hook.ignores_failures:
                _log.warning(
                    "a webhook failed and is ignored",
                    extra={"webhook": hook.name, "why": error.message},
                )
                return None
            raise failed(hook.name, error) from error
        prefix = f"{hook.name}/"
        for key, value in (response.get("auditAnnotations") or {}).items():
            review.annotations[prefix + str(key)] = str(value)
        review.warnings += [str(text) for text in response.get("warnings") or ()]
        if response.get("allowed") is not True:
            raise denied(hook.name, response.get("status") or {})
        return response

    async def _question(self, uid: str, wanted: Resource, review: Review) -> dict[str, Any]:
        request = {
            **describe(review, wanted),
            "uid": uid,
            "object": await self._shown(_with_owners(review), review.resource, wanted),
            "oldObject": await self._shown(review.old, review.resource, wanted),
        }
        return {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request}

    async def _shown(self, obj: Object | None, origin: Resource, wanted: Resource) -> Object | None:
        if obj is None or (origin.version, origin.group) == (wanted.version, wanted.group):
            return obj
        return await self._around.convert(obj, origin, wanted)


class MutatingWebhooks(_Webhooks):
    """Called one after the other; those that ask for it once more when a later one changed it."""

    phases = ("mutate",)

    def __init__(self, store: Store, around: Surroundings) -> None:
        prefix = f"/{matching.REGISTRATION}/mutatingwebhookconfigurations/"
        super().__init__(store, prefix, around)

    async def mutate(self, review: Review) -> None:
        """Let every relevant webhook patch the object."""
        if review.obj is None:
            for hook, wanted in await self._relevant(review):
                await self._ask(hook, wanted, review)
            return
        first = await self._relevant(review)
        if not first:
            return
        changed_after: dict[tuple[str, str], bool] = {}
        for hook, wanted in first:
            if await self._apply(hook, wanted, review):
                changed_after = dict.fromkeys(changed_after, True)
            changed_after[(hook.configuration, hook.name)] = False
        for hook, wanted in await self._relevant(review):
            known = changed_after.get((hook.configuration, hook.name))
            if known is None or (known and hook.again):
                await self._apply(hook, wanted, review)

    async def validate(self, review: Review) -> Sequence[FieldError]:
        """Nothing."""
        del review
        return ()

    async def _apply(self, hook: Webhook, wanted: Resource, review: Review) -> bool:
        """Whether the webhook changed the object."""
        response = await self._ask(hook, wanted, review)
        if response is None or not response.get("patch"):
            return False
        assert review.obj is not None, "only writes with an object are patched"
        try:
            shown = await self._shown(_with_owners(review), review.resource, wanted)
            assert shown is not None
            patched = _patched(shown, response)
            patched.get("metadata", {}).pop("managedFields", None)
        except WebhookError as error:
            if hook.ignores_failures:
                _log.warning(
                    "a webhook's patch does not apply and is ignored",
                    extra={"webhook": hook.name, "why": error.message},
                )
                return False
            raise failed(hook.name, error) from error
        if wanted is not review.resource:
            patched = await self._around.convert(patched, wanted, review.resource)
        if patched == review.obj:
            return False
        review.obj.clear()
        review.obj.update(patched)
        review.changed = True
        return True


class ValidatingWebhooks(_Webhooks):
    """Called all at once; the first that denies decides."""

    phases = ("validate",)

    def __init__(self, store: Store, around: Surroundings) -> None:
        prefix = f"/{matching.REGISTRATION}/validatingwebhookconfigurations/"
        super().__init__(store, prefix, around)

    async def mutate(self, review: Review) -> None:
        """Nothing."""

    async def validate(self, review: Review) -> Sequence[FieldError]:
        """Ask every relevant webhook."""
        relevant = await self._relevant(review)
        refused: dict[int, ApiError] = {}

        async def ask(index: int, hook: Webhook, wanted: Resource) -> None:
            try:
                await self._ask(hook, wanted, review)
            except ApiError as error:
                refused[index] = error

        if relevant:
            async with anyio.create_task_group() as group:
                for index, (hook, wanted) in enumerate(relevant):
                    group.start_soon(ask, index, hook, wanted)
        if refused:
            raise refused[min(refused)]
        return ()


def _with_owners(review: Review) -> Object | None:
    """The object with its ``managedFields``, which are kept beside it."""
    if review.obj is None or not review.managed:
        return review.obj
    metadata = {**review.obj["metadata"], "managedFields": orjson.loads(review.managed)}
    return {**review.obj, "metadata": metadata}


def denied(name: str, status: Mapping[str, Any]) -> ApiError:
    """The refusal of a webhook as the client sees it."""
    code = status.get("code")
    code = code if isinstance(code, int) and 400 <= code <= 599 else 400
    reason = str(status.get("reason") or "")
    by = f'admission webhook "{name}" denied the request'
    message = str(status.get("message") or "") or reason
    text = f"{by}: {message}" if message else f"{by} without explanation"
    details = status.get("details")
    return ApiError(code, reason, text, details=details if isinstance(details, dict) else None)


def failed(name: str, error: WebhookError) -> ApiError:
    """A webhook that could not be asked, and may not be passed over."""
    message = f'failed calling webhook "{name}": failed to call webhook: {error.message}'
    details = {"causes": [{"message": message}]}
    return ApiError(500, "InternalError", f"Internal error occurred: {message}", details=details)


def _response(answer: bytes, uid: str) -> dict[str, Any]:
    try:
        review = orjson.loads(answer)
    except orjson.JSONDecodeError as error:
        raise WebhookError(f"the answer is not JSON: {error}") from error
    if not isinstance(review, dict):
        raise WebhookError("the answer is no AdmissionReview")
    kind = f"{review.get('apiVersion')}, Kind={review.get('kind')}"
    if kind != "admission.k8s.io/v1, Kind=AdmissionReview":
        raise WebhookError(f"expected webhook response of admission.k8s.io/v1, got {kind}")
    response = review.get("response")
    if not isinstance(response, dict):
        raise WebhookError("webhook response was absent")
    if response.get("uid") != uid:
        raise WebhookError(f'expected response.uid="{uid}", got "{response.get("uid")}"')
    if response.get("patch") and response.get("patchType") != "JSONPatch":
        raise WebhookError(f'response.patchType "{response.get("patchType")}" is not JSONPatch')
    return response


def _patched(obj: Object, response: Mapping[str, Any]) -> Object:
    try:
        operations = orjson.loads(base64.b64decode(response["patch"], validate=True))
        if not isinstance(operations, list):
            raise WebhookError("the patch is no list of operations")
        result = json_patch(orjson.loads(orjson.dumps(obj)), operations)
    except (binascii.Error, orjson.JSONDecodeError, TypeError) as error:
        raise WebhookError(f"the patch cannot be read: {error}") from error
    except JsonPatchError as error:
        raise WebhookError(f"the patch does not apply: {error}") from error
    if not isinstance(result, dict):
        raise WebhookError("the patched object is no object")
    return result
