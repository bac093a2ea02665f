"""The rules that are on by default, put together when the first write asks for them.

They are a third of what the server would load at its start, and nobody needs them to be ready.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cloudwright.apiserver.identity import Authorizer
from cloudwright.model.fields import FieldError

if TYPE_CHECKING:
    from cloudwright.apiserver.admission.chain import Chain
    from cloudwright.apiserver.admission.review import Review
    from cloudwright.apiserver.core import ApiCore


class Deferred:
    """An ``Admission`` that puts ``chain.standard`` in its own place among the core's rules."""

    def __init__(self, core: ApiCore, authorizer: Authorizer) -> None:
        self._core = core
        self._authorizer = authorizer
        self._chain: Chain | None = None
        core.conversions.post = self._convert

    async def mutate(self, review: Review) -> None:
        """Let the rules change the object."""
        await self._made().mutate(review)

    async def validate(self, review: Review) -> Sequence[FieldError]:
        """What is wrong with it."""
        return await self._made().validate(review)

    async def _convert(self, config: Mapping[str, Any], body: bytes) -> bytes:
        """Ask a conversion webhook: who calls it comes with the rules."""
        self._made()
        post = self._core.conversions.post
        assert post is not None, "the rules bring their caller"
        return await post(config, body)

    def _made(self) -> Chain:
        if self._chain is None:
            from cloudwright.apiserver.admission import chain

            post = self._core.conversions.post
            self._chain = chain.standard(self._core, self._authorizer)
            if post != self._convert:  # somebody has a caller of his own
                self._core.conversions.post = post
            rules = self._core.admission
            rules[rules.index(self)] = self._chain
        return self._chain
