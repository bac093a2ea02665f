"""The bridge datapath: one bridge, one veth pair a pod, nftables on both sides."""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection
from ipaddress import IPv4Address
from pathlib import Path

from cloudwright.network import names, netns, nft, rules
from cloudwright.network.config import NetworkConfig
from cloudwright.network.engine import PodPlan, conflicting_route
from cloudwright.network.errors import KernelError, NetworkConflictError
from cloudwright.network.netlink import (
    Link,
    LinkChanges,
    Netlink,
    change_link,
    new_bridge,
    new_veth,
)
from cloudwright.network.policy import text

_SYSCTL = Path("/proc/sys/net")
_POD_SYSCTLS = (
    ("ipv4/ip_unprivileged_port_start", "0"),
    ("ipv6/conf/default/accept_ra", "0"),
    ("ipv6/conf/all/disable_ipv6", "1"),
    ("ipv6/conf/default/disable_ipv6", "1"),
    ("ipv6/conf/lo/disable_ipv6", "0"),
)
_FORWARDING = "ipv4/ip_forward"
_MEMO_FORWARDING = "ip_forward"
_MEMO_MOUNT = "netns_mount"


def read_sysctl(name: str) -> str | None:
    """A sysctl below ``net`` of this thread's namespace; ``None`` when the kernel has none."""
    try:
        return (_SYSCTL / name).read_text().strip()
    except FileNotFoundError:
        return None


def write_sysctl(name: str, value: str) -> None:
    """Set a sysctl below ``net``; one that the kernel does not have (IPv6 off) is passed over.

    Raises:
        KernelError: it may not be set.
    """
    try:
        (_SYSCTL / name).write_text(value)
    except FileNotFoundError:
        return
    except OSError as error:
        raise KernelError(f"set net/{name} to {value}", error.errno or 0) from None


