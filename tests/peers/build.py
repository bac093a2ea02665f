"""Builds the incumbents from the Go module proxy into a cache outside the clone.

    scripts/peers                   # all that can be built here
    scripts/peers etcd kubectl      # some of them
    scripts/peers --list            # where each is, and whether it is there

Each is a small Go module (``tests/standards/*/go/NAME``) that pins versions by its
``go.mod`` and ``go.sum``. A program appears in the cache whole (by rename) or not at all; a second
builder waits for the first. What cannot be built is said with its reason, and tests that need it
are skipped with the same words.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "tests" / "standards" / "kubernetes" / "go"
DATA_PLANE = ROOT / "tests" / "standards" / "data_plane" / "go"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cloudwright" / "peers"
GO_PLACES = ("/usr/local/go/bin/go", "/usr/lib/go/bin/go")


class Unavailable(Exception):
    """A program is not there and cannot be built here; the text says why."""


@dataclass(frozen=True, slots=True)
class Module:
    """One Go module below ``directory`` and the programs that it builds."""

    name: str
    programs: dict[str, str]
    """Program → Go package."""
    pinned: str = ""
    """The required module whose version names the cache directory; empty: our own source does."""
    flags: dict[str, str] = field(default_factory=dict)
    """Variables that the linker sets; ``{version}`` is the pinned version."""
    cgo: bool = False
    directory: Path = SOURCES

    @property
    def source(self) -> Path:
        """The module's directory."""
        return self.directory / self.name

    @property
    def version(self) -> str:
        """What tells one build from another."""
        if self.pinned:
            text = (self.source / "go.mod").read_text()
            found = re.search(rf"^\s*(?:require )?{re.escape(self.pinned)} (v\S+)", text, re.M)
            assert found, f"{self.source}/go.mod does not require {self.pinned}"
            return found[1]
        digest = hashlib.sha256()
        for file in sorted(self.source.rglob("*")):
            if file.suffix in (".go", ".mod", ".sum"):
                digest.update(file.name.encode() + file.read_bytes())
        return digest.hexdigest()[:12]

    @property
    def target(self) -> Path:
        """The directory of the finished programs."""
        return CACHE / f"{self.name}-{self.version}"

    def command(self, go: str, program: str, out: Path) -> list[str]:
        """The build of one program."""
        words = ["-s", "-w"]
        for name, value in self.flags.items():
            words += ["-X", f"{name}={value.format(version=self.version)}"]
        command = [go, "build", "-trimpath", "-buildvcs=false", "-ldflags", " ".join(words)]
        command += ["-o", str(out), self.programs[program]]
        nice = shutil.which("nice")
        return [nice, "-n", "10", *command] if nice else command


_VERSION = "k8s.io/component-base/version."
MODULES = (
    Module(
        "etcd",
        {"etcd": "go.etcd.io/etcd/server/v3", "etcdctl": "go.etcd.io/etcd/etcdctl/v3"},
        "go.etcd.io/etcd/server/v3",
    ),
    Module(
        "kubernetes",
        {
            name: f"k8s.io/kubernetes/cmd/{name}"
            for name in ("kube-apiserver", "kubectl", "kube-controller-manager", "kube-scheduler")
        },
        "k8s.io/kubernetes",
        {
            f"{_VERSION}gitVersion": "{version}",
            f"{_VERSION}gitMajor": "1",
            f"{_VERSION}gitMinor": "36",
            f"{_VERSION}gitTreeState": "clean",
        },
    ),
    Module("kine", {"kine": "github.com/k3s-io/kine"}, "github.com/k3s-io/kine", cgo=True),
    Module("helm", {"helm": "helm.sh/helm/v4/cmd/helm"}, "helm.sh/helm/v4"),
    Module("controller", {"controller": "."}),
    Module("load", {"load": "."}, directory=ROOT / "benchmarks"),
    Module("xdscontrol", {"xdscontrol": "."}, directory=DATA_PLANE),
    Module(
        "data_plane",
        {"upstream": "./upstream", "reverse_proxy": "./reverse_proxy"},
        directory=ROOT / "benchmarks" / "programs",
    ),
    Module(
        "h2spec",
        {"h2spec": "github.com/summerwind/h2spec/cmd/h2spec"},
        "github.com/summerwind/h2spec",
        directory=DATA_PLANE,
    ),
    Module(
        "grpc_interop",
        {
            f"interop_{side}": f"google.golang.org/grpc/interop/{side}"
            for side in ("client", "server")
        },
        "google.golang.org/grpc",
        directory=DATA_PLANE,
    ),
    Module(
        "ghz",
        {"ghz": "github.com/bojand/ghz/cmd/ghz"},
        "github.com/bojand/ghz",
        directory=DATA_PLANE,
    ),
)
_failed: dict[str, str] = {}


