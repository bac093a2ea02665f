"""How others check our tokens: OpenID Connect discovery (``/.well-known/openid-configuration``)."""

from __future__ import annotations

import orjson

from cloudwright.apiserver.authn.accounts import AccountTokens
from cloudwright.apiserver.authn.keys import ALGORITHM
from cloudwright.client.transport import Reply

CONFIGURATION, KEYS = "/.well-known/openid-configuration", "/openid/v1/jwks"
PATHS = (CONFIGURATION, KEYS)
_CACHE = {"cache-control": "public, max-age=3600"}


def answer(path: str, tokens: AccountTokens, base: str) -> Reply | None:
    """The document at ``path``; ``base`` is where the API is reached (``https://HOST:PORT``)."""
    if path == CONFIGURATION:
        document = {
            "issuer": tokens.issuer,
            "jwks_uri": f"{base}{KEYS}",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [ALGORITHM],
        }
        headers = {"content-type": "application/json", **_CACHE}
        return Reply(200, headers, orjson.dumps(document))
    if path == KEYS:
        keys = {"keys": [key.as_jwk() for key in tokens.keys.all()]}
        headers = {"content-type": "application/jwk-set+json", **_CACHE}
        return Reply(200, headers, orjson.dumps(keys))
    return None
