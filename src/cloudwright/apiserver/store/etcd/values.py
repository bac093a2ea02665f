"""How a value lies in etcd: four bytes say where the revision belongs, then the value without it.

The embedded store writes the revision into the value. etcd tells a key's revision only when it
has been written, so here, as in kube-apiserver, each reader stamps it in.
"""

from __future__ import annotations

from cloudwright.apiserver.errors import StoreCorruptError
from cloudwright.apiserver.store.interface import Template

_HEAD = 4


def pack(template: Template) -> bytes:
    """What is written to etcd."""
    return len(template.head).to_bytes(_HEAD, "big") + template.head + template.tail


def unpack(raw: bytes, revision: int, key: bytes) -> bytes:
    """The value of ``key``, stamped with ``revision``.

    Raises:
        StoreCorruptError: nobody of ours wrote ``raw``.
    """
    at = _HEAD + int.from_bytes(raw[:_HEAD], "big")
    if len(raw) < _HEAD or at > len(raw):
        raise StoreCorruptError(
            f"the value of {key.decode(errors='replace')} in etcd (revision {revision}) was not "
            "written by Cloudwright",
            hint="give Cloudwright a key prefix of its own: etcd://HOST:PORT/PREFIX",
        )
    return b"%b%d%b" % (raw[_HEAD:at], revision, raw[at:])
