"""StatefulSet → pods and claims with stable names."""

from __future__ import annotations

from cloudwright._base.errors import CloudwrightError
from cloudwright.client.errors import AlreadyExists
from cloudwright.model.objects import Object, deleting, labels_of, name_of, namespace_of
from cloudwright.model.resources import PERSISTENT_VOLUME_CLAIM, STATEFUL_SET
from cloudwright.operator.controllers.revisioned import Revisioned
from cloudwright.operator.engines import statefulset as engine
from cloudwright.operator.engines.actions import Note
from cloudwright.operator.engines.history import HASH, hash_of
from cloudwright.operator.engines.templates import copy
from cloudwright.operator.manager import DONE, Result


class StatefulSetController(Revisioned):
    """Owns pods and revisions; makes claims, which outlive it unless its policy says otherwise."""

    name = "statefulset-controller"
    resource = STATEFUL_SET

    def setup(self) -> None:
        """Also the claims."""
        super().setup()
        self.claims = self.manager.cache(PERSISTENT_VOLUME_CLAIM)

    async def sync(self, key: str) -> Result:
        """Do the next thing, then write the status."""
        owner = self.owners.get(key)
        if owner is None:
            self.expectations.forget(key)
            return DONE
        owned, pending = await self.claimed(key, owner)
        owned = [pod for pod in owned if engine.ordinal_of(owner, pod) >= 0]
        if deleting(owner):
            return DONE
        update, known = await self.history(owner)
        wanted = (owner.get("status") or {}).get("currentRevision")
        current = next((one for one in known if name_of(one) == wanted), update)
        now = self.now()
        if pending is None:
            await self._next(key, owner, owned, current, update)
        await self._claims(owner, owned)
        status = engine.status_of(owner, owned, current, update, now)
        await self.api.write_status(STATEFUL_SET, owner, status)
        hashes = {labels_of(pod).get(HASH) for pod in owned}
        used = {name_of(one) for one in known if hash_of(one) in hashes}
        await self.forget(owner, known, used | {name_of(current), name_of(update)})
        waits = [engine.available_in(owner, owned, now), pending]
        return Result(min((wait for wait in waits if wait is not None), default=None))

    async def _next(
        self, key: str, owner: Object, owned: list[Object], current: Object, update: Object
    ) -> None:
        step = engine.step(owner, owned, hash_of(update), self.now())
        for pod in step.delete:
            await self.delete_pod(key, owner, pod)
        for ordinal in step.create:
            for claim in engine.claims(owner, ordinal):
                await self._ensure(owner, claim)
            revision = engine.revision_for(owner, ordinal, current, update)
            await self.create_pod(key, owner, engine.new_pod(owner, ordinal, revision))

    async def _ensure(self, owner: Object, claim: Object) -> None:
        """The claim exists; one that is there already is used as it is."""
        if self.claims.get(f"{namespace_of(claim)}/{name_of(claim)}") is not None:
            return
        try:
            await self.api.create(PERSISTENT_VOLUME_CLAIM, claim)
        except AlreadyExists:
            return
        except CloudwrightError as error:
            text = f"create Claim {name_of(claim)} failed error: {error.message}"
            await self.api.tell(owner, [Note("Warning", "FailedCreate", text)])
            raise
        text = f"create Claim {name_of(claim)} in StatefulSet {name_of(owner)} successful"
        await self.api.tell(owner, [Note("Normal", "SuccessfulCreate", text)])

    async def _claims(self, owner: Object, owned: list[Object]) -> None:
        """Claims are owned by whom the retention policy says."""
        for pod in owned:
            ordinal = engine.ordinal_of(owner, pod)
            wanted = engine.claim_owners(owner, ordinal, pod)
            for template in owner["spec"].get("volumeClaimTemplates") or ():
                name = engine.claim_name(owner, template, ordinal)
                claim = self.claims.get(f"{namespace_of(owner)}/{name}")
                if claim is None or deleting(claim):
                    continue
                ours = {owner["metadata"]["uid"], pod["metadata"]["uid"]}
                before = claim["metadata"].get("ownerReferences") or []
                after = [one for one in before if one.get("uid") not in ours] + wanted
                if after != before:
                    changed = copy(claim)
                    changed["metadata"]["ownerReferences"] = after
                    await self.api.update(PERSISTENT_VOLUME_CLAIM, changed)
