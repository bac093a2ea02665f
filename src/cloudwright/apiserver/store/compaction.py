"""Keeping the file small without anybody asking: what is dropped when, and how space goes back.

The log of superseded values may take ``history_share`` of what the live values take; while many
writes come it may grow by ``history_slack_bytes``, so that not every write pays for a cut. Pages
that go free are given back to the disk in small steps, and rows that stand in half-empty pages
(many deletions leave such) are moved together. Everything here runs in the writer's thread.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from cloudwright.apiserver.config import StoreConfig
from cloudwright.apiserver.store import statements
from cloudwright.apiserver.store.interface import Statistics

ROW_BYTES = 100
"""What a row takes beside its value, about (key, numbers, index)."""
_VACUUM_PAGES = 256
_CUT_ROWS = 1000
_MOVE_ROWS = 500
_SPARSE = 1.4
"""Move rows together when the file is so many times as large as what it holds."""
_SPARSE_BYTES_MIN = 512 * 1024


@dataclass(slots=True)
class Usage:
    """What the two tables hold: rows, and bytes of their keys and values."""

    live_rows: int = 0
    live_bytes: int = 0
    log_rows: int = 0
    log_bytes: int = 0

    @property
    def live(self) -> int:
        """Bytes that the live values take, with what belongs to them."""
        return self.live_bytes + self.live_rows * ROW_BYTES

    @property
    def logged(self) -> int:
        """Bytes that the log takes."""
        return self.log_bytes + self.log_rows * ROW_BYTES


class Compactor:
    """Cuts the log and shrinks the file, on the writer's connection."""

    def __init__(
        self, database: sqlite3.Connection, config: StoreConfig, statistics: Statistics
    ) -> None:
        self._database = database
        self._config = config
        self._statistics = statistics
        self._page_bytes = int(self._number("PRAGMA page_size"))
        self._to_move = 0
        """Rows still to be moved in the pass that is under way."""
        self._densest = 0
        """Bytes of the file after the last whole pass: it does not get denser than that."""
        self.usage = Usage(
            *database.execute(statements.LIVE).fetchone(),
            *database.execute(statements.LOGGED).fetchone(),
        )
        self.measure()

    def allowed(self) -> int:
        """Bytes that the log may take when nothing is going on."""
        config = self._config
        return max(int(self.usage.live * config.history_share), config.history_bytes_min)

    def overfull(self, times: int = 1) -> bool:
        """Whether the log has so many times the slack that it may have while writes come."""
        usage, config = self.usage, self._config
        return (
            usage.logged > self.allowed() + config.history_slack_bytes * times
            or usage.log_rows > config.history_revisions + 2 * _CUT_ROWS * times
        )

    def target(self, newest: int, oldest_at: int) -> int:
        """The revision up to which the log should be cut: by age, count and size. The newest
        row always stays: it carries the revision over a restart.
        """
        execute = self._database.execute
        aged = execute(statements.AGED, (newest - 1, oldest_at)).fetchone()
        over = execute(statements.OVERSIZE, (self.allowed(),)).fetchone()
        counted = newest - 1 - self._config.history_revisions
        return min(max(aged[0] if aged else 0, over[0] or 0, counted), newest - 1)

    def cut(self, revision: int) -> bool:
        """Drop some of the log's oldest rows, up to ``revision``; whether there are more. Few at
        once: writes wait meanwhile.
        """
        execute = self._database.execute
        found = execute(statements.CUT_TO, (revision, _CUT_ROWS - 1)).fetchone()
        step = found[0] if found else revision
        execute("BEGIN IMMEDIATE")
        rows, size = execute(statements.CUT_SIZE, (step,)).fetchone()
        execute(statements.CUT, (step,))
        execute(statements.SET_META, (step, "compacted"))
        execute("COMMIT")
        self.usage.log_rows -= rows
        self.usage.log_bytes -= size
        return bool(step < revision)

    def shrink(self) -> bool:
        """Give back some of the free pages, or move some rows together; whether more is to do."""
        free = self._number("PRAGMA freelist_count")
        if free:
            # A script, because a cursor stops this statement after its first page.
            self._database.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")
            left = self._number("PRAGMA freelist_count")
            return 0 < left < free
        if not self._to_move:
            if not self._sparse():
                return False
            self._to_move = self.usage.live_rows
        self._database.execute(statements.MOVE, (_MOVE_ROWS,))
        self._to_move = max(self._to_move - _MOVE_ROWS, 0)
        if not self._to_move:
            free = self._number("PRAGMA freelist_count")
            self._densest = (self._number("PRAGMA page_count") - free) * self._page_bytes
        return True

    def checkpoint(self, *, empty: bool = False) -> None:
        """Write the write-ahead log back to the file, so that the next write begins it anew.
        ``empty``: give its space back too; later writes pay for having it grow again.
        """
        how = "TRUNCATE" if empty else "PASSIVE"
        self._database.execute(f"PRAGMA wal_checkpoint({how})").fetchone()
        self.measure()

    def tell(self) -> None:
        """Bring what is counted up to date in the statistics."""
        usage, statistics = self.usage, self._statistics
        statistics.keys = usage.live_rows
        statistics.live_bytes = usage.live
        statistics.history_bytes = usage.logged

    def measure(self) -> None:
        """Bring the sizes of the files up to date in the statistics."""
        path, statistics = self._config.path, self._statistics
        statistics.file_bytes = path.stat().st_size
        wal = path.with_name(path.name + "-wal")
        statistics.wal_bytes = wal.stat().st_size if wal.exists() else 0

    def _sparse(self) -> bool:
        size = self._number("PRAGMA page_count") * self._page_bytes
        held = self.usage.live + self.usage.logged
        return size > max(held, self._densest) * _SPARSE + _SPARSE_BYTES_MIN

    def _number(self, statement: str) -> int:
        return int(self._database.execute(statement).fetchone()[0])
