"""Job → pods that run to their end, each counted exactly once."""

from __future__ import annotations

from cloudwright._base.errors import CloudwrightError, NotFoundError
from cloudwright.model.objects import (
    Object,
    controller_of,
    deleting,
    finalizers_of,
    name_of,
    namespace_of,
    uid_of,
)
from cloudwright.model.resources import JOB, POD
from cloudwright.operator.controllers.podowner import PodOwner
from cloudwright.operator.engines import job as engine
from cloudwright.operator.engines.actions import Delete, Note
from cloudwright.operator.engines.templates import copy
from cloudwright.operator.manager import DONE, Result


class JobController(PodOwner):
    """Owns pods; deletes finished Jobs whose time to live is over."""

    name = "job-controller"
    resource = JOB
    tracking = engine.TRACKING

    async def sync(self, key: str) -> Result:
        """Count, decide, make and end pods."""
        job = self.owners.get(key)
        if job is None:
            self.expectations.forget(key)
            await self._free_strays(key)
            return DONE
        expires = engine.expires_in(job, self.now())
        if expires is not None and expires <= 0 and not deleting(job):
            action = Delete(JOB, namespace_of(job), name_of(job), uid_of(job), "Foreground")
            await self.api.perform(action)
            return DONE
        if job["spec"].get("managedBy") not in (None, engine.MANAGER):
            return Result(expires)
        owned, pending = await self.claimed(key, job)
        if deleting(job) or engine.finished(job):
            await self._release(owned)
            return DONE if deleting(job) else Result(expires)
        if pending is not None:
            return Result(pending)
        step = engine.step(job, owned, self.now())
        # The note of what ended is on disk before a finalizer goes.
        job = await self.api.write_status(JOB, job, step.status)
        await self._release(step.release)
        await self.api.tell(job, [Note(*note) for note in step.notes])
        await self._release(step.drop)
        for pod in (*step.delete, *step.drop):
            await self.delete_pod(key, job, pod)
        for place in step.create:
            try:
                await self.create_pod(key, job, engine.new_pod(job, place))
            except CloudwrightError as error:
                if self.api.namespace_ends(error):
                    return DONE
                raise
        return Result(step.again)

    async def _release(self, pods: list[Object]) -> None:
        """Take the tracking finalizer off pods that are counted, or of no more interest."""
        for pod in pods:
            if engine.TRACKING not in finalizers_of(pod):
                continue
            changed = copy(pod)
            kept = [one for one in finalizers_of(pod) if one != engine.TRACKING]
            changed["metadata"]["finalizers"] = kept
            try:
                await self.api.update(POD, changed)
            except NotFoundError:
                continue

    async def _free_strays(self, key: str) -> None:
        """Pods of a Job that is gone are not held back."""
        namespace, _, name = key.partition("/")
        strays = [
            pod
            for pod in self.pods.all(namespace)
            if (reference := controller_of(pod)) is not None
            and self._is_mine(reference)
            and reference["name"] == name
        ]
        await self._release(strays)
