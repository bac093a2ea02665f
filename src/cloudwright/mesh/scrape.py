"""The metrics of all proxies as one page, for the daemon's ``/metrics``."""

from __future__ import annotations

from collections.abc import Mapping

import anyio

from cloudwright._base import logs
from cloudwright._base.errors import CloudwrightError
from cloudwright.mesh.admin import AdminClient
from cloudwright.mesh.proxies import ProxyFiles

_log = logs.get("mesh")
_SUFFIXES = ("_bucket", "_sum", "_count", "_total", "_created", "_info")


async def scrape(files: ProxyFiles, *, timeout: float = 2.0) -> str:
    """Ask every proxy at once; one that does not answer is left out (and logged)."""
    pages: dict[str, str] = {}

    async def ask(proxy: str) -> None:
        try:
            page = await AdminClient(files.admin(proxy)).metrics(timeout=timeout)
        except CloudwrightError as error:
            _log.debug("no metrics from a proxy", extra={"proxy": proxy, "why": error.message})
            return
        pages[_label(files, proxy)] = page

    async with anyio.create_task_group() as group:
        for proxy in files.ids():
            group.start_soon(ask, proxy)
    return merge(pages)


def _label(files: ProxyFiles, proxy: str) -> str:
    known = files.bootstrap(proxy) or {}
    return f"{known['namespace']}/{known['pod']}" if known.get("pod") else proxy


def merge(pages: Mapping[str, str]) -> str:
    """One page of Prometheus text from many; each sample gets the label ``proxy`` (the key).

    Samples of one family stay together under one ``HELP`` and ``TYPE``, as the format demands.
    """
    heads: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for proxy, page in sorted(pages.items()):
        label = proxy.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        for line in page.splitlines():
            words = line.split(None, 3)
            if not words or line.startswith("# EOF"):
                continue
            if words[0] == "#":
                if len(words) >= 3 and words[1] in ("HELP", "TYPE"):
                    head = heads.setdefault(words[2], [])
                    if not any(h.startswith(f"# {words[1]} ") for h in head):
                        head.append(line)
                continue
            name, labelled = _labelled(line, label)
            samples.setdefault(_family(name, heads), []).append(labelled)
    lines: list[str] = []
    for family, found in samples.items():
        lines += heads.get(family, [])
        lines += found
    return "\n".join(lines) + "\n" if lines else ""


def _labelled(line: str, proxy: str) -> tuple[str, str]:
    """``(metric name, sample with the proxy label first)``."""
    brace, space = line.find("{"), line.find(" ")
    if brace != -1 and (space == -1 or brace < space):
        name, rest = line[:brace], line[brace + 1 :]
        comma = "" if rest.startswith("}") else ","
        return name, f'{name}{{proxy="{proxy}"{comma}{rest}'
    name, rest = line[:space], line[space:]
    return name, f'{name}{{proxy="{proxy}"}}{rest}'


def _family(name: str, heads: Mapping[str, object]) -> str:
    if name in heads:
        return name
    for suffix in _SUFFIXES:
        if name.endswith(suffix) and name.removesuffix(suffix) in heads:
            return name.removesuffix(suffix)
    return name
