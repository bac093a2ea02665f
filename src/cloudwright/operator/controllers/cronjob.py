"""CronJob → Jobs at their times."""

from __future__ import annotations

from cloudwright._base.errors import CloudwrightError, NotFoundError
from cloudwright.client.errors import AlreadyExists
from cloudwright.model.objects import (
    Object,
    controller_of,
    deleting,
    name_of,
    namespace_of,
    uid_of,
)
from cloudwright.model.resources import CRON_JOB, JOB
from cloudwright.operator.engines import cronjob as engine
from cloudwright.operator.engines.actions import Delete, Note
from cloudwright.operator.engines.job import finished
from cloudwright.operator.manager import DONE, Controller, Result


class CronJobController(Controller):
    """Owns Jobs."""

    name = "cronjob-controller"

    def setup(self) -> None:
        """CronJobs and their Jobs."""
        self.crons = self.watch(CRON_JOB)
        self.jobs = self.watch(JOB, self._of_job)
        self._told: dict[str, dict[str, str]] = {}

    @staticmethod
    def _of_job(job: Object) -> list[str]:
        owner = controller_of(job)
        if owner is None or owner["kind"] != "CronJob":
            return []
        return [f"{namespace_of(job)}/{owner['name']}"]

    async def sync(self, key: str) -> Result:
        """Start the Job that is due, forget old ones, write the status."""
        cron = self.crons.get(key)
        if cron is None or deleting(cron):
            self._told.pop(key, None)
            return DONE
        cron, owned = await self._look(cron)
        step = engine.step(cron, owned, self.now())
        for note in step.notes:
            await self._tell_once(key, cron, Note(*note))
        for job in [*step.replace, *step.forget]:
            await self._delete(cron, job)
        if step.create is not None:
            await self._create(cron, step)
        await self.api.write_status(CRON_JOB, cron, step.status)
        return Result(step.again)

    async def _look(self, cron: Object) -> tuple[Object, list[Object]]:
        """The CronJob and its Jobs. One cache may be ahead of the other: where they do not agree
        the server is asked.
        """
        owned = {
            uid_of(job): job
            for job in self.jobs.owned_by(cron)
            if (controller_of(job) or {}).get("uid") == uid_of(cron)
        }
        active = _active(cron)
        if any(uid not in active and not finished(job) for uid, job in owned.items()):
            try:
                cron = await self.api.get(CRON_JOB, namespace_of(cron), name_of(cron))
            except NotFoundError:
                return cron, list(owned.values())
            active = _active(cron)
        for uid, name in active.items():
            if uid not in owned:
                try:
                    job = await self.api.get(JOB, namespace_of(cron), name)
                except NotFoundError:
                    continue
                if uid_of(job) == uid:
                    owned[uid] = job
        return cron, list(owned.values())

    async def _delete(self, cron: Object, job: Object) -> None:
        try:
            await self.api.perform(
                Delete(JOB, namespace_of(job), name_of(job), uid_of(job), "Background")
            )
        except CloudwrightError as error:
            text = f"Deleted job: {error.message}"
            await self.api.tell(cron, [Note("Warning", "FailedDelete", text)])
            raise
        text = f"Deleted job {name_of(job)}"
        await self.api.tell(cron, [Note("Normal", "SuccessfulDelete", text)])

    async def _create(self, cron: Object, step: engine.Step) -> None:
        assert step.create is not None
        wish = step.create
        try:
            made = await self.api.create(JOB, wish)
        except AlreadyExists:
            return  # made before a crash: the view will show it
        except CloudwrightError as error:
            if not self.api.namespace_ends(error):
                text = f"Error creating job: {error.message}"
                await self.api.tell(cron, [Note("Warning", "FailedCreate", text)])
            raise
        gone = {uid_of(job) for job in step.replace}
        active = [one for one in step.status.get("active") or () if one["uid"] not in gone]
        if uid_of(made):
            step.status["active"] = [*active, engine.reference(made)]
        text = f"Created job {name_of(made)}"
        await self.api.tell(cron, [Note("Normal", "SuccessfulCreate", text)])

    async def _tell_once(self, key: str, cron: Object, note: Note) -> None:
        """What is said for a reason is repeated only when it changes."""
        told = self._told.setdefault(key, {})
        if told.get(note.reason) != note.message:
            told[note.reason] = note.message
            await self.api.tell(cron, [note])


def _active(cron: Object) -> dict[str, str]:
    """Name by uid of the Jobs that the status lists."""
    entries = (cron.get("status") or {}).get("active") or ()
    return {str(one.get("uid")): str(one.get("name")) for one in entries}
