"""What other rooms tell about the request that is being answered; nothing where none is audited."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloudwright.apiserver.audit.events import Story
    from cloudwright.apiserver.identity import User

current: ContextVar[Story | None] = ContextVar("audit_story", default=None)
"""What is known of the request that is being answered."""


def note(key: str, value: str) -> None:
    """Add an annotation to the event of the request that is being answered, if there is one."""
    story = current.get()
    if story is not None:
        story.annotations.setdefault(key, value)


def decided(allowed: bool, reason: str) -> None:
    """Authorization has spoken about the request that is being answered."""
    story = current.get()
    if story is not None:
        word = "allow" if allowed else "forbid"
        story.annotations.setdefault("authorization.k8s.io/decision", word)
        story.annotations.setdefault("authorization.k8s.io/reason", reason)


def impersonates(user: User) -> None:
    """The request that is being answered acts as ``user``."""
    story = current.get()
    if story is not None:
        story.impersonated = user
