"""LimitRanger: defaults and bounds of what pods and claims may ask for."""

from __future__ import annotations

from collections.abc import Sequence

from cloudwright.apiserver.admission.plugins.plugin import Plugin, refused, written
from cloudwright.apiserver.admission.review import Review
from cloudwright.apiserver.shelf import Shelf
from cloudwright.apiserver.store.interface import Store
from cloudwright.model import limits
from cloudwright.model.fields import FieldError
from cloudwright.model.objects import Object
from cloudwright.model.pods import quality_of_service


class LimitRanger(Plugin):
    """Applies the LimitRanges of the namespace, in the order of their names."""

    about = frozenset({("", "pods"), ("", "persistentvolumeclaims")})

    def __init__(self, store: Store) -> None:
        self._ranges: Shelf[Object] = Shelf(store, "/core/limitranges/", lambda found: found)

    def concerns(self, review: Review) -> bool:
        """Also a resize: it is held to the bounds, but gets no defaults."""
        if review.subresource == "resize":
            return review.operation == "UPDATE" and review.resource.plural == "pods"
        return super().concerns(review)

    async def mutate(self, review: Review) -> None:
        """Fill in the defaults of a new pod."""
        if review.resource.plural == "pods" and review.operation == "CREATE":
            found = await self._of(review.namespace)
            if found:
                pod = written(review)
                limits.fill_in(pod, found)
                status = pod.get("status")
                if isinstance(status, dict) and "qosClass" in status:
                    status["qosClass"] = quality_of_service(pod)

    async def validate(self, review: Review) -> Sequence[FieldError]:
        """Refuse what is out of bounds."""
        is_pod = review.resource.plural == "pods"
        if is_pod and review.operation != "CREATE" and not review.subresource:
            return ()
        found = await self._of(review.namespace)
        if found:
            check = limits.pod_problems if is_pod else limits.claim_problems
            problems = check(written(review), found)
            if problems:
                text = problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]"
                raise refused(review, text)
        return ()

    async def _of(self, namespace: str) -> list[Object]:
        ranges = await self._ranges.fresh()
        prefix = f"/core/limitranges/{namespace}/"
        return [ranges[key] for key in sorted(ranges) if key.startswith(prefix)]
