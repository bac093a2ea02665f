"""Who asks: client certificates, static tokens, tokens of service accounts, impersonation.

``authenticator`` asks them in turn. ``claims`` says what is in a service account's token (pure),
``keys`` keeps what signs them, ``accounts`` issues and checks them against what the store holds,
``requests`` serves ``TokenRequest``, ``issuer`` the documents by which others can check them;
``legacy`` fills Secrets that hold tokens.
"""

from cloudwright.apiserver.authn.authenticator import (
    ANONYMOUS,
    UNAUTHENTICATED,
    Authenticator,
    TokenReviewer,
)
from cloudwright.apiserver.authn.certificates import Peer, peer_of
from cloudwright.apiserver.authn.tokenfile import TokenFile, issue_token
from cloudwright.apiserver.identity import AUTHENTICATED

__all__ = [
    "ANONYMOUS",
    "AUTHENTICATED",
    "UNAUTHENTICATED",
    "Authenticator",
    "Peer",
    "TokenFile",
    "TokenReviewer",
    "issue_token",
    "peer_of",
]