def module_of(program: str) -> Module:
    """The module that builds ``program``."""
    for module in MODULES:
        if program in module.programs:
            return module
    raise KeyError(program)


def path_of(program: str) -> Path:
    """Where ``program`` is when it is built."""
    return module_of(program).target / program


def built(program: str) -> Path:
    """The program, which must be built already.

    Raises:
        Unavailable: it is not.
    """
    path = path_of(program)
    if not path.is_file():
        why = _failed.get(program, "run scripts/peers (a Go toolchain and minutes)")
        raise Unavailable(f"{program} is not built: {why}")
    return path


def build(program: str) -> Path:
    """The program, built when it is not there yet (minutes).

    Raises:
        Unavailable: it cannot be built here.
    """
    if program in _failed:
        raise Unavailable(_failed[program])
    module, path = module_of(program), path_of(program)
    if path.is_file():
        return path
    go = find_go()
    if module.cgo and shutil.which("gcc") is None and shutil.which("cc") is None:
        raise Unavailable(f"{program} cannot be built: it needs a C compiler (package gcc)")
    with _locked(module.name):
        if not path.is_file():
            try:
                _compile(go, module, program)
            except Unavailable as error:
                _failed[program] = str(error)
                raise
    return path


def find_go() -> str:
    """The Go toolchain.

    Raises:
        Unavailable: there is none.
    """
    for candidate in (shutil.which("go"), *GO_PLACES):
        if candidate and Path(candidate).is_file():
            return candidate
    raise Unavailable("there is no Go toolchain (https://go.dev/dl, 1.26 or later)")


def _compile(go: str, module: Module, program: str) -> None:
    module.target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix=f".{program}-") as directory:
        out = Path(directory) / program
        environment = {
            **os.environ,
            "GOFLAGS": "-mod=readonly",
            "GOWORK": "off",
            "CGO_ENABLED": "1" if module.cgo else "0",
        }
        command = module.command(go, program, out)
        done = subprocess.run(
            command, cwd=module.source, env=environment, capture_output=True, text=True
        )
        if done.returncode or not out.is_file():
            last = " / ".join(done.stderr.strip().splitlines()[-3:])
            raise Unavailable(f"{program} cannot be built: {last or done.returncode}")
        out.replace(module.target / program)


@contextmanager
def _locked(name: str) -> Iterator[None]:
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main(arguments: Sequence[str] | None = None) -> int:
    """Build what is named, or all; the exit code is 1 when something could not be built."""
    known = [program for module in MODULES for program in module.programs]
    words = argparse.ArgumentParser(
        prog="scripts/peers", description=(__doc__ or "").split("\n")[0]
    )
    words.add_argument("programs", nargs="*", help=f"of {', '.join(known)}")
    words.add_argument("--list", action="store_true", help="only say what is there")
    options = words.parse_args(arguments)
    if unknown := set(options.programs) - set(known):
        words.error(f"unknown: {', '.join(sorted(unknown))}")
    failed = False
    for program in options.programs or known:
        path, start = path_of(program), time.monotonic()
        if options.list:
            print(f"{program:24} {path if path.is_file() else 'not built'}")
            continue
        if path.is_file():
            continue
        print(f"==> building {program} ({path.parent.name})", file=sys.stderr, flush=True)
        try:
            build(program)
            print(f"    {time.monotonic() - start:.0f} s: {path}", file=sys.stderr, flush=True)
        except Unavailable as error:
            failed = True
            print(f"    skipped: {error}", file=sys.stderr, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
