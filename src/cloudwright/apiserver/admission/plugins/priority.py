"""Priority: a pod's ``priorityClassName`` becomes its ``priority`` and ``preemptionPolicy``."""

from __future__ import annotations

from collections.abc import Sequence

from cloudwright.apiserver.admission.plugins.plugin import Plugin, refused, written
from cloudwright.apiserver.admission.review import Review
from cloudwright.apiserver.shelf import Shelf
from cloudwright.apiserver.store.interface import Store
from cloudwright.model.fields import FieldError
from cloudwright.model.objects import Object

_SYSTEM = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}


class Priority(Plugin):
    """Resolves classes, and lets at most one of them be the global default."""

    about = frozenset({("", "pods"), ("scheduling.k8s.io", "priorityclasses")})

    def __init__(self, store: Store) -> None:
        self._classes: Shelf[Object] = Shelf(
            store, "/scheduling.k8s.io/priorityclasses/", lambda found: found
        )

    async def mutate(self, review: Review) -> None:
        """Fill in a new pod's priority; a changed pod keeps its own."""
        if review.resource.plural != "pods":
            return
        spec = written(review).get("spec")
        if not isinstance(spec, dict):
            return
        if review.old is not None:
            for name in ("priority", "preemptionPolicy"):
                before = (review.old.get("spec") or {}).get(name)
                if spec.get(name) is None and before is not None:
                    spec[name] = before
            return
        name = str(spec.get("priorityClassName") or "")
        value, policy = 0, "PreemptLowerPriority"
        found = await self._class(name)
        if found is not None:
            value = int(found.get("value") or 0)
            policy = str(found.get("preemptionPolicy") or policy)
            spec["priorityClassName"] = found["metadata"]["name"]
        elif name in _SYSTEM:
            value = _SYSTEM[name]
        elif name:
            raise refused(review, f"no PriorityClass with name {name} was found")
        given = spec.get("priority")
        if given is not None and given != value:
            raise refused(
                review,
                f"the integer value of priority ({given}) must not be provided in pod spec; "
                f"priority admission controller computed {value} from the given PriorityClass name",
            )
        spec["priority"] = value
        wanted = spec.get("preemptionPolicy")
        if wanted is not None and wanted != policy:
            raise refused(
                review,
                f"the string value of PreemptionPolicy ({wanted}) must not be provided in pod "
                f"spec; priority admission controller computed {policy} from the given "
                "PriorityClass name",
            )
        spec["preemptionPolicy"] = policy

    async def validate(self, review: Review) -> Sequence[FieldError]:
        """No second global default."""
        obj = written(review)
        if review.resource.plural == "priorityclasses" and obj.get("globalDefault"):
            for other in (await self._classes.fresh()).values():
                name = other["metadata"]["name"]
                if other.get("globalDefault") and name != obj["metadata"]["name"]:
                    raise refused(
                        review,
                        f"PriorityClass {name} is already marked as default. Only one default "
                        "can exist",
                    )
        return ()

    async def _class(self, name: str) -> Object | None:
        classes = (await self._classes.fresh()).values()
        if name:
            return next((one for one in classes if one["metadata"]["name"] == name), None)
        defaults = [one for one in classes if one.get("globalDefault")]
        return min(defaults, key=lambda one: int(one.get("value") or 0)) if defaults else None
