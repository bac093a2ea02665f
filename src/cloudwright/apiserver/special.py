"""What a write of some kinds does beside storing the object: namespaces here, definitions and
Services elsewhere.

A ``Special`` wraps the write: entered before validation (it may change the object), told to
``keep`` once the write is on disk; without that it undoes at the end what it reserved.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from cloudwright.apiserver import namespaces
from cloudwright.model import fields, kinds, resources
from cloudwright.model.fields import FieldError
from cloudwright.model.objects import Object

if TYPE_CHECKING:
    from collections.abc import Sequence


class Special:
    """Nothing beside the write; others derive from it."""

    changes = True
    """Whether it may change the object that is written."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Undo what was reserved, unless kept."""

    async def permit(self) -> None:
        """Refuse what the user may not write into it; asked before anything is validated.

        Raises:
            ApiError: 403.
        """

    def errors(self) -> Sequence[FieldError]:
        """What is wrong with the object."""
        return ()

    def keep(self) -> None:
        """The write is durable."""


class PodWrite(Special):
    """A pod is given to a node by its ``binding`` alone, not by an update."""

    def __init__(self, new: Object, old: Object) -> None:
        self._moved = _node(new) != _node(old)

    def errors(self) -> Sequence[FieldError]:
        """Refuse another node."""
        if not self._moved:
            return ()
        from cloudwright.model.kinds.pod import FIXED

        return [fields.forbidden("spec", FIXED)]


class JobWrite(Special):
    """A new Job selects its pods, and marks them so."""

    def __init__(self, new: Object) -> None:
        kinds.find(resources.JOB).begin(new)


class NamespaceWrite(Special):
    """A namespace always has its finalizer, its phase and the label with its name."""

    def __init__(self, new: Object, old: Object | None, subresource: str) -> None:
        if old is None:
            namespaces.begin(new)
        else:
            if subresource != "finalize":
                new["spec"] = old.get("spec", {})
            labels = new["metadata"].setdefault("labels", {})
            labels["kubernetes.io/metadata.name"] = new["metadata"]["name"]


def _node(pod: Object) -> str:
    return str((pod.get("spec") or {}).get("nodeName") or "")
