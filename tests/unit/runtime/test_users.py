"""Who a container runs as."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudwright._base.errors import UsageError
from cloudwright.model.sandbox import SecurityContext
from cloudwright.runtime.layerfiles import FILE_MAX, read_text
from cloudwright.runtime.users import Identity, parse_group, parse_passwd, resolve

PASSWD = "root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:\nbad line\nx:y:z\n"
GROUP = "root:x:0:\nstaff:x:50:app,root\nother:x:60:\nbroken\n"
NOBODY_ASKED = SecurityContext()


def who(user: str, security: SecurityContext = NOBODY_ASKED) -> Identity:
    return resolve(user, security, passwd=PASSWD, group=GROUP)


@pytest.mark.parametrize("user", ["", "root", "0", "0:0", "root:staff"])
def test_root_and_nobody_become_the_unprivileged_user(user: str) -> None:
    assert who(user) == Identity(65532, 65532)


@pytest.mark.parametrize(
    ("user", "identity"),
    [
        ("app", Identity(1000, 1001, (50,), "/home/app")),
        ("1000", Identity(1000, 1001, (50,), "/home/app")),
        ("app:other", Identity(1000, 60, (50,), "/home/app")),
        ("app:7", Identity(1000, 7, (50,), "/home/app")),
        ("2000", Identity(2000, 2000)),
        ("2000:staff", Identity(2000, 50)),
    ],
)
def test_the_images_user_is_looked_up(user: str, identity: Identity) -> None:
    assert who(user) == identity


def test_the_pod_decides_over_the_image() -> None:
    assert who("app", SecurityContext(uid=3)) == Identity(3, 3)
    assert who("app", SecurityContext(uid=0)) == Identity(0, 0, (50,), "/root")
    assert who("app", SecurityContext(gid=9, fs_group=8)) == Identity(1000, 9, (8, 50), "/home/app")
    assert who("", SecurityContext(fs_group=65532)).groups == ()


def test_what_is_not_there_or_not_allowed_is_named() -> None:
    with pytest.raises(UsageError, match="user 'ghost' is not in its /etc/passwd"):
        who("ghost")
    with pytest.raises(UsageError, match="group 'ghosts' is not in its /etc/group"):
        who("app:ghosts")
    with pytest.raises(UsageError, match="uid 1337 is the sidecar's"):
        who("1337")
    with pytest.raises(UsageError, match="gid 1337 is the sidecar's"):
        who("app", SecurityContext(gid=1337))
    with pytest.raises(UsageError, match="not within"):
        who("99999999999")


@given(st.text(), st.text(), st.text(max_size=12))
def test_hostile_files_never_give_root(passwd: str, group: str, user: str) -> None:
    try:
        identity = resolve(user, NOBODY_ASKED, passwd=passwd, group=group)
    except UsageError:
        return
    assert identity.uid not in (0, 1337)
    assert identity.gid != 1337
    parse_passwd(passwd)
    parse_group(group)


def layer(root: Path, name: str, files: dict[str, str]) -> str:
    for path, text in files.items():
        (root / name / path).parent.mkdir(parents=True, exist_ok=True)
        (root / name / path).write_text(text)
    (root / name).mkdir(exist_ok=True)
    return str(root / name)


def test_the_topmost_layer_that_has_the_file_wins(tmp_path: Path) -> None:
    low = layer(tmp_path, "low", {"etc/passwd": "low", "etc/group": "low group"})
    top = layer(tmp_path, "top", {"etc/passwd": "top"})
    empty = layer(tmp_path, "empty", {})
    assert read_text((low, top, empty), "/etc/passwd") == "top"
    assert read_text((low, top, empty), "/etc/group") == "low group"
    assert read_text((low, top, empty), "/etc/none") == ""
    assert read_text((), "/etc/passwd") == ""


@pytest.mark.root
def test_whiteouts_and_opaque_directories_hide_what_is_below(tmp_path: Path) -> None:
    low = layer(tmp_path, "low", {"etc/passwd": "low", "etc/group": "low group"})
    gone = layer(tmp_path, "gone", {"etc/other": ""})
    os.mknod(f"{gone}/etc/passwd", 0o600 | 0o020000, os.makedev(0, 0))
    assert read_text((low, gone), "/etc/passwd") == ""
    assert read_text((low, gone), "/etc/group") == "low group"
    opaque = layer(tmp_path, "opaque", {"etc/other": ""})
    os.setxattr(f"{opaque}/etc", "trusted.overlay.opaque", b"y")
    assert read_text((low, opaque), "/etc/group") == ""


def test_links_and_odd_files_are_never_followed(tmp_path: Path) -> None:
    secret = layer(tmp_path, "host", {"etc/passwd": "of the host"})
    link = layer(tmp_path, "link", {})
    os.symlink(f"{secret}/etc", f"{link}/etc")
    assert read_text((link,), "/etc/passwd") == ""
    file_link = layer(tmp_path, "file", {"etc/x": ""})
    os.symlink(f"{secret}/etc/passwd", f"{file_link}/etc/passwd")
    assert read_text((secret, file_link), "/etc/passwd") == ""
    pipe = layer(tmp_path, "pipe", {"etc/x": ""})
    os.mkfifo(f"{pipe}/etc/passwd")
    assert read_text((pipe,), "/etc/passwd") == ""


def test_a_huge_file_is_read_in_part(tmp_path: Path) -> None:
    big = layer(tmp_path, "big", {"etc/passwd": "x" * (FILE_MAX + 5)})
    assert len(read_text((big,), "/etc/passwd")) == FILE_MAX
