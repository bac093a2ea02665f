"""Who a container's process is: the image's ``USER`` and the pod's wishes to numbers. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from cloudwright.model.sandbox import SecurityContext
from cloudwright.runtime.errors import ContainerSpecError

DEFAULT_ID = 65532
SIDECAR_ID = 1337
ID_MAX = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Account:
    """A line of ``/etc/passwd``."""

    name: str
    uid: int
    gid: int
    home: str


@dataclass(frozen=True, slots=True)
class Identity:
    """What the process runs as."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    home: str = "/"


def parse_passwd(text: str) -> list[Account]:
    """The good lines of ``/etc/passwd`` (passwd(5)); others are passed over, as libc does."""
    accounts = []
    for line in text.splitlines():
        parts = line.split(":")
        if len(parts) >= 6 and parts[0] and parts[2].isdecimal() and parts[3].isdecimal():
            accounts.append(Account(parts[0], int(parts[2]), int(parts[3]), parts[5] or "/"))
    return accounts


def parse_group(text: str) -> list[tuple[str, int, tuple[str, ...]]]:
    """``(name, gid, members)`` for the good lines of ``/etc/group`` (group(5))."""
    groups = []
    for line in text.splitlines():
        parts = line.split(":")
        if len(parts) >= 4 and parts[0] and parts[2].isdecimal():
            members = tuple(name for name in parts[3].split(",") if name)
            groups.append((parts[0], int(parts[2]), members))
    return groups


def resolve(user: str, security: SecurityContext, *, passwd: str = "", group: str = "") -> Identity:
    """The identity for an image's ``user`` (``NAME|UID[:GROUP|GID]``) under ``security``.

    Root is only had by asking for uid 0 in ``security``: an image that says root, or nothing,
    runs as 65532.

    Raises:
        ContainerSpecError: a name is not in the image's files, or the id is not allowed.
    """
    accounts, groups = parse_passwd(passwd), parse_group(group)
    name, _, group_name = user.partition(":")
    account: Account | None = None
    if security.uid is not None:
        uid = security.uid
        account = next((one for one in accounts if one.uid == uid), None)
        gid = account.gid if account else uid
    else:
        uid, account = _image_uid(name, accounts)
        if uid == 0:
            uid, gid, account = DEFAULT_ID, DEFAULT_ID, None
        else:
            gid = account.gid if account else uid
            if group_name:
                gid = _image_gid(group_name, groups)
    if security.gid is not None:
        gid = security.gid
    _check("uid", uid)
    _check("gid", gid)
    extra = {number for _, number, members in groups if account and account.name in members}
    if security.fs_group is not None:
        extra.add(security.fs_group)
    return Identity(uid, gid, tuple(sorted(extra - {gid})), account.home if account else "/")


def _image_uid(name: str, accounts: list[Account]) -> tuple[int, Account | None]:
    if not name:
        return 0, None
    if name.isdecimal():
        uid = int(name)
        return uid, next((one for one in accounts if one.uid == uid), None)
    for account in accounts:
        if account.name == name:
            return account.uid, account
    raise ContainerSpecError(
        f"the image's user {name!r} is not in its /etc/passwd",
        hint="set securityContext.runAsUser, or name the user by number in the image",
    )


def _image_gid(name: str, groups: list[tuple[str, int, tuple[str, ...]]]) -> int:
    if name.isdecimal():
        return int(name)
    for known, gid, _ in groups:
        if known == name:
            return gid
    raise ContainerSpecError(
        f"the image's group {name!r} is not in its /etc/group",
        hint="set securityContext.runAsGroup, or name the group by number in the image",
    )


def _check(what: str, number: int) -> None:
    if not 0 <= number <= ID_MAX:
        raise ContainerSpecError(f"{what} {number} is not within 0 to {ID_MAX}")
    if number == SIDECAR_ID:
        raise ContainerSpecError(
            f"{what} {SIDECAR_ID} is the sidecar's: its traffic is not intercepted",
            hint="run the container as another user",
        )
