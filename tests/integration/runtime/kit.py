"""A runtime of its own for one test: state directory, network namespace, supervisor, one image."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from cloudwright._base.errors import CloudwrightError, NotFoundError
from cloudwright._base.paths import Paths, native_binary
from cloudwright.model.sandbox import (
    ContainerSpec,
    ContainerState,
    ContainerStatus,
    ImageConfig,
    LogTarget,
    SandboxSpec,
)
from cloudwright.runtime.config import RuntimeConfig
from cloudwright.runtime.engine import RuntimeEngine

HELPER = Path(__file__).with_name("helper.c")
POD = "0b5ad9b2-1111-4222-8333-444455556666"


@dataclass
class OneImage:
    """An image whose layers are given."""

    found: ImageConfig

    async def config(self, reference: str) -> ImageConfig:
        if reference != self.found.reference:
            raise NotFoundError(f"no image {reference}", hint="build it")
        return self.found


@dataclass
class Kit:
    """What a test works with."""

    root: Path
    config: RuntimeConfig
    image: ImageConfig
    netns: str
    engine: RuntimeEngine = field(init=False)

    def __post_init__(self) -> None:
        self.engine = RuntimeEngine(self.config, OneImage(self.image))

    async def sandbox(self, pod: str = POD) -> None:
        await self.engine.ensure_sandbox(SandboxSpec(pod, "the-pod", self.netns))

    def spec(self, name: str, *words: str, pod: str = POD, **changes: Any) -> ContainerSpec:
        made = ContainerSpec(
            id=f"t-{name}-0",
            sandbox=pod,
            name=name,
            image="helper:1",
            args=words,
            log=LogTarget(str(self.log(name))),
        )
        return replace(made, **changes)

    async def run(self, name: str, *words: str, **changes: Any) -> str:
        """Create and start; returns the container's id."""
        spec = self.spec(name, *words, **changes)
        await self.sandbox(spec.sandbox)
        await self.engine.create_container(spec)
        await self.engine.start_container(spec.id)
        return spec.id

    async def finish(self, name: str, *words: str, **changes: Any) -> ContainerStatus:
        """Run to the end."""
        return await self.ended(await self.run(name, *words, **changes))

    async def ended(self, container: str) -> ContainerStatus:
        """The status once the container has ended, by the supervisor's events."""
        with anyio.fail_after(20):
            async for _ in self.engine.events():  # the first one comes at once
                status = await self.status(container)
                if status.state is ContainerState.EXITED:
                    return status
        raise AssertionError("events end never")

    async def status(self, container: str) -> ContainerStatus:
        return next(one for one in await self.engine.containers() if one.id == container)

    def log(self, name: str) -> Path:
        return self.root / "logs" / name / "0.log"

    def text(self, name: str) -> str:
        """The log without time stamps."""
        lines = self.log(name).read_text().splitlines()
        return "\n".join(line.split(" ", 1)[1] for line in lines)

    async def until(self, true: Callable[[], Any]) -> None:
        """Wait for something that has no event."""
        with anyio.fail_after(20):
            while not true():
                await anyio.sleep(0.01)

    async def supervisor_pid(self) -> int:
        hello = await self.engine._supervisor.call("hello")
        return int(hello["pid"])

    def traces(self) -> dict[str, list[str]]:
        """What of this instance is on the machine."""
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        group = self.config.cgroup_root.strip("/")
        return {
            "mounts": [line for line in mounts if str(self.root) in line],
            "cgroups": [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/{group}")],
            "processes": processes_of(str(self.root)),
            "bundles": [str(path) for path in self.config.pods.glob("*/*")],
            "namespaces": [str(path) for path in self.config.run.glob("ns/*")],
            "crun": [path.name for path in self.config.run.glob("crun/*")],
        }


def processes_of(word: str) -> list[str]:
    """The command lines of processes that name ``word`` or whose root lies in it."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if word in line:
            found.append(f"{entry.name} {line}")
    return found


def helper_binary(directory: Path) -> Path:
    """The compiled helper, or a skip when there is no compiler."""
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    target = directory / "helper"
    subprocess.run(["gcc", "-static", "-O1", "-o", str(target), str(HELPER)], check=True)
    return target


def layers(directory: Path, helper: Path) -> tuple[str, ...]:
    """Two layers: files of the system below, the program on top."""
    base, top = directory / "layers" / "base", directory / "layers" / "top"
    (base / "etc").mkdir(parents=True)
    (base / "etc" / "passwd").write_text("root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/home/app:\n")
    (base / "etc" / "group").write_text("root:x:0:\napp:x:1000:\nextra:x:2000:app\n")
    (base / "etc" / "base-only").write_text("from the base\n")
    (base / "tmp").mkdir()
    (base / "tmp").chmod(0o1777)
    top.mkdir(parents=True)
    shutil.copy(helper, top / "helper")
    return str(base), str(top)


@asynccontextmanager
async def runtime(helper: Path, *, crun: str = "crun", **changes: Any) -> AsyncIterator[Kit]:
    """A kit; at the end nothing of it may be left on the machine."""
    for tool, package in (("crun", "crun"), ("ip", "iproute2")):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool} (package {package})")
    try:
        native = native_binary()
    except CloudwrightError:
        pytest.skip("needs cloudwright-native")
    number = 0
    while (root := Path(f"/tmp/cwt-rt-{os.getpid()}-{number}")).exists():
        number += 1
    root.mkdir(mode=0o700)
    netns = root.name
    subprocess.run(["ip", "netns", "add", netns], check=True)
    try:
        paths = Paths.find(root)
        config = replace(RuntimeConfig.of(paths, native=native, crun=crun), **changes)
        image = ImageConfig(
            reference="helper:1",
            digest="sha256:0",
            entrypoint=("/helper",),
            command=("serve",),
            env={"FROM_IMAGE": "yes"},
            layers=layers(root, helper),
        )
        kit = Kit(root, config, image, f"/run/netns/{netns}")
        try:
            yield kit
        finally:
            with anyio.CancelScope(shield=True):
                await kit.engine.shutdown(grace_seconds=0)
                left = kit.traces()
        assert not any(left.values()), json.dumps(left, indent=1)
    finally:
        subprocess.run(["ip", "netns", "del", netns], check=True)
        shutil.rmtree(root)


FAKE = """#!/bin/sh
for word in "$@"; do
  if [ "$word" = {verb} ]; then {then}; fi
done
exec crun "$@"
"""


def fake_crun(directory: Path, verb: str, then: str) -> str:
    """A crun that does something else first when it is called with ``verb``."""
    path = directory / "fake-crun"
    path.write_text(FAKE.format(verb=verb, then=then))
    path.chmod(0o755)
    return str(path)
