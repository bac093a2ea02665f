"""``/healthz``, ``/livez`` and ``/readyz``: named checks, each alone or all, with ``?verbose``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import anyio

from cloudwright._base import logs
from cloudwright.client.transport import Reply

Check = Callable[[], Awaitable[str | None]]
"""Returns what is wrong, or ``None``."""
PATHS = ("/healthz", "/livez", "/readyz")
CHECK_SECONDS = 5.0
_log = logs.get("apiserver")


async def _ping() -> str | None:
    return None


class Health:
    """The checks of one server. ``live`` ones count for every path, ``ready`` ones for readyz."""

    def __init__(self) -> None:
        self._live: dict[str, Check] = {"ping": _ping}
        self._ready: dict[str, Check] = {}

    def add(self, name: str, check: Check, *, ready_only: bool = False) -> None:
        """Add a named check, or replace it."""
        (self._ready if ready_only else self._live)[name] = check

    async def answer(self, path: str, *, verbose: bool, exclude: Sequence[str] = ()) -> Reply:
        """The answer to ``/readyz``, ``/readyz/NAME`` …: 200 ``ok``, 500 with what failed, 404."""
        kind, _, name = path.strip("/").partition("/")
        checks = {**self._live, **(self._ready if kind == "readyz" else {})}
        if name:
            if name not in checks:
                return _text(404, "404 page not found\n")
            checks = {name: checks[name]}
        lines, failed = [], False
        for title, check in checks.items():
            if title in exclude:
                lines.append(f"[+]{title} excluded: ok")
                continue
            problem = await _run(title, check)
            failed = failed or problem is not None
            lines.append(f"[+]{title} ok" if problem is None else f"[-]{title} failed: {problem}")
        if failed:
            return _text(500, "\n".join([*lines, f"{kind} check failed", ""]))
        if verbose:
            return _text(200, "\n".join([*lines, f"{kind} check passed", ""]))
        return _text(200, "ok")


async def _run(name: str, check: Check) -> str | None:
    try:
        with anyio.fail_after(CHECK_SECONDS):
            return await check()
    except TimeoutError:
        return f"no result in {CHECK_SECONDS:g} seconds"
    except Exception as error:
        # A broken check is a failed check; the reason is for the log, not for anonymous readers.
        _log.warning("a health check broke", extra={"check": name, "reason": str(error)})
        return "reason withheld"


def _text(status: int, text: str) -> Reply:
    headers = {"content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff"}
    return Reply(status, headers, text.encode())
