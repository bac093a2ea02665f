"""Volumes ``ephemeral`` of pods → claims of their own, which go with the pods.

Source: kubernetes ``pkg/controller/volume/ephemeral``.
"""

from __future__ import annotations

from cloudwright._base.errors import CloudwrightError
from cloudwright.model.objects import (
    Object,
    controller_of,
    deleting,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from cloudwright.model.pods import is_terminal
from cloudwright.model.resources import PERSISTENT_VOLUME_CLAIM, POD
from cloudwright.operator.engines.actions import Note
from cloudwright.operator.engines.templates import copy
from cloudwright.operator.errors import EphemeralClash
from cloudwright.operator.manager import DONE, Controller, Result


class EphemeralVolumeController(Controller):
    """Keys are pods."""

    name = "ephemeral-volume-controller"

    def setup(self) -> None:
        """Pods, and claims that somebody deleted."""
        self.pods = self.watch(POD)
        self.claims = self.watch(PERSISTENT_VOLUME_CLAIM, _of_claim)

    async def sync(self, key: str) -> Result:
        """Make the claims that are missing."""
        pod = self.pods.get(key)
        if pod is None or deleting(pod) or is_terminal(pod):
            return DONE
        for volume in pod["spec"].get("volumes") or ():
            if volume.get("ephemeral"):
                await self._claim(pod, volume)
        return DONE

    async def _claim(self, pod: Object, volume: Object) -> None:
        name = f"{name_of(pod)}-{volume['name']}"
        found = self.claims.get(f"{namespace_of(pod)}/{name}")
        if found is not None:
            if (controller_of(found) or {}).get("uid") != uid_of(pod):
                text = f"PVC {namespace_of(pod)}/{name} was not created for pod {name_of(pod)}"
                raise EphemeralClash(f"{text} (pod is not owner)")
            return
        template = copy(volume["ephemeral"].get("volumeClaimTemplate") or {})
        metadata = template.get("metadata") or {}
        kept = {key: metadata[key] for key in ("labels", "annotations") if metadata.get(key)}
        claim: Object = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {
                **kept,
                "name": name,
                "namespace": namespace_of(pod),
                "ownerReferences": [owner_reference(pod)],
            },
            "spec": template.get("spec") or {},
        }
        try:
            await self.api.create(PERSISTENT_VOLUME_CLAIM, claim)
        except CloudwrightError as error:
            text = f"ephemeral volume {volume['name']}: create PVC {name}: {error.message}"
            await self.api.tell(pod, [Note("Warning", "FailedBinding", text)])
            raise


def _of_claim(claim: Object) -> list[str]:
    owner = controller_of(claim)
    if owner is None or owner["kind"] != "Pod":
        return []
    return [f"{namespace_of(claim)}/{owner['name']}"]
