"""What the plug-ins have in common."""

from __future__ import annotations

from collections.abc import Sequence

from cloudwright.apiserver.admission.review import Operation, Review
from cloudwright.apiserver.errors import ApiError, forbidden
from cloudwright.model.fields import FieldError
from cloudwright.model.objects import Object


class Plugin:
    """Changes nothing and finds nothing wrong; others derive from it.

    ``about`` are the resources (group, plural) that it looks at, ``on`` the operations: the chain
    asks it about nothing else. Subresources are left out unless ``subresources`` says so.
    """

    about: frozenset[tuple[str, str]] | None = None
    on: frozenset[Operation] = frozenset({"CREATE", "UPDATE"})
    subresources = False

    def concerns(self, review: Review) -> bool:
        """Whether the review is its business."""
        resource = review.resource
        return (
            (self.about is None or (resource.group, resource.plural) in self.about)
            and review.operation in self.on
            and (self.subresources or not review.subresource)
        )

    async def mutate(self, review: Review) -> None:
        """Change ``review.obj``."""

    async def validate(self, review: Review) -> Sequence[FieldError]:
        """What is wrong."""
        del review
        return ()


def refused(review: Review, message: str) -> ApiError:
    """403: this plug-in says no."""
    return forbidden(review.resource.group, review.resource.plural, review.name, message)


def written(review: Review) -> Object:
    """The object of a creation or change."""
    assert review.obj is not None, "only asked for writes with an object"
    return review.obj


PODS = frozenset({("", "pods")})
CLAIMS = frozenset({("", "persistentvolumeclaims")})
