"""Which kinds are encrypted, and by what: ``EncryptionConfiguration`` (apiserver.config.k8s.io/v1).

The providers ``aesgcm``, ``aescbc`` and ``identity`` are understood; ``secretbox`` and ``kms`` are
refused. The word ``secrets`` instead of a file: Secrets by a key of its own in
``STATE/pki/encryption.key``, made when it is missing.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cloudwright._base.errors import UsageError
from cloudwright._base.files import make_private, write_atomic
from cloudwright.apiserver.store.encryption.providers import AesCbc, AesGcm, Cipherer, Providers

BUILT_IN = "secrets"
_LENGTHS = (16, 24, 32)


class EncryptionProblem(UsageError):
    """The encryption configuration cannot be used; the message names the field."""

    default_code = "CW3215"


class Rules:
    """Which providers are those of a key of the store."""

    def __init__(self, entries: list[tuple[str, Providers]]) -> None:
        self._entries = entries
        self._known: dict[str, Providers | None] = {}

    def of(self, key: str) -> Providers | None:
        """The providers of a key (``/core/secrets/…``); ``None``: it is not encrypted."""
        parts = key.split("/", 3)
        if len(parts) < 4:
            return None
        place = f"{parts[1]}/{parts[2]}"
        if place not in self._known:
            if len(self._known) > 10_000:
                self._known.clear()
            group = "" if parts[1] == "core" else parts[1]
            self._known[place] = self._find(group, parts[2])
        return self._known[place]

    def _find(self, group: str, plural: str) -> Providers | None:
        name = f"{plural}.{group}" if group else plural
        for pattern, providers in self._entries:
            if pattern in (name, f"*.{group}", "*.*"):
                return providers
        return None


def load(where: str, directory: Path) -> Rules:
    """The rules in a file; ``secrets``: the built-in ones, with their key in ``directory``.

    Raises:
        EncryptionProblem: they cannot be read or used.
    """
    if where == BUILT_IN:
        key = AesGcm(b"k8s:enc:aesgcm:v1:own:", AESGCM(_own_key(directory)))
        return Rules([("secrets", Providers((key,), key, plain=True))])
    import yaml

    try:
        content = yaml.safe_load(Path(where).read_bytes())
    except (OSError, yaml.YAMLError) as error:
        raise EncryptionProblem(f"{where} cannot be read", cause=str(error)) from error
    return rules(content)


def _own_key(directory: Path) -> bytes:
    file = directory / "encryption.key"
    if not file.exists():
        make_private(directory)
        write_atomic(file, base64.b64encode(os.urandom(32)), mode=0o600, durable=True)
    return _secret(file.read_text().strip(), str(file))


def rules(content: Any) -> Rules:
    """The rules in an object. Raises EncryptionProblem."""
    if not isinstance(content, dict) or content.get("kind") != "EncryptionConfiguration":
        raise EncryptionProblem("the file holds no EncryptionConfiguration")
    found: list[tuple[str, Providers]] = []
    entries = content.get("resources") or []
    if not entries:
        raise EncryptionProblem("resources: at least one is required")
    for at, entry in enumerate(entries):
        path = f"resources[{at}]"
        names = entry.get("resources") or []
        if not names:
            raise EncryptionProblem(f"{path}.resources: at least one is required")
        providers = _providers(entry.get("providers"), f"{path}.providers")
        found += [(str(name), providers) for name in names]
    return Rules(found)


def _providers(given: Any, path: str) -> Providers:
    if not given:
        raise EncryptionProblem(f"{path}: at least one is required")
    ciphers: list[Cipherer] = []
    writer: Cipherer | None = None
    plain = False
    for at, entry in enumerate(given):
        where = f"{path}[{at}]"
        if not isinstance(entry, Mapping) or len(entry) != 1:
            raise EncryptionProblem(f"{where}: exactly one provider")
        ((kind, settings),) = entry.items()
        if kind == "identity":
            plain = True
            continue
        made = _ciphers(str(kind), settings or {}, where)
        if at == 0:
            writer = made[0]
        ciphers += made
    return Providers(tuple(ciphers), writer, plain)


def _ciphers(kind: str, settings: Mapping[str, Any], path: str) -> list[Cipherer]:
    if kind not in ("aesgcm", "aescbc"):
        raise EncryptionProblem(
            f"{path}.{kind}: not supported", hint="aesgcm, aescbc and identity are"
        )
    keys = settings.get("keys") or []
    if not keys:
        raise EncryptionProblem(f"{path}.{kind}.keys: at least one is required")
    found: list[Cipherer] = []
    for at, key in enumerate(keys):
        where, name = f"{path}.{kind}.keys[{at}]", str(key.get("name") or "")
        if not name or ":" in name:
            raise EncryptionProblem(f"{where}.name: required, without a colon")
        secret = _secret(str(key.get("secret") or ""), f"{where}.secret")
        mark = f"k8s:enc:{kind}:v1:{name}:".encode()
        found.append(AesGcm(mark, AESGCM(secret)) if kind == "aesgcm" else AesCbc(mark, secret))
    return found


def _secret(text: str, path: str) -> bytes:
    try:
        found = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error) as error:
        raise EncryptionProblem(f"{path}: must be base64") from error
    if len(found) not in _LENGTHS:
        raise EncryptionProblem(f"{path}: must be 16, 24 or 32 bytes, not {len(found)}")
    return found
