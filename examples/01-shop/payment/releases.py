"""What differs between the releases of payment. The image's environment (RELEASE) picks one."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Release:
    version: str
    takes_fee: bool
    needs: tuple[str, ...]


RELEASES = {
    "1.11.0": Release("1.11.0", takes_fee=False, needs=("inventory",)),
    "1.12.0": Release("1.12.0", takes_fee=True, needs=("inventory",)),
    # Written against a ledger service that nobody runs yet: it never becomes ready.
    "1.13.0": Release("1.13.0", takes_fee=True, needs=("inventory", "ledger")),
}
CURRENT = RELEASES[os.environ.get("RELEASE", "1.12.0")]
