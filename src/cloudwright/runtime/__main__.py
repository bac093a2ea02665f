"""The runtime alone: ``python -m cloudwright.runtime probe|status|run ROOTFS -- COMMAND…``.

``run`` starts one container from an unpacked root file system (a directory) with a network
namespace that is already there, shows its log, and removes it: for debugging the runtime itself.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from uuid import uuid4

import anyio

from cloudwright._base.errors import CloudwrightError, NotFoundError, render
from cloudwright._base.paths import Paths
from cloudwright.model.sandbox import (
    ContainerSpec,
    ContainerState,
    ImageConfig,
    LogTarget,
    SandboxSpec,
    SecurityContext,
)
from cloudwright.runtime import probe
from cloudwright.runtime.config import RuntimeConfig
from cloudwright.runtime.engine import RuntimeEngine
from cloudwright.runtime.supervisor import SupervisorClient


class OneDirectory:
    """A directory as an image without a name of its own."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def config(self, reference: str) -> ImageConfig:
        """The directory as one layer.

        Raises:
            NotFoundError: there is no such directory.
        """
        if not self._root.is_dir():
            raise NotFoundError(
                f"there is no directory {self._root}", hint="unpack a root file system there"
            )
        return ImageConfig(reference, "", layers=(str(self._root.absolute()),))


async def show_probe() -> int:
    """What the machine offers; 1 when something is missing."""
    findings = await probe.findings()
    for one in findings:
        print(f"{'ok ' if one.ok else 'NO '} {one.name}: {one.detail}")
        if not one.ok and one.hint:
            print(f"    hint: {one.hint}")
    return 0 if all(one.ok for one in findings) else 1


async def show_status(config: RuntimeConfig) -> int:
    """What a supervisor that runs already holds."""
    client = SupervisorClient(config.socket)
    hello = await client.call("hello")
    print(f"supervisor {hello['version']} pid {hello['pid']}, crun {hello['crun']}")
    for line in (await client.call("container.list"))["containers"]:
        print(f"container {line['container']} {line['state']} {line['exit_code'] or ''}".rstrip())
    for line in (await client.call("process.list"))["processes"]:
        state = "running" if line["running"] else "waiting"
        print(f"process {line['process']} {state}, {line['restarts']} restarts")
    return 0


async def run(config: RuntimeConfig, words: argparse.Namespace) -> int:
    """One container from start to removal; its exit code."""
    engine = RuntimeEngine(config, OneDirectory(words.rootfs))
    pod = f"debug-{uuid4().hex[:8]}"
    log = config.log.with_name(f"{pod}.log")
    spec = ContainerSpec(
        id=f"{pod}-0",
        sandbox=pod,
        name="debug",
        image=str(words.rootfs),
        command=tuple(words.command),
        security=SecurityContext(uid=words.uid),
        log=LogTarget(str(log)),
    )
    await engine.ensure_sandbox(SandboxSpec(pod, "debug", words.netns))
    try:
        await engine.create_container(spec)
        await engine.start_container(spec.id)
        async for _ in engine.events():
            (status,) = [one for one in await engine.containers() if one.id == spec.id]
            if status.state is ContainerState.EXITED:
                break
        sys.stdout.write(log.read_text(errors="replace"))
        return status.exit_code or 0
    finally:
        with anyio.CancelScope(shield=True):
            await engine.remove_sandbox(pod)
            log.unlink(missing_ok=True)


def main() -> int:
    """Parse the words and run the verb."""
    parser = argparse.ArgumentParser(prog="python -m cloudwright.runtime", description=__doc__)
    parser.add_argument("--state-dir")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("probe", help="what this machine offers to containers")
    verbs.add_parser("status", help="what the supervisor holds")
    runner = verbs.add_parser("run", help="run one container from a directory")
    runner.add_argument("rootfs", type=Path)
    runner.add_argument("--netns", default="/proc/self/ns/net", help="default: the machine's own")
    runner.add_argument("--uid", type=int)
    runner.add_argument("command", nargs="+")
    words = parser.parse_args()
    config = RuntimeConfig.of(Paths.find(words.state_dir))
    try:
        if words.verb == "probe":
            return anyio.run(show_probe)
        if words.verb == "status":
            return anyio.run(show_status, config)
        return anyio.run(run, config, words)
    except CloudwrightError as error:
        print(render(error), file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
