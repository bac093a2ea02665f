"""What every controller that makes pods has in common.

It claims pods by selector and owner, remembers what it asked for until the view shows it (a stale
view never makes a pod too many), and tells people what it did.
"""

from __future__ import annotations

from typing import ClassVar

from cloudwright._base.errors import CloudwrightError, NotFoundError
from cloudwright.model.objects import (
    Object,
    controller_of,
    deleting,
    key_of,
    name_of,
    namespace_of,
    uid_of,
)
from cloudwright.model.resources import POD, Resource
from cloudwright.operator.engines.actions import Delete, Note
from cloudwright.operator.engines.expectations import Expectations
from cloudwright.operator.engines.ownership import adopted, claim, released
from cloudwright.operator.manager import Controller


class PodOwner(Controller):
    """A controller of ``resource``, whose objects own pods."""

    resource: ClassVar[Resource]
    tracking: ClassVar[str] = ""
    """Finalizer of the pods; adopted ones get it too."""

    def setup(self) -> None:
        """The owners and all pods."""
        self.expectations = Expectations()
        self.owners = self.watch(self.resource)
        self.pods = self.manager.cache(POD)
        # First the bookkeeping, then the wake-up that relies on it.
        self.pods.subscribe(self._saw)
        self.watch(POD, self._of_pod)

    def selector_of(self, owner: Object) -> Object | None:
        """The owner's selector as a ``LabelSelector``."""
        found: Object | None = owner["spec"].get("selector")
        return found

    def _saw(self, old: Object | None, new: Object | None) -> None:
        for obj in (old, new):
            reference = controller_of(obj) if obj is not None else None
            if obj is not None and reference is not None and self._is_mine(reference):
                gone = new is None or deleting(new)
                key = f"{namespace_of(obj)}/{reference['name']}"
                self.expectations.saw(key, uid_of(obj), gone=gone)

    def _is_mine(self, reference: Object) -> bool:
        return bool(reference["kind"] == self.resource.kind)

    def _of_pod(self, pod: Object) -> list[str]:
        reference = controller_of(pod)
        if reference is not None:
            key = f"{namespace_of(pod)}/{reference['name']}"
            return [key] if self._is_mine(reference) else []
        owners = self.owners.all(namespace_of(pod))
        return [key_of(owner) for owner in owners if self._selects(owner, pod)]

    def _selects(self, owner: Object, pod: Object) -> bool:
        try:
            return bool(claim(owner, [pod], self.selector_of(owner)).adopt)
        except ValueError:
            return False

    async def claimed(self, key: str, owner: Object) -> tuple[list[Object], float | None]:
        """The owner's pods, after adopting and releasing what its selector says; and, while
        something that was asked for is not seen yet, after how many seconds to stop waiting.
        """
        pending = self.expectations.pending(key, self.manager.clock.monotonic())
        candidates = self.pods.all(namespace_of(owner))
        if pending is None and self.expectations.needs_list(key):
            candidates = await self.api.find(POD, namespace_of(owner))
            self.expectations.listed(key)
        found = claim(owner, candidates, self.selector_of(owner))
        owned = [*found.mine]
        for orphan in found.adopt:
            owned.append(await self.api.update(POD, adopted(owner, orphan, self.tracking)))
        for stranger in found.release:
            await self.api.update(POD, released(owner, stranger))
        return owned, pending

    async def create_pod(self, key: str, owner: Object, pod: Object) -> None:
        """Create one pod and remember that it must appear.

        Raises:
            CloudwrightError: it cannot be created; an event says so.
        """
        known = False
        try:
            made = await self.api.create(POD, pod)
            known = True
        except CloudwrightError as error:
            # An answer, even a refusal, is certain; silence is not.
            known = self.api.answered(error)
            if not self.api.namespace_ends(error):
                message = f"Error creating: {error.message}"
                await self.api.tell(owner, [Note("Warning", "FailedCreate", message)])
            raise
        finally:
            if not known:
                self.expectations.uncertain(key, self.manager.clock.monotonic())
        if self.api.dry_run:
            return
        self.expectations.created(key, uid_of(made), self.manager.clock.monotonic())
        text = f"Created pod: {name_of(made)}"
        await self.api.tell(owner, [Note("Normal", "SuccessfulCreate", text)])

    async def delete_pod(self, key: str, owner: Object, pod: Object) -> None:
        """Delete one pod and remember that it must vanish; a missing one is fine.

        Raises:
            CloudwrightError: it cannot be deleted; an event says so.
        """
        uid = uid_of(pod)
        if not self.api.dry_run:
            self.expectations.deleting(key, uid, self.manager.clock.monotonic())
        done = False
        try:
            await self.api.perform(Delete(POD, namespace_of(pod), name_of(pod), uid))
            done = True
        except NotFoundError:
            pass
        except CloudwrightError as error:
            message = f"Error deleting: {error.message}"
            await self.api.tell(owner, [Note("Warning", "FailedDelete", message)])
            raise
        finally:
            if not done:
                self.expectations.not_deleting(key, uid)
        text = f"Deleted pod: {name_of(pod)}"
        await self.api.tell(owner, [Note("Normal", "SuccessfulDelete", text)])
