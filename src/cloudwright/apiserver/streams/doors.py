"""The interactive subresources of pods over HTTP: which protocol, which container, what then."""

from __future__ import annotations

from collections.abc import Mapping

import anyio

from cloudwright.apiserver.calls import Query
from cloudwright.apiserver.errors import ApiError, bad_request
from cloudwright.apiserver.streams import channels, executions, forwards
from cloudwright.apiserver.streams.containers import container_of
from cloudwright.apiserver.streams.session import SpdySession
from cloudwright.apiserver.streams.takeover import RawConnection, Upgrade, take_over
from cloudwright.apiserver.streams.websocket import WebSocket, accept, is_websocket
from cloudwright.model.objects import Object, name_of, namespace_of
from cloudwright.model.streams import ByteStream, ExecSession, PodStreams

SPDY = "spdy/3.1"
PROTOCOL_HEADER = "x-stream-protocol-version"
HANDSHAKE_SECONDS = 30.0


async def serve(
    request: Upgrade, pod: Object, subresource: str, query: Query, streams: PodStreams
) -> None:
    """Serve one exec, attach or port-forward to its end.

    Raises:
        ApiError: 400, 403 or 501, before the connection was upgraded.
        CloudwrightError: the node cannot do it; also before.
    """
    if subresource == "portforward":
        await _forward(request, pod, streams)
        return
    wanted = {name: query.flag(name) for name in ("stdin", "stdout", "stderr", "tty")}
    if wanted["tty"]:
        wanted["stderr"] = False
    if not (wanted["stdin"] or wanted["stdout"] or wanted["stderr"]):
        raise bad_request("you must specify at least one of stdin, stdout, stderr")
    spdy = _is_spdy(request.headers)
    protocol = _negotiated(request.headers, channels.SPDY_PROTOCOLS) if spdy else ""
    if not spdy and not is_websocket(request.headers):
        raise bad_request("Upgrade request required")
    attached = subresource == "attach"
    session = await _session(request, pod, subresource, streams, wanted)
    try:
        if spdy:
            await _exec_spdy(request, session, protocol, wanted, attached)
        else:
            await _exec_websocket(request, session, wanted, attached)
    finally:
        with anyio.CancelScope(shield=True):
            await session.close()


async def _session(
    request: Upgrade,
    pod: Object,
    subresource: str,
    streams: PodStreams,
    wanted: Mapping[str, bool],
) -> ExecSession:
    namespace, name = namespace_of(pod), name_of(pod)
    container = container_of(pod, request.query.get("container"))
    if subresource == "attach":
        return await streams.attach(namespace, name, container=container, stdin=wanted["stdin"])
    argv = tuple(request.query.every("command"))
    if not argv:
        raise bad_request("you must specify at least one command for the container")
    return await streams.exec(
        namespace, name, container=container, argv=argv, tty=wanted["tty"], stdin=wanted["stdin"]
    )


async def _exec_websocket(
    request: Upgrade, session: ExecSession, wanted: Mapping[str, bool], attached: bool
) -> None:
    socket = await accept(request, channels.WEBSOCKET_PROTOCOLS)
    try:
        side = channels.WebSocketChannels(socket)
        if wanted["stdout"]:
            await side.greet(channels.STDOUT)
        elif wanted["stderr"]:
            await side.greet(channels.STDERR)
        await executions.run(session, side, _wanted(wanted, attached))
    finally:
        with anyio.CancelScope(shield=True):
            await socket.close()


async def _exec_spdy(
    request: Upgrade,
    session: ExecSession,
    protocol: str,
    wanted: Mapping[str, bool],
    attached: bool,
) -> None:
    connection = await _upgrade_spdy(request, protocol)
    try:
        names = {"error", *(n for n in ("stdin", "stdout", "stderr") if wanted[n])}
        if wanted["tty"] and protocol.startswith(("v3.", "v4.")):
            names.add("resize")
        spdy = SpdySession(connection, streams_max=8)
        side = channels.SpdyChannels(spdy, protocol, names)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(side.run)
            complete = False
            with anyio.move_on_after(HANDSHAKE_SECONDS):
                complete = await side.complete()
            if complete:
                await executions.run(session, side, _wanted(wanted, attached))
                await _linger(spdy, side)
            tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await connection.aclose()


def _wanted(wanted: Mapping[str, bool], attached: bool) -> executions.Wanted:
    names = {"stdout": channels.STDOUT, "stderr": channels.STDERR}
    outputs = frozenset(number for name, number in names.items() if wanted[name])
    return executions.Wanted(outputs, merged=wanted["tty"], attached=attached)


async def _linger(spdy: SpdySession, side: channels.SpdyChannels) -> None:
    """Let the client read all and close first, for a moment."""
    try:
        await spdy.goaway()
        with anyio.move_on_after(5):
            await side.gone()
    except ConnectionError:
        return


async def _forward(request: Upgrade, pod: Object, streams: PodStreams) -> None:
    namespace, name = namespace_of(pod), name_of(pod)

    async def connect(port: int) -> ByteStream:
        return await streams.connect(namespace, name, port)

    if (pod.get("status") or {}).get("phase") not in (None, "Running"):
        phase = pod["status"]["phase"]
        raise bad_request(f"unable to forward port because pod is not running. Status={phase}")
    if _is_spdy(request.headers):
        protocol = _negotiated(request.headers, (forwards.SPDY_PROTOCOL,))
        connection = await _upgrade_spdy(request, protocol)
        try:
            await forwards.over_spdy(connection, connect)
        finally:
            with anyio.CancelScope(shield=True):
                await connection.aclose()
        return
    if not is_websocket(request.headers):
        raise bad_request("Upgrade request required")
    if forwards.TUNNEL in request.headers.get("sec-websocket-protocol", ""):
        await _tunnel(await accept(request, (forwards.TUNNEL,)), connect)
        return
    try:
        ports = forwards.ports_of(request.query.every("ports"))
    except ValueError as error:
        raise bad_request(f"ports: {error}") from error
    if not ports:
        raise bad_request("you must specify at least one port: ?ports=8080")
    socket = await accept(request, ("v4.channel.k8s.io", forwards.SPDY_PROTOCOL))
    await forwards.over_websocket(socket, ports, connect)


async def _tunnel(socket: WebSocket, connect: forwards.Connect) -> None:
    try:
        await forwards.over_spdy(forwards.WebSocketWire(socket), connect)
    finally:
        with anyio.CancelScope(shield=True):
            await socket.close()


async def _upgrade_spdy(request: Upgrade, protocol: str) -> RawConnection:
    headers = {"connection": "Upgrade", "upgrade": "SPDY/3.1", PROTOCOL_HEADER: protocol}
    return await take_over(request, headers)


def _negotiated(headers: Mapping[str, str], served: tuple[str, ...]) -> str:
    """The first protocol that the client offers and we serve; none offered means the oldest."""
    offered = [p.strip() for p in headers.get(PROTOCOL_HEADER, "").split(",") if p.strip()]
    if not offered:
        return served[-1]
    for protocol in offered:
        if protocol in served:
            return protocol
    raise ApiError(
        403,
        "Forbidden",
        f"unable to upgrade: unable to negotiate protocol: client supports {offered}, "
        f"server accepts {list(served)}",
    )


def _is_spdy(headers: Mapping[str, str]) -> bool:
    upgrading = "upgrade" in headers.get("connection", "").lower()
    return upgrading and headers.get("upgrade", "").lower() == SPDY
