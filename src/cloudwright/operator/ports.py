"""What the operator needs of its neighbours; filled in by ``platform``."""

from __future__ import annotations

from typing import Any, Protocol


class Hooks(Protocol):
    """Calls a life-cycle hook that is a URL (``webhook://NAME[/PATH]``, ``http://…``)."""

    async def call(
        self, url: str, namespace: str, payload: dict[str, Any], *, timeout: float = 10.0
    ) -> None:
        """POST ``payload`` as JSON; ``CloudwrightError`` unless the answer is 2xx in time."""
