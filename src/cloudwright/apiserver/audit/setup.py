"""Auditing as it is configured: from a policy file to a running auditor."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudwright._base.errors import UsageError
from cloudwright.apiserver.core import ApiCore
from cloudwright.apiserver.security import Security, duration

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
    core: ApiCore,
    policy: str,
    log: Path,
    sinks: Sequence[Sink] = (),
    *,
    webhook: Security | None = None,
) -> AsyncIterator[Auditor | None]:
    """Audit ``core`` by ``policy`` into ``log`` (and further sinks) until the block ends; an empty
    policy audits nothing. ``webhook``: the settings may name a server that gets the events too.

    Raises:
        PolicyProblem: the policy cannot be used.
        UsageError: the settings of the webhook cannot.
    """
    hooked = webhook is not None and bool(webhook.audit_webhook_config_file)
    if not policy and hooked:
        raise UsageError("--audit-webhook-config-file needs --audit-policy")
    if not policy:
        yield None
        return
    from cloudwright.apiserver.audit.auditor import Auditor
    from cloudwright.apiserver.audit.sinks import FileSink

    every: list[Sink] = [FileSink(log), *sinks]
    async with AsyncExitStack() as stack:
        if webhook is not None and hooked:
            every.append(_hook(stack, webhook))
        made = Auditor(core, load(policy), every, core.clock)
        await stack.enter_async_context(made.running())
        core.audit = made
        try:
            yield made
        finally:
            core.audit = None


def _hook(stack: AsyncExitStack, wanted: Security) -> Sink:
    """The sink of ``--audit-webhook-config-file``, closed with ``stack``."""
    from cloudwright.apiserver.audit.sinks import WebhookSink
    from cloudwright.apiserver.audit.webhook import AuditHook

    hook = AuditHook(Path(wanted.audit_webhook_config_file))
    stack.push_async_callback(hook.aclose)
    seconds = duration(wanted, "audit_webhook_batch_max_wait")
    return WebhookSink(hook.post, wanted.audit_webhook_batch_max_size, seconds)
