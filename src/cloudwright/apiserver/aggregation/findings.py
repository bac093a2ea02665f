"""What a check of a foreign API server found. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from cloudwright.model.objects import Object


@dataclass(frozen=True, slots=True)
class Findings:
    """What one check found."""

    status: str
    """``True`` or ``False``."""
    reason: str
    message: str
    resources: tuple[Object, ...] = ()
    """``APIResource`` s of its group and version."""
    v2: Object = field(default_factory=dict)
    """Its OpenAPI v2 document."""
    v3: Object = field(default_factory=dict)
    """Its OpenAPI v3 document of the group and version; empty: it has none."""

    @property
    def available(self) -> bool:
        """Whether requests may go there."""
        return self.status == "True"
