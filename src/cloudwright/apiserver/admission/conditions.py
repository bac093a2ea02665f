"""``matchConditions``: CEL expressions that all must hold before a rule is asked at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cloudwright.apiserver import cel
from cloudwright.apiserver.admission.request import describe
from cloudwright.apiserver.admission.review import Review
from cloudwright.model.resources import Resource

VARIABLES: Mapping[str, cel.Declared] = {
    "object": "dyn",
    "oldObject": "dyn",
    "request": cel.REQUEST,
    "authorizer": "authorizer",
}


class Conditions:
    """The conditions of one webhook; compiled when first needed."""

    def __init__(self, raw: Iterable[Mapping[str, Any]]) -> None:
        self._raw = tuple((str(one["name"]), str(one["expression"])) for one in raw)
        self._environment: cel.Environment | None = None
        self._programs: list[tuple[str, cel.Program]] = []

    def __bool__(self) -> bool:
        return bool(self._raw)

    async def hold(self, review: Review, wanted: Resource, authorize: cel.Authorize) -> bool:
        """Whether all of them are true. One that is false decides, whatever the others do.

        Raises:
            CelError: one cannot be evaluated, and none is false.
        """
        if not self._raw:
            return True
        environment = self._compiled()
        activation = cel.Activation(
            environment,
            {
                "object": review.obj,
                "oldObject": review.old,
                "request": describe(review, wanted),
            },
        )
        return await all_hold(self._programs, activation, authorize)

    def _compiled(self) -> cel.Environment:
        if self._environment is None:
            environment = cel.Environment(VARIABLES)
            self._programs = [
                (name, environment.compile(source, result="bool")) for name, source in self._raw
            ]
            self._environment = environment
        return self._environment


async def all_hold(
    programs: Iterable[tuple[str, cel.Program]],
    activation: cel.Activation,
    authorize: cel.Authorize,
) -> bool:
    """Whether every program is true.

    Raises:
        CelError: some cannot be evaluated, and none is false.
    """
    failures: list[str] = []
    for name, program in programs:
        try:
            if not await program.evaluate_authorized(activation, authorize):
                return False
        except cel.CelError as error:
            failures.append(f"{name}: {error.message}")
    if failures:
        raise cel.CelEvaluationError("; ".join(failures))
    return True
