"""Where the runtime keeps things and which programs it uses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cloudwright._base.paths import Paths


@dataclass(frozen=True, slots=True)
class RuntimeConfig:
    """One instance's runtime. ``native`` None: found as ``_base.paths.native_binary`` does."""

    instance: str
    run: Path
    """Sockets and the supervisor's own state (0711; what is in it is 0600 or 0700)."""
    pods: Path
    """Bundles: ``<sandbox>/<container>/{config.json,rootfs,upper,work}`` (0700)."""
    log: Path
    """The supervisor's own log."""
    native: Path | None = None
    crun: str = "crun"
    create_timeout_ms: int = 10_000

    @classmethod
    def of(cls, paths: Paths, *, native: Path | None = None, crun: str = "crun") -> RuntimeConfig:
        """The configuration for an instance's paths."""
        return cls(
            instance=paths.instance,
            run=paths.run,
            pods=paths.pods,
            log=paths.state / "logs" / "supervisor.log",
            native=native,
            crun=crun,
        )

    @property
    def socket(self) -> Path:
        """The supervisor's socket."""
        return self.run / "supervisor.sock"

    @property
    def cgroup_root(self) -> str:
        """The cgroup that everything of this instance lies in."""
        return f"/cloudwright-{self.instance}"
