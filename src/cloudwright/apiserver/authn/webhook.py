"""Tokens that a webhook knows (``--authentication-token-webhook-config-file``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloudwright._base import logs
from cloudwright.apiserver.authn.accounts import refusal
from cloudwright.apiserver.identity import User
from cloudwright.apiserver.reviewing import Remembered, Reviewer, ReviewError, digest

if TYPE_CHECKING:
    from cloudwright._base.clock import Clock

_log = logs.get("apiserver.authn")
CACHE_SECONDS = 120.0
"""How long an answer counts: upstream's default."""
_API_VERSION = "authentication.k8s.io/v1"
Known = tuple[User, tuple[str, ...]]


class TokenWebhook:
    """Asks ``TokenReview`` s of a webhook; yes and no are remembered alike."""

    def __init__(self, reviewer: Reviewer, clock: Clock, seconds: float = CACHE_SECONDS) -> None:
        self._reviewer = reviewer
        self._seconds = seconds
        self._known = Remembered(clock)

    async def by_token(
        self, token: str, audiences: tuple[str, ...], own: tuple[str, ...]
    ) -> Known | None:
        """The user of a token and the audiences it is good for; ``None``: the webhook knows none.

        Args:
            token: the bearer token.
            audiences: those that were asked for; empty: any.
            own: those of this API, for which it is good when the webhook names none.

        Raises:
            ApiError: 401, the webhook says what is wrong with it, or gives no answer.
        """
        key = digest([token, audiences])
        status = self._known.get(key)
        if status is None:
            spec: dict[str, Any] = {"token": token}
            if audiences:
                spec["audiences"] = list(audiences)
            review = {
                "kind": "TokenReview",
                "apiVersion": _API_VERSION,
                "metadata": {},
                "spec": spec,
            }
            try:
                status = await self._reviewer.ask(review)
            except ReviewError as error:
                _log.error("a token cannot be checked: %s", error.message)
                raise refusal(error.message) from error
            self._known.keep(key, status, self._seconds)
        return _known(status, audiences, own)


def _known(
    status: dict[str, Any], audiences: tuple[str, ...], own: tuple[str, ...]
) -> Known | None:
    if not status.get("authenticated"):
        if status.get("error"):
            raise refusal(str(status["error"]))
        return None
    good_for = own
    if audiences:
        named = [str(one) for one in status.get("audiences") or own]
        good_for = tuple(one for one in audiences if one in named)
        if not good_for:
            return None
    found = status.get("user") or {}
    extra = found.get("extra") or {}
    user = User(
        str(found.get("username") or ""),
        tuple(str(one) for one in found.get("groups") or ()),
        str(found.get("uid") or ""),
        tuple(sorted((str(key).lower(), tuple(map(str, extra[key]))) for key in extra)),
    )
    return user, good_for
