"""TaintNodesByCondition: a new node takes no pods until a controller finds it ready."""

from __future__ import annotations

from cloudwright.apiserver.admission.plugins.plugin import Plugin, written
from cloudwright.apiserver.admission.review import Review

_TAINT = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


class TaintNodesByCondition(Plugin):
    """Adds the taint that the node controller takes away."""

    about = frozenset({("", "nodes")})
    on = frozenset({"CREATE"})

    async def mutate(self, review: Review) -> None:
        """Add the taint."""
        spec = written(review).setdefault("spec", {})
        if not isinstance(spec, dict):
            return
        taints = spec.get("taints") or []
        if not any(all(one.get(k) == v for k, v in _TAINT.items()) for one in taints):
            spec["taints"] = [*taints, dict(_TAINT)]
