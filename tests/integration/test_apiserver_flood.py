"""A flooder with 200 connections, and a quiet client beside it."""

import anyio
import pytest

from .http_world import MAPS, TIMEOUT, world

pytestmark = pytest.mark.anyio
CONNECTIONS, REQUESTS_MAX = 200, 100
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
"""Tables are never answered from memory: each of these requests needs a seat."""
BINDINGS = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"


async def may_view(here, name):
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
    body = {"metadata": {"name": name}, "roleRef": role, "subjects": [subject]}
    assert (await here.ask("POST", BINDINGS, body)).status == 201
    return here.tokens.issue(name, ())


async def flood(here, token, statuses, started, done):
    """One connection that asks again and again until it is done, or has asked often enough."""
    lines = (
        f"GET {MAPS} HTTP/1.1",
        "host: x",
        f"accept: {TABLE}",
        f"authorization: Bearer {token}",
    )
    head = "\r\n".join((*lines, "", ""))
    stream = await anyio.connect_tcp(
        "127.0.0.1", here.serving.port, tls=True, ssl_context=here.context(None),
        tls_standard_compatible=False, tls_hostname="127.0.0.1",
    )  # fmt: skip
    async with stream:
        for _ in range(REQUESTS_MAX):
            if done.is_set():
                return
            await stream.send(head.encode())
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += await stream.receive()
            top, _, body = answer.partition(b"\r\n\r\n")
            lines = dict(line.split(b": ", 1) for line in top.lower().split(b"\r\n")[1:])
            while len(body) < int(lines[b"content-length"]):
                body += await stream.receive()
            statuses.append(int(top.split()[1]))
            started.set()


async def test_a_flooder_does_not_starve_a_quiet_client(tmp_path):
    async with world(tmp_path) as here:
        await here.create("one")
        flooder, quiet = [await may_view(here, name) for name in ("flooder", "quiet")]
        statuses, started, done = [], anyio.Event(), anyio.Event()
        plain = here.context(None)
        with anyio.fail_after(2 * TIMEOUT):
            async with anyio.create_task_group() as tasks:
                for _ in range(CONNECTIONS):
                    tasks.start_soon(flood, here, flooder, statuses, started, done)
                await started.wait()
                for _ in range(20):
                    answer = await here.ask(
                        "GET", MAPS, context=plain, accept=TABLE, authorization=f"Bearer {quiet}"
                    )
                    assert answer.status == 200
                done.set()
        assert set(statuses) <= {200, 429}
        assert 200 in statuses
