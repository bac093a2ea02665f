"""What can go wrong with containers and native processes.

CloudwrightError
├─ RuntimeFailedError                    the supervisor or crun could not do it
├─ ContainerSpecError (UsageError)       what was asked makes no sense; the message names the field
├─ ContainerMissingError (NotFoundError)
├─ ContainerConflictError (ConflictError) the id is taken
├─ RuntimeTimeoutError (TimedOutError)   a runtime call hung and was ended
└─ SupervisorLostError (UnreachableError) no supervisor answers, or it ended while answering
"""

from __future__ import annotations

from typing import Any

from cloudwright._base.errors import (
    CloudwrightError,
    ConflictError,
    NotFoundError,
    TimedOutError,
    UnreachableError,
    UsageError,
)


class RuntimeFailedError(CloudwrightError):
    """The supervisor or crun could not do it."""

    default_code = "CW3101"


class ContainerSpecError(UsageError):
    """What was asked makes no sense."""

    default_code = "CW3102"


class ContainerMissingError(NotFoundError):
    """No container, sandbox or process of that id."""

    default_code = "CW3103"


class ContainerConflictError(ConflictError):
    """The id is taken by something made otherwise."""

    default_code = "CW3104"


class RuntimeTimeoutError(TimedOutError):
    """A runtime call hung and was ended."""

    default_code = "CW3105"


class SupervisorLostError(UnreachableError):
    """No supervisor answers, or it ended while answering."""

    default_code = "CW3106"


_BY_CODE: dict[str, type[CloudwrightError]] = {
    "not_found": ContainerMissingError,
    "exists": ContainerConflictError,
    "invalid": ContainerSpecError,
    "timeout": RuntimeTimeoutError,
    "failed": RuntimeFailedError,
}


def from_wire(error: dict[str, Any]) -> CloudwrightError:
    """The error that an answer of the supervisor stands for."""
    kind = _BY_CODE.get(str(error.get("code")), RuntimeFailedError)
    return kind(str(error.get("message", "the supervisor gave no reason")))
