"""DefaultTolerationSeconds: a pod stays 300 s on a node that is not ready or not reachable."""

from __future__ import annotations

from typing import Any

from cloudwright.apiserver.admission.plugins.plugin import PODS, Plugin, written
from cloudwright.apiserver.admission.review import Review

_SECONDS = 300
_TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


class DefaultTolerationSeconds(Plugin):
    """Adds a ``NoExecute`` toleration for each taint that the pod does not tolerate itself."""

    about = PODS

    async def mutate(self, review: Review) -> None:
        """Add what is missing."""
        spec = written(review).get("spec")
        if not isinstance(spec, dict):
            return
        tolerations = spec.get("tolerations") or []
        added = [
            {
                "key": taint,
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": _SECONDS,
            }
            for taint in _TAINTS
            if not any(_tolerates(one, taint) for one in tolerations)
        ]
        if added:
            spec["tolerations"] = [*tolerations, *added]


def _tolerates(toleration: dict[str, Any], taint: str) -> bool:
    return (not toleration.get("key") or toleration["key"] == taint) and toleration.get(
        "effect"
    ) in (None, "", "NoExecute")
