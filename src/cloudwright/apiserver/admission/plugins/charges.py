"""Adding what writes use to ``status.used`` of a quota, many at a time.

Writers that come together would otherwise overtake each other for ever: of all that read the same
status one gets its guarded write through, and the rest begins anew. Here one of them writes for
everybody who waits (upstream's quota evaluator does so too).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio

from cloudwright.apiserver import encoding
from cloudwright.apiserver.admission.plugins.plugin import refused
from cloudwright.apiserver.admission.review import Review
from cloudwright.apiserver.errors import ApiError
from cloudwright.apiserver.store.interface import Compare, Record, Store, Txn, Write
from cloudwright.model import quota
from cloudwright.model.objects import Object
from cloudwright.model.quantities import parse
from cloudwright.model.quota import Usage

_ATTEMPTS = 32
Used = Callable[[Object, Mapping[str, Any], str], Awaitable[Mapping[str, str]]]
"""``used(quota, hard, namespace)``: what is used before anything is charged."""


@dataclass(eq=False, slots=True)
class _Charge:
    """What one write asks for."""

    review: Review
    delta: Usage
    settled: bool = False
    error: ApiError | None = None


@dataclass(eq=False, slots=True)
class _Lane:
    """Everybody who waits for one quota."""

    lock: anyio.Lock = field(default_factory=anyio.Lock)
    waiting: list[_Charge] = field(default_factory=list)


class Charges:
    """Charges quotas by their store keys."""

    def __init__(self, store: Store, used: Used) -> None:
        self._store = store
        self._used = used
        self._lanes: dict[str, _Lane] = {}

    async def charge(self, review: Review, key: str, delta: Usage) -> None:
        """Add ``delta`` to what the quota at ``key`` says is used; nothing if it is gone.

        Raises:
            ApiError: 403, it would be too much; 409, others change the quota all the time.
        """
        lane = self._lanes.setdefault(key, _Lane())
        one = _Charge(review, delta)
        lane.waiting.append(one)
        try:
            async with lane.lock:
                if not one.settled:
                    await self._settle(key, lane)
        finally:
            if not one.settled:  # whoever is at work charges it perhaps; it is counted anew then
                lane.waiting.remove(one)
            if not lane.waiting and self._lanes.get(key) is lane:
                del self._lanes[key]
        if one.error is not None:
            raise one.error

    async def _settle(self, key: str, lane: _Lane) -> None:
        """Charge for everybody who waits now."""
        for _ in range(_ATTEMPTS):
            charges = list(lane.waiting)
            record = await self._store.get(key)
            if record is None or await self._written(record, charges):
                break
        else:
            name = key.rpartition("/")[2]
            message = f"the quota {name} is being changed by too many; try again"
            for one in charges:
                one.error = ApiError(409, "Conflict", message)
        for one in charges:
            one.settled = True
            if one in lane.waiting:  # else it was given up meanwhile
                lane.waiting.remove(one)

    async def _written(self, record: Record, charges: list[_Charge]) -> bool:
        """Whether the charges are on disk; those that are too much are refused."""
        found = encoding.decode(record.value)
        hard = (found.get("spec") or {}).get("hard") or {}
        used: Mapping[str, str] | None = None
        grown = False
        for one in charges:
            one.error = None
            more = {name: value for name, value in one.delta.items() if name in hard and value}
            if not more:
                continue
            if used is None:
                used = await self._used(found, hard, one.review.namespace)
            over = quota.exceeded(hard, used, more)
            if over:
                one.error = _exceeded(one.review, found, used, {n: more[n] for n in over})
            elif not one.review.dry_run:
                used = {n: quota.text(n, parse(used.get(n, 0)) + more.get(n, 0)) for n in hard}
                grown = True
        if not grown:
            return True
        found["status"] = {"hard": hard, "used": used}
        txn = Txn(
            (Compare(record.key, record.revision),), Write(record.key, encoding.template(found))
        )
        return (await self._store.commit(txn)).record is not None


def _exceeded(review: Review, found: Object, used: Mapping[str, str], over: Usage) -> ApiError:
    hard = found["spec"]["hard"]
    wanted = {name: quota.text(name, value) for name, value in over.items()}
    return refused(
        review,
        f"exceeded quota: {found['metadata']['name']}, "
        f"requested: {quota.pretty(over, wanted)}, "
        f"used: {quota.pretty(over, used)}, limited: {quota.pretty(over, hard)}",
    )
