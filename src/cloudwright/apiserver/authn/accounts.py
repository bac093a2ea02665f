"""Tokens of service accounts: issued, and checked for each request in microseconds.

The signature and claims of a token are checked once and kept until it expires; that its account,
pod, secret or node still exists is known from ``Liveness``. Parsing and signatures are PyJWT's.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cloudwright._base.clock import Clock
from cloudwright.apiserver.authn.claims import LEGACY_ISSUER, ClaimError, Claims, read
from cloudwright.apiserver.authn.keys import ALGORITHM, SigningKeys
from cloudwright.apiserver.authn.liveness import Liveness
from cloudwright.apiserver.errors import ApiError, unauthorized
from cloudwright.apiserver.identity import User

if TYPE_CHECKING:
    from cloudwright.apiserver.store.interface import Store

ISSUER = "https://kubernetes.default.svc.cluster.local"
_KEPT_MAX = 10_000
_NO_CHECKS = dict.fromkeys(
    ("verify_exp", "verify_nbf", "verify_iat", "verify_aud", "verify_iss", "verify_sub"), False
) | {"verify_jti": False}


@dataclass(frozen=True, slots=True)
class _Known:
    """A token whose signature and claims were checked."""

    claims: Claims
    user: User


class AccountTokens:
    """Issues and checks tokens of the service accounts in ``store``.

    ``issuer`` names this cluster in tokens; ``audiences`` are what this API answers to (default:
    the issuer).
    """

    def __init__(
        self,
        store: Store,
        keys: SigningKeys,
        clock: Clock,
        *,
        issuer: str = ISSUER,
        audiences: tuple[str, ...] = (),
    ) -> None:
        self.keys = keys
        self.issuer = issuer
        self.audiences = audiences or (issuer,)
        self._clock = clock
        self._liveness = Liveness(store)
        self._known: dict[str, _Known] = {}

    def issue(self, claims: Claims, seconds: int) -> str:
        """A token with these claims that is good from now on for so long."""
        now = self._clock.now().timestamp()
        dated = replace(
            claims,
            issued=now,
            not_before=now,
            expires=now + seconds,
            token_id=str(uuid.uuid4()),
        )
        return self._sign(dated.as_json(self.issuer))

    def issue_legacy(self, claims: Claims) -> str:
        """A token that lives in a Secret, as long as the Secret does."""
        return self._sign(claims.as_legacy_json())

    async def by_token(
        self, token: str, audiences: tuple[str, ...] = ()
    ) -> tuple[User, tuple[str, ...]] | None:
        """The user and audiences of a token; ``None`` when somebody else issued it.

        Raises:
            ApiError: 401, it is ours and not good; ``hint`` says why.
            StoreError: the store cannot be read.
        """
        try:
            known = self._known.get(token) or self._parse(token)
            if known is None:
                return None
            claims, now = known.claims, self._clock.now().timestamp()
            claims.check_times(now)
            good_for = claims.good_for(audiences, self.audiences)
            until = await self._liveness.known(token)
            if until is None or now > until:
                await self._look_at_holders(token, claims, now)
            return known.user, good_for
        except ClaimError as error:
            raise refusal(str(error)) from error

    async def _look_at_holders(self, token: str, claims: Claims, now: float) -> None:
        found = await self._liveness.check(token, claims.holders(), now)
        if claims.legacy:
            text = (found[1].get("data") or {}).get("token", "")
            held = base64.b64decode(text)
            if not hmac.compare_digest(held, token.encode()):
                raise ClaimError("Token does not match server's copy")

    def _parse(self, token: str) -> _Known | None:
        """Check the signature and read the claims; keep them.

        Raises:
            ClaimError: it says that it is ours, and is not.
        """
        if issuer_of(token) not in (self.issuer, LEGACY_ISSUER):
            return None
        # Not at the top: a third of a hundred milliseconds that only tokens need.
        import jwt

        try:
            kid = jwt.get_unverified_header(token).get("kid")
            key = self.keys.find(kid) if isinstance(kid, str) else None
            if key is None:
                raise ClaimError("invalid signature, no keys found")
            content = jwt.decode(token, key.key, algorithms=[ALGORITHM], options=_options())
        except jwt.PyJWTError as error:
            raise ClaimError(f"invalid token: {error}") from error
        claims = read(content)
        if claims.legacy != (content.get("iss") == LEGACY_ISSUER):
            raise ClaimError(f'token issuer "{content.get("iss")}" is invalid')
        if len(self._known) >= _KEPT_MAX:
            self._known.clear()
        known = self._known[token] = _Known(claims, claims.user())
        return known

    def _sign(self, content: dict[str, Any]) -> str:
        import jwt

        headers = {"kid": self.keys.public.kid}
        return str(jwt.encode(content, self.keys.private, algorithm=ALGORITHM, headers=headers))


def _options() -> Any:
    return dict(_NO_CHECKS)


def issuer_of(token: str) -> str | None:
    """The issuer that a compact JWT names, before anything of it was checked."""
    parts = token.split(".")
    if len(parts) != 3 or not token.isascii():
        return None
    try:
        data = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        content = json.loads(data)
    except (binascii.Error, ValueError, RecursionError):
        return None
    found = content.get("iss") if isinstance(content, dict) else None
    return found if isinstance(found, str) else None


def refusal(why: str) -> ApiError:
    """401 for a bearer token; ``why`` is for who reviews tokens, not for the caller."""
    error = unauthorized()
    error.hint = f"[invalid bearer token, {why}]"
    return error
