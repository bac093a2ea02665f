"""``ValidatingAdmissionPolicy``: denies, warns or notes for the audit log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from cloudwright.apiserver import cel
from cloudwright.apiserver.admission.policies.dispatch import Dispatcher, Meeting, Surroundings
from cloudwright.apiserver.admission.policies.policy import Validation
from cloudwright.apiserver.admission.review import Review
from cloudwright.apiserver.errors import ApiError, forbidden
from cloudwright.apiserver.store.interface import Store
from cloudwright.model.fields import FieldError

_CODES = {
    "Unauthorized": 401,
    "Forbidden": 403,
    "RequestEntityTooLarge": 413,
    "Invalid": 422,
}
_NOTE = "validation.policy.admission.k8s.io/validation_failure"


@dataclass(frozen=True, slots=True)
class _Failure:
    message: str
    reason: str = ""
    index: int = 0
    broken: bool = False
    """The policy could not be evaluated (its failure policy says Fail)."""


class ValidatingPolicies:
    """Evaluates the policies about a write after everything else has had its say."""

    phases = ("validate",)

    def __init__(self, store: Store, around: Surroundings) -> None:
        self._dispatcher = Dispatcher(store, "validating", around)
        self.idle = self._dispatcher.idle

    async def mutate(self, review: Review) -> None:
        """Nothing."""

    async def validate(self, review: Review) -> Sequence[FieldError]:
        """Deny, warn and note as the bindings say.

        Raises:
            ApiError: a policy denies; 422, or the code of the validation's reason.
        """
        denial: ApiError | None = None
        notes: list[dict[str, object]] = []
        async for meeting in self._dispatcher.meetings(review):
            for failure in await self._evaluate(meeting, review):
                actions = ("Deny",) if failure.broken else meeting.binding.actions
                if "Deny" in actions and denial is None:
                    denial = _denied(review, meeting, failure)
                if "Warn" in actions:
                    review.warnings.append(
                        f"Validation failed for ValidatingAdmissionPolicy "
                        f"'{meeting.policy.name}' with binding '{meeting.binding.name}': "
                        f"{failure.message}"
                    )
                if "Audit" in actions:
                    notes.append(_note(meeting, failure))
        if notes:
            review.annotations[_NOTE] = orjson.dumps(notes).decode()
        if denial is not None:
            raise denial
        return ()

    async def _evaluate(self, meeting: Meeting, review: Review) -> list[_Failure]:
        policy = meeting.policy
        if meeting.failure:
            return [] if policy.ignores_failures else [_Failure(meeting.failure, broken=True)]
        authorize = self._dispatcher.authorize(review)
        try:
            activation = await self._dispatcher.activation(meeting, review)
            if not await self._dispatcher.applies(meeting, activation, authorize):
                return []
            validations = policy.validations
        except cel.CelError as error:
            return [] if policy.ignores_failures else [_Failure(error.message, broken=True)]
        found: list[_Failure] = []
        spent = _Budget(activation)
        for index, validation in enumerate(validations):
            try:
                passed = await validation.program.evaluate_authorized(activation, authorize)
                spent.check()
            except cel.CelError as error:
                if not policy.ignores_failures:
                    text = f"expression '{validation.source}' resulted in error: {error.message}"
                    found.append(_Failure(text, index=index))
                continue
            if passed is not True:
                message = await _message(validation, activation, authorize)
                found.append(_Failure(message, validation.reason, index))
        await self._annotate(meeting, review, activation, authorize)
        return found

    async def _annotate(
        self,
        meeting: Meeting,
        review: Review,
        activation: cel.Activation,
        authorize: cel.Authorize,
    ) -> None:
        for key, program in meeting.policy.audit_annotations:
            try:
                value = await program.evaluate_authorized(activation, authorize)
            except cel.CelError as error:
                value = f"failed to evaluate: {error.message}"
            if isinstance(value, str) and value:
                review.annotations[f"{meeting.policy.name}/{key}"] = value


class _Budget:
    """All expressions of a policy together may cost only so much."""

    def __init__(self, activation: cel.Activation) -> None:
        self._activation = activation

    def check(self) -> None:
        if self._activation.cost > cel.BUDGET:
            raise cel.CelBudgetError(
                "validation failed due to running out of cost budget, no further validation "
                "rules will be run"
            )


async def _message(
    validation: Validation, activation: cel.Activation, authorize: cel.Authorize
) -> str:
    program = validation.message_program
    if program is not None:
        try:
            text = await program.evaluate_authorized(activation, authorize)
        except cel.CelError:
            text = ""
        if isinstance(text, str) and text.strip() and "\n" not in text:
            return text.strip()
    return validation.message or f"failed expression: {validation.source.strip()}"


def _denied(review: Review, meeting: Meeting, failure: _Failure) -> ApiError:
    resource = review.resource
    text = (
        f"ValidatingAdmissionPolicy '{meeting.policy.name}' with binding "
        f"'{meeting.binding.name}' denied request: {failure.message}"
    )
    error = forbidden(resource.group, resource.plural, review.name, text)
    error.reason = failure.reason or "Invalid"
    error.http_status = _CODES.get(error.reason, 422)
    error.details["causes"] = [{"message": text}]
    return error


def _note(meeting: Meeting, failure: _Failure) -> dict[str, object]:
    return {
        "message": failure.message,
        "policy": meeting.policy.name,
        "binding": meeting.binding.name,
        "expressionIndex": failure.index,
        "validationActions": list(meeting.binding.actions),
    }
