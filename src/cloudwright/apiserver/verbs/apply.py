"""``PATCH`` with ``application/apply-patch+yaml``: server-side apply."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson

from cloudwright.apiserver import bodies, fieldchecks, native, options, writes, yamls
from cloudwright.apiserver.calls import Call
from cloudwright.apiserver.errors import ApiError, bad_request, conflict, forbidden
from cloudwright.apiserver.managed import Managed
from cloudwright.apiserver.options import WriteOptions
from cloudwright.apiserver.store.interface import Record
from cloudwright.apiserver.verbs import show
from cloudwright.client.transport import Reply
from cloudwright.model.objects import Object

if TYPE_CHECKING:
    from cloudwright.apiserver.core import ApiCore

MEDIA_TYPE = "application/apply-patch+yaml"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_KUBECTL = "kubectl"
_ANNOTATIONS_MAX = 256 * 1024


async def apply(core: ApiCore, call: Call) -> Reply:
    """200 with the changed object, or 201 with a new one.

    Raises:
        ApiError: 409 with a cause for each field that somebody else owns; 400 or 422, the request
            is not allowed; 500 as upstream, the patch does not fit the schema.
    """
    wanted = options.read(call, MEDIA_TYPE)
    patch = decode(call, wanted)
    check(patch, call.served.resource.api_version, call.served.resource.kind)
    attempts = core.config.patch_attempts
    key = call.served.key(call.namespace, call.name)
    while True:
        attempts -= 1
        exists = await core.store.get(key) is not None
        try:
            if exists or call.subresource:
                written = await _update(core, call, patch, wanted)
                return show.record(core, call, written.record)
            written = await _create(core, call, patch, wanted)
            return show.record(core, call, written.record, 201)
        except ApiError as error:
            # Made or removed by somebody else in between.
            lost = error.reason == ("NotFound" if exists else "AlreadyExists")
            if not lost or call.subresource or attempts <= 0:
                raise
            call.warnings.clear()


def decode(call: Call, wanted: WriteOptions) -> Object:
    """The configuration in the body.

    Raises:
        ApiError: 400, it cannot be parsed, or a key stands twice (``fieldValidation=Strict``).
    """
    body = call.request.body
    try:
        patch = orjson.loads(body)
        bodies.check_encodes(patch)
    except orjson.JSONDecodeError:
        try:
            patch = bodies.decode(body, "application/yaml")
        except bodies.UnreadableError as error:
            message = f"error decoding YAML: error converting YAML to JSON: {error}"
            raise bad_request(message) from error
    if not isinstance(patch, dict):
        what = "array" if isinstance(patch, list) else "string"
        raise bad_request(
            "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot "
            f"unmarshal {what} into Go value of type map[string]interface {{}}"
        )
    if wanted.validation != "Ignore":
        repeated = yamls.repeated_keys(body)
        if repeated:
            lines = [f'line {at}: key "{key}" already set in map' for at, key in repeated]
            if wanted.validation == "Strict":
                text = "".join(f"\n  {line}" for line in lines)
                raise bad_request(
                    "error strict decoding YAML: error converting YAML to JSON: "
                    f"yaml: unmarshal errors:{text}"
                )
            call.warnings += lines
    return patch


def check(patch: Object, api_version: str, kind: str) -> None:
    """The configuration must be of this kind, and say nothing of owners.

    Raises:
        ApiError: 400.
    """
    given = patch.get("apiVersion", ""), patch.get("kind", "")
    if given != (api_version, kind):
        raise bad_request(f"invalid object type: {_gvk(*given)}")
    found = patch.get("metadata")
    if isinstance(found, dict) and found.get("managedFields") is not None:
        raise bad_request("metadata.managedFields must be nil")


async def _create(core: ApiCore, call: Call, patch: Object, wanted: WriteOptions) -> writes.Written:
    asked = replace(call, verb="create").attributes
    verdict = await core.authorizer.authorize(call.user, asked)
    if not verdict.allowed:
        reason = f": {verdict.reason}" if verdict.reason else ""
        message = asked.denial(call.user.name) + reason
        raise forbidden(call.group, call.plural, call.name, message)
    obj, managed = applied(core, call, None, patch, wanted)
    uid = obj["metadata"].get("uid") if isinstance(obj.get("metadata"), dict) else None
    if uid:
        message = (
            f"uid mismatch: the provided object specified uid {uid}, and no existing object "
            "was found"
        )
        raise conflict(call.group, call.plural, call.name, message)
    quiet = replace(wanted, validation="Ignore")
    return await writes.create(core, call, obj, quiet, owned=managed)


async def _update(core: ApiCore, call: Call, patch: Object, wanted: WriteOptions) -> writes.Written:
    found: list[Managed] = []
    quiet = replace(wanted, validation="Ignore")

    def alter(old: Object) -> Object:
        seen = old["metadata"].get("resourceVersion")
        new, managed = applied(core, call, orjson.dumps(old), patch, wanted)
        found[:] = [managed]
        if new["metadata"].get("resourceVersion") == seen:
            new["metadata"].pop("resourceVersion", None)
        return fieldchecks.check(call, new, quiet)

    def own(_record: Record, _new: Object) -> Managed:
        return found[0]

    attempts = core.config.patch_attempts
    return await writes.change(core, call, alter, attempts=attempts, wanted=wanted, own=own)


def applied(
    core: ApiCore, call: Call, live: bytes | None, patch: Object, wanted: WriteOptions
) -> tuple[Object, Managed]:
    """The object and its owners after the apply.

    Raises:
        ApiError: 409, conflicts; 500, the patch does not fit the schema.
    """
    now = core.clock.now()
    with refused(patch):
        new, managed = core.ownership.apply(
            call, live, patch, wanted.manager, now, force=wanted.force
        )
    if not isinstance(new.get("metadata"), dict):
        new["metadata"] = {}
    if wanted.manager == _KUBECTL:
        _note_applied(new, patch)
    return new, managed


@contextmanager
def refused(patch: Object) -> Iterator[None]:
    """Turns what goes wrong with a merge of ``patch`` into answers.

    Raises:
        ApiError: 409, conflicts; 500, the patch does not fit the schema.
    """
    try:
        yield
    except native.MergeConflict as error:
        raise conflicts(error.args[0]) from error
    except native.MergePatchError as error:
        found = patch.get("metadata")
        found = found if isinstance(found, dict) else {}
        name = f"{found.get('namespace', '')}/{found.get('name', '')}"
        what = f"{name}; {_gvk(patch['apiVersion'], patch['kind'])}"
        raise ApiError(500, "", f"failed to create typed patch object ({what}): {error}") from error
    except native.MergeError as error:
        raise ApiError(500, "", str(error)) from error


def conflicts(found: list[tuple[str, str]]) -> ApiError:
    """409: each ``(manager, field)`` belongs to somebody else."""
    if len(found) == 1:
        manager, field = found[0]
        message = f"Apply failed with 1 conflict: conflict with {manager}: {field}"
    else:
        by_manager: dict[str, list[str]] = {}
        for manager, field in found:
            by_manager.setdefault(manager, []).append(field)
        lines = []
        for manager, fields in by_manager.items():
            lines += [f"conflicts with {manager}:", *(f"- {field}" for field in fields)]
        message = f"Apply failed with {len(found)} conflicts: " + "\n".join(lines)
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {manager}", "field": field}
        for manager, field in found
    ]
    return ApiError(409, "Conflict", message, details={"causes": causes})


def _note_applied(obj: Object, patch: Object) -> None:
    """Keep the annotation true by which kubectl knows what it applied on the client's side."""
    annotations = obj["metadata"].get("annotations")
    if not isinstance(annotations, dict) or not annotations.get(_LAST_APPLIED):
        return
    noted: dict[str, Any] = orjson.loads(orjson.dumps(patch))
    ((noted.get("metadata") or {}).get("annotations") or {}).pop(_LAST_APPLIED, None)
    text = orjson.dumps(noted, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE).decode()
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    annotations[_LAST_APPLIED] = text
    if sum(len(key) + len(value) for key, value in annotations.items()) > _ANNOTATIONS_MAX:
        del annotations[_LAST_APPLIED]


def _gvk(api_version: object, kind: object) -> str:
    text = str(api_version)
    return f"{text if '/' in text else f'/{text}'}, Kind={kind}"
