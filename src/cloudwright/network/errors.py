"""What can go wrong in the pod network.

CloudwrightError
├─ NetworkError                  the pod network cannot do it (exit 1)
│  ├─ AddressesExhaustedError    no address of the pod range is free
│  ├─ KernelError                the kernel refused a request (errno, its own words)
│  └─ RulesError                 nft refused the packet rules
├─ UsageError
│  └─ NetworkConfigError         a range, name or port in the configuration makes no sense (exit 2)
└─ ConflictError
   └─ NetworkConflictError       a route, bridge or table of somebody else is in the way (exit 7)
"""

from __future__ import annotations

import os

from cloudwright._base.errors import CloudwrightError, ConflictError, UsageError


class NetworkError(CloudwrightError):
    """The pod network cannot do what was asked."""

    default_code = "CW5000"


class AddressesExhaustedError(NetworkError):
    """No address of the pod range is free."""

    default_code = "CW5001"


class KernelError(NetworkError):
    """The kernel refused a request; ``errno`` is its number."""

    default_code = "CW5002"

    def __init__(self, what: str, errno: int, detail: str = "", *, hint: str | None = None) -> None:
        reason = os.strerror(errno) + (f" ({detail})" if detail else "")
        super().__init__(f"cannot {what}: {reason}", hint=hint)
        self.errno = errno


class RulesError(NetworkError):
    """``nft`` refused the packet rules, or is not installed."""

    default_code = "CW5003"


class NetworkConfigError(UsageError):
    """A range, name or port in the configuration makes no sense."""

    default_code = "CW5004"


class NetworkConflictError(ConflictError):
    """A route, bridge or table of somebody else is in the way."""

    default_code = "CW5005"
