"""ReplicaSet → pods. What was asked for and not yet seen is remembered, so that a stale view
never makes a pod too many.
"""

from __future__ import annotations

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
from cloudwright.model.resources import POD, REPLICA_SET
from cloudwright.operator.engines import replicaset as engine
from cloudwright.operator.engines.actions import Delete, Note
from cloudwright.operator.engines.expectations import Expectations
from cloudwright.operator.manager import DONE, Controller, Result


class ReplicaSetController(Controller):
    """Owns pods."""

    name = "replicaset-controller"

    def setup(self) -> None:
        """ReplicaSets and pods."""
        self.expectations = Expectations()
        self.replica_sets = self.watch(REPLICA_SET)
        self.pods = self.manager.cache(POD)
        # First the bookkeeping, then the wake-up that relies on it.
        self.pods.subscribe(self._saw)
        self.watch(POD, self._of_pod)

    def _saw(self, old: Object | None, new: Object | None) -> None:
        for obj in (old, new):
            owner = controller_of(obj) if obj is not None else None
            if obj is not None and owner is not None and owner["kind"] == "ReplicaSet":
                gone = new is None or deleting(new)
                key = f"{namespace_of(obj)}/{owner['name']}"
                self.expectations.saw(key, uid_of(obj), gone=gone)

    def _of_pod(self, pod: Object) -> list[str]:
        owner = controller_of(pod)
        if owner is not None:
            return [f"{namespace_of(pod)}/{owner['name']}"] if owner["kind"] == "ReplicaSet" else []
        return [key_of(rs) for rs in self.replica_sets.all(namespace_of(pod)) if _selects(rs, pod)]

    async def sync(self, key: str) -> Result:
        """Make or end pods, then write the status."""
        replica_set = self.replica_sets.get(key)
        clock = self.manager.clock.monotonic()
        if replica_set is None:
            self.expectations.forget(key)
            return DONE
        pending = self.expectations.pending(key, clock)
        candidates = self.pods.all(namespace_of(replica_set))
        if pending is None and self.expectations.needs_list(key):
            candidates = await self.api.find(POD, namespace_of(replica_set))
            self.expectations.listed(key)
        claim = engine.claim(replica_set, candidates)
        owned = [*claim.mine]
        for orphan in claim.adopt:
            owned.append(await self.api.update(POD, engine.adopted(replica_set, orphan)))
        for stranger in claim.release:
            await self.api.update(POD, engine.released(replica_set, stranger))
        failure: CloudwrightError | None = None
        if pending is None and not deleting(replica_set):
            failure = await self._manage(key, replica_set, owned)
        text = failure.message if failure else None
        status = engine.status_of(replica_set, owned, self.now(), text)
        await self.api.write_status(REPLICA_SET, replica_set, status)
        if failure is not None:
            raise failure
        waits = [engine.available_in(replica_set, owned, self.now()), pending]
        return Result(min((wait for wait in waits if wait is not None), default=None))

    async def _manage(
        self, key: str, replica_set: Object, owned: list[Object]
    ) -> CloudwrightError | None:
        """Bring the number of pods to the wish; returns what went wrong, if anything did."""
        change = engine.change(replica_set, owned)
        try:
            for _ in range(change.create):
                await self._create(key, replica_set)
        except CloudwrightError as error:
            if self.api.namespace_ends(error):
                return None
            message = f"Error creating: {error.message}"
            await self.api.tell(replica_set, [Note("Warning", "FailedCreate", message)])
            return error
        for pod in change.delete:
            try:
                await self._delete(key, replica_set, pod)
            except CloudwrightError as error:
                message = f"Error deleting: {error.message}"
                await self.api.tell(replica_set, [Note("Warning", "FailedDelete", message)])
                return error
        return None

    async def _create(self, key: str, replica_set: Object) -> None:
        known = False
        try:
            pod = await self.api.create(POD, engine.new_pod(replica_set))
            known = True
        except CloudwrightError as error:
            # An answer, even a refusal, is certain; silence is not.
            known = self.api.answered(error)
            raise
        finally:
            if not known:
                self.expectations.uncertain(key, self.manager.clock.monotonic())
        if self.api.dry_run:
            return
        self.expectations.created(key, uid_of(pod), self.manager.clock.monotonic())
        text = f"Created pod: {name_of(pod)}"
        await self.api.tell(replica_set, [Note("Normal", "SuccessfulCreate", text)])

    async def _delete(self, key: str, replica_set: Object, pod: Object) -> None:
        uid = uid_of(pod)
        if not self.api.dry_run:
            self.expectations.deleting(key, uid, self.manager.clock.monotonic())
        done = False
        try:
            await self.api.perform(Delete(POD, namespace_of(pod), name_of(pod), uid))
            done = True
        except NotFoundError:
            pass
        finally:
            if not done:
                self.expectations.not_deleting(key, uid)
        text = f"Deleted pod: {name_of(pod)}"
        await self.api.tell(replica_set, [Note("Normal", "SuccessfulDelete", text)])


def _selects(replica_set: Object, pod: Object) -> bool:
    try:
        return bool(engine.claim(replica_set, [pod]).adopt)
    except ValueError:
        return False
