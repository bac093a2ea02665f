"""Life-cycle hooks that are URLs: ``webhook://NAME[:PORT][/PATH]`` goes through the gateway to a
Service of the object's own namespace.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson

from cloudwright._base.errors import UsageError
from cloudwright.mesh import vitals
from cloudwright.mesh.config import MeshConfig
from cloudwright.mesh.errors import HookError
from cloudwright.model.names import dns_1035_label_problems

_EXCERPT = 200


@dataclass(frozen=True, slots=True)
class Target:
    """Where a hook goes. ``through_mesh``: to a Service, through the gateway's socket."""

    url: str
    through_mesh: bool
    shown: str


def resolve(url: str, namespace: str, *, allow_http: bool) -> Target:
    """Where ``url`` leads for an object in ``namespace`` (pure).

    Raises:
        UsageError: it is no hook URL, or of a kind that is not allowed.
    """
    try:
        parts = urlsplit(url)
        name, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise UsageError(f"the hook {url} is not a URL: {error}") from None
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if parts.scheme == "webhook":
        if dns_1035_label_problems(name) or parts.username is not None:
            raise UsageError(
                f"the hook {url} does not name a Service: {parts.netloc or 'nothing'}",
                hint="write webhook://NAME or webhook://NAME/PATH, NAME being a Service in the"
                " same namespace",
            )
        host = f"{name}.{namespace}" + (f":{port}" if port else "")
        return Target(f"http://{host}{path}", True, f"Service {namespace}/{name}")
    if parts.scheme in ("http", "https"):
        if not allow_http:
            raise UsageError(
                f"the hook {url} leads out of the platform, which is not allowed",
                hint="use webhook://NAME for a Service in the same namespace",
            )
        return Target(url, False, parts.netloc)
    raise UsageError(
        f"the hook {url} is of no known kind", hint="write webhook://NAME, or a file in the image"
    )


class MeshHooks:
    """Calls hooks; implements ``node.ports.Hooks`` and ``operator.ports.Hooks``."""

    def __init__(self, config: MeshConfig) -> None:
        self._config = config

    async def call(
        self,
        url: str,
        namespace: str,
        payload: dict[str, Any],
        *,
        timeout: float = 10.0,
        key: str = "",
    ) -> None:
        """POST ``payload`` as JSON; redirects are not followed. ``key`` goes along as
        ``idempotency-key``, so that who is called twice for one thing can tell.

        Raises:
            UsageError: ``url`` is no hook URL, or not allowed.
            HookError: no answer with 2xx within ``timeout`` seconds; it says who answered what.
        """
        target = resolve(url, namespace, allow_http=self._config.allow_http_hooks)
        try:
            await self._post(target, url, orjson.dumps(payload), timeout, key)
        except HookError:
            vitals.HOOKS.labels("failed").inc()
            raise
        vitals.HOOKS.labels("ok").inc()

    async def _post(self, target: Target, url: str, body: bytes, timeout: float, key: str) -> None:
        import aiohttp  # most daemons never call one

        connector: aiohttp.BaseConnector
        if target.through_mesh:
            connector = aiohttp.UnixConnector(str(self._config.mesh_socket), force_close=True)
        else:
            connector = aiohttp.TCPConnector(force_close=True)
        limit = aiohttp.ClientTimeout(total=timeout)
        headers = {"content-type": "application/json"}
        if key:
            headers["idempotency-key"] = key
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=limit) as session,
                session.post(
                    target.url, data=body, headers=headers, allow_redirects=False
                ) as answer,
            ):
                if 200 <= answer.status < 300:
                    return
                said = (await answer.content.read(_EXCERPT)).decode(errors="replace").strip()
        except TimeoutError:
            raise HookError(
                f"the hook {url} ({target.shown}) did not answer within {timeout:g} s",
                hint="make the hook answer faster; it is called again when the step is tried again",
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            raise HookError(f"the hook {url} ({target.shown}) cannot be called: {error}") from None
        text = " ".join(said.split())
        raise HookError(
            f"the hook {url} ({target.shown}) answered {answer.status}"
            + (f": {text}" if text else ""),
            hint=_hint(answer.status, target),
        )


def _hint(status: int, target: Target) -> str | None:
    if target.through_mesh and status in (404, 502, 503, 504):
        return f"check that {target.shown} exists and has ready pods (cloudwright why)"
    return None
