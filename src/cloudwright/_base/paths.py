"""Where things lie on disk. ``--state-dir`` or ``CLOUDWRIGHT_STATE_DIR`` moves all of it."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path

from cloudwright._base.environment import variable
from cloudwright._base.errors import CloudwrightError

DEFAULT_STATE = Path("/var/lib/cloudwright")
DEFAULT_RUN = Path("/run/cloudwright")


@dataclass(frozen=True, slots=True)
class Paths:
    """The three roots of one platform instance and the names derived from them."""

    state: Path
    run: Path
    user: Path

    @classmethod
    def find(cls, state_dir: str | Path | None = None) -> Paths:
        """The paths for ``state_dir``, else for ``CLOUDWRIGHT_STATE_DIR``, else the defaults."""
        chosen = state_dir or variable("CLOUDWRIGHT_STATE_DIR")
        if chosen:
            root = Path(chosen).absolute()
            return cls(state=root, run=root / "run", user=root / "user")
        return cls(state=DEFAULT_STATE, run=DEFAULT_RUN, user=Path.home() / ".cloudwright")

    @property
    def instance(self) -> str:
        """Six hex digits that tell this instance's kernel objects from another's."""
        return hashlib.sha256(str(self.state).encode()).hexdigest()[:6]

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig, readable by the user only."""
        return self.user / "kubeconfig"

    @property
    def database(self) -> Path:
        """The API server's SQLite file."""
        return self.state / "apiserver" / "store.db"

    @property
    def pki(self) -> Path:
        """Certificate authorities and the API server's certificates (0700)."""
        return self.state / "pki"

    @property
    def images(self) -> Path:
        """The content store: ``blobs/sha256/``, ``index.json``, ``layers/`` (unpacked)."""
        return self.state / "images"

    @property
    def pods(self) -> Path:
        """Per-pod directories: bundles, volumes, writable layers."""
        return self.state / "pods"

    @property
    def pod_logs(self) -> Path:
        """CRI log files: ``<namespace>_<pod>_<uid>/<container>/<restart>.log``."""
        return self.state / "logs" / "pods"

    @property
    def supervisor_socket(self) -> Path:
        """The supervisor's control socket (0600)."""
        return self.run / "supervisor.sock"

    @property
    def snapshot(self) -> Path:
        """The mesh snapshot that every proxy watches."""
        return self.run / "mesh" / "snapshot.json"

    @property
    def proxies(self) -> Path:
        """Per-proxy directories: ``<id>/{bootstrap.json,cert.pem,key.pem,ca.pem,admin.sock}``."""
        return self.run / "proxies"

    @property
    def daemon_pid(self) -> Path:
        """The daemon's pid file."""
        return self.run / "cloudwrightd.pid"

    @property
    def daemon_log(self) -> Path:
        """The daemon's own log (JSON lines)."""
        return self.state / "logs" / "cloudwrightd.log"


def native_binary() -> Path:
    """The multi-call binary ``cloudwright-native``.

    Looked for in ``CLOUDWRIGHT_NATIVE``, beside the interpreter, in the scripts directory, on PATH.

    Raises:
        CloudwrightError: it is nowhere.
    """
    import sysconfig
    from shutil import which

    candidates = [
        variable("CLOUDWRIGHT_NATIVE"),
        Path(sys.executable).parent / "cloudwright-native",
    ]
    candidates.append(Path(sysconfig.get_path("scripts")) / "cloudwright-native")
    candidates.append(which("cloudwright-native"))
    for candidate in candidates:
        if candidate and Path(candidate).is_file():
            return Path(candidate)
    raise CloudwrightError(
        "the native binary cloudwright-native is not installed",
        code="CW1010",
        hint="run `make setup` (or `pip install .`), or set CLOUDWRIGHT_NATIVE to its path",
    )
