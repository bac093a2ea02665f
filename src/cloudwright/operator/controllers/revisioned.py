"""Owners that keep ControllerRevisions of their pod template: DaemonSets and StatefulSets."""

from __future__ import annotations

from collections.abc import Sequence

from cloudwright.client.errors import AlreadyExists
from cloudwright.model.objects import Object, controller_of, name_of, namespace_of, uid_of
from cloudwright.model.resources import CONTROLLER_REVISION
from cloudwright.operator.controllers.podowner import PodOwner
from cloudwright.operator.engines import history
from cloudwright.operator.engines.actions import Delete
from cloudwright.operator.engines.ownership import adopted, claim
from cloudwright.operator.engines.templates import copy, significant


class Revisioned(PodOwner):
    """A pod owner with a history."""

    def setup(self) -> None:
        """Also the revisions."""
        super().setup()
        self.revisions = self.watch(CONTROLLER_REVISION, self._of_revision)

    def _of_revision(self, revision: Object) -> list[str]:
        reference = controller_of(revision)
        if reference is None or not self._is_mine(reference):
            return []
        return [f"{namespace_of(revision)}/{reference['name']}"]

    async def history(self, owner: Object) -> tuple[Object, list[Object]]:
        """The revision of the present template (made when there is none), and all of them."""
        found = claim(owner, self.revisions.all(namespace_of(owner)), self.selector_of(owner))
        known = [*found.mine]
        for orphan in found.adopt:
            known.append(await self.api.update(CONTROLLER_REVISION, adopted(owner, orphan)))
        present = history.present(owner, known)
        if present is None:
            present = await self._make(owner, known)
            known = [*(one for one in known if uid_of(one) != uid_of(present)), present]
        elif int(present.get("revision") or 0) + 1 < history.next_number(known):
            changed = copy(present)  # an old template is wanted again: it is the newest now
            changed["revision"] = history.next_number(known)
            present = await self.api.update(CONTROLLER_REVISION, changed)
            known = [*(one for one in known if uid_of(one) != uid_of(present)), present]
        return present, history.newest_last(known)

    async def _make(self, owner: Object, known: Sequence[Object]) -> Object:
        wish = history.new_revision(owner, known)
        try:
            return await self.api.create(CONTROLLER_REVISION, wish)
        except AlreadyExists:
            actual = await self.api.get(CONTROLLER_REVISION, namespace_of(owner), name_of(wish))
            if significant(actual.get("data")) == significant(wish["data"]):
                return actual
            status = copy(owner.get("status") or {})
            status["collisionCount"] = int(status.get("collisionCount") or 0) + 1
            await self.api.write_status(self.resource, owner, status)
            raise

    async def forget(self, owner: Object, known: Sequence[Object], used: set[str]) -> None:
        """Delete revisions beyond the limit that are not in ``used`` (names)."""
        for revision in history.forgettable(owner, known, used):
            await self.api.perform(
                Delete(
                    CONTROLLER_REVISION,
                    namespace_of(revision),
                    name_of(revision),
                    uid_of(revision),
                )
            )
