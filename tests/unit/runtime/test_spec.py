"""The OCI document: what is asked is in it, what is not asked is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudwright._base.errors import UsageError
from cloudwright.model.sandbox import ContainerSpec, ImageConfig, Limits, Mount, SecurityContext
from cloudwright.runtime import seccomp
from cloudwright.runtime.spec import ALLOWED_CAPABILITIES, Host, build, command
from cloudwright.runtime.users import Identity

ALL = frozenset({"cpu", "cpuacct", "memory", "pids", "devices"})
HOST = Host(machine="x86_64", controllers=ALL)
IMAGE = ImageConfig(
    reference="app:1",
    digest="sha256:0",
    entrypoint=("/app",),
    command=("serve", "--fast"),
    env={"A": "image", "B": "image"},
    working_dir="/srv",
)
SPEC = ContainerSpec(id="c", sandbox="s", name="app", image="app:1")
WHO = Identity(65532, 65532)


def document(host: Host = HOST, identity: Identity = WHO, **changes: Any) -> dict[str, Any]:
    return build(replace(SPEC, **changes), IMAGE, identity, host)


def test_defaults_are_the_restricted_profile() -> None:
    made = document()
    process = made["process"]
    assert made["ociVersion"] == "1.0.2"
    assert process["user"] == {"uid": 65532, "gid": 65532}
    assert process["noNewPrivileges"] is True
    assert all(process["capabilities"][kind] == [] for kind in process["capabilities"])
    assert len(process["capabilities"]) == 5
    assert "rlimits" not in process
    assert process["cwd"] == "/srv"
    assert made["linux"]["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO"
    assert "/proc/kcore" in made["linux"]["maskedPaths"]
    assert "/proc/sys" in made["linux"]["readonlyPaths"]
    (sys,) = [mount for mount in made["mounts"] if mount["destination"] == "/sys"]
    assert "ro" in sys["options"]
    kinds = {entry["type"] for entry in made["linux"]["namespaces"]}
    assert {"pid", "mount"} <= kinds
    assert "user" not in kinds


@pytest.mark.parametrize(
    ("words", "args", "expected"),
    [
        ((), (), ["/app", "serve", "--fast"]),
        ((), ("x",), ["/app", "x"]),
        (("/other",), (), ["/other"]),
        (("/other",), ("x",), ["/other", "x"]),
    ],
)
def test_command_and_args_replace_as_in_kubernetes(
    words: tuple[str, ...], args: tuple[str, ...], expected: list[str]
) -> None:
    assert command(replace(SPEC, command=words, args=args), IMAGE) == expected


def test_nothing_to_run_is_named() -> None:
    with pytest.raises(UsageError, match="container 'app': neither it nor its image app:1"):
        command(SPEC, replace(IMAGE, entrypoint=(), command=()))


def test_environment_is_layered_and_path_and_home_exist() -> None:
    env = document(env={"B": "pod", "C": "x=y"}, identity=Identity(1, 1, home="/h"))
    found = dict(pair.split("=", 1) for pair in env["process"]["env"])
    assert found["A"] == "image"
    assert found["B"] == "pod"
    assert found["C"] == "x=y"
    assert found["HOME"] == "/h"
    assert "/usr/bin" in found["PATH"].split(":")
    for name in ("", "A=B", "A\0"):
        with pytest.raises(UsageError, match="cannot be set"):
            document(env={name: "x"})


def test_limits_only_for_controllers_that_exist() -> None:
    limits = Limits(memory_bytes=1000, cpu_millis=250, cpu_shares=1, pids=5)
    resources = document(limits=limits)["linux"]["resources"]
    assert resources["memory"] == {"limit": 1000}
    assert resources["cpu"] == {"period": 100_000, "quota": 25_000, "shares": 2}
    assert resources["pids"] == {"limit": 5}
    assert resources["devices"] == [{"allow": False, "access": "rwm"}]
    none = document(limits=limits, host=replace(HOST, controllers=frozenset()))
    assert none["linux"]["resources"] == {}
    few = document(limits=limits, host=replace(HOST, controllers=frozenset({"pids"})))
    assert few["linux"]["resources"] == {"pids": {"limit": 5}}


def test_a_tiny_cpu_limit_is_the_smallest_that_the_kernel_takes() -> None:
    resources = document(limits=Limits(cpu_millis=1))["linux"]["resources"]
    assert resources["cpu"]["quota"] == 1000


@pytest.mark.parametrize("name", ["SYS_ADMIN", "CAP_NET_ADMIN", "NET_RAW", "nonsense", ""])
def test_capabilities_beyond_the_list_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"capabilities\.add") as caught:
        document(security=SecurityContext(capabilities=(name,)))
    assert "NET_BIND_SERVICE" in (caught.value.hint or "")


def test_annotations_that_command_crun_are_refused() -> None:
    assert document(annotations={"a/b": "c"})["annotations"] == {"a/b": "c"}
    with pytest.raises(UsageError, match=r"run\.oci\.hooks\.stdout is reserved"):
        document(annotations={"run.oci.hooks.stdout": "/x"})


def test_a_granted_capability_is_in_every_set() -> None:
    security = SecurityContext(capabilities=("net_bind_service", "CAP_CHOWN", "CHOWN"))
    made = document(security=security)["process"]["capabilities"]
    assert set(made) == {"bounding", "effective", "permitted", "inheritable", "ambient"}
    assert all(kind == ["CAP_CHOWN", "CAP_NET_BIND_SERVICE"] for kind in made.values())


def test_the_oom_score_is_never_below_our_own() -> None:
    assert document()["process"]["oomScoreAdj"] == 500
    high = document(host=replace(HOST, oom_score_floor=800))
    assert high["process"]["oomScoreAdj"] == 800


def test_read_only_root_and_groups() -> None:
    made = document(security=SecurityContext(read_only_root=True), identity=Identity(5, 6, (7, 8)))
    assert made["root"] == {"path": "rootfs", "readonly": True}
    assert made["process"]["user"] == {"uid": 5, "gid": 6, "additionalGids": [7, 8]}


def test_mounts_are_binds_with_parents_first() -> None:
    wanted = (
        Mount("/host/b", "/data/inner", read_only=False),
        Mount("/host/a", "/data/"),
        Mount("/host/c", "/etc/resolv.conf"),
    )
    binds = [one for one in document(mounts=wanted)["mounts"] if one["type"] == "bind"]
    assert [one["destination"] for one in binds] == ["/data", "/data/inner", "/etc/resolv.conf"]
    assert "ro" in binds[0]["options"]
    assert "rw" in binds[1]["options"]
    assert all({"nosuid", "nodev", "rprivate"} <= set(one["options"]) for one in binds)


@pytest.mark.parametrize(
    "destination",
    ["relative", "/", "//", "/.", "/a/../b", "/proc", "/proc/self", "/sys/fs", "/dev/", "/a\0b"],
)
def test_destinations_that_would_break_the_container_are_refused(destination: str) -> None:
    with pytest.raises(UsageError, match="mountPath"):
        document(mounts=(Mount("/x", destination),))


def test_a_destination_may_be_given_once_and_sources_are_absolute() -> None:
    with pytest.raises(UsageError, match="/data is given twice"):
        document(mounts=(Mount("/x", "/data"), Mount("/y", "/data/")))
    with pytest.raises(UsageError, match="source is not absolute"):
        document(mounts=(Mount("x", "/data"),))


def test_seccomp_can_be_left_out_only_by_name() -> None:
    assert "seccomp" not in document(security=SecurityContext(seccomp="unconfined"))["linux"]
    with pytest.raises(UsageError, match="'mine' is not known"):
        document(security=SecurityContext(seccomp="mine"))
    with pytest.raises(UsageError, match="no seccomp profile for riscv64"):
        document(host=replace(HOST, machine="riscv64"))
    assert "seccomp" not in document(host=replace(HOST, seccomp=False))["linux"]


def allowed(machine: str, *capabilities: str) -> set[str]:
    made = seccomp.profile(machine, frozenset(capabilities))
    assert made is not None
    return {
        name
        for rule in made["syscalls"]
        for name in rule["names"]
        if rule["action"] == "SCMP_ACT_ALLOW" and not rule.get("args")
    }


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_default_profile_lets_work_be_done_and_nothing_else(machine: str) -> None:
    calls = allowed(machine)
    assert {"read", "write", "execve", "futex", "epoll_pwait", "openat2", "accept4"} <= calls
    dangerous = {"mount", "unshare", "setns", "bpf", "init_module", "kexec_load", "reboot"}
    more = {"ptrace_nothing", "open_by_handle_at", "keyctl", "add_key", "clone3", "io_uring_setup"}
    assert not calls & (dangerous | more)
    assert ("arch_prctl" in calls) is (machine == "x86_64")


def test_capabilities_open_their_calls_only() -> None:
    assert allowed("x86_64", "CAP_SYS_CHROOT") - allowed("x86_64") == {"chroot"}
    for capability in ALLOWED_CAPABILITIES:
        assert "mount" not in allowed("x86_64", capability)


@given(
    capabilities=st.sets(st.sampled_from(sorted(ALLOWED_CAPABILITIES))),
    controllers=st.frozensets(st.sampled_from(sorted(ALL))),
    memory=st.none() | st.integers(1, 2**50),
    millis=st.none() | st.integers(1, 10**6),
    pids=st.none() | st.integers(1, 10**6),
    args=st.lists(st.text(st.characters(blacklist_characters="\0")), max_size=4),
)
def test_any_good_wish_gives_a_document_of_json(
    capabilities: set[str],
    controllers: frozenset[str],
    memory: int | None,
    millis: int | None,
    pids: int | None,
    args: list[str],
) -> None:
    import json

    made = document(
        host=replace(HOST, controllers=controllers),
        security=SecurityContext(capabilities=tuple(capabilities)),
        limits=Limits(memory_bytes=memory, cpu_millis=millis, pids=pids),
        args=tuple(args),
    )
    assert json.loads(json.dumps(made)) == made
    assert set(made["process"]["capabilities"]["effective"]) == capabilities
    assert ("memory" in made["linux"]["resources"]) is (
        memory is not None and "memory" in controllers
    )
