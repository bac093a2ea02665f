"""What the daemon's own socket answers: status, use of CPU and memory, certificates."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio

from cloudwright._base import logs
from cloudwright._base.errors import CloudwrightError
from cloudwright._base.paths import Paths
from cloudwright.apiserver.authn.keys import SigningKeys
from cloudwright.platform.config import PlatformConfig
from cloudwright.platform.control import Answer
from cloudwright.platform.wiring import Parts

_log = logs.get("platform.answers")
MEASURED_SECONDS = 1.0
_ROTATED_SECONDS = 10.0


def all_of(paths: Paths, config: PlatformConfig, parts: Parts) -> dict[str, Answer]:
    """The answers by method and path."""

    async def status(_: Mapping[str, str]) -> Any:
        return await _status(paths, config, parts)

    async def usage(_: Mapping[str, str]) -> Any:
        return await _usage(config, parts)

    async def proxies(_: Mapping[str, str]) -> Any:
        return await _proxies(parts)

    async def rotate(_: Mapping[str, str]) -> Any:
        return await _rotate(parts)

    return {
        "GET /status": status,
        "GET /usage": usage,
        "GET /proxies": proxies,
        "POST /rotate": rotate,
    }


def rotating(keys: SigningKeys) -> Answer:
    """The answer that has tokens of service accounts signed with a new key."""

    async def rotate(_: Mapping[str, str]) -> Any:
        keys.rotate()  # on the loop: nobody may sign with half of a pair
        return {"key": keys.public.kid}

    return rotate


def memory_mb(pid: int) -> float:
    """Resident memory of a process in MB; 0 when it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def _status(paths: Paths, config: PlatformConfig, parts: Parts) -> dict[str, Any]:
    found = [{"name": "api", "ok": True, "detail": f"https://{config.api}"}]
    processes = {process.id: process for process in await parts.runtime.processes()}
    gateway = processes.get("gateway")
    try:
        ready, reason = await parts.mesh.admin().ready()
    except CloudwrightError as error:
        ready, reason = False, error.message
    detail = f"http://{config.gateway} https://{config.gateway_tls}"
    if gateway is not None and gateway.pid:
        detail += f", pid {gateway.pid}, {memory_mb(gateway.pid):.1f} MB"
    found.append({"name": "gateway", "ok": ready, "detail": detail if ready else reason})
    sidecars = [p for p in processes.values() if p.id.startswith("sidecar-")]
    memory = sum(memory_mb(p.pid) for p in sidecars if p.pid)
    text = f"{len(sidecars)} running, {memory:.1f} MB" if sidecars else "none"
    found.append({"name": "sidecars", "ok": all(p.running for p in sidecars), "detail": text})
    containers = await parts.runtime.containers()
    running = sum(container.state == "running" for container in containers)
    text = f"{running} of {len(containers)} containers running"
    found.append({"name": "node", "ok": True, "detail": f"{config.node}: {text}"})
    addresses = len(await parts.network.attachments())
    text = f"{config.bridge}, {config.pod_cidr}, {addresses} pods"
    found.append({"name": "network", "ok": True, "detail": text})
    return {"parts": found, "memory_mb": memory_mb(os.getpid()), "state": str(paths.state)}


async def _usage(config: PlatformConfig, parts: Parts) -> dict[str, Any]:
    """CPU (over one second) and memory of every container, summed by pod, and of the node."""
    first, started = await parts.node.usage(), anyio.current_time()
    busy = _cpu_seconds()
    await anyio.sleep(MEASURED_SECONDS)
    second, elapsed = await parts.node.usage(), anyio.current_time() - started
    before = {(u.namespace, u.pod, u.container): u.usage.cpu_seconds for u in first}
    pods: dict[tuple[str, str], dict[str, Any]] = {}
    for entry in second:
        key = (entry.namespace, entry.pod, entry.container)
        used = entry.usage.cpu_seconds - before.get(key, entry.usage.cpu_seconds)
        part = {
            "name": entry.container,
            "cpu_millis": round(used / elapsed * 1000),
            "memory_bytes": entry.usage.memory_bytes,
        }
        head = {"namespace": entry.namespace, "name": entry.pod, "cpu_millis": 0}
        pod = pods.setdefault(key[:2], {**head, "memory_bytes": 0, "containers": []})
        pod["containers"].append(part)
        pod["cpu_millis"] += part["cpu_millis"]
        pod["memory_bytes"] += part["memory_bytes"]
    cpu = (_cpu_seconds() - busy) / elapsed
    total, free = _memory()
    node = {
        "name": config.node,
        "cpu_millis": round(cpu * 1000),
        "cpu_percent": round(cpu / (os.cpu_count() or 1) * 100),
        "memory_bytes": total - free,
        "memory_percent": round((total - free) / total * 100),
    }
    return {"pods": list(pods.values()), "nodes": [node]}


def _cpu_seconds() -> float:
    """Seconds all processors were busy since boot (proc(5), ``/proc/stat``)."""
    words = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    busy = sum(int(word) for number, word in enumerate(words[:8]) if number not in (3, 4))
    return busy / os.sysconf("SC_CLK_TCK")


def _memory() -> tuple[int, int]:
    """Total and available memory in bytes."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    table = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
    return table["MemTotal"], table["MemAvailable"]


async def _proxies(parts: Parts) -> list[dict[str, Any]]:
    """What each proxy says of itself; one that does not answer says why."""
    found: list[dict[str, Any]] = []

    async def ask(proxy: str) -> None:
        bootstrap = parts.mesh.files.bootstrap(proxy) or {}
        name = str(bootstrap.get("pod") or proxy)
        if space := bootstrap.get("namespace"):
            name = f"{space}/{name}"
        entry: dict[str, Any] = {
            "id": proxy, "name": name, "identity": str(bootstrap.get("identity", "")),
            "version": 0, "endpoints": 0, "routes": 0, "rejected": None, "serial": "",
            "not_after": "",
        }  # fmt: skip
        try:
            seen = await parts.mesh.admin(proxy).config()
        except CloudwrightError as error:
            entry["rejected"] = error.message
        else:
            entry |= {k: seen[k] for k in ("version", "endpoints", "routes", "rejected")}
            entry |= {"serial": seen["cert_serial"], "not_after": seen["cert_not_after"]}
        found.append(entry)

    async with anyio.create_task_group() as group:
        for proxy in parts.mesh.files.ids():
            group.start_soon(ask, proxy)
    return sorted(found, key=lambda entry: str(entry["name"]))


async def _rotate(parts: Parts) -> dict[str, Any]:
    """Replace every certificate and wait until each live proxy uses its new one."""
    before = {entry["id"]: entry["serial"] for entry in await _proxies(parts)}
    rotated = await parts.mesh.rotate_all()
    late: list[str] = []

    async def renewed(proxy: str) -> None:
        try:
            if not await parts.mesh.admin(proxy).renewed(before[proxy], timeout=_ROTATED_SECONDS):
                late.append(proxy)
        except CloudwrightError as error:
            _log.info("proxy %s ended while it got a certificate: %s", proxy, error.message)

    async with anyio.create_task_group() as group:
        for proxy in rotated:
            if before.get(proxy):  # who had none yet begins with the new one
                group.start_soon(renewed, proxy)
    if late:
        names = ", ".join(sorted(late))
        text = f"not every proxy took its new certificate in {_ROTATED_SECONDS:g} s"
        raise CloudwrightError(text, cause=names)
    return {"rotated": rotated}
