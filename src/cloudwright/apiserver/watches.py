"""What one watcher is shown of the store's events. Pure, except that events keep what was derived.

An event is encoded once for all watchers that see the same form of it. A watcher with a selector
is told of objects that come into view (``ADDED``) and leave it (``DELETED``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import orjson

from cloudwright.apiserver import encoding
from cloudwright.apiserver.registry import Served
from cloudwright.apiserver.selection import Selection
from cloudwright.apiserver.store.interface import Event
from cloudwright.model.objects import Object

Kind = Literal["ADDED", "MODIFIED", "DELETED"]
_DIGITS_MAX = 19
"""Of revisions, which are 64-bit integers."""
Render = Callable[[Object], bytes]
"""An object in the watcher's form, as JSON."""


def line(kind: str, body: bytes) -> bytes:
    """One watch event on the wire."""
    return b'{"type":"%b","object":%b}\n' % (kind.encode(), body)


def shown(event: Event, served: Served, chosen: Selection, render: Render | None) -> bytes | None:
    """The line for a watcher of ``served`` with selector ``chosen``; ``None``: not for it.

    ``render`` is ``None`` for plain objects.
    """
    kind, left = _kind(event, chosen)
    if kind is None:
        return None
    if left:
        # Out of view: the watcher gets the object as it last saw it, with this revision.
        assert event.previous is not None, "what left was there before"
        obj = encoding.shown(served, event.previous)
        obj["metadata"]["resourceVersion"] = str(event.revision)
        return line(kind, render(obj) if render else orjson.dumps(obj))
    if render is not None:
        return line(kind, render(encoding.shown(served, event.value)))
    note = (kind, served.resource.group, served.resource.version)
    cached: bytes | None = event.notes.get(note)
    if cached is None:
        cached = line(kind, encoding.shown_bytes(served, event.value))
        event.notes[note] = cached
    return cached


def bookmark(served: Served, revision: int, *, initial_end: bool = False) -> bytes:
    """A ``BOOKMARK``: every event up to ``revision`` was sent."""
    metadata: dict[str, object] = {"resourceVersion": str(revision)}
    if initial_end:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    resource = served.resource
    return line(
        "BOOKMARK",
        orjson.dumps(
            {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        ),
    )


def around_bookmark(
    served: Served, encode: Callable[[bytes], bytes] | None = None, *, initial_end: bool = False
) -> list[tuple[bytes, bytes]]:
    """What is before and after the revision in a ``BOOKMARK``: by the number of the revision's
    digits, from one on. One pair does for text; what ``encode`` makes has lengths in it.
    """
    digits = range(1, 2 if encode is None else _DIGITS_MAX + 1)
    return [_around(served, encode, count, initial_end=initial_end) for count in digits]


def _around(
    served: Served, encode: Callable[[bytes], bytes] | None, digits: int, *, initial_end: bool
) -> tuple[bytes, bytes]:
    one, other = (bookmark(served, int(digit * digits), initial_end=initial_end) for digit in "12")
    if encode is not None:
        one, other = encode(one), encode(other)
    # Where they differ is the revision.
    at = next(index for index, byte in enumerate(one) if byte != other[index])
    assert one[at : at + digits] == b"1" * digits, "a bookmark has its revision once"
    return one[:at], one[at + digits :]


def _kind(event: Event, chosen: Selection) -> tuple[Kind | None, bool]:
    """What happened from this watcher's point of view, and whether the object left its view."""
    if chosen.everything:
        if event.deleted:
            return "DELETED", False
        return ("ADDED" if event.created else "MODIFIED"), False
    was = event.previous is not None and chosen.matches(_object(event, "was", event.previous))
    if event.deleted:
        return ("DELETED" if was else None), False
    now = chosen.matches(_object(event, "now", event.value))
    if now:
        return ("MODIFIED" if was else "ADDED"), False
    return ("DELETED", True) if was else (None, False)


def _object(event: Event, which: str, value: bytes) -> Object:
    obj: Object | None = event.notes.get(which)
    if obj is None:
        obj = encoding.decode(value)
        event.notes[which] = obj
    return obj
