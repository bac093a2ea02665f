"""The little of rtnetlink that a pod network needs, as plain bytes on a socket.

Written out because the alternative costs each daemon 10 MB of memory and a third of a second at the
start, and because requests of one pod are few. Message layouts: Linux ``rtnetlink(7)``,
``include/uapi/linux/{netlink,rtnetlink,if_link,if_addr,veth}.h``.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from time import monotonic
from types import TracebackType

from cloudwright.network.errors import KernelError

NEW_LINK, DEL_LINK, GET_LINK = 16, 17, 18
NEW_ADDRESS, GET_ADDRESS = 20, 22
NEW_ROUTE, GET_ROUTE = 24, 26
ERROR, DONE = 2, 3
REQUEST, ACK, DUMP, CREATE, REPLACE, EXCLUSIVE = 0x1, 0x4, 0x300, 0x400, 0x100, 0x200
CAPPED, ACK_TLVS, MULTI = 0x100, 0x200, 0x2

_IFF_UP = 0x1
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINK, _IFLA_MASTER = 1, 3, 4, 5, 10
_IFLA_LINKINFO, _IFLA_IFALIAS, _IFLA_NET_NS_FD = 18, 20, 28
_INFO_KIND, _INFO_DATA, _VETH_PEER = 1, 2, 1
_INFO_SLAVE_DATA, _PORT_STATE, FORWARDING = 5, 1, 3
_LINK_GROUP = 1
_BRIDGE_FORWARD_DELAY, _BRIDGE_MULTICAST_SNOOPING = 1, 23
_NESTED = 0x8000
_AF_INET, _AF_UNSPEC = socket.AF_INET, socket.AF_UNSPEC
_HEADER = struct.Struct("=IHHII")
_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_ROUTE = struct.Struct("=BBBBBBBBI")
_SOL_NETLINK, _CAP_ACK, _EXT_ACK = 270, 10, 11
_TIMEOUT = 10.0
_MAIN_TABLE, _PROTOCOL_BOOT, _UNICAST, _LOCAL_TABLE = 254, 3, 1, 255


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface."""

    index: int
    name: str
    kind: str
    alias: str
    up: bool
    master: int
    mtu: int
    peer: int
    """For a veth: the index of the other end, in its own namespace."""
    port_state: int
    """For a port of a bridge: 3 is forwarding; 0 (disabled) also for what is no port."""


# encoding


def attribute(kind: int, data: bytes) -> bytes:
    """One ``rtattr``, padded to four bytes."""
    return struct.pack("=HH", len(data) + 4, kind) + data + bytes(-len(data) % 4)


def _text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))


def _nested(kind: int, *parts: bytes) -> bytes:
    return attribute(kind | _NESTED, b"".join(parts))


def new_bridge(name: str, mac: bytes) -> bytes:
    """Body of ``RTM_NEWLINK``: a bridge that forwards at once and snoops no multicast."""
    data = _number(_BRIDGE_FORWARD_DELAY, 0) + attribute(_BRIDGE_MULTICAST_SNOOPING, b"\0")
    info = _text(_INFO_KIND, "bridge") + _nested(_INFO_DATA, data)
    head = _LINK.pack(_AF_UNSPEC, 0, 0, 0, 0)
    return (
        head
        + _text(_IFLA_IFNAME, name)
        + attribute(_IFLA_ADDRESS, mac)
        + _nested(_IFLA_LINKINFO, info)
    )


def new_veth(name: str, peer: str, netns: int, mac: bytes, mtu: int) -> bytes:
    """Body of ``RTM_NEWLINK``: a veth pair, ``peer`` born in the namespace of descriptor
    ``netns``.
    """
    head = _LINK.pack(_AF_UNSPEC, 0, 0, 0, 0)
    other = head + _text(_IFLA_IFNAME, peer) + _number(_IFLA_NET_NS_FD, netns)
    other += attribute(_IFLA_ADDRESS, mac) + _number(_IFLA_MTU, mtu)
    info = _text(_INFO_KIND, "veth") + _nested(_INFO_DATA, _nested(_VETH_PEER, other))
    return (
        head + _text(_IFLA_IFNAME, name) + _number(_IFLA_MTU, mtu) + _nested(_IFLA_LINKINFO, info)
    )


