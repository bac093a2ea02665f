"""Which etcd, and how it is used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs

from cloudwright._base.errors import UsageError

_FILES = ("ca", "cert", "key")


PREFIX = "/cloudwright"


@dataclass(frozen=True, slots=True)
class EtcdConfig:
    """Where etcd is, who we are to it, and how much is kept."""

    endpoints: tuple[str, ...]
    """``HOST:PORT`` of each member."""
    prefix: str = PREFIX
    """Stands before every key; API servers with the same one share their objects."""
    ca: Path | None = None
    """Who signed the members' certificates; with it (or ``tls``) the connection is TLS."""
    cert: Path | None = None
    key: Path | None = None
    """Our client certificate and its key."""
    tls: bool = False
    request_seconds: float = 5.0
    """For one call to one member."""
    read_attempts: int = 3
    start_seconds: float = 15.0
    """How long to wait for etcd at the start: it may be starting, too."""
    history_seconds: float = 300.0
    """Superseded revisions older than this are compacted."""
    compact_every_seconds: float = 60.0
    ring_events: int = 16_384
    ring_bytes: int = 16 * 1024 * 1024
    """Newest events kept in memory, for watches that resume."""
    watch_queue: int = 2048


def parse(text: str) -> EtcdConfig:
    """``etcd://HOST:PORT[,HOST:PORT…][/PREFIX][?ca=FILE&cert=FILE&key=FILE]``; ``etcds://`` is TLS
    with the system's authorities unless ``ca`` names one.

    Raises:
        UsageError: it is not of this form.
    """
    # By hand: a list of several hosts is no authority that urllib takes.
    scheme, _, rest = text.partition("://")
    place, _, query = rest.partition("?")
    hosts, slash, path = place.partition("/")
    words = parse_qs(query, keep_blank_values=True)
    strange = [name for name in words if name not in _FILES]
    form = "write etcd://HOST:PORT[,HOST:PORT][/PREFIX][?ca=FILE&cert=FILE&key=FILE]"
    if scheme not in ("etcd", "etcds"):
        raise UsageError(f"{text!r} is not an etcd store", hint=form)
    if strange:
        raise UsageError(f"{text!r}: there is no setting {strange[0]!r}", hint=form)
    endpoints = tuple(filter(None, hosts.split(",")))
    for endpoint in endpoints:
        _, colon, port = endpoint.rpartition(":")
        if not colon or not port.isdigit() or not 0 < int(port) < 65536 or "@" in endpoint:
            raise UsageError(f"{text!r}: {endpoint!r} is not HOST:PORT", hint=form)
    files = {name: Path(words[name][0]) for name in words if words[name][0]}
    for file in files.values():
        if not file.is_file():
            raise UsageError(f"{text!r}: there is no file {file}")
    if not endpoints or ("cert" in files) != ("key" in files):
        raise UsageError(f"{text!r}: endpoints are missing, or one of cert and key", hint=form)
    return EtcdConfig(
        endpoints,
        prefix=f"{slash}{path}".rstrip("/") or PREFIX,
        tls=scheme == "etcds" or bool(files),
        ca=files.get("ca"),
        cert=files.get("cert"),
        key=files.get("key"),
    )
