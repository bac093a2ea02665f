"""What can go wrong in the mesh.

CloudwrightError
├─ MeshError                     the mesh cannot do it (exit 1)
│  ├─ AuthorityError             the certificate authority's files are damaged or expired
│  └─ HookError                  a hook that is a URL did not answer with 2xx
├─ UsageError
│  └─ MeshConfigError            a setting makes no sense, or the proxies could not work (exit 2)
└─ UnreachableError
   └─ ProxyUnreachableError      no proxy answers on that admin socket (exit 6)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cloudwright._base.errors import CloudwrightError, UnreachableError, UsageError


class MeshError(CloudwrightError):
    """The mesh cannot do what was asked."""

    default_code = "CW6000"


class AuthorityError(MeshError):
    """The certificate authority's files are damaged or expired."""

    default_code = "CW6001"


class HookError(MeshError):
    """A hook that is a URL did not answer with 2xx in time."""

    default_code = "CW6002"


class MeshConfigError(UsageError):
    """A setting makes no sense, or the proxies could not work with it."""

    default_code = "CW6003"


class ProxyUnreachableError(UnreachableError):
    """No proxy answers on that admin socket."""

    default_code = "CW6004"


@contextmanager
def told(what: str) -> Iterator[None]:
    """Turn an ``OSError`` inside into a ``MeshError``: "cannot ``what``: FILE: reason"."""
    try:
        yield
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise MeshError(
            f"cannot {what}: {where}{error.strerror or error}",
            hint="check the disk's space and the directory's permissions",
        ) from error
