"""Cold start of a container: create + start through the supervisor beside bare ``crun run``.

Both use the same root, seccomp profile and crun, turn by turn in the same run. Ours adds what a
pod needs: writing the bundle, the overlay mount, joined namespaces, a log, two calls of crun
(create, start) instead of one. Needs root, crun and gcc.

    python benchmarks/runtime_cold_start.py [--rounds 60]
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import anyio

from cloudwright._base.paths import Paths
from cloudwright.model.sandbox import ContainerSpec, ImageConfig, LogTarget, SandboxSpec
from cloudwright.runtime import launch, probe, spec, users
from cloudwright.runtime.config import RuntimeConfig
from cloudwright.runtime.engine import RuntimeEngine
from cloudwright.runtime.supervisor import SupervisorClient

PROGRAM = "#include <unistd.h>\nint main(){for(;;)pause();}\n"
NETNS = "cw-bench-runtime"
POD = "bench"
BARE = """
import json, subprocess, sys, time
crun, root = sys.argv[1:]
for line in sys.stdin:
    bundle, name = line.split()
    begun = time.perf_counter()
    subprocess.run(
        [crun, "--root", root, "--cgroup-manager=cgroupfs", "run", "--detach",
         "--bundle", bundle, name],
        check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )
    print(time.perf_counter() - begun, flush=True)
    subprocess.run([crun, "--root", root, "delete", "--force", name], check=True)
"""
PRIVATE = 'mount --make-rslave /; umount /sys/fs/cgroup/unified 2>/dev/null; exec "$@"'


class Image:
    """One layer with one static program."""

    def __init__(self, layer: Path) -> None:
        self.found = ImageConfig("bench:1", "", entrypoint=("/pause",), layers=(str(layer),))

    async def config(self, reference: str) -> ImageConfig:
        """The one image."""
        return self.found


def bare_bundle(directory: Path, image: ImageConfig, container: ContainerSpec) -> Path:
    """A bundle for bare crun: the layer as its root, the same document otherwise."""
    identity = users.resolve("", container.security)
    document = spec.build(container, image, identity, probe.host())
    document["root"]["path"] = image.layers[0]
    document["linux"]["cgroupsPath"] = "/cloudwright-bench-bare/c"
    kinds = ("pid", "mount", "cgroup", "ipc", "uts")
    network = {"type": "network", "path": f"/run/netns/{NETNS}"}
    document["linux"]["namespaces"] = [*({"type": kind} for kind in kinds), network]
    bundle = directory / "bare"
    bundle.mkdir()
    (bundle / "config.json").write_text(json.dumps(document))
    return bundle


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` of ``values`` lie, in milliseconds."""
    return 1000 * statistics.quantiles(values, n=100, method="inclusive")[round(share * 100) - 1]


def rss(pid: int) -> tuple[float, float]:
    """Resident and proportional set size in MiB."""
    found = dict.fromkeys(("Rss", "Pss"), 0.0)
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name = line.split(":")[0]
        if name in found:
            found[name] = int(line.split()[1]) / 1024
    return found["Rss"], found["Pss"]


