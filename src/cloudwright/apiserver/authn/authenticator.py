"""Turns what a request shows into a user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from cloudwright.apiserver.authn.certificates import Peer
from cloudwright.apiserver.errors import unauthorized
from cloudwright.apiserver.identity import User, with_authenticated

if TYPE_CHECKING:
    from cloudwright.apiserver.authn.accounts import AccountTokens
    from cloudwright.apiserver.authn.issuers import IssuerTokens
    from cloudwright.apiserver.authn.webhook import TokenWebhook

UNAUTHENTICATED = "system:unauthenticated"
ANONYMOUS = User("system:anonymous", (UNAUTHENTICATED,))
TOKEN_LENGTH_MAX = 16 << 10
Reviewed = tuple[User, tuple[str, ...]]
"""The user of a token, and for which of the asked audiences the token is good."""


class TokenReviewer(Protocol):
    """Knows tokens of some kind that were issued for this API."""

    def review(self, token: str) -> User | None:
        """The token's user, or ``None`` when it is not a valid token of this kind."""


class Authenticator:
    """Turns a peer and headers into a user."""

    def __init__(
        self,
        *reviewers: TokenReviewer,
        accounts: AccountTokens | None = None,
        issuers: IssuerTokens | None = None,
        anonymous: frozenset[str] | None = frozenset(),
    ) -> None:
        self._reviewers = reviewers
        self._issuers = issuers
        self._anonymous = anonymous
        self.webhook: TokenWebhook | None = None
        """Whoever is asked about tokens that nobody here knows."""
        self.accounts = accounts

    def stranger(self, path: str) -> User | None:
        """Whom a request without credentials is taken for; ``None``: it is refused."""
        allowed = self._anonymous is None or path in self._anonymous
        return ANONYMOUS if allowed else None

    async def user(self, peer: Peer | None, headers: Mapping[str, str]) -> User | None:
        """The user of a request; ``None``: it shows no credentials.

        Raises:
            ApiError: 401, the credentials are wrong.
        """
        if peer is not None:
            return peer.user
        given = headers.get("authorization")
        if given is None:
            return None
        parts = given.strip().split(" ", 2)
        if len(parts) < 2 or parts[0].lower() != "bearer" or not parts[1]:
            return None  # of a kind that we do not look at, as upstream
        found = await self.by_token(parts[1])
        if found is None:
            raise unauthorized()
        return found[0]

    async def by_token(self, token: str, audiences: tuple[str, ...] = ()) -> Reviewed | None:
        """The user of a bearer token, and the audiences that it is good for.

        Raises:
            ApiError: 401, it is of a kind that is known, but not valid.
        """
        if len(token) > TOKEN_LENGTH_MAX:
            return None
        if self.accounts is not None:
            account = await self.accounts.by_token(token, audiences)
            if account is not None:
                return _complete(account[0]), account[1]
        # The rest name no audience of ours: they are good for this API and nobody else.
        own = self.accounts.audiences if self.accounts is not None else ()
        good_for = tuple(one for one in audiences or own if one in own)
        found = await self._known(token) if good_for or not audiences else None
        if found is not None:
            return _complete(found), good_for
        if self.webhook is not None:
            told = await self.webhook.by_token(token, audiences, own)
            if told is not None:
                return _complete(told[0]), told[1]
        return None

    async def _known(self, token: str) -> User | None:
        for reviewer in self._reviewers:
            user = reviewer.review(token)
            if user is not None:
                return user
        return None if self._issuers is None else await self._issuers.by_token(token)


def _complete(user: User) -> User:
    return User(user.name, with_authenticated(user.groups), user.uid, user.extra)
