"""What kube-apiserver's flags say about who is asked, what is told, and what is kept secret.

The names are upstream's, with ``_`` for ``-``, so that each flag of ``python -m
cloudwright.apiserver`` and each key of the platform's ``config.toml`` is found by its old name.
"""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from cloudwright._base.errors import UsageError

if TYPE_CHECKING:
    from cloudwright._base.clock import Clock
    from cloudwright.apiserver.authn.webhook import TokenWebhook
    from cloudwright.apiserver.authz import ChainAuthorizer
    from cloudwright.apiserver.store.interface import Store


@dataclass(frozen=True, slots=True)
class Security:
    """The settings; empty means: not used, or upstream's default."""

    audit_policy: str = ""
    """``audit.k8s.io/v1`` Policy, or ``default``."""
    audit_webhook_config_file: str = ""
    """kubeconfig of a server that gets the events in batches."""
    audit_webhook_batch_max_size: int = 400
    audit_webhook_batch_max_wait: str = "1s"
    authentication_config: str = ""
    """``AuthenticationConfiguration``: further issuers of tokens."""
    authentication_token_webhook_config_file: str = ""
    """kubeconfig of a server that answers ``TokenReview`` s."""
    authentication_token_webhook_cache_ttl: str = "2m"  # noqa: S105
    authorization_config: str = ""
    """``AuthorizationConfiguration``: who is asked about rights, and in which order."""
    authorization_mode: str = ""
    """``Node,RBAC,Webhook`` …; empty: ``Node,RBAC``."""
    authorization_webhook_config_file: str = ""
    """kubeconfig of a server that answers ``SubjectAccessReview`` s."""
    authorization_webhook_cache_authorized_ttl: str = "5m"
    authorization_webhook_cache_unauthorized_ttl: str = "30s"
    encryption_provider_config: str = ""
    """``EncryptionConfiguration``: what is encrypted in the store; or ``secrets``: those, by a key
    of our own."""


_HELP = {
    "audit_policy": "audit.k8s.io/v1 Policy, or `default`; events go to STATE/audit/audit.log",
    "audit_webhook_config_file": "kubeconfig of a server that gets audit events too",
    "authentication_config": "further issuers of tokens (apiserver.config.k8s.io/v1)",
    "authentication_token_webhook_config_file": "kubeconfig of a server that knows tokens",
    "authorization_config": "AuthorizationConfiguration (apiserver.config.k8s.io/v1)",
    "authorization_mode": "who is asked about rights, in order (Node,RBAC,Webhook)",
    "authorization_webhook_config_file": "kubeconfig of a server that decides about rights",
    "encryption_provider_config": "EncryptionConfiguration, or `secrets`: what is encrypted",
}


def add_flags(words: argparse.ArgumentParser) -> None:
    """Add one flag for each setting."""
    for one in fields(Security):
        words.add_argument(
            f"--{one.name.replace('_', '-')}",
            type=type(one.default),
            default=one.default,
            help=_HELP.get(one.name, f"as kube-apiserver's (default {one.default})"),
            metavar="FILE" if one.name.endswith(("_file", "_config", "_policy")) else "VALUE",
        )


def of(given: argparse.Namespace) -> Security:
    """The settings among parsed flags."""
    return Security(**{one.name: getattr(given, one.name) for one in fields(Security)})


@asynccontextmanager
async def authorizer(
    wanted: Security, store: Store, clock: Clock
) -> AsyncIterator[ChainAuthorizer]:
    """Who decides about rights.

    Raises:
        AuthorizationProblem: the settings cannot be used.
    """
    plain = not (wanted.authorization_config or wanted.authorization_mode)
    if plain and not wanted.authorization_webhook_config_file:
        from cloudwright.apiserver.authz import ChainAuthorizer

        yield ChainAuthorizer(store)
        return
    from cloudwright.apiserver.authz import configuration, configured

    if wanted.authorization_config:
        if wanted.authorization_mode or wanted.authorization_webhook_config_file:
            raise configuration.AuthorizationProblem(
                "--authorization-config cannot be used with --authorization-mode or "
                "--authorization-webhook-*"
            )
        steps = configuration.load(Path(wanted.authorization_config))
    else:
        steps = configuration.from_flags(
            wanted.authorization_mode,
            wanted.authorization_webhook_config_file,
            wanted.authorization_webhook_cache_authorized_ttl,
            wanted.authorization_webhook_cache_unauthorized_ttl,
        )
    async with configured.opened(store, clock, steps) as found:
        yield found


@asynccontextmanager
async def sealed(wanted: Security, store: Store, keys: Path) -> AsyncIterator[Store]:
    """The store with what is to be encrypted encrypted; ``keys``: where our own key is kept. What
    is kept otherwise is written anew, beside the work.

    Raises:
        EncryptionProblem: the settings cannot be used.
    """
    if not wanted.encryption_provider_config:
        yield store
        return
    import anyio

    from cloudwright.apiserver.store.encryption import configuration
    from cloudwright.apiserver.store.encryption.sealed import SealedStore

    made = SealedStore(store, configuration.load(wanted.encryption_provider_config, keys))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(made.renew)
        yield made
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def token_webhook(wanted: Security, clock: Clock) -> AsyncIterator[TokenWebhook | None]:
    """Who knows further tokens; ``None``: nobody.

    Raises:
        UsageError: the settings cannot be used.
    """
    if not wanted.authentication_token_webhook_config_file:
        yield None
        return
    from cloudwright.apiserver.authn.webhook import TokenWebhook
    from cloudwright.apiserver.reviewing import Reviewer

    reviewer = Reviewer(Path(wanted.authentication_token_webhook_config_file))
    seconds = duration(wanted, "authentication_token_webhook_cache_ttl")
    async with AsyncExitStack() as stack:
        stack.push_async_callback(reviewer.aclose)
        yield TokenWebhook(reviewer, clock, seconds)


def duration(wanted: Security, name: str) -> float:
    """The seconds of a setting. Raises UsageError."""
    from cloudwright.model import durations

    try:
        return durations.parse(getattr(wanted, name))
    except ValueError as error:
        raise UsageError(f"--{name.replace('_', '-')}: {error}") from error
