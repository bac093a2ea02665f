"""The part of the API that knows who somebody is, put together and kept running."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio

from cloudwright._base.paths import Paths
from cloudwright.apiserver import rootca, security
from cloudwright.apiserver.authn import Authenticator, TokenFile
from cloudwright.apiserver.authn.accounts import AccountTokens
from cloudwright.apiserver.authn.keys import SigningKeys
from cloudwright.apiserver.authn.legacy import TokenSecrets
from cloudwright.apiserver.calls import Call
from cloudwright.apiserver.core import Answer, ApiCore, Handler


@dataclass(frozen=True, slots=True)
class Identities:
    """Who asks, and who issues what to ask with."""

    authenticator: Authenticator
    tokens: AccountTokens


@asynccontextmanager
async def running(
    core: ApiCore, paths: Paths, authority: bytes, wanted: security.Security | None = None
) -> AsyncIterator[Identities]:
    """Serve tokens of service accounts on ``core``, and publish ``authority`` (the API's CA as
    PEM) to every namespace, until the block ends. ``wanted`` may name further issuers of tokens.

    Raises:
        CloudwrightError: the signing keys cannot be read or made, or the configuration not used.
    """
    secured = wanted or security.Security()
    anonymous: frozenset[str] | None = frozenset()
    others = None
    if secured.authentication_config:
        from cloudwright.apiserver.authn import issuerfile, issuers

        told = issuerfile.load(Path(secured.authentication_config))
        anonymous = told.anonymous
        others = issuers.IssuerTokens(told.issuers, core.clock) if told.issuers else None
    keys = SigningKeys(paths.pki / "service-accounts")
    tokens = AccountTokens(core.store, keys, core.clock)
    authenticator = Authenticator(
        TokenFile.of(paths), accounts=tokens, issuers=others, anonymous=anonymous
    )
    core.tokens = authenticator
    core.on_subresource("", "serviceaccounts", "token", _token_requests(tokens))
    async with (
        security.token_webhook(secured, core.clock) as webhook,
        anyio.create_task_group() as tasks,
    ):
        authenticator.webhook = webhook
        tasks.start_soon(rootca.run, core, authority)
        tasks.start_soon(TokenSecrets(core, tokens, authority).run)
        yield Identities(authenticator, tokens)
        tasks.cancel_scope.cancel()


def _token_requests(tokens: AccountTokens) -> Handler:
    """``TokenRequests``, loaded for the first request: few clusters' first minutes see one."""

    async def serve(core: ApiCore, call: Call) -> Answer:
        from cloudwright.apiserver.authn.requests import TokenRequests

        return await TokenRequests(tokens)(core, call)

    return serve
