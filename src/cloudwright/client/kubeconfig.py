"""Where the API is and who we are: kubeconfig files, or the service account of a pod.

Order: an explicit file, ``KUBECONFIG``, ``~/.cloudwright/kubeconfig`` (or the state
directory's), ``~/.kube/config``,
then in-cluster.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cloudwright._base.environment import variable
from cloudwright._base.errors import UnreachableError, UsageError
from cloudwright._base.paths import Paths
from cloudwright.client.credentials import Source, TokenFile, plugin

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach one API. Certificates and keys are PEM; empty when not used."""

    server: str
    namespace: str = "default"
    ca: bytes = b""
    certificate: bytes = b""
    key: bytes = b""
    token: str = ""
    insecure: bool = False
    context: str = ""
    proxy: str = ""
    """An HTTP proxy to go through; empty: none."""
    server_name: str = ""
    """The name that the server's certificate must have, when it is not the URL's."""
    source: Source | None = None
    """Where a token or certificate comes from that changes with time."""


def find(
    file: str | None = None, context: str | None = None, state_dir: str | None = None
) -> Access:
    """The access in force. Raises UsageError for a bad file, UnreachableError when there is
    none.
    """
    paths = Paths.find(state_dir)
    if file:
        return read(Path(file), context)
    for name in (variable("KUBECONFIG") or "").split(":"):
        if name and Path(name).is_file():
            return read(Path(name), context)
    for candidate in (paths.kubeconfig, Path.home() / ".kube" / "config"):
        if candidate.is_file():
            return read(candidate, context)
    host, port = variable("KUBERNETES_SERVICE_HOST"), variable("KUBERNETES_SERVICE_PORT")
    if host and port and (SERVICE_ACCOUNT / "token").is_file():
        return Access(
            server=f"https://{host}:{port}",
            namespace=(SERVICE_ACCOUNT / "namespace").read_text().strip(),
            ca=(SERVICE_ACCOUNT / "ca.crt").read_bytes(),
            source=TokenFile(SERVICE_ACCOUNT / "token"),
            context="in-cluster",
        )
    raise UnreachableError(
        "no cluster to talk to",
        cause=f"there is no kubeconfig at {paths.kubeconfig}",
        hint="start the platform with `cloudwright up`, or give --kubeconfig FILE",
    )


def read(file: Path, context: str | None = None) -> Access:
    """The access of a context (default: the current one) of a kubeconfig file. Raises
    UsageError.
    """
    document = _load(file)
    name = context or str(document.get("current-context") or "")
    chosen = _named(document, "contexts", name, file).get("context") or {}
    cluster = _named(document, "clusters", str(chosen.get("cluster", "")), file).get("cluster")
    user = _named(document, "users", str(chosen.get("user", "")), file).get("user")
    cluster, user = cluster or {}, user or {}
    if "auth-provider" in user:
        raise UsageError(
            f"{file}: user of {name} has an auth-provider, which Kubernetes 1.26 removed",
            hint="use exec, a credential plug-in",
        )
    server, ca = str(cluster.get("server", "")), _data(cluster, "certificate-authority", file)
    source: Source | None = None
    if user.get("tokenFile"):
        source = TokenFile(_sibling(file, str(user["tokenFile"])))
    elif user.get("exec"):
        told = {"server": server, "certificate-authority-data": base64.b64encode(ca).decode()}
        section = dict(user["exec"])
        if "/" in str(section.get("command")):
            section["command"] = str(_sibling(file, str(section["command"])))
        source = plugin(section, told, str(file))
    return Access(
        server=server,
        namespace=str(chosen.get("namespace") or "default"),
        ca=ca,
        certificate=_data(user, "client-certificate", file),
        key=_data(user, "client-key", file),
        token="" if user.get("tokenFile") else str(user.get("token", "")),
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        context=name,
        proxy=_proxy(str(cluster.get("proxy-url") or ""), server),
        server_name=str(cluster.get("tls-server-name") or ""),
        source=source,
    )


def _proxy(written: str, server: str) -> str:
    """The kubeconfig's proxy, else the environment's as Go reads it. Raises UsageError."""
    found = written
    if not found:
        host = (urlsplit(server).hostname or "").lower()
        for name in ("HTTPS_PROXY", "https_proxy") if server.startswith("https") else ():
            found = found or variable(name) or ""
        if not found or _direct(host, variable("NO_PROXY") or variable("no_proxy") or ""):
            return ""
    if urlsplit(found).scheme not in ("http", "https"):
        raise UsageError(
            f"the proxy {found} is not supported", hint="only http:// and https:// are"
        )
    return found


def _direct(host: str, exceptions: str) -> bool:
    """Whether a host needs no proxy: loopback, or named in ``NO_PROXY`` (also by address range)."""
    import ipaddress

    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if address is not None and address.is_loopback:
        return True
    for entry in (part.strip().lower().lstrip("*") for part in exceptions.split(",")):
        if not entry:
            continue
        if address is None and (
            host == entry.lstrip(".") or host.endswith(f".{entry.lstrip('.')}")
        ):
            return True
        if address is not None:
            try:
                if address in ipaddress.ip_network(entry, strict=False):
                    return True
            except ValueError:
                continue
    return False


def _load(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"{file} does not exist", hint="check --kubeconfig") from None
    except OSError as error:
        raise UsageError(f"{file} cannot be read", cause=error.strerror) from None
    if text.startswith("{"):  # ours is JSON, which is YAML too, and reads without a YAML parser
        import json

        try:
            return dict(json.loads(text))
        except ValueError as error:
            raise UsageError(f"{file} is not a kubeconfig", cause=str(error)) from None
    import yaml

    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        document = yaml.load(text, Loader=loader)  # noqa: S506 (the safe one, in C)
    except yaml.YAMLError as error:
        raise UsageError(f"{file} is not a kubeconfig", cause=str(error)) from None
    if not isinstance(document, dict):
        raise UsageError(f"{file} is not a kubeconfig")
    return document


def _named(document: dict[str, Any], section: str, name: str, file: Path) -> dict[str, Any]:
    members = document.get(section) or []
    for member in members:
        if isinstance(member, dict) and member.get("name") == name:
            return member
    known = ", ".join(str(m.get("name")) for m in members if isinstance(m, dict)) or "none"
    raise UsageError(f"{file}: {section} has no {name!r}", hint=f"there is: {known}")


def _data(section: dict[str, Any], key: str, file: Path) -> bytes:
    if text := section.get(f"{key}-data"):
        return base64.b64decode(str(text))
    if name := section.get(key):
        return _sibling(file, str(name)).read_bytes()
    return b""


def _sibling(file: Path, name: str) -> Path:
    return Path(name) if Path(name).is_absolute() else file.parent / name
