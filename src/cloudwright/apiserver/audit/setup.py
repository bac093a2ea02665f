"""Auditing as it is configured: from a policy file to a running auditor."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudwright.apiserver.core import ApiCore

if TYPE_CHECKING:
    from cloudwright.apiserver.audit.auditor import Auditor
    from cloudwright.apiserver.audit.policy import Policy
    from cloudwright.apiserver.audit.sinks import Sink

BUILT_IN = "default"


def load(name: str) -> Policy:
    """The policy in the YAML file ``name``; ``default`` is the one that comes with us.

    Raises:
        PolicyProblem: the file cannot be read or is no policy.
    """
    from cloudwright.apiserver.audit.policy import DEFAULT, Policy, PolicyProblem

    content: Any = DEFAULT
    if name != BUILT_IN:
        import yaml

        try:
            content = yaml.safe_load(Path(name).read_bytes())
        except (OSError, yaml.YAMLError) as error:
            raise PolicyProblem(f"{name} cannot be read", cause=str(error)) from error
    return Policy.of(content)


@asynccontextmanager
async def running(
    core: ApiCore, policy: str, log: Path, sinks: Sequence[Sink] = ()
) -> AsyncIterator[Auditor | None]:
    """Audit ``core`` by ``policy`` into ``log`` (and further sinks) until the block ends; an empty
    policy audits nothing.

    Raises:
        PolicyProblem: the policy cannot be used.
    """
    if not policy:
        yield None
        return
    from cloudwright.apiserver.audit.auditor import Auditor
    from cloudwright.apiserver.audit.sinks import FileSink

    made = Auditor(core, load(policy), [FileSink(log), *sinks], core.clock)
    async with made.running():
        core.audit = made
        try:
            yield made
        finally:
            core.audit = None