def change_link(
    index: int, *, up: bool | None = None, alias: str | None = None, master: int | None = None
) -> bytes:
    """Body of ``RTM_NEWLINK`` for an interface that exists; ``None`` leaves a property alone."""
    flags = _IFF_UP if up else 0
    body = _LINK.pack(_AF_UNSPEC, 0, index, flags, 0 if up is None else _IFF_UP)
    if alias is not None:
        body += _text(_IFLA_IFALIAS, alias)
    if master is not None:
        body += _number(_IFLA_MASTER, master)
    return body


def new_address(index: int, ip: IPv4Address, prefix: int, broadcast: IPv4Address) -> bytes:
    """Body of ``RTM_NEWADDR``."""
    head = _ADDRESS.pack(_AF_INET, prefix, 0, 0, index)
    return head + attribute(2, ip.packed) + attribute(1, ip.packed) + attribute(4, broadcast.packed)


def default_route(gateway: IPv4Address, index: int) -> bytes:
    """Body of ``RTM_NEWROUTE``: everything else goes to ``gateway``."""
    head = _ROUTE.pack(_AF_INET, 0, 0, 0, _MAIN_TABLE, _PROTOCOL_BOOT, 0, _UNICAST, 0)
    return head + attribute(5, gateway.packed) + _number(4, index)


# decoding


def attributes(data: bytes) -> dict[int, bytes]:
    """The ``rtattr`` list in ``data``; the first of a kind wins, a broken tail is left out."""
    found: dict[int, bytes] = {}
    offset = 0
    while offset + 4 <= len(data):
        size, kind = struct.unpack_from("=HH", data, offset)
        if size < 4 or offset + size > len(data):
            break
        found.setdefault(kind & 0x3FFF, data[offset + 4 : offset + size])
        offset += (size + 3) & ~3
    return found


def messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """``(type, flags, sequence, body)`` of each message in a datagram."""
    offset = 0
    while offset + 16 <= len(data):
        size, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        if size < 16 or offset + size > len(data):
            break
        yield kind, flags, sequence, data[offset + 16 : offset + size]
        offset += (size + 3) & ~3


def parse_link(body: bytes) -> Link:
    """A link from the body of ``RTM_NEWLINK``."""
    _, _, index, flags, _ = _LINK.unpack_from(body)
    found = attributes(body[16:])
    info = attributes(found.get(_IFLA_LINKINFO, b""))
    return Link(
        index=index,
        name=_string(found.get(_IFLA_IFNAME)),
        kind=_string(info.get(_INFO_KIND)),
        alias=_string(found.get(_IFLA_IFALIAS)),
        up=bool(flags & _IFF_UP),
        master=_integer(found.get(_IFLA_MASTER)),
        mtu=_integer(found.get(_IFLA_MTU)),
        peer=_integer(found.get(_IFLA_LINK)),
        port_state=_integer(attributes(info.get(_INFO_SLAVE_DATA, b"")).get(_PORT_STATE)),
    )


def parse_route(body: bytes) -> tuple[IPv4Network, int] | None:
    """``(destination, interface index)`` of an IPv4 unicast route outside the local table."""
    family, length, _, _, table, _, _, kind, _ = _ROUTE.unpack_from(body)
    if family != _AF_INET or table == _LOCAL_TABLE or kind != _UNICAST:
        return None
    found = attributes(body[12:])
    address = found.get(1, bytes(4))
    return IPv4Network((address, length), strict=False), _integer(found.get(4))


def _string(data: bytes | None) -> str:
    return (data or b"").rstrip(b"\0").decode(errors="replace")


def _integer(data: bytes | None) -> int:
    return int.from_bytes(data or b"", "little")


