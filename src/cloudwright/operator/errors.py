"""What can go wrong in the operator's own machinery.

OperatorError
├─ EphemeralClash   a claim of the name that an ephemeral volume needs is somebody else's
├─ FieldsOwned      somebody else owns fields that were to be applied
├─ HookError        a hook that is a URL did not answer 2xx in time
├─ LeadershipLost   another operator leads now, or the API does not answer
├─ MeterError       nobody can say what a Service answers
└─ SignerError      a certificate cannot be signed
"""

from __future__ import annotations

from cloudwright._base.errors import CloudwrightError


class OperatorError(CloudwrightError):
    """Something in the operator failed."""

    default_code = "CW4000"


class HookError(OperatorError):
    """A hook that is a URL did not answer 2xx in time."""

    default_code = "CW4001"


class LeadershipLost(OperatorError):
    """Another operator leads now, or the API does not answer."""

    default_code = "CW4002"


class MeterError(OperatorError):
    """Nobody can say what a Service answers."""

    default_code = "CW4003"


class EphemeralClash(OperatorError):
    """A claim of the name that an ephemeral volume needs belongs to somebody else."""

    default_code = "CW4004"


class SignerError(OperatorError):
    """A certificate cannot be signed."""

    default_code = "CW4005"


class FieldsOwned(OperatorError):
    """Somebody else owns fields that were to be applied; the message says which and who."""

    default_code = "CW4006"
