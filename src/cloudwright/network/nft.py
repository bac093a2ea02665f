"""Loading packet rules through ``nft -f -``."""

from __future__ import annotations

import subprocess

from cloudwright.network.errors import RulesError

_TIMEOUT = 30.0


def load(rules: str, *, program: str = "nft") -> None:
    """Apply ``rules`` in one transaction, in this thread's network namespace. Blocks.

    Raises:
        RulesError: ``nft`` is missing, refused the rules, or did not answer.
    """
    run(["-f", "-"], rules, program=program)


def run(arguments: list[str], stdin: str = "", *, program: str = "nft") -> str:
    """Run ``nft`` and give its output. Blocks.

    Raises:
        RulesError: ``nft`` is missing, failed, or did not answer.
    """
    try:
        done = subprocess.run(
            [program, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except FileNotFoundError:
        raise RulesError(
            f"the program {program} is not installed",
            hint="install the package nftables (apt-get install nftables)",
        ) from None
    except subprocess.TimeoutExpired:
        raise RulesError(f"{program} did not answer within {_TIMEOUT:g} s") from None
    if done.returncode != 0:
        said = " ".join(done.stderr.split())
        raise RulesError(
            f"{program} refused the packet rules: {said[:400]}",
            hint="run `cloudwright doctor`: the kernel may lack nf_tables or nf_nat",
        )
    return done.stdout