async def measure(directory: Path, rounds: int) -> None:
    """Both, turn by turn, then the supervisor's memory."""
    config = RuntimeConfig.of(Paths.find(directory / "state"))
    layer = directory / "layer"
    image = Image(layer)
    engine = RuntimeEngine(config, image)
    container = ContainerSpec(
        "bench-0", POD, "bench", "bench:1", log=LogTarget(str(directory / "0.log"))
    )
    bundle = bare_bundle(directory, image.found, container)
    hello = await launch.ensure_supervisor(config)
    idle = rss(hello["pid"])
    words = ["unshare", "--mount", "sh", "-c", PRIVATE, "sh", sys.executable, "-c", BARE]
    bare = subprocess.Popen(
        [*words, shutil.which("crun") or "crun", str(directory / "crun")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert bare.stdin is not None
    assert bare.stdout is not None
    await engine.ensure_sandbox(SandboxSpec(POD, "bench", f"/run/netns/{NETNS}"))
    ours: list[float] = []
    theirs: list[float] = []
    try:
        for number in range(rounds + 3):
            bare.stdin.write(f"{bundle} bench-{number}\n")
            bare.stdin.flush()
            theirs.append(float(bare.stdout.readline()))
            begun = perf_counter()
            await engine.create_container(container)
            await engine.start_container(container.id)
            ours.append(perf_counter() - begun)
            await engine.remove_container(container.id)
        report(ours[3:], theirs[3:])
        await report_memory(engine, container, hello["pid"], idle)
        await report_parallel(engine, config)
    finally:
        bare.stdin.close()
        bare.wait()
        with anyio.CancelScope(shield=True):
            await engine.shutdown(grace_seconds=0)


def report(ours: Sequence[float], theirs: Sequence[float]) -> None:
    """The table of cold starts."""
    print(f"{'container cold start, one at a time':42} {'P50 ms':>8} {'P95 ms':>8}")
    rows = {"cloudwright create + start": ours, "bare crun run --detach": theirs}
    for name, values in rows.items():
        print(f"{name:42} {percentile(values, 0.5):8.1f} {percentile(values, 0.95):8.1f}")
    fifty = percentile(ours, 0.5) / percentile(theirs, 0.5)
    high = percentile(ours, 0.95) / percentile(theirs, 0.95)
    paired = statistics.median(one / two for one, two in zip(ours, theirs, strict=True))
    print(f"{'ratio':42} {fifty:8.2f} {high:8.2f}   median of pairs {paired:.2f}")


async def report_memory(
    engine: RuntimeEngine, container: ContainerSpec, pid: int, idle: tuple[float, float]
) -> None:
    """The supervisor's memory idle and with ten containers."""
    from dataclasses import replace

    for number in range(10):
        one = replace(container, id=f"ten-{number}")
        await engine.create_container(one)
        await engine.start_container(one.id)
    ten = rss(pid)
    for number in range(10):
        await engine.remove_container(f"ten-{number}")
    print(f"{'supervisor memory':42} {'RSS MiB':>8} {'PSS MiB':>8}")
    for name, found in {"idle": idle, "with 10 containers": ten}.items():
        print(f"{name:42} {found[0]:8.1f} {found[1]:8.1f}")


async def report_parallel(engine: RuntimeEngine, config: RuntimeConfig, count: int = 50) -> None:
    """Many at once: how many a second."""
    taken: list[float] = []

    async def one(number: int) -> None:
        name = f"many-{number}"
        begun = perf_counter()
        await engine.create_container(ContainerSpec(name, POD, name, "bench:1"))
        await engine.start_container(name)
        taken.append(perf_counter() - begun)

    begun = perf_counter()
    async with anyio.create_task_group() as group:
        for number in range(count):
            group.start_soon(one, number)
    total = perf_counter() - begun
    listed = len((await SupervisorClient(config.socket).call("container.list"))["containers"])
    assert listed == count, f"{listed} of {count} containers run"
    await engine.remove_sandbox(POD)
    title = f"{count} at once"
    print(f"{title:42} {count / total:8.0f} a second, P95 {percentile(taken, 0.95):.0f} ms")


def main() -> int:
    """Build the layer, measure, clean up."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=60)
    rounds = parser.parse_args().rounds
    for tool in ("crun", "gcc", "ip", "unshare"):
        if shutil.which(tool) is None:
            print(f"skipped: needs {tool}")
            return 0
    directory = Path(tempfile.mkdtemp(prefix="cw-bench-runtime-"))
    try:
        (directory / "layer").mkdir()
        for name in ("proc", "dev", "sys"):
            (directory / "layer" / name).mkdir()
        source = directory / "pause.c"
        source.write_text(PROGRAM)
        target = directory / "layer" / "pause"
        subprocess.run(["gcc", "-static", "-O1", "-o", target, source], check=True)
        subprocess.run(["ip", "netns", "add", NETNS], check=True)
        try:
            anyio.run(measure, directory, rounds)
        finally:
            subprocess.run(["ip", "netns", "del", NETNS], check=True)
            for path in Path("/sys/fs/cgroup").glob("*/cloudwright-bench-bare"):
                path.rmdir()
    finally:
        shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
