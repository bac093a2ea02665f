"""Credentials that change: files that are replaced, plug-ins whose tokens end, a server that says
no.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from cloudwright._base.errors import NotAllowedError, UsageError
from cloudwright.client import credentials
from cloudwright.client.client import Client
from cloudwright.client.credentials import Plugin, TokenFile, plugin
from cloudwright.client.kubeconfig import Access
from cloudwright.client.transports.https import HttpsTransport
from cloudwright.model.resources import CONFIG_MAP

pytestmark = pytest.mark.anyio
VERSION = "client.authentication.k8s.io/v1"


def program(folder: Path, body: str) -> str:
    """A plug-in that counts its runs in a file and then runs ``body``."""
    file = folder / "plugin"
    file.write_text(f"#!/bin/sh\necho run >> {folder}/runs\n{body}\n")
    file.chmod(0o755)
    return str(file)


def runs(folder: Path) -> int:
    return len((folder / "runs").read_text().splitlines())


def printed(token: str = "t", **status: Any) -> str:
    answer = {"apiVersion": VERSION, "kind": "ExecCredential", "status": {"token": token, **status}}
    return f"echo '{json.dumps(answer)}'"


def test_a_token_file_is_read_again_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(credentials, "monotonic", lambda: now[0])
    file = tmp_path / "token"
    file.write_text("one\n")
    source = TokenFile(file)
    assert source.fresh() is None
    assert source.obtain().token == "one"
    file.write_text("two")
    assert (source.fresh() or source.obtain()).token == "one"
    now[0] += credentials.FILE_SECONDS
    assert source.fresh() is None
    assert source.obtain().token == "two"
    file.unlink()  # a mount in the middle of its replacement: the old token goes on
    source.refused()
    assert source.obtain().token == "two"


def test_a_token_file_that_never_was_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        TokenFile(tmp_path / "none").obtain()


def test_a_plugin_runs_once_until_its_token_ends(tmp_path: Path) -> None:
    lasting = Plugin(program(tmp_path, printed(expirationTimestamp="2099-01-01T00:00:00Z")))
    assert lasting.obtain().token == "t"
    assert lasting.fresh() is not None
    lasting.refused()
    assert lasting.fresh() is None
    ended = Plugin(program(tmp_path, printed(expirationTimestamp="2020-01-01T00:00:00Z")))
    ended.obtain()
    assert ended.fresh() is None
    assert runs(tmp_path) == 2


def test_a_plugin_is_told_what_the_kubeconfig_says(tmp_path: Path) -> None:
    body = f'printf "%s" "$KUBERNETES_EXEC_INFO" > {tmp_path}/info; echo "$A $1" > {tmp_path}/args'
    section = {
        "apiVersion": VERSION,
        "command": program(tmp_path, f"{body}\n{printed()}"),
        "args": ["x"],
        "env": [{"name": "A", "value": "b"}],
        "provideClusterInfo": True,
    }
    plugin(section, {"server": "https://s"}, "file").obtain()
    info = json.loads((tmp_path / "info").read_text())
    assert (info["apiVersion"], info["kind"]) == (VERSION, "ExecCredential")
    assert info["spec"] == {"interactive": False, "cluster": {"server": "https://s"}}
    assert (tmp_path / "args").read_text() == "b x\n"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("echo no >&2; exit 3", "ended with code 3"),
        ("echo nonsense", "printed no ExecCredential"),
        ("echo '{}'", "printed no ExecCredential"),
        (printed(token=""), "printed no credential"),
        (printed().replace("/v1", "/v1beta1"), "printed no credential"),
    ],
)
def test_a_plugin_that_fails_says_how(tmp_path: Path, body: str, expected: str) -> None:
    with pytest.raises(NotAllowedError) as caught:
        Plugin(program(tmp_path, body)).obtain()
    assert expected in caught.value.message


def test_a_plugin_that_is_not_installed_gives_its_hint() -> None:
    with pytest.raises(UsageError) as caught:
        Plugin("no-such-plugin", hint="brew install it").obtain()
    assert caught.value.hint == "brew install it"


@pytest.fixture
async def server() -> AsyncIterator[tuple[str, set[str]]]:
    """A server and the tokens that it takes."""
    good: set[str] = {"Bearer one"}

    async def answer(request: web.Request) -> web.Response:
        given = request.headers.get("authorization", "")
        return web.json_response({"given": given}, status=200 if given in good else 401)

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    async with TestServer(application, host="127.0.0.1") as served:
        yield str(served.make_url("/")), good


async def test_a_token_that_is_not_taken_any_more_is_read_again_at_once(
    tmp_path: Path, server: tuple[str, set[str]]
) -> None:
    url, good = server
    file = tmp_path / "token"
    file.write_text("one")
    client = Client(HttpsTransport(Access(url, source=TokenFile(file))))
    try:
        assert (await client.get(CONFIG_MAP, "a"))["given"] == "Bearer one"
        file.write_text("two")
        good.clear()
        good.add("Bearer two")
        assert (await client.get(CONFIG_MAP, "a"))["given"] == "Bearer two"
    finally:
        await client.aclose()
