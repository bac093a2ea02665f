"""Our few netlink messages, read back by an independent implementation and by ourselves."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from cloudwright.network import netlink
from cloudwright.network.errors import KernelError

HEADER = struct.Struct("=IHHII")


def decoded(kind: type, body: bytes) -> object:
    """The body as the other implementation reads it."""
    message = kind(HEADER.pack(16 + len(body), 16, 0, 1, 0) + body)
    message.decode()
    return message


def test_a_veth_pair_is_what_was_asked_for() -> None:
    body = netlink.new_veth("cwaabbccddeef", "eth0", 7, b"\x0a\x58\x0a\xf4\x00\x05", 1400)
    message = decoded(ifinfmsg, body)
    assert message.get_attr("IFLA_IFNAME") == "cwaabbccddeef"
    assert message.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") == "veth"
    peer = message.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA", "VETH_INFO_PEER")
    assert peer.get_attr("IFLA_IFNAME") == "eth0"
    assert peer.get_attr("IFLA_NET_NS_FD") == 7
    assert peer.get_attr("IFLA_ADDRESS") == "0a:58:0a:f4:00:05"
    assert peer.get_attr("IFLA_MTU") == 1400


def test_a_bridge_snoops_no_multicast_and_forwards_at_once() -> None:
    message = decoded(ifinfmsg, netlink.new_bridge("cw0", b"\x0a\x57\1\2\3\4"))
    data = message.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA")
    assert data.get_attr("IFLA_BR_MCAST_SNOOPING") == 0
    assert data.get_attr("IFLA_BR_FORWARD_DELAY") == 0
    assert message.get_attr("IFLA_ADDRESS") == "0a:57:01:02:03:04"


@given(
    index=st.integers(1, 2**31 - 1),
    up=st.sampled_from([None, True, False]),
    alias=st.one_of(st.none(), st.text("abc:123-", max_size=60)),
    master=st.one_of(st.none(), st.integers(0, 2**31)),
)
def test_changes_touch_only_what_was_said(
    index: int, up: bool | None, alias: str | None, master: int | None
) -> None:
    message = decoded(ifinfmsg, netlink.change_link(index, up=up, alias=alias, master=master))
    assert message["index"] == index
    assert message["change"] == (0 if up is None else 1)
    assert bool(message["flags"] & 1) == bool(up)
    assert message.get_attr("IFLA_IFALIAS") == alias
    assert message.get_attr("IFLA_MASTER") == master


@given(index=st.integers(1, 2**31 - 1), number=st.integers(0, 2**32 - 1), prefix=st.integers(0, 32))
def test_addresses_and_routes(index: int, number: int, prefix: int) -> None:
    ip = IPv4Address(number)
    message = decoded(ifaddrmsg, netlink.new_address(index, ip, prefix, ip))
    assert message["index"] == index
    assert message["prefixlen"] == prefix
    assert message.get_attr("IFA_LOCAL") == str(ip)
    route = decoded(rtmsg, netlink.default_route(ip, index))
    assert route.get_attr("RTA_GATEWAY") == str(ip)
    assert route.get_attr("RTA_OIF") == index
    assert route["dst_len"] == 0
    assert netlink.parse_route(netlink.default_route(ip, index)) == (
        IPv4Network("0.0.0.0/0"),
        index,
    )


def test_links_are_read_back() -> None:
    body = netlink.change_link(3, up=True, alias="cloudwright:abcdef:uid", master=2)
    body += netlink.attribute(3, b"cw0\0")
    link = netlink.parse_link(body)
    assert (link.index, link.name, link.alias, link.master, link.up) == (
        3,
        "cw0",
        "cloudwright:abcdef:uid",
        2,
        True,
    )


@given(st.binary(max_size=200))
def test_garbage_never_breaks_the_readers(data: bytes) -> None:
    netlink.attributes(data)
    list(netlink.messages(data))


@pytest.mark.root
def test_the_kernel_says_why_it_refuses() -> None:
    with netlink.Netlink() as kernel:
        assert kernel.link("lo") is not None
        assert kernel.link("no-such-link") is None
        with pytest.raises(KernelError, match=r"^cannot bring up nothing: ") as caught:
            kernel.set_link(netlink.change_link(2**30, up=True), "bring up nothing")
        assert caught.value.errno == 19
