"""One value encrypted and decrypted.

An encrypted value is text: ``k8s:enc:aesgcm:v1:KEY:BASE64:REVISION``. The revision is not secret
and is put in by the store when it writes, so it stands outside; the store's key of the value is
authenticated with it, so that no value can be moved to another place.
"""

from __future__ import annotations

import base64
import binascii
import os
from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cloudwright.apiserver.errors import StoreCorruptError
from cloudwright.apiserver.store.interface import Template

MARK = b"k8s:enc:"
_NONCE = 12
_BLOCK = 16
_LENGTH = 4


class Cipherer(Protocol):
    """Encrypts bytes."""

    @property
    def mark(self) -> bytes:
        """How its values begin."""

    def encrypt(self, plain: bytes, place: bytes) -> bytes:
        """The bytes, encrypted for ``place``."""

    def decrypt(self, secret: bytes, place: bytes) -> bytes:
        """The bytes that were encrypted for ``place``. Raises ValueError."""


@dataclass(frozen=True, slots=True)
class AesGcm:
    """AES-GCM with a random nonce."""

    mark: bytes
    key: AESGCM

    def encrypt(self, plain: bytes, place: bytes) -> bytes:
        """Nonce and sealed bytes."""
        nonce = os.urandom(_NONCE)
        return nonce + self.key.encrypt(nonce, plain, place)

    def decrypt(self, secret: bytes, place: bytes) -> bytes:
        """What was sealed."""
        try:
            return self.key.decrypt(secret[:_NONCE], secret[_NONCE:], place)
        except InvalidTag as error:
            raise ValueError("the value or its key is not what it was") from error


@dataclass(frozen=True, slots=True)
class AesCbc:
    """AES-CBC with PKCS 7 padding: upstream's older provider; nothing authenticates it."""

    mark: bytes
    key: bytes

    def encrypt(self, plain: bytes, place: bytes) -> bytes:
        """Initialisation vector and blocks."""
        del place
        vector = os.urandom(_BLOCK)
        padder = padding.PKCS7(_BLOCK * 8).padder()
        padded = padder.update(plain) + padder.finalize()
        encryptor = Cipher(algorithms.AES(self.key), modes.CBC(vector)).encryptor()
        return vector + encryptor.update(padded) + encryptor.finalize()

    def decrypt(self, secret: bytes, place: bytes) -> bytes:
        """What the blocks hold."""
        del place
        cipher = Cipher(algorithms.AES(self.key), modes.CBC(secret[:_BLOCK]))
        decryptor = cipher.decryptor()
        padded = decryptor.update(secret[_BLOCK:]) + decryptor.finalize()
        unpadder = padding.PKCS7(_BLOCK * 8).unpadder()
        return unpadder.update(padded) + unpadder.finalize()


@dataclass(frozen=True, slots=True)
class Providers:
    """What may read the values of some kinds, and what writes them (the first)."""

    ciphers: tuple[Cipherer, ...]
    writer: Cipherer | None
    """``None``: values are written as they are (``identity``)."""
    plain: bool
    """Whether values that are not encrypted may be read."""

    def seal(self, key: str, template: Template) -> Template:
        """A value to be written, as it is kept."""
        if self.writer is None:
            return template
        head = len(template.head).to_bytes(_LENGTH)
        secret = self.writer.encrypt(head + template.head + template.tail, key.encode())
        return Template(self.writer.mark + base64.b64encode(secret) + b":", b"")

    def opened(self, key: str, value: bytes) -> bytes:
        """A value that was read.

        Raises:
            StoreCorruptError: no provider can read it.
        """
        if not value.startswith(MARK):
            if self.plain:
                return value
            raise StoreCorruptError(f"{key} is not encrypted, and no identity provider may read it")
        return self.template(key, value).stamp(int(value[value.rindex(b":") + 1 :]))

    def template(self, key: str, value: bytes) -> Template:
        """What an encrypted value was made from.

        Raises:
            StoreCorruptError: no provider can read it.
        """
        for cipher in self.ciphers:
            if value.startswith(cipher.mark):
                text = value[len(cipher.mark) : value.rindex(b":")]
                try:
                    secret = base64.b64decode(text, validate=True)
                    plain = cipher.decrypt(secret, key.encode())
                except (ValueError, binascii.Error) as error:
                    raise StoreCorruptError(f"{key} cannot be decrypted: {error}") from error
                end = _LENGTH + int.from_bytes(plain[:_LENGTH])
                return Template(plain[_LENGTH:end], plain[end:])
        raise StoreCorruptError(f"{key} cannot be decrypted: no provider has its key")

    def is_current(self, value: bytes) -> bool:
        """Whether a value is kept as it would be written now."""
        if self.writer is None:
            return not value.startswith(MARK)
        return value.startswith(self.writer.mark)
