"""``MutatingAdmissionPolicy``: changes a write by apply configurations and JSON patches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import orjson

from cloudwright.apiserver import cel
from cloudwright.apiserver.admission.policies.dispatch import Dispatcher, Meeting, Surroundings
from cloudwright.apiserver.admission.policies.merging import MergeError, Schema, merge
from cloudwright.apiserver.admission.policies.policy import Mutation
from cloudwright.apiserver.admission.review import Review
from cloudwright.apiserver.errors import ApiError, forbidden
from cloudwright.apiserver.jsonpatches import JsonPatchError, json_patch
from cloudwright.apiserver.store.interface import Store
from cloudwright.model.fields import FieldError
from cloudwright.model.objects import Object
from cloudwright.model.resources import Resource

_KEPT = ("name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp")


class MutatingPolicies:
    """Applies each policy in the order of names; again when a later one changed something."""

    phases = ("mutate",)

    def __init__(
        self, store: Store, around: Surroundings, schema_of: Callable[[Resource], Schema]
    ) -> None:
        self._dispatcher = Dispatcher(store, "mutating", around)
        self.idle = self._dispatcher.idle
        self._schema_of = schema_of

    async def mutate(self, review: Review) -> None:
        """Change the object as the policies say.

        Raises:
            ApiError: 403, one of them fails and its failure policy is Fail.
        """
        if review.obj is None:
            return
        last_change = -1
        done: list[Meeting] = []
        async for meeting in self._dispatcher.meetings(review):
            if await self._apply(meeting, review):
                last_change = len(done)
            done.append(meeting)
        for index, meeting in enumerate(done):
            if index < last_change and meeting.policy.again:
                await self._apply(meeting, review)

    async def validate(self, review: Review) -> Sequence[FieldError]:
        """Nothing."""
        del review
        return ()

    async def _apply(self, meeting: Meeting, review: Review) -> bool:
        """Whether the policy changed the object."""
        assert review.obj is not None, "only writes with an object are mutated"
        policy = meeting.policy
        before = orjson.dumps(review.obj)
        try:
            if meeting.failure:
                raise MergeError(meeting.failure)
            for mutation in policy.mutations:
                await self._mutate(meeting, mutation, review)
        except (cel.CelError, MergeError) as error:
            original = orjson.loads(before)
            review.obj.clear()
            review.obj.update(original)
            if policy.ignores_failures:
                return False
            text = error.message if isinstance(error, cel.CelError) else str(error)
            raise _failed(review, meeting, text) from error
        changed = orjson.dumps(review.obj) != before
        review.changed |= changed
        return changed

    async def _mutate(self, meeting: Meeting, mutation: Mutation, review: Review) -> None:
        authorize = self._dispatcher.authorize(review)
        activation = await self._dispatcher.activation(meeting, review)
        if not await self._dispatcher.applies(meeting, activation, authorize):
            return
        value = await mutation.program.evaluate_authorized(activation, authorize)
        assert review.obj is not None
        if mutation.kind == "JSONPatch":
            changed = _patched(review.obj, value)
        else:
            changed = self._merged(review, value)
        for name in _KEPT:
            if changed.get("metadata", {}).get(name) != review.obj["metadata"].get(name):
                raise MergeError(f"metadata.{name} may not be mutated")
        review.obj.clear()
        review.obj.update(changed)

    def _merged(self, review: Review, value: Any) -> Object:
        assert review.obj is not None
        if not isinstance(value, dict):
            raise MergeError("the expression does not evaluate to an Object")
        metadata = value.get("metadata") or {}
        for name in ("name", "namespace", "uid", "resourceVersion"):
            if name in metadata:
                raise MergeError(f"metadata.{name} may not be set in an apply configuration")
        merged: Object = merge(self._schema_of(review.resource), review.obj, value)
        return merged


def _patched(obj: Object, operations: Any) -> Object:
    if not isinstance(operations, list):
        raise MergeError("the expression does not evaluate to a list of JSONPatch")
    try:
        result = json_patch(orjson.loads(orjson.dumps(obj)), operations)
    except JsonPatchError as error:
        raise MergeError(f"JSON Patch: {error}") from error
    if not isinstance(result, dict):
        raise MergeError("the patched object is no object")
    return result


def _failed(review: Review, meeting: Meeting, why: str) -> ApiError:
    resource = review.resource
    text = (
        f"MutatingAdmissionPolicy '{meeting.policy.name}' with binding "
        f"'{meeting.binding.name}' denied request: {why}"
    )
    return forbidden(resource.group, resource.plural, review.name, text)
