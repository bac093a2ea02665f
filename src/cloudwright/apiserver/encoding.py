"""Objects as bytes: how they are stored, and how lists are spliced from them without decoding.

Stored objects start with ``{"apiVersion":"…","kind":"…","metadata":{"resourceVersion":"`` so that
the store can stamp the revision into them and a reader can swap the version.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import orjson

from cloudwright.apiserver.registry import Served
from cloudwright.apiserver.store.interface import Template
from cloudwright.model.objects import Object

_MARK = b'"resourceVersion":"'
_API_VERSION = b'{"apiVersion":"'
_HEAD = re.compile(rb'\{"apiVersion":"[^"\\]*","kind":"[^"\\]*",')


def template(obj: Object, managed: bytes | None = None) -> Template:
    """``obj`` (in storage form) ready to be stamped with its revision.

    ``managed`` is the JSON of ``metadata.managedFields`` when it is kept apart from the object.
    """
    return split(ordered(obj), managed)


def ordered(obj: Object) -> bytes:
    """``obj`` (in storage form) as JSON, with an empty revision where the store stamps it."""
    metadata = {"resourceVersion": "", **obj["metadata"]}
    metadata["resourceVersion"] = ""
    # A member that stands twice has its first place and its last value.
    first = {"apiVersion": None, "kind": None, "metadata": None}
    return orjson.dumps({**first, **obj, "metadata": metadata})


def split(raw: bytes, managed: bytes | None = None) -> Template:
    """What ``ordered`` gave, ready to be stamped; ``managed`` as for ``template``."""
    at = raw.index(_MARK) + len(_MARK)
    if managed is None:
        return Template(raw[:at], raw[at:])
    return Template(raw[:at], b'","managedFields":' + managed + raw[at + 1 :])


def unstamped(template: Template) -> bytes:
    """The object of a dry run, which has no revision."""
    return template.head.removesuffix(_MARK) + template.tail[1:].removeprefix(b",")


def decode(value: bytes) -> Object:
    """A stored object, in storage form; a fresh copy each time."""
    obj: Object = orjson.loads(value)
    return obj


def shown(served: Served, value: bytes) -> Object:
    """A stored object as ``served``'s version shows it."""
    obj = decode(value)
    if served.view is not None:
        return served.view.from_storage(obj)
    obj["apiVersion"] = served.resource.api_version
    return obj


def shown_bytes(served: Served, value: bytes) -> bytes:
    """The same as JSON; the stored bytes themselves when the version is the stored one."""
    if served.view is not None:
        return orjson.dumps(served.view.from_storage(decode(value)))
    wanted = _start(served.resource.api_version)
    if value.startswith(wanted):
        return value
    return wanted + value[value.index(b'"', len(_API_VERSION)) + 1 :]


def item_bytes(served: Served, value: bytes) -> bytes:
    """The same as an item of a list, which says version and kind for those of built-in kinds."""
    if not served.bare:
        return shown_bytes(served, value)
    if served.view is None:
        found = _HEAD.match(value)
        if found is not None:
            return b"{" + value[found.end() :]
    return orjson.dumps(bare(shown(served, value)))


def bare(obj: Object) -> Object:
    """``obj`` without its version and kind."""
    return {name: value for name, value in obj.items() if name not in ("apiVersion", "kind")}


def stored(served: Served, obj: Object) -> Object:
    """An object of ``served``'s version in storage form."""
    if served.view is not None:
        return served.view.to_storage(obj)
    return {**obj, "apiVersion": served.storage_version}


def list_bytes(
    api_version: str, kind: str, metadata: dict[str, Any], items: Iterable[bytes]
) -> bytes:
    """A list object around items that are JSON already."""
    head = orjson.dumps({"kind": kind, "apiVersion": api_version, "metadata": metadata})
    return b'%b,"items":[%b]}' % (head[:-1], b",".join(items))


@lru_cache(maxsize=1024)
def _start(api_version: str) -> bytes:
    return _API_VERSION + api_version.encode() + b'"'


def partial(obj: Object) -> Object:
    """``meta.k8s.io/v1 PartialObjectMetadata`` of an object."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": obj["metadata"],
    }
