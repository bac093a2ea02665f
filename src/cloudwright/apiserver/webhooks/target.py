"""Where a ``clientConfig`` points to. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from cloudwright.apiserver.webhooks.errors import WebhookError


@dataclass(frozen=True, slots=True)
class Target:
    """One webhook's address. ``service`` is ``(namespace, name)`` or ``None`` for a URL."""

    host: str
    """Name that the certificate must have."""
    port: int
    path: str
    """With its query."""
    ca: str
    """PEM bundle; empty: the system's trust roots."""
    service: tuple[str, str] | None = None

    @property
    def url(self) -> str:
        """As messages show it."""
        port = "" if self.port == 443 and self.service is None else f":{self.port}"
        return f"https://{self.host}{port}{self.path}"


def parse(config: Mapping[str, Any]) -> Target:
    """The target of a ``clientConfig``.

    Raises:
        WebhookError: it names neither a URL nor a Service, or its bundle is no PEM.
    """
    ca = _bundle(config.get("caBundle"))
    service = config.get("service")
    if service:
        namespace, name = str(service.get("namespace", "")), str(service.get("name", ""))
        path = str(service.get("path") or "/")
        path = path if path.startswith("/") else f"/{path}"
        port = int(service.get("port") or 443)
        return Target(f"{name}.{namespace}.svc", port, path, ca, (namespace, name))
    parts = urlsplit(str(config.get("url") or ""))
    if parts.scheme != "https" or not parts.hostname:
        raise WebhookError("the webhook's clientConfig has neither a https URL nor a service")
    query = f"?{parts.query}" if parts.query else ""
    return Target(parts.hostname, parts.port or 443, (parts.path or "/") + query, ca)


def _bundle(text: object) -> str:
    if not text:
        return ""
    try:
        return base64.b64decode(str(text), validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise WebhookError("the webhook's caBundle is not PEM in base64") from error
