"""Why the platform cannot be started, stopped or asked.

CloudwrightError
├─ NotRoot (NotAllowedError)        it needs root
├─ NotRunning (UnreachableError)    no daemon of this state directory runs
├─ AlreadyRunning (ConflictError)   another daemon holds the state directory
├─ PortBusy (ConflictError)         a port is taken; names the holder
└─ StartFailed                      the daemon ended before it was ready; carries its own error
"""

from __future__ import annotations

from cloudwright._base.errors import (
    CloudwrightError,
    ConflictError,
    NotAllowedError,
    UnreachableError,
)


class NotRoot(NotAllowedError):
    """The platform needs root."""

    default_code = "CW4001"


class NotRunning(UnreachableError):
    """No daemon of this state directory runs."""

    default_code = "CW4002"


class AlreadyRunning(ConflictError):
    """Another daemon holds the state directory."""

    default_code = "CW4003"


class PortBusy(ConflictError):
    """A port is taken."""

    default_code = "CW4004"


class StartFailed(CloudwrightError):
    """The daemon ended before it was ready."""

    default_code = "CW4005"