class Netlink:
    """A socket to the kernel of the network namespace in which it was made.

    Blocking; used from worker threads, each call with a socket of its own. A failed request raises
    ``KernelError`` with the kernel's own words.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self._socket.setsockopt(_SOL_NETLINK, _EXT_ACK, 1)
        self._socket.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)
        self._socket.settimeout(_TIMEOUT)
        self._sequence = 0

    def __enter__(self) -> Netlink:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def request(self, kind: int, flags: int, body: bytes, what: str) -> list[bytes]:
        """Send one request, wait for its acknowledgement, give the bodies of the answers.

        Raises:
            KernelError: the kernel refused; the message says "cannot ``what``: reason".
        """
        self._sequence += 1
        sequence = self._sequence
        header = _HEADER.pack(16 + len(body), kind, REQUEST | ACK | flags, sequence, 0)
        answers: list[bytes] = []
        try:
            self._socket.send(header + body)
            while True:
                for got, mark, number, data in messages(self._socket.recv(1 << 18)):
                    if number != sequence:
                        continue
                    if got in (DONE, ERROR):
                        _check(data, mark, what)
                        return answers
                    answers.append(data)
        except TimeoutError:
            raise KernelError(what, errno.ETIMEDOUT, "netlink did not answer") from None

    def link(self, name: str) -> Link | None:
        """The interface called ``name``."""
        body = _LINK.pack(_AF_UNSPEC, 0, 0, 0, 0) + _text(_IFLA_IFNAME, name)
        try:
            answers = self.request(GET_LINK, 0, body, f"look up interface {name}")
        except KernelError as error:
            if error.errno == errno.ENODEV:
                return None
            raise
        return parse_link(answers[0]) if answers else None

    def links(self) -> list[Link]:
        """Every interface."""
        body = _LINK.pack(_AF_UNSPEC, 0, 0, 0, 0)
        return [parse_link(b) for b in self.request(GET_LINK, DUMP, body, "list interfaces")]

    def routes(self) -> list[tuple[IPv4Network, int]]:
        """Every IPv4 unicast route: ``(destination, interface index)``."""
        body = _ROUTE.pack(_AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)
        found = (parse_route(b) for b in self.request(GET_ROUTE, DUMP, body, "list routes"))
        return [route for route in found if route is not None]

    def addresses(self, index: int) -> list[IPv4Address]:
        """The IPv4 addresses of an interface."""
        body = _ADDRESS.pack(_AF_INET, 0, 0, 0, 0)
        found = []
        for answer in self.request(GET_ADDRESS, DUMP, body, "list addresses"):
            if _ADDRESS.unpack_from(answer)[4] == index:
                local = attributes(answer[8:]).get(2)
                if local:
                    found.append(IPv4Address(local))
        return found

    def create_link(self, body: bytes, what: str) -> None:
        """Create an interface (``new_bridge``, ``new_veth``); it must not exist."""
        self.request(NEW_LINK, CREATE | EXCLUSIVE, body, what)

    def set_link(self, body: bytes, what: str) -> None:
        """Change an interface (``change_link``)."""
        self.request(NEW_LINK, 0, body, what)

    def delete_link(self, name: str) -> bool:
        """Remove an interface (of a veth: both ends); whether it was there."""
        link = self.link(name)
        if link is None:
            return False
        body = _LINK.pack(_AF_UNSPEC, 0, link.index, 0, 0)
        try:
            self.request(DEL_LINK, 0, body, f"remove interface {name}")
        except KernelError as error:
            if error.errno == errno.ENODEV:
                return False
            raise
        return True

    def add_address(self, index: int, network: IPv4Network, ip: IPv4Address) -> None:
        """Give an interface an address; one that is there already is fine."""
        body = new_address(index, ip, network.prefixlen, network.broadcast_address)
        self.request(NEW_ADDRESS, CREATE | REPLACE, body, f"add address {ip}")

    def set_default_route(self, gateway: IPv4Address, index: int) -> None:
        """Set the default route."""
        body = default_route(gateway, index)
        self.request(NEW_ROUTE, CREATE | REPLACE, body, f"set the default route to {gateway}")


class LinkChanges:
    """A socket that is told of every change of a link from the moment it is made."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self._socket.bind((0, _LINK_GROUP))

    def __enter__(self) -> LinkChanges:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def wait_forwarding(self, kernel: Netlink, name: str) -> None:
        """Return once a bridge forwards what comes from its port ``name``.

        The kernel lets a new port work from a queue that may be busy for a while; what the pod
        sends before is lost.

        Raises:
            KernelError: the port is gone, or not forwarding within ten seconds.
        """
        deadline = monotonic() + _TIMEOUT
        what = f"wait until the bridge serves {name}"
        while True:
            link = kernel.link(name)
            if link is None:
                raise KernelError(what, errno.ENODEV)
            if link.port_state == FORWARDING:
                return
            self._socket.settimeout(max(deadline - monotonic(), 0.001))
            try:
                self._socket.recv(1 << 18)
            except TimeoutError:
                raise KernelError(what, errno.ETIMEDOUT) from None
            except OSError as error:
                if error.errno != errno.ENOBUFS:  # so many changes that some were dropped
                    raise


def _check(data: bytes, flags: int, what: str) -> None:
    number = -struct.unpack_from("=i", data)[0] if len(data) >= 4 else 0
    if number <= 0:
        return
    detail = ""
    if flags & ACK_TLVS:
        skip = 20 if flags & CAPPED else 4 + struct.unpack_from("=I", data, 4)[0]
        detail = _string(attributes(data[skip:]).get(1))
    raise KernelError(what, number, detail)
