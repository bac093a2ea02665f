"""The address leases on disk. What was acknowledged survives ``kill -9`` and a power cut.

Times of release are seconds since boot (they order events across restarts of the daemon, and no
change of the wall clock disturbs them); a new boot forgets them, since no pod outlives it.
"""

from __future__ import annotations

import sqlite3
from ipaddress import IPv4Address
from pathlib import Path

from cloudwright._base.files import make_private
from cloudwright.network.engine import Lease
from cloudwright.network.errors import NetworkError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS lease (
  ip INTEGER PRIMARY KEY, pod_uid TEXT UNIQUE, namespace TEXT NOT NULL, name TEXT NOT NULL,
  egress INTEGER NOT NULL, released REAL, CHECK ((pod_uid IS NULL) = (released IS NOT NULL))
) WITHOUT ROWID, STRICT;
CREATE TABLE IF NOT EXISTS memo (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID, STRICT;
"""


class LeaseStore:
    """One file of leases, one writer. Calls block for one disk sync; use a worker thread.

    Raises (each method):
        NetworkError: the file cannot be read or written; it names the file and the reason.
    """

    def __init__(self, path: Path, boot_id: str) -> None:
        self._path = path
        try:
            make_private(path.parent)
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute("PRAGMA busy_timeout=5000")
            self._db.executescript(_SCHEMA)
            path.chmod(0o600)
            if self.memo("boot") != boot_id:
                self._write([("DELETE FROM lease WHERE pod_uid IS NULL", ())])
                self.remember("boot", boot_id)
        except (OSError, sqlite3.Error) as error:
            raise self._failure(error) from None

    def _failure(self, error: Exception) -> NetworkError:
        return NetworkError(
            f"the address leases in {self._path} cannot be used: {error}",
            hint="check the disk's space and the file's permissions",
        )

    def _write(self, statements: list[tuple[str, tuple[object, ...]]]) -> None:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                for sql, values in statements:
                    self._db.execute(sql, values)
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._failure(error) from None

    def _read(self, sql: str, *values: object) -> list[tuple[object, ...]]:
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise self._failure(error) from None

    def leases(self) -> list[Lease]:
        """Every address that a pod holds, in the order of addresses."""
        rows = self._read(
            "SELECT pod_uid, ip, namespace, name, egress FROM lease WHERE pod_uid IS NOT NULL"
            " ORDER BY ip"
        )
        return [_lease(row) for row in rows]

    def find(self, pod_uid: str) -> Lease | None:
        """The pod's lease."""
        rows = self._read(
            "SELECT pod_uid, ip, namespace, name, egress FROM lease WHERE pod_uid = ?", pod_uid
        )
        return _lease(rows[0]) if rows else None

    def released(self) -> dict[IPv4Address, float]:
        """When each address that was used since boot was given back."""
        rows = self._read("SELECT ip, released FROM lease WHERE pod_uid IS NULL")
        return {IPv4Address(int(str(ip))): float(str(since)) for ip, since in rows}

    def put(self, lease: Lease) -> None:
        """Record a lease; the pod's earlier record and a released one of the address go."""
        values = (int(lease.ip), lease.pod_uid, lease.namespace, lease.name, int(lease.egress))
        self._write(
            [
                (
                    "DELETE FROM lease WHERE pod_uid = ? OR (ip = ? AND pod_uid IS NULL)",
                    (lease.pod_uid, int(lease.ip)),
                ),
                ("INSERT INTO lease VALUES (?, ?, ?, ?, ?, NULL)", values),
            ]
        )

    def release(self, pod_uid: str, now: float) -> None:
        """Give the pod's address back at ``now`` (seconds since boot); none held is fine."""
        self._write(
            [("UPDATE lease SET pod_uid = NULL, released = ? WHERE pod_uid = ?", (now, pod_uid))]
        )

    def memo(self, key: str) -> str | None:
        """What ``remember`` kept under ``key``."""
        rows = self._read("SELECT value FROM memo WHERE key = ?", key)
        return str(rows[0][0]) if rows else None

    def remember(self, key: str, value: str | None) -> None:
        """Keep a word under ``key``; ``None`` forgets it."""
        if value is None:
            self._write([("DELETE FROM memo WHERE key = ?", (key,))])
        else:
            self._write(
                [
                    (
                        "INSERT INTO memo VALUES (?, ?)"
                        " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                        (key, value),
                    )
                ]
            )

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def _lease(row: tuple[object, ...]) -> Lease:
    pod_uid, ip, namespace, name, egress = row
    return Lease(str(pod_uid), IPv4Address(int(str(ip))), str(namespace), str(name), bool(egress))
