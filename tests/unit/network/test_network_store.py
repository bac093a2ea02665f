"""Leases survive crashes; no address is ever given twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cloudwright.network.engine import Lease, choose_address
from cloudwright.network.errors import AddressesExhaustedError, NetworkError
from cloudwright.network.store import LeaseStore

POOL = IPv4Network("10.9.0.0/28")
COOLDOWN = 10.0


class Leasing(RuleBasedStateMachine):
    """Random leases, releases and crashes (the file is opened again without being closed)."""

    @initialize(folder=st.just(None))
    def open(self, folder: None) -> None:
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "leases.db"
        self.boot = 1
        self.store = LeaseStore(self.path, "boot-1")
        self.now = 0.0
        self.held: dict[str, IPv4Address] = {}
        self.freed: dict[IPv4Address, float] = {}
        self.opened = [self.store]

    def teardown(self) -> None:
        for store in getattr(self, "opened", []):
            store.close()
        if hasattr(self, "folder"):
            self.folder.cleanup()

    @rule(uid=st.sampled_from([f"pod-{n}" for n in range(20)]), egress=st.booleans())
    def lease(self, uid: str, egress: bool) -> None:
        found = self.store.find(uid)
        assert (found.ip if found else None) == self.held.get(uid)
        taken = {le.ip for le in self.store.leases()}
        try:
            ip = (
                found.ip
                if found
                else choose_address(POOL, taken, self.store.released(), self.now, COOLDOWN)
            )
        except AddressesExhaustedError:
            return
        self.store.put(Lease(uid, ip, "default", uid, egress))
        assert ip not in [other for key, other in self.held.items() if key != uid]
        if found is None and ip in self.freed:
            assert self.now - self.freed[ip] >= COOLDOWN
        self.held[uid] = ip
        self.freed.pop(ip, None)

    @rule(uid=st.sampled_from([f"pod-{n}" for n in range(20)]))
    def release(self, uid: str) -> None:
        self.store.release(uid, self.now)
        if uid in self.held:
            self.freed[self.held.pop(uid)] = self.now

    @rule(seconds=st.floats(0, 15))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def crash(self) -> None:
        self.store = LeaseStore(self.path, f"boot-{self.boot}")
        self.opened.append(self.store)

    @precondition(lambda self: getattr(self, "boot", 9) < 3)
    @rule()
    def reboot(self) -> None:
        self.boot += 1
        self.now, self.freed = 0.0, {}
        self.crash()

    @invariant()
    def disk_and_model_agree(self) -> None:
        if hasattr(self, "store"):
            assert {le.pod_uid: le.ip for le in self.store.leases()} == self.held
            assert self.store.released() == self.freed


Leasing.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestLeasing = Leasing.TestCase


def test_two_pods_never_hold_one_address(tmp_path: Path) -> None:
    store = LeaseStore(tmp_path / "leases.db", "b")
    store.put(Lease("a", IPv4Address("10.9.0.2"), "n", "a", False))
    with pytest.raises(NetworkError, match="UNIQUE"):
        store.put(Lease("b", IPv4Address("10.9.0.2"), "n", "b", False))
    assert [le.pod_uid for le in store.leases()] == ["a"]
    store.close()


def test_an_acknowledged_lease_survives_kill_9(tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import sys
        from ipaddress import IPv4Address
        from pathlib import Path
        from cloudwright.network.engine import Lease
        from cloudwright.network.store import LeaseStore
        store = LeaseStore(Path(sys.argv[1]), "b")
        for n in range(2, 10_000):
            store.put(Lease(f"pod-{n}", IPv4Address(0x0A090000 + n), "d", "x", False))
            print(n, flush=True)
        """
    )
    file = tmp_path / "leases.db"
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(file)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    acknowledged = [int(child.stdout.readline()) for _ in range(50)]
    child.send_signal(signal.SIGKILL)
    acknowledged += [int(line) for line in child.stdout.read().split()]
    child.wait()
    store = LeaseStore(file, "b")
    held = {int(le.pod_uid.removeprefix("pod-")) for le in store.leases()}
    assert held >= set(acknowledged)
    store.close()


def test_a_damaged_file_is_one_clear_error(tmp_path: Path) -> None:
    file = tmp_path / "leases.db"
    file.write_bytes(b"not a database" * 100)
    with pytest.raises(NetworkError, match=rf"{file} cannot be used: file is not a database"):
        LeaseStore(file, "b")


def test_words_are_remembered_and_the_file_is_private(tmp_path: Path) -> None:
    store = LeaseStore(tmp_path / "deep" / "leases.db", "b")
    store.remember("ip_forward", "0")
    store.remember("ip_forward", "1")
    assert store.memo("ip_forward") == "1"
    store.remember("ip_forward", None)
    assert store.memo("ip_forward") is None
    assert os.stat(tmp_path / "deep" / "leases.db").st_mode & 0o777 == 0o600
    store.close()
