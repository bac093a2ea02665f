"""The tables of the database file and the statements on them.

``current`` has each key's newest value. ``log`` has a row for each write, numbered by its
revision, with the value that it superseded (``before``): an undo log. Reading at an older revision
is what is current and old enough, plus what later rows superseded. So the log is first in, first
out: compaction cuts off its old end, whole pages at a time, and never touches a live value.

``sum`` is ``checksum`` of the value that a row of ``current`` holds; a row of ``log`` takes it
over together with the value and, for a deletion, folds ``last`` (the key's last state) into it.
"""

from __future__ import annotations

from zlib import crc32

FORMAT = 2

TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE current (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    revision INTEGER NOT NULL,
    created INTEGER NOT NULL,
    sum INTEGER NOT NULL,
    value BLOB NOT NULL
) STRICT;
CREATE TABLE log (
    revision INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    created INTEGER NOT NULL,
    previous INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    at INTEGER NOT NULL,
    sum INTEGER NOT NULL,
    before BLOB,
    last BLOB
) STRICT;
CREATE INDEX log_previous ON log (previous) WHERE previous > 0;
INSERT INTO meta VALUES ('compacted', 0), ('floor', 0);
"""

MIGRATE = {
    1: (
        "ALTER TABLE current RENAME TO current_1",
        "ALTER TABLE history RENAME TO history_1",
        "ALTER TABLE meta RENAME TO meta_1",
        *(part for part in TABLES.split(";") if part.strip()),
        "INSERT INTO current SELECT NULL, h.key, h.revision, h.created, "
        "checksum(h.key, h.revision, h.created, h.value), h.value "
        "FROM current_1 c JOIN history_1 h ON h.revision = c.revision ORDER BY h.key",
        "UPDATE meta SET value = coalesce((SELECT max(revision) FROM history_1), 0)",
        "DROP TABLE current_1",
        "DROP TABLE history_1",
        "DROP TABLE meta_1",
    )
}
"""From a format to the next: statements of one transaction. History ends there."""

GET = "SELECT revision, created, value, sum FROM current WHERE key = ?"
OLD = "SELECT id, revision, created, value, sum FROM current WHERE key = ?"
REVISION = "SELECT revision FROM current WHERE key = ?"
HEAD = (
    "SELECT key, revision, created, value, sum FROM current "
    "WHERE key > ? AND key < ? ORDER BY key LIMIT ?"
)
LIST_AT = (
    "SELECT key, revision, created, value, sum FROM current "
    "WHERE key > ?1 AND key < ?2 AND revision <= ?4 "
    "UNION ALL "
    "SELECT key, previous, created, before, (CASE deleted WHEN 1 THEN NULL ELSE sum END) FROM log "
    "WHERE revision > ?4 AND key > ?1 AND key < ?2 AND previous BETWEEN 1 AND ?4 "
    "ORDER BY 1 LIMIT ?3"
)
CHUNK_AT = (
    "SELECT json_array(json_group_array(key), json_group_array(revision), "  # noqa: S608
    "json_group_array(created), json_group_array(sum), json_group_array(length(value))), "
    "CAST(group_concat(value, '') AS BLOB) FROM (" + LIST_AT + ")"
)
"""A whole chunk in one step: in a thread each row would give the interpreter lock away, and wait
for it again. Columns as JSON, then the values end to end."""
COUNT = "SELECT count(*) FROM current WHERE key > ? AND key < ?"
_EVENTS = (
    "SELECT l.revision AS revision, l.key AS key, l.created AS created, l.previous AS previous, "
    "l.deleted AS deleted, l.sum AS sum, l.before AS before, "
    "coalesce(l.last, n.before, c.value) AS value, c.sum AS now FROM log l "
    "LEFT JOIN log n ON n.previous = l.revision AND n.previous > 0 "
    "LEFT JOIN current c ON c.key = l.key AND c.revision = l.revision "
    "WHERE l.revision > ? AND l.revision <= ? AND l.key >= ? AND l.key < ? "
    "ORDER BY l.revision LIMIT 200"
)
REPLAY = (
    "SELECT json_array(json_group_array(revision), json_group_array(key), "  # noqa: S608
    "json_group_array(created), json_group_array(previous), json_group_array(deleted), "
    "json_group_array(sum), json_group_array(now), json_group_array(length(before)), "
    "json_group_array(length(value))), CAST(group_concat(before, '') AS BLOB), "
    "CAST(group_concat(value, '') AS BLOB) FROM (" + _EVENTS + ")"
)
"""The next events, in one row for the same reason."""
SUMS = (
    "SELECT json_array(json_group_array(id), json_group_array(key), json_group_array(revision), "
    "json_group_array(created), json_group_array(sum), json_group_array(length(value))), "
    "CAST(group_concat(value, '') AS BLOB) "
    "FROM (SELECT * FROM current WHERE id > ? ORDER BY id LIMIT 500)"
)
LOG_SUMS = (
    "SELECT json_array(json_group_array(revision), json_group_array(key), "
    "json_group_array(created), json_group_array(previous), json_group_array(sum), "
    "json_group_array(length(before)), json_group_array(length(last))), "
    "CAST(group_concat(before, '') AS BLOB), CAST(group_concat(last, '') AS BLOB) "
    "FROM (SELECT * FROM log WHERE revision > ? ORDER BY revision LIMIT 500)"
)
LOG = "INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
CREATE = "INSERT INTO current VALUES (NULL, ?, ?, ?, ?, ?)"
UPDATE = "UPDATE current SET revision = ?, sum = ?, value = ? WHERE id = ?"
DELETE = "DELETE FROM current WHERE id = ?"
NEWEST = "SELECT max(revision) FROM log"
META = "SELECT value FROM meta WHERE name = ?"
SET_META = "UPDATE meta SET value = ? WHERE name = ?"
LIVE = "SELECT count(*), coalesce(sum(length(CAST(key AS BLOB)) + length(value)), 0) FROM current"
LOGGED = (
    "SELECT count(*), coalesce(sum(coalesce(length(before), 0) + coalesce(length(last), 0)), 0) "
    "FROM log"
)
AGED = "SELECT revision FROM log WHERE revision <= ? AND at < ? ORDER BY revision DESC LIMIT 1"
OVERSIZE = (
    "SELECT max(revision) FROM (SELECT revision, "
    "sum(coalesce(length(before), 0) + coalesce(length(last), 0) + 100) "
    "OVER (ORDER BY revision DESC) AS size FROM log) WHERE size > ?"
)
CUT_TO = "SELECT revision FROM log WHERE revision < ? ORDER BY revision LIMIT 1 OFFSET ?"
CUT = "DELETE FROM log WHERE revision <= ?"
CUT_SIZE = (
    "SELECT count(*), coalesce(sum(coalesce(length(before), 0) + coalesce(length(last), 0)), 0) "
    "FROM log WHERE revision <= ?"
)
MOVE = (
    "UPDATE current SET id = id + (SELECT max(id) - min(id) + 1 FROM current) "
    "WHERE id IN (SELECT id FROM current ORDER BY id LIMIT ?)"
)
"""Takes the oldest rows to the table's dense end: pages that deletions left half empty go free."""


def parts(joined: bytes, lengths: list[int | None]) -> list[bytes | None]:
    """What ``group_concat`` joined; ``None`` where the length is."""
    found: list[bytes | None] = []
    at = 0
    for length in lengths:
        found.append(None if length is None else joined[at : at + length])
        at += length or 0
    return found


def checksum(key: str, revision: int, created: int, value: bytes) -> int:
    """CRC-32 over everything that a row of ``current`` says."""
    seed = (revision ^ (created << 7)) & 0xFFFFFFFF
    return crc32(value, crc32(key.encode(), seed))


def end_of(prefix: str) -> str:
    """The least text greater than every key that starts with ``prefix``."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)
