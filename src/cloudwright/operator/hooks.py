"""Hooks called straight over HTTP, for an operator that runs inside of a cluster's network.

On one machine the platform calls them through the gateway's mesh socket instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cloudwright.operator.errors import HookError

if TYPE_CHECKING:
    from aiohttp import ClientSession


def resolve(url: str, namespace: str) -> str:
    """``webhook://NAME[/PATH]`` as a URL that resolves in the cluster; others stay as they are.

    Raises:
        HookError: the scheme is neither ``webhook`` nor ``http(s)``.
    """
    parts = urlsplit(url)
    if parts.scheme in ("http", "https"):
        return url
    if parts.scheme != "webhook" or not parts.hostname:
        raise HookError(
            f"{url!r} cannot be called", hint="write webhook://NAME/PATH or an http(s) URL"
        )
    query = f"?{parts.query}" if parts.query else ""
    port = f":{parts.port}" if parts.port else ""
    return f"http://{parts.hostname}.{namespace}.svc{port}{parts.path or '/'}{query}"


class DirectHooks:
    """``ports.Hooks`` by plain HTTP."""

    def __init__(self, session: ClientSession) -> None:
        self._session = session

    async def call(
        self,
        url: str,
        namespace: str,
        payload: dict[str, Any],
        *,
        timeout: float = 10.0,
        key: str = "",
    ) -> None:
        """POST ``payload`` as JSON; ``HookError`` unless the answer is 2xx in time."""
        from aiohttp import ClientError, ClientTimeout

        target = resolve(url, namespace)
        limit = ClientTimeout(total=timeout)
        headers = {"idempotency-key": key} if key else {}
        try:
            async with self._session.post(
                target, json=payload, timeout=limit, headers=headers, allow_redirects=False
            ) as answer:
                if answer.status // 100 != 2:
                    text = (await answer.text())[:200].strip()
                    raise HookError(f"{url} answered HTTP {answer.status}", cause=text or None)
        except TimeoutError as error:
            raise HookError(f"{url} did not answer within {timeout:g} s") from error
        except ClientError as error:
            raise HookError(f"{url} cannot be reached", cause=str(error)) from error
