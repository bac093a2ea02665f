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

from cloudwright._base.environment import variable
from cloudwright._base.errors import UnreachableError, UsageError
from cloudwright._base.paths import Paths

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
            token=(SERVICE_ACCOUNT / "token").read_text().strip(),
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
    if "exec" in user or "auth-provider" in user:
        raise UsageError(f"{file}: user of {name} needs a plug-in, which is not supported")
    token = str(user.get("token", ""))
    if not token and user.get("tokenFile"):
        token = _sibling(file, str(user["tokenFile"])).read_text().strip()
    return Access(
        server=str(cluster.get("server", "")),
        namespace=str(chosen.get("namespace") or "default"),
        ca=_data(cluster, "certificate-authority", file),
        certificate=_data(user, "client-certificate", file),
        key=_data(user, "client-key", file),
        token=token,
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        context=name,
    )


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