class BridgeDatapath:
    """Implements ``datapath.Datapath``.

    ``recall``/``remember`` keep two words over restarts: what forwarding was before us, and
    whether the mount of the namespace directory is ours.
    """

    def __init__(
        self,
        config: NetworkConfig,
        recall: Callable[[str], str | None],
        remember: Callable[[str, str | None], None],
    ) -> None:
        self._config = config
        self._recall = recall
        self._remember = remember

    # what all pods share

    def start(self, egress: Collection[IPv4Address]) -> None:
        """Make the bridge, its address and the host's rules, or take over those that exist.

        Raises:
            NetworkConflictError: the range or the bridge's name is somebody else's.
            KernelError, RulesError: the kernel or nft refused.
        """
        with Netlink() as kernel:
            self._refuse_conflicts(kernel)
            self._bridge(kernel)  # before the rules: somebody else's stay as they are
            nft.load(rules.host(self._config, egress), program=self._config.nft)
            self._ensure_bridge(kernel)
        if not netns.share(self._config.netns_dir):
            self._remember(_MEMO_MOUNT, "ours")
            netns.mount(self._config.netns_dir)
            netns.share(self._config.netns_dir)
        if egress:
            self._forward()

    def _refuse_conflicts(self, kernel: Netlink) -> None:
        config = self._config
        by_index = {link.index: link.name for link in kernel.links()}
        routes = [
            (net, by_index.get(index, f"interface {index}")) for net, index in kernel.routes()
        ]
        found = conflicting_route(config.pod_cidr, config.bridge, routes)
        if found is not None:
            network, device = found
            raise NetworkConflictError(
                f"the pod range {config.pod_cidr} overlaps the route to {network} on {device}",
                hint="give the platform another pod range, or remove that route",
            )

    def _bridge(self, kernel: Netlink) -> Link | None:
        """Our bridge, ``None`` when there is none yet."""
        config = self._config
        link = kernel.link(config.bridge)
        if link is None or link.alias == names.bridge_alias(config.instance):
            return link
        if link.kind == "bridge" and not link.alias and not self._in_use(kernel, link):
            return link  # made by us; the daemon died before it could put its name on it
        owner = names.alias_owner(link.alias)
        whose = f"instance {owner[0]} of the platform" if owner else "somebody else"
        raise NetworkConflictError(
            f"the interface {config.bridge} exists and belongs to {whose}",
            hint="give this instance another bridge name and pod range, or remove that interface",
        )

    @staticmethod
    def _in_use(kernel: Netlink, bridge: Link) -> bool:
        ports = any(link.master == bridge.index for link in kernel.links())
        return ports or bool(kernel.addresses(bridge.index))

    def _ensure_bridge(self, kernel: Netlink) -> None:
        config = self._config
        link = self._bridge(kernel)
        if link is None:
            body = new_bridge(config.bridge, names.bridge_mac(config.instance))
            kernel.create_link(body, f"make the bridge {config.bridge}")
            link = kernel.link(config.bridge)
        if link is None:
            raise KernelError(f"find the new bridge {config.bridge}", errno.ENODEV)
        alias = names.bridge_alias(config.instance)
        kernel.set_link(change_link(link.index, alias=alias), f"name the bridge {config.bridge}")
        write_sysctl(f"ipv6/conf/{config.bridge}/disable_ipv6", "1")
        kernel.add_address(link.index, config.pod_cidr, config.node_address)
        kernel.set_link(change_link(link.index, up=True), f"bring up {config.bridge}")

    def _forward(self) -> None:
        """Let the machine forward packets; what it did before is kept for ``stop``."""
        before = read_sysctl(_FORWARDING)
        if before == "1":
            return
        if self._recall(_MEMO_FORWARDING) is None:
            self._remember(_MEMO_FORWARDING, before)
        write_sysctl(_FORWARDING, "1")

    def stop(self) -> None:
        """Remove the bridge, the host's rules and our mount; put forwarding back."""
        config = self._config
        with Netlink() as kernel:
            link = kernel.link(config.bridge)
            ours = link is not None and link.alias == names.bridge_alias(config.instance)
            if ours:
                kernel.delete_link(config.bridge)
            if ours or link is None:
                nft.load(rules.remove(names.host_table(config.bridge)), program=config.nft)
        before = self._recall(_MEMO_FORWARDING)
        if before is not None:
            write_sysctl(_FORWARDING, before)
            self._remember(_MEMO_FORWARDING, None)
        if self._recall(_MEMO_MOUNT) is not None:
            netns.unmount(config.netns_dir)
            self._remember(_MEMO_MOUNT, None)

    # one pod

    def attach(self, plan: PodPlan, policy: str = "") -> None:
        """Make the pod's namespace with rules first, then its link, so that no packet ever meets
        a pod without rules.
        """
        config = self._config
        path = config.netns_dir / plan.netns
        fresh = netns.ensure(path)
        wired = netns.inside(str(path), lambda: self._prepare_inside(fresh, policy))
        with Netlink() as kernel, LinkChanges() as changes:
            self._join(kernel, plan, path, wired)
            netns.inside(str(path), lambda: self._configure_inside(plan))
            changes.wait_forwarding(kernel, plan.veth)

    def _join(self, kernel: Netlink, plan: PodPlan, path: Path, wired: bool) -> None:
        """Make the pair unless it is there, and put our end on the bridge."""
        config = self._config
        bridge = kernel.link(config.bridge)
        if bridge is None:
            raise KernelError(
                f"find the bridge {config.bridge}",
                errno.ENODEV,
                hint="restart the platform: it makes the bridge again",
            )
        host_side = kernel.link(plan.veth)
        if host_side is None or not wired:
            host_side = self._make_pair(kernel, plan, path)
        write_sysctl(f"ipv6/conf/{plan.veth}/disable_ipv6", "1")
        name = change_link(host_side.index, alias=plan.alias, master=bridge.index)
        kernel.set_link(name, f"put {plan.veth} on {config.bridge}")
        kernel.set_link(change_link(host_side.index, up=True), f"bring up {plan.veth}")

    def _prepare_inside(self, fresh: bool, policy: str) -> bool:
        """Rules, sysctls, loopback; whether the pod's end of a veth pair is there already."""
        config = self._config
        policy = policy if fresh else text.replacing(policy)
        nft.load(rules.pod(config, fresh=fresh) + policy, program=config.nft)
        for name, value in _POD_SYSCTLS:
            write_sysctl(name, value)
        with Netlink() as kernel:
            kernel.set_link(change_link(1, up=True), "bring up lo")
            return kernel.link(names.POD_INTERFACE) is not None

    def _make_pair(self, kernel: Netlink, plan: PodPlan, path: Path) -> Link:
        kernel.delete_link(plan.veth)  # its other end is not where it should be
        with path.open("rb") as space:
            body = new_veth(
                plan.veth, names.POD_INTERFACE, space.fileno(), plan.mac, self._config.mtu
            )
            kernel.create_link(body, f"make the link {plan.veth}")
        link = kernel.link(plan.veth)
        if link is None:
            raise KernelError(f"find the new link {plan.veth}", errno.ENODEV)
        return link

    def _configure_inside(self, plan: PodPlan) -> None:
        with Netlink() as kernel:
            link = kernel.link(names.POD_INTERFACE)
            if link is None:
                raise KernelError(f"find {names.POD_INTERFACE} of {plan.pod_uid}", errno.ENODEV)
            kernel.add_address(link.index, self._config.pod_cidr, plan.ip)
            kernel.set_link(change_link(link.index, up=True), f"bring up {names.POD_INTERFACE}")
            kernel.set_default_route(plan.gateway, link.index)

    def detach(self, plan: PodPlan) -> None:
        """Remove the pod's link and namespace."""
        with Netlink() as kernel:
            kernel.delete_link(plan.veth)
        netns.remove(self._config.netns_dir / plan.netns)

    def allow_egress(self, ip: IPv4Address) -> None:
        """Let ``ip`` out of the machine."""
        nft.load(rules.grant_egress(self._config.bridge, ip), program=self._config.nft)
        self._forward()

    def deny_egress(self, ip: IPv4Address) -> None:
        """Let ``ip`` out no longer."""
        nft.load(rules.revoke_egress(self._config.bridge, ip), program=self._config.nft)

    def exists(self, plan: PodPlan) -> bool:
        """Whether the pod's namespace or link exists, if only half-made."""
        if netns.exists(self._config.netns_dir / plan.netns):
            return True
        with Netlink() as kernel:
            return kernel.link(plan.veth) is not None

    # what a crash left

    def links(self) -> list[tuple[str, str]]:
        """``(name, alias)`` of every veth."""
        with Netlink() as kernel:
            return [(link.name, link.alias) for link in kernel.links() if link.kind == "veth"]

    def namespaces(self) -> list[str]:
        """Names of this instance's namespaces."""
        prefix = names.netns_prefix(self._config.instance)
        return netns.names(self._config.netns_dir, prefix)

    def discard(self, veths: Collection[str], namespaces: Collection[str]) -> None:
        """Remove links and namespaces by name."""
        with Netlink() as kernel:
            for veth in veths:
                kernel.delete_link(veth)
        for name in namespaces:
            netns.remove(self._config.netns_dir / name)
