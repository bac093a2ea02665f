"""What a write of some kinds does beside storing the object: addresses, namespaces, definitions.

A ``Special`` wraps the write: entered before validation (it may change the object), told to
``keep`` once the write is on disk; without that it undoes at the end what it reserved.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from cloudwright.apiserver import namespaces
from cloudwright.apiserver.clusterips import ClusterIPs
from cloudwright.model import fields
from cloudwright.model.fields import FieldError
from cloudwright.model.objects import Object, uid_of

if TYPE_CHECKING:
    from collections.abc import Sequence


class Special:
    """Nothing beside the write; others derive from it."""

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


class ServiceWrite(Special):
    """A Service gets a ClusterIP, or keeps the one it has."""

    def __init__(self, addresses: ClusterIPs, new: Object, old: Object | None) -> None:
        self._addresses = addresses
        self._holder = uid_of(new)
        self._errors: list[FieldError] = []
        self._taken: str | None = None
        self._released: str | None = None
        spec = new.get("spec")
        if isinstance(spec, dict):
            before = (old or {}).get("spec") or {}
            self._settle(spec, before)

    def _settle(self, spec: Object, before: Object) -> None:
        had = before.get("clusterIP") or ""
        if spec.get("type") == "ExternalName":
            if spec.get("clusterIP") not in (None, "", "None") and spec["clusterIP"] != had:
                message = "may not be set for ExternalName services"
                self._errors.append(fields.forbidden("spec.clusterIP", message))
            for name in ("clusterIP", "clusterIPs"):
                spec.pop(name, None)
            self._released = had or None
            return
        wanted = spec.get("clusterIP") or (spec.get("clusterIPs") or [""])[0] or had
        if had and wanted != had and before.get("type") != "ExternalName":
            value = [wanted]
            self._errors.append(
                fields.invalid("spec.clusterIPs[0]", value, "may not change once set")
            )
            return
        if wanted and wanted not in ("None", had):
            problem = self._addresses.problem(wanted, self._holder)
            if problem:
                path = "spec.clusterIPs[0]"
                message = f"failed to allocate IP {wanted}: {problem}"
                self._errors.append(fields.invalid(path, wanted, message))
                return
            self._addresses.take(wanted, self._holder)
            self._taken = wanted
        elif not wanted:
            self._taken = self._addresses.allocate(self._holder)
            if self._taken is None:
                message = f"no address is free in the service network {self._addresses.network}"
                self._errors.append(fields.invalid("spec.clusterIP", "", message))
                return
            wanted = self._taken
        spec["clusterIP"] = wanted
        spec["clusterIPs"] = [wanted]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give back an address that no stored Service has."""
        if self._taken is not None:
            self._addresses.release(self._taken, self._holder)

    def errors(self) -> Sequence[FieldError]:
        """What is wrong with the asked address."""
        return self._errors

    def keep(self) -> None:
        """The Service is stored: the address is its own."""
        self._taken = None
        if self._released:
            self._addresses.release(self._released, self._holder)
