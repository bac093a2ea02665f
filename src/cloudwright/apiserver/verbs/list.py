"""``GET`` on a collection: all at one revision, whole or in pages."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from cloudwright.apiserver import encoding, gojson, listoptions, representation, selection
from cloudwright.apiserver.calls import Call
from cloudwright.apiserver.errors import (
    CompactedError,
    bad_request,
    expired,
    revision_problem,
    version_too_large,
)
from cloudwright.apiserver.replies import reply, reply_json
from cloudwright.apiserver.selection import Selection
from cloudwright.apiserver.store.interface import Page, Record
from cloudwright.apiserver.verbs import show
from cloudwright.client.transport import Reply

if TYPE_CHECKING:
    from cloudwright.apiserver.core import ApiCore

_NOT_BASE64 = re.compile(r"[^A-Za-z0-9_-]")
_SELECTED_PAGE = 500
"""Records that are read at once while looking for selected ones."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where a list begins: its revision (0: the newest) and the key before its first item."""

    revision: int
    after: str


@dataclass(frozen=True, slots=True)
class Found:
    """The items of a list and what its metadata says."""

    records: list[Record]
    metadata: dict[str, Any]


async def list_(core: ApiCore, call: Call) -> Reply:
    """200 with a list, a Table or a PartialObjectMetadataList."""
    found = await find(core, call)
    served, headers = call.served, show.warning_headers(call)
    form = representation.wanted(call)
    await core.conversions.ready(served, (record.value for record in found.records))
    if form == "plain":
        items = [encoding.item_bytes(served, record.value) for record in found.records]
        api_version, told = served.resource.api_version, found.metadata
        if not served.bare:  # upstream's lists of custom objects always have one
            told = {"continue": "", **told}
        body = encoding.list_bytes(api_version, served.list_kind, told, items)
        return reply(200, body, headers)
    objects = [encoding.shown(served, record.value) for record in found.records]
    if form == "table":
        table = representation.table(call, objects, found.metadata, core.clock.now())
        return reply_json(200, table, headers)
    representation.check_partial(call, single=False)
    partial = {
        "kind": "PartialObjectMetadataList",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": found.metadata,
        "items": [encoding.partial(obj) for obj in objects],
    }
    return reply_json(200, partial, headers)


async def find(core: ApiCore, call: Call) -> Found:
    """The records that the call's query asks for.

    Raises:
        ApiError: 400, a parameter is wrong; 410, the revision or token is no longer kept.
    """
    listoptions.check(call)
    chosen = selection.of(call)
    limit = call.query.count("limit") or 0
    start = await _start(core, call)
    prefix = call.served.prefix(call.namespace)
    exact = _exact(call, chosen)
    try:
        if exact is not None and not start.revision:
            page = await _one(core, exact)
            records, more = [r for r in page.records if _wanted(chosen, r)], False
        elif chosen.everything:
            page = await core.store.page(
                prefix, after=start.after, limit=limit, revision=start.revision
            )
            records, more = list(page.records), page.more
        else:
            page, records, more = await _search(core, prefix, start, limit, chosen)
    except CompactedError as error:
        if call.query.get("continue"):
            raise expired(
                "The provided continue parameter is too old to display a consistent list result. "
                "You must start a new list without the continue parameter."
            ) from error
        raise
    metadata: dict[str, Any] = {"resourceVersion": str(page.revision)}
    if more:
        last = records[-1].key
        metadata["continue"] = _token(page.revision, last.removeprefix(prefix))
        if chosen.everything:
            left = await core.store.count(prefix, after=last)
            metadata["remainingItemCount"] = max(left, 1)
    return Found(records, metadata)


async def _search(
    core: ApiCore, prefix: str, start: Start, limit: int, chosen: Selection
) -> tuple[Page, list[Record], bool]:
    """Selected records, page after page at one revision, until there are ``limit``."""
    records: list[Record] = []
    after, revision = start.after, start.revision
    while True:
        page = await core.store.page(prefix, after=after, limit=_SELECTED_PAGE, revision=revision)
        revision = page.revision
        for at, record in enumerate(page.records):
            if _wanted(chosen, record):
                records.append(record)
                if limit and len(records) == limit:
                    return page, records, page.more or at + 1 < len(page.records)
        if not page.more:
            return page, records, False
        after = page.records[-1].key


async def _one(core: ApiCore, key: str) -> Page:
    # The revision first: a list may be newer than it says, never older.
    revision = core.store.revision
    record = await core.store.get(key)
    if record is None:
        return Page([], revision)
    return Page([record], max(revision, record.revision))


def _wanted(chosen: Selection, record: Record) -> bool:
    return chosen.everything or chosen.matches(encoding.decode(record.value))


def _exact(call: Call, chosen: Selection) -> str | None:
    """The only key that can be selected, when the selector names an object."""
    name = chosen.fields.exactly("metadata.name")
    namespace = call.namespace or chosen.fields.exactly("metadata.namespace") or ""
    if not name or (call.served.resource.namespaced and not namespace):
        return None
    return call.served.key(namespace if call.served.resource.namespaced else "", name)


async def _start(core: ApiCore, call: Call) -> Start:
    token = call.query.get("continue")
    version = call.query.get("resourceVersion")
    match = call.query.get("resourceVersionMatch")
    if token:
        if version not in ("", "0"):
            raise bad_request("specifying resource version is not allowed when using continue")
        revision, name = _parse_token(token)
        return Start(revision, call.served.prefix(call.namespace) + name)
    if not version:
        return Start(0, "")
    if not version.isascii() or not version.isdigit():
        raise bad_request(f"invalid resource version: {revision_problem(version)}")
    newest = await core.store.newest()
    if int(version) > newest:
        raise version_too_large(int(version), newest)
    if match == "Exact":
        return Start(int(version), "")
    # NotOlderThan, and lists without a match: the newest state is never older.
    return Start(0, "")


def _token(revision: int, name: str) -> str:
    raw = orjson.dumps({"v": "meta.k8s.io/v1", "rv": revision, "start": name})
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _parse_token(token: str) -> tuple[int, str]:
    try:
        return _token_parts(token)
    except ValueError as error:
        raise bad_request(f"invalid continue token: {error}") from error


def _token_parts(token: str) -> tuple[int, str]:
    wrong = "continue key is not valid"
    bad = _NOT_BASE64.search(token)
    if bad is not None or len(token) % 4 == 1:
        at = bad.start() if bad is not None else len(token) // 4 * 4
        raise ValueError(f"{wrong}: illegal base64 data at input byte {at}")
    body = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    if problem := gojson.syntax_error(body):
        raise ValueError(f"{wrong}: {problem}")
    found = json.loads(body.decode(errors="replace"))
    raw = found if isinstance(found, dict) else {}
    if raw.get("v") != "meta.k8s.io/v1":
        what = "server does not recognize this encoded version"
        raise ValueError(f"{wrong}: {what} {raw.get('v', '')}")
    revision, name = raw.get("rv"), raw.get("start")
    if not isinstance(revision, int) or revision < 1:
        what = "incorrect encoded start resourceVersion (version meta.k8s.io/v1)"
        raise ValueError(f"{wrong}: {what}")
    if not isinstance(name, str) or not name:
        raise ValueError(f"{wrong}: encoded start key empty (version meta.k8s.io/v1)")
    return revision, name
