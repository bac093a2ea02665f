"""Credentials that change while a client runs: token files and credential plug-ins.

Sources: client-go ``transport/token_source.go`` (a file is read again after a minute),
``plugin/pkg/client/auth/exec`` and https://kubernetes.io/docs/reference/access-authn-authz/
authentication/#client-go-credential-plugins (``client.authentication.k8s.io/v1``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, time
from typing import Any, Protocol

from cloudwright._base import logs
from cloudwright._base.clock import parse_rfc3339
from cloudwright._base.environment import inherited
from cloudwright._base.errors import NotAllowedError, UsageError

FILE_SECONDS = 60.0
EXEC_TIMEOUT = 60.0
_EARLY = 10.0
"""A token is replaced this long before it ends: a request takes time as well."""
_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
_log = logs.get("client")


@dataclass(frozen=True, slots=True)
class Credential:
    """What goes along with requests; PEM where not empty."""

    token: str = ""
    certificate: bytes = b""
    key: bytes = b""


class Source(Protocol):
    """Where credentials come from. ``fresh`` is cheap, ``obtain`` may read files or run programs:
    call it outside of an event loop.
    """

    def fresh(self) -> Credential | None:
        """The credential in force; ``None`` when it must be obtained (again)."""

    def obtain(self) -> Credential:
        """Get one, and keep it. Raises NotAllowedError, UsageError."""

    def refused(self) -> None:
        """The server did not accept it (401): the next one must be another."""


class TokenFile:
    """A bearer token in a file that somebody replaces, such as a pod's service account token."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._kept: Credential | None = None
        self._until = 0.0

    def fresh(self) -> Credential | None:
        """The token of the last minute."""
        return self._kept if monotonic() < self._until else None

    def obtain(self) -> Credential:
        """Read the file; the old token goes on when that fails."""
        try:
            text = self._file.read_text().strip()
        except OSError as error:
            if self._kept is None:
                raise UsageError(f"{self._file} cannot be read", cause=error.strerror) from None
            _log.warning("%s cannot be read: %s", self._file, error.strerror)
        else:
            self._kept = Credential(token=text)
        self._until = monotonic() + FILE_SECONDS
        return self._kept

    def refused(self) -> None:
        """Read it again next time."""
        self._until = 0.0


@dataclass(slots=True)
class Plugin:
    """A credential plug-in: a program that prints an ``ExecCredential``."""

    command: str
    arguments: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    api_version: str = _VERSIONS[0]
    hint: str = ""
    cluster: dict[str, Any] | None = None
    """What it is told of the cluster; ``None``: nothing."""
    _kept: Credential | None = None
    _until: float = 0.0

    def fresh(self) -> Credential | None:
        """What it printed last, until that ends."""
        return self._kept if self._kept is not None and time() < self._until else None

    def obtain(self) -> Credential:
        """Run it."""
        import shutil
        import subprocess

        path = shutil.which(self.command)
        if path is None:
            text = f"the credential plug-in {self.command} is not installed"
            raise UsageError(text, hint=self.hint or None)
        spec: dict[str, Any] = {"interactive": False}
        if self.cluster is not None:
            spec["cluster"] = self.cluster
        told = {"apiVersion": self.api_version, "kind": "ExecCredential", "spec": spec}
        environment = inherited(**self.environment, KUBERNETES_EXEC_INFO=json.dumps(told))
        try:
            done = subprocess.run(
                [path, *self.arguments],
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=EXEC_TIMEOUT,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            text = f"the credential plug-in {self.command} failed"
            raise NotAllowedError(text, cause=str(error)) from None
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or [""]
            text = f"the credential plug-in {self.command} ended with code {done.returncode}"
            raise NotAllowedError(text, cause=said[0] or None, hint=self.hint or None)
        self._kept, self._until = self._read(done.stdout)
        return self._kept

    def _read(self, output: bytes) -> tuple[Credential, float]:
        try:
            found = json.loads(output)
            good = found["kind"] == "ExecCredential" and found["apiVersion"] == self.api_version
            status = found.get("status") or {}
            until = status.get("expirationTimestamp")
            ends = parse_rfc3339(str(until)).timestamp() - _EARLY if until else float("inf")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            text = f"the credential plug-in {self.command} printed no ExecCredential"
            raise NotAllowedError(text, cause=str(error)) from None
        credential = Credential(
            str(status.get("token") or ""),
            str(status.get("clientCertificateData") or "").encode(),
            str(status.get("clientKeyData") or "").encode(),
        )
        if not good or not (credential.token or (credential.certificate and credential.key)):
            text = f"the credential plug-in {self.command} printed no credential"
            raise NotAllowedError(text, cause=f"it must be of {self.api_version}")
        return credential, ends

    def refused(self) -> None:
        """Run it again next time."""
        self._until = 0.0


def plugin(section: Mapping[str, Any], cluster: Mapping[str, Any], where: str) -> Plugin:
    """The plug-in of a kubeconfig user's ``exec``. Raises UsageError."""
    version = str(section.get("apiVersion") or "")
    if version not in _VERSIONS or not section.get("command"):
        text = f"{where}: exec needs a command and apiVersion {_VERSIONS[0]}"
        raise UsageError(text)
    return Plugin(
        command=str(section["command"]),
        arguments=[str(word) for word in section.get("args") or ()],
        environment={str(e["name"]): str(e["value"]) for e in section.get("env") or ()},
        api_version=version,
        hint=str(section.get("installHint") or ""),
        cluster=dict(cluster) if section.get("provideClusterInfo") else None,
    )
