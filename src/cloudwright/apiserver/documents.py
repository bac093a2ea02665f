"""What the server tells of itself: its version, what is served, and the schemas of that.

Each is loaded and made when it is first asked for; each follows the registry from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cloudwright.apiserver.aggregation.aggregator import Foreign
    from cloudwright.apiserver.discovery import Discovery
    from cloudwright.apiserver.openapi_v2 import OpenApiV2
    from cloudwright.apiserver.openapi_v3 import OpenApiV3
    from cloudwright.apiserver.registry import Registry


class Documents:
    """The documents about one registry."""

    def __init__(
        self, registry: Registry, foreign: Callable[[], Sequence[Foreign]] = tuple
    ) -> None:
        self._registry = registry
        self._foreign = foreign

    @staticmethod
    def version() -> dict[str, Any]:
        """``/version``."""
        from cloudwright.apiserver.discovery import version_info

        return version_info()

    @cached_property
    def discovery(self) -> Discovery:
        """``/api`` and ``/apis``."""
        from cloudwright.apiserver.discovery import Discovery

        return Discovery(self._registry, self._foreign)

    @cached_property
    def v2(self) -> OpenApiV2:
        """``/openapi/v2``."""
        from cloudwright.apiserver.openapi_v2 import OpenApiV2

        return OpenApiV2(self._registry, self._foreign)

    @cached_property
    def v3(self) -> OpenApiV3:
        """``/openapi/v3``."""
        from cloudwright.apiserver.openapi_v3 import OpenApiV3

        return OpenApiV3(self._registry, self._foreign)
