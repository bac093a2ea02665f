"""Authorizers in an order that was chosen, webhooks among them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from cloudwright.apiserver.authz.chain import ChainAuthorizer
from cloudwright.apiserver.authz.configuration import (
    ALWAYS_ALLOW,
    ALWAYS_DENY,
    NODE,
    USUAL,
    Step,
    Webhook,
)
from cloudwright.apiserver.authz.webhook import Opinion, WebhookAuthorizer
from cloudwright.apiserver.identity import ADMINISTRATORS, Attributes, Rights, User, Verdict
from cloudwright.apiserver.reviewing import Reviewer

if TYPE_CHECKING:
    from cloudwright._base.clock import Clock
    from cloudwright.apiserver.store.interface import Store

_UNKNOWN = "webhook authorizer does not support user rule resolution"


class ConfiguredAuthorizer(ChainAuthorizer):
    """``system:masters`` may do everything; then the steps are asked, until one decides."""

    def __init__(
        self, store: Store, steps: Sequence[Step], webhooks: Sequence[WebhookAuthorizer]
    ) -> None:
        super().__init__(store)
        self._steps = tuple(steps)
        self._webhooks = {one.settings.name: one for one in webhooks}

    async def authorize(self, user: User, wanted: Attributes) -> Verdict:
        """The first yes or no; when nobody has an opinion, every reason for that."""
        if ADMINISTRATORS in user.groups:
            return Verdict(True)
        reasons: list[str] = []
        for step in self._steps:
            opinion, reason = await self._opinion(step, user, wanted)
            if opinion is Opinion.ALLOW:
                return Verdict(True, reason)
            if reason:
                reasons.append(reason)
            if opinion is Opinion.DENY:
                break
        return Verdict(False, "\n".join(reasons))

    async def _opinion(self, step: Step, user: User, wanted: Attributes) -> tuple[Opinion, str]:
        if isinstance(step, Webhook):
            return await self._webhooks[step.settings.name].decide(user, wanted)
        if step == ALWAYS_ALLOW:
            return Opinion.ALLOW, ""
        if step == ALWAYS_DENY:
            return Opinion.NONE, "Everything is forbidden."
        if step == NODE:
            if not self._nodes.concerns(user):
                return Opinion.NONE, ""
            verdict = await self._nodes.authorize(user, wanted)
        else:
            verdict = await self.rbac.authorize(user, wanted)
        return (Opinion.ALLOW if verdict.allowed else Opinion.NONE), verdict.reason

    async def rights(self, user: User, namespace: str) -> Rights:
        """The rules of RBAC; what webhooks allow no rule can express."""
        found = await super().rights(user, namespace)
        if not self._webhooks:
            return found
        both = f"[{_UNKNOWN}, {found.error}]" if found.error else _UNKNOWN
        return Rights(found.rules, True, both)


@asynccontextmanager
async def opened(
    store: Store, clock: Clock, steps: Sequence[Step] = USUAL
) -> AsyncIterator[ChainAuthorizer]:
    """The authorizer of these steps; connections to webhooks are closed at the end."""
    if tuple(steps) == USUAL:
        yield ChainAuthorizer(store)
        return
    reviewers: list[Reviewer] = []
    webhooks: list[WebhookAuthorizer] = []
    for step in steps:
        if isinstance(step, Webhook):
            reviewer = Reviewer(step.file, step.timeout)
            reviewers.append(reviewer)
            webhooks.append(WebhookAuthorizer(step.settings, reviewer, clock))
    try:
        yield ConfiguredAuthorizer(store, steps, webhooks)
    finally:
        for reviewer in reviewers:
            await reviewer.aclose()
