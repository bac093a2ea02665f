"""The configuration file, read again whenever the platform has replaced it (no restart)."""

from __future__ import annotations

import json
import os
from pathlib import Path

FILE = Path(os.environ.get("CONFIG_DIR", "/etc/config")) / "payment.json"
DEFAULTS = {"currency": "EUR", "fee_percent": 2}


class Settings:
    def __init__(self, file: Path = FILE) -> None:
        self._file = file
        self._seen: tuple[int, int] | None = None
        self._values: dict[str, object] = dict(DEFAULTS)

    def current(self) -> dict[str, object]:
        try:
            stat = self._file.stat()
        except FileNotFoundError:
            return dict(DEFAULTS)
        if (stat.st_mtime_ns, stat.st_ino) != self._seen:
            self._values = {**DEFAULTS, **json.loads(self._file.read_text())}
            self._seen = (stat.st_mtime_ns, stat.st_ino)
            print(f"configuration is now {self._values}", flush=True)
        return self._values
