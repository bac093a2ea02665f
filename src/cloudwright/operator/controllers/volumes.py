"""PersistentVolumeClaim ↔ PersistentVolume: binding, provisioning, reclaiming, protection."""

from __future__ import annotations

from cloudwright.client.errors import AlreadyExists
from cloudwright.model.local_volumes import PROVISIONED, PROVISIONER
from cloudwright.model.objects import (
    Object,
    annotations_of,
    deleting,
    finalizers_of,
    key_of,
    name_of,
    namespace_of,
    uid_of,
)
from cloudwright.model.pods import is_terminal
from cloudwright.model.resources import (
    NODE,
    PERSISTENT_VOLUME,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    STORAGE_CLASS,
    Resource,
)
from cloudwright.operator.engines import volumes as engine
from cloudwright.operator.engines.actions import Delete, Note
from cloudwright.operator.engines.templates import copy
from cloudwright.operator.manager import DONE, Controller, Result

_CLAIM_PROTECTION = "kubernetes.io/pvc-protection"
_VOLUME_PROTECTION = "kubernetes.io/pv-protection"


class VolumeController(Controller):
    """Binds claims. Keys are ``namespace/name`` for claims and ``name`` for volumes."""

    name = "persistentvolume-binder"

    def setup(self) -> None:
        """Claims, volumes, classes, and the pods that wait for claims."""
        self._directory = self.manager.config.volume_directory
        self.claims = self.watch(PERSISTENT_VOLUME_CLAIM, self._of_claim)
        self.volumes = self.watch(PERSISTENT_VOLUME, self._of_volume)
        self.classes = self.watch(STORAGE_CLASS, self._pending)
        self.pods = self.watch(POD, self._of_pod)
        self.nodes = self.manager.cache(NODE)

    @staticmethod
    def _of_claim(claim: Object) -> list[str]:
        volume = str((claim.get("spec") or {}).get("volumeName") or "")
        return [key_of(claim), *([volume] if volume else [])]

    def _of_volume(self, volume: Object) -> list[str]:
        reference = (volume.get("spec") or {}).get("claimRef") or {}
        if reference:
            return [name_of(volume), f"{reference.get('namespace')}/{reference.get('name')}"]
        return [name_of(volume), *self._pending(volume)]

    def _pending(self, _changed: Object) -> list[str]:
        return [key_of(one) for one in self.claims.all() if engine.phase(one) != "Bound"]

    def _of_pod(self, pod: Object) -> list[str]:
        claims = self.claims.all(namespace_of(pod))
        return [key_of(one) for one in claims if engine.users(one, [pod])]

    async def sync(self, key: str) -> Result:
        """One claim or one volume."""
        if "/" in key:
            claim = self.claims.get(key)
            return DONE if claim is None else await self._claim(claim)
        volume = self.volumes.get(key)
        return DONE if volume is None else await self._volume(volume)

    # -- claims

    async def _claim(self, claim: Object) -> Result:
        if deleting(claim):
            await self._let_go(claim)
            return DONE
        bound = annotations_of(claim).get(engine.BOUND)
        volume = self.volumes.get(str(claim["spec"].get("volumeName") or " "))
        if bound:
            held = volume is not None and engine.belongs(volume, claim)
            await self._report(claim, volume if held else None)
            return DONE
        storage_class = self.classes.get(engine.class_of(claim) or " ")
        found = engine.best(claim, self.volumes.all())
        if found is None:
            found = await self._provision(claim, storage_class)
        if found is None:
            await self._report(claim, None)
            return DONE
        if (found["spec"].get("claimRef") or {}).get("uid") != uid_of(claim):
            found = await self.api.update(PERSISTENT_VOLUME, engine.bound_volume(found, claim))
        claim = await self.api.update(PERSISTENT_VOLUME_CLAIM, engine.bound_claim(claim, found))
        await self._report(claim, found)
        return DONE

    async def _report(self, claim: Object, volume: Object | None) -> None:
        status = engine.claim_status(claim, volume)
        if status.get("phase") == "Lost" and engine.phase(claim) != "Lost":
            text = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
            await self.api.tell(claim, [Note("Warning", "ClaimLost", text)])
        await self.api.write_status(PERSISTENT_VOLUME_CLAIM, claim, status)

    async def _provision(self, claim: Object, storage_class: Object | None) -> Object | None:
        """A new volume, when the class has our provisioner and it is time."""
        name = engine.class_of(claim)
        if not name or claim["spec"].get("volumeName"):
            await self._wait(
                claim,
                "FailedBinding",
                "no persistent volumes available for this claim and no storage class is set",
            )
            return None
        if storage_class is None:
            text = f'storageclass.storage.k8s.io "{name}" not found'
            await self._wait(claim, "ProvisioningFailed", text)
            return None
        if storage_class.get("provisioner") != PROVISIONER or not self._directory:
            text = (
                "Waiting for a volume to be created either by the external provisioner "
                f"'{storage_class.get('provisioner')}' or manually by the system administrator."
            )
            await self._wait(claim, "ExternalProvisioning", text)
            return None
        users = engine.users(claim, self.pods.all(namespace_of(claim)))
        waiting = [pod for pod in users if not is_terminal(pod)]
        if engine.waits(storage_class) and not waiting:
            text = "waiting for first consumer to be created before binding"
            await self._wait(claim, "WaitForFirstConsumer", text)
            return None
        node = self._node(waiting)
        if node is None:
            await self._wait(claim, "ProvisioningFailed", "no node is there to hold the volume")
            return None
        wish = engine.provisioned(claim, storage_class, self._directory, node)
        try:
            made = await self.api.create(PERSISTENT_VOLUME, wish)
        except AlreadyExists:  # made before a crash
            made = await self.api.get(PERSISTENT_VOLUME, "", name_of(wish))
        text = f"Successfully provisioned volume {name_of(made)}"
        await self.api.tell(claim, [Note("Normal", "ProvisioningSucceeded", text)])
        return made

    def _node(self, users: list[Object]) -> str | None:
        for pod in users:
            if (pod.get("spec") or {}).get("nodeName"):
                return str(pod["spec"]["nodeName"])
        names = sorted(name_of(node) for node in self.nodes.all())
        return names[0] if names else None

    async def _wait(self, claim: Object, reason: str, text: str) -> None:
        if engine.phase(claim) != "Pending":  # told once, when it starts to wait
            kind = "Warning" if reason.endswith("Failed") else "Normal"
            await self.api.tell(claim, [Note(kind, reason, text)])

    async def _let_go(self, claim: Object) -> None:
        """Take the protection off a deleted claim that no pod uses."""
        if _CLAIM_PROTECTION not in finalizers_of(claim):
            return
        users = engine.users(claim, self.pods.all(namespace_of(claim)))
        if any(not is_terminal(pod) for pod in users):
            return
        await self._without(PERSISTENT_VOLUME_CLAIM, claim, _CLAIM_PROTECTION)

    # -- volumes

    async def _volume(self, volume: Object) -> Result:
        reference = volume["spec"].get("claimRef") or {}
        key = f"{reference.get('namespace')}/{reference.get('name')}"
        claim = self.claims.get(key) if reference else None
        phase = engine.volume_phase(volume, claim)
        if deleting(volume):
            if phase != "Bound" and _VOLUME_PROTECTION in finalizers_of(volume):
                await self._without(PERSISTENT_VOLUME, volume, _VOLUME_PROTECTION)
            return DONE
        status = {**(volume.get("status") or {}), "phase": phase}
        await self.api.write_status(PERSISTENT_VOLUME, volume, status)
        if phase == "Released":
            await self._reclaim(volume)
        return DONE

    async def _reclaim(self, volume: Object) -> None:
        policy = volume["spec"].get("persistentVolumeReclaimPolicy") or "Retain"
        if policy != "Delete":
            return
        if annotations_of(volume).get(PROVISIONED) == PROVISIONER:
            await self.api.perform(Delete(PERSISTENT_VOLUME, "", name_of(volume), uid_of(volume)))

    async def _without(self, resource: Resource, obj: Object, finalizer: str) -> None:
        changed = copy(obj)
        kept = [one for one in finalizers_of(obj) if one != finalizer]
        changed["metadata"]["finalizers"] = kept
        await self.api.update(resource, changed)
