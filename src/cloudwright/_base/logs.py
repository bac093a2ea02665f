"""The daemon's own log: one JSON object a line on standard error, with the room's name."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

_PLAIN = set(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """``{"ts":…,"level":…,"room":…,"msg":…}`` plus whatever was passed as ``extra``."""

    def format(self, record: logging.LogRecord) -> str:
        """One line for ``record``."""
        line: dict[str, object] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "room": record.name.removeprefix("cloudwright."),
            "msg": record.getMessage(),
        }
        line.update({k: v for k, v in record.__dict__.items() if k not in _PLAIN})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def configure(level: str = "info") -> None:
    """Send every record of this process to standard error as JSON lines."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def get(room: str) -> logging.Logger:
    """The logger of a room, for example ``logs.get("node")``."""
    return logging.getLogger(f"cloudwright.{room}")
