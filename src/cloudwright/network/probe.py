"""What the kernel and the machine offer of what a pod network needs: for ``doctor``.

Everything is tried in a network namespace that nobody else sees and that ends with the trial.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from anyio import to_thread

from cloudwright._base.errors import CloudwrightError
from cloudwright.network import netns, nft
from cloudwright.network.netlink import Netlink, new_bridge, new_veth

_MAC = b"\x0a\x57\0\0\0\1"
_PACKAGE = "install the package nftables (apt-get install nftables)"
_FILTER = """table inet cloudwright_probe {
	chain c { type filter hook output priority 0; }
}
"""
_NAT = """table inet cloudwright_probe_nat {
	chain c {
		type nat hook output priority -100
		tcp dport 1 redirect to :2
	}
}
"""
_POLICY = """table inet cloudwright_probe_policy {
	chain c {
		type filter hook prerouting priority -150
		ct direction reply accept
		meta l4proto tcp reject with tcp reset
		reject with icmpx admin-prohibited
	}
}
"""


@dataclass(frozen=True, slots=True)
class Feature:
    """One thing that was tried: whether it works, what was said, what to do about it."""

    name: str
    works: bool
    detail: str
    hint: str = ""


async def look() -> list[Feature]:
    """Try everything that a pod network needs; leaves nothing behind. Needs root."""
    return await to_thread.run_sync(_look)


def _look() -> list[Feature]:
    if os.geteuid() != 0:
        return [Feature("network namespaces", False, "needs root", "run it as root")]
    try:
        return netns.inside_new(_try_all)
    except CloudwrightError as error:
        hint = "the kernel needs CONFIG_NET_NS"
        return [Feature("network namespaces", False, error.message, hint)]


def _try_all() -> list[Feature]:
    return [
        Feature("network namespaces", True, "a new one was entered"),
        _try("veth", _veth, "the kernel needs the module veth (modprobe veth)"),
        _try("bridge", _bridge, "the kernel needs the module bridge (modprobe bridge)"),
        _try("nftables", lambda: nft.load(_FILTER), _PACKAGE),
        _try(
            "nftables nat",
            lambda: nft.load(_NAT),
            "the kernel needs nf_tables, nft_nat and nft_redir (modprobe nft_redir)",
        ),
        _try(
            "nftables reject",
            lambda: nft.load(_POLICY),
            "NetworkPolicies need nft_ct and nft_reject_inet (modprobe nft_reject_inet)",
        ),
    ]


def _try(name: str, work: Callable[[], None], hint: str) -> Feature:
    try:
        work()
    except CloudwrightError as error:
        return Feature(name, False, error.message, hint)
    return Feature(name, True, "works")


def _veth() -> None:
    with Netlink() as kernel, open("/proc/thread-self/ns/net", "rb") as here:
        body = new_veth("probe0", "probe1", here.fileno(), _MAC, 1500)
        kernel.create_link(body, "make a veth pair")


def _bridge() -> None:
    with Netlink() as kernel:
        kernel.create_link(new_bridge("probe2", _MAC), "make a bridge")
