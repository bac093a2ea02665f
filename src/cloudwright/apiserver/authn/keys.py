"""The keys that sign tokens of service accounts, in a directory that only we may read.

    signing.key        signs new tokens (EC P-256, PKCS 8, 0600)
    retired-KID.pub    no longer signs; tokens it has signed stay valid until they expire

``KID`` is, as upstream's, the base64url SHA-256 of the public key's DER form.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudwright._base.errors import CloudwrightError
from cloudwright._base.files import make_private, write_atomic
from cloudwright.apiserver.examined import Examined

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

ALGORITHM = "ES256"
_SIGNING, _RETIRED = "signing.key", "retired-"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that may have signed a token."""

    kid: str
    key: ec.EllipticCurvePublicKey

    def as_jwk(self) -> dict[str, str]:
        """The key as a JSON Web Key (RFC 7517)."""
        numbers = self.key.public_numbers()
        return {
            "use": "sig",
            "kty": "EC",
            "kid": self.kid,
            "crv": "P-256",
            "alg": ALGORITHM,
            "x": _base64(numbers.x.to_bytes(32, "big")),
            "y": _base64(numbers.y.to_bytes(32, "big")),
        }


class SigningKeys:
    """The keys in one directory; made when missing, loaded when the first token needs them.

    Raises:
        CloudwrightError: a file is no key of ours.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        make_private(directory)
        self._examined = Examined(directory / "examined.json")
        self._loaded: _Keys | None = None
        if self._examined.until(_SIGNING, self._parts()) is None:
            self._read()

    @property
    def private(self) -> ec.EllipticCurvePrivateKey:
        """What signs."""
        return self._keys().private

    @property
    def public(self) -> PublicKey:
        """The public half of what signs."""
        return self._keys().public

    def find(self, kid: str) -> PublicKey | None:
        """The key of that id; another server with the same directory may have made it."""
        keys = self._keys()
        found = keys.known.get(kid)
        if found is None and self._directory.stat().st_mtime_ns != keys.stamp:
            found = self._read().known.get(kid)
        return found

    def all(self) -> list[PublicKey]:
        """Every key whose tokens are valid, the signing one first."""
        return list(self._keys().known.values())

    def rotate(self) -> None:
        """Sign with a new key from now on; what the old one signed stays valid."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        data = self.public.key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        file = self._directory / f"{_RETIRED}{self.public.kid}.pub"
        write_atomic(file, data, mode=0o600, durable=True)
        (self._directory / _SIGNING).unlink()
        self._read()

    def _keys(self) -> _Keys:
        return self._loaded or self._read()

    def _parts(self) -> list[bytes]:
        """The files that hold keys, with their names."""
        files = [self._directory / _SIGNING, *self._retired()]
        return [part for file in files if file.exists() for part in _named(file)]

    def _retired(self) -> list[Path]:
        return sorted(self._directory.glob(f"{_RETIRED}*.pub"))

    def _read(self) -> _Keys:
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        private, public = self._signing()
        # Before looking: what another server adds meanwhile changes it again.
        stamp = self._directory.stat().st_mtime_ns
        known = {public.kid: public}
        for retired in self._retired():
            key = _public(_load(retired, load_pem_public_key))
            known[key.kid] = key
        parts = self._parts()
        if self._examined.until(_SIGNING, parts) is None:
            self._examined.note(_SIGNING, parts, 0)
        self._loaded = _Keys(private, public, known, stamp)
        return self._loaded

    def _signing(self) -> tuple[ec.EllipticCurvePrivateKey, PublicKey]:
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import (
            Encoding,
            NoEncryption,
            PrivateFormat,
            load_pem_private_key,
        )

        file = self._directory / _SIGNING
        if not file.exists():
            made = ec.generate_private_key(ec.SECP256R1())
            data = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            write_atomic(file, data, mode=0o600, durable=True)
        private = _load(file, lambda data: load_pem_private_key(data, None))
        if not isinstance(private, ec.EllipticCurvePrivateKey):
            raise _wrong(file, "it is no elliptic-curve key")
        return private, _public(private.public_key())


@dataclass(frozen=True, slots=True)
class _Keys:
    """The keys of a directory as it was at ``stamp``."""

    private: ec.EllipticCurvePrivateKey
    public: PublicKey
    known: dict[str, PublicKey]
    stamp: int


def _named(file: Path) -> tuple[bytes, bytes]:
    return file.name.encode(), file.read_bytes()


def _load(file: Path, load: Any) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        return load(file.read_bytes())
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _wrong(file, str(error)) from error


def _wrong(file: Path, cause: str) -> CloudwrightError:
    return CloudwrightError(
        f"{file} is not a signing key",
        code="CW3212",
        cause=cause,
        hint="remove it; a new one is made, and every issued token becomes invalid",
    )


def _public(key: Any) -> PublicKey:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return PublicKey(_base64(hashlib.sha256(der).digest()), key)


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
