"""Static bearer tokens.

They are kept as SHA-256 digests only, in ``state/apiserver/tokens.json`` (0600), read again
whenever the file changes.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cloudwright._base.errors import CloudwrightError
from cloudwright._base.files import make_private, write_atomic
from cloudwright._base.paths import Paths
from cloudwright.apiserver.identity import User


class TokenFile:
    """Static tokens, by digest."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._stamp: tuple[int, int, int] | None = None
        self._users: dict[str, User] = {}

    @classmethod
    def of(cls, paths: Paths) -> TokenFile:
        """The token file of a platform instance."""
        return cls(paths.state / "apiserver" / "tokens.json")

    def review(self, token: str) -> User | None:
        """The user that the token was issued to."""
        self._refresh()
        # A look-up by digest: what leaks through timing is the digest's, not the token's.
        return self._users.get(_digest(token))

    def issue(self, user: str, groups: Iterable[str] = ()) -> str:
        """A new token for ``user``; it is shown this once, only its digest is kept."""
        if not user or user.startswith("system:anonymous"):
            raise CloudwrightError(f"a token cannot be issued to {user!r}", code="CW3210")
        token = f"cw-{secrets.token_urlsafe(32)}"
        entries = self._entries()
        entries.append({"sha256": _digest(token), "user": user, "groups": list(groups)})
        self._write(entries)
        return token

    def revoke(self, user: str) -> int:
        """Forget every token of ``user``; returns how many there were."""
        entries = self._entries()
        kept = [entry for entry in entries if entry["user"] != user]
        if len(kept) != len(entries):
            self._write(kept)
        return len(entries) - len(kept)

    def _write(self, entries: list[dict[str, Any]]) -> None:
        make_private(self._file.parent)
        data = json.dumps({"tokens": entries}, indent=1).encode()
        write_atomic(self._file, data, mode=0o600, durable=True)

    def _entries(self) -> list[dict[str, Any]]:
        try:
            content = json.loads(self._file.read_bytes())
            entries = content["tokens"]
            for entry in entries:
                User(str(entry["user"]), tuple(entry["groups"]), str(entry["sha256"]))
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError) as error:
            raise CloudwrightError(
                f"{self._file} is not a token file",
                code="CW3211",
                cause=str(error),
                hint="repair it or remove it and issue the tokens again",
            ) from error
        return list(entries)

    def _refresh(self) -> None:
        try:
            status = self._file.stat()
        except FileNotFoundError:
            self._users, self._stamp = {}, None
            return
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if stamp != self._stamp:
            self._users = {
                entry["sha256"]: User(entry["user"], tuple(entry["groups"]))
                for entry in self._entries()
            }
            self._stamp = stamp


def issue_token(paths: Paths, user: str, groups: Iterable[str] = ()) -> str:
    """Issue a bearer token for ``user`` on this instance and return it."""
    return TokenFile.of(paths).issue(user, groups)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
