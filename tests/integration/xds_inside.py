"""Real Envoys, driven by our xDS server, beside our own sidecars. Runs inside namespaces of its own
(``test_xds_mesh.py`` makes them).
"""

from __future__ import annotations

import http.client
import os
import signal
import ssl
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import grpc
import pytest
import yaml
from anyio import to_thread
from envoy.service.discovery.v3 import discovery_pb2 as pb

from cloudwright.mesh.xds.status import Registry
from cloudwright.mesh.xds.types import CLUSTER, SECRET
from cloudwright.platform import xds
from cloudwright.platform.config import PlatformConfig
from tests.integration import xds_world as xw
from tests.integration.mesh_inside import Rig

pytestmark = [pytest.mark.anyio, pytest.mark.root, pytest.mark.netns]
PROTOCOLS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


class Joined:
    """The rig with an xDS server on all of its kinds of listeners."""

    def __init__(self, rig: Rig, registry: Registry, folder: Path) -> None:
        self.rig = rig
        self.registry = registry
        self.folder = folder
        self.envoys: list[subprocess.Popen[bytes]] = []

    def bootstrap(self, node: dict[str, Any], variant: str, **cluster: Any) -> dict[str, Any]:
        options = {PROTOCOLS: {"@type": f"type.googleapis.com/{PROTOCOLS}"}}
        options[PROTOCOLS]["explicit_http_config"] = {"http2_protocol_options": {}}  # type: ignore[assignment]
        ads = {
            "api_type": variant,
            "transport_api_version": "V3",
            "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}],
        }
        dynamic = {"ads_config": ads, "cds_config": xw.ADS, "lds_config": xw.ADS}
        server = {"name": "xds", "typed_extension_protocol_options": options, **cluster}
        return {
            "node": node,
            "dynamic_resources": dynamic,
            "static_resources": {"clusters": [server]},
        }

    def envoy(self, name: str, config: dict[str, Any], *before: str) -> None:
        file, log = self.folder / f"{name}.yaml", self.folder / f"{name}.log"
        file.write_text(yaml.safe_dump(config))
        file.chmod(0o644)
        binary = self.folder / "envoy"
        if not binary.exists():  # where the proxies' user can get to it
            binary.write_bytes(xw.envoy_binary().read_bytes())
            binary.chmod(0o755)
        words = [*before, str(binary), "-c", str(file), "--concurrency", "1"]
        words += ["--disable-hot-restart", "-l", "warning"]
        with log.open("ab") as out:
            self.envoys.append(subprocess.Popen(words, stdout=out, stderr=out))

    def logs(self) -> str:
        found = "\n".join(f"{f.name}: {f.read_text()[-3000:]}" for f in self.folder.glob("*.log"))
        return f"{found}\n{self.registry.summary()}"


def socket_cluster(path: Path) -> dict[str, Any]:
    group = {"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": str(path)}}}}]}
    return {"load_assignment": {"cluster_name": "xds", "endpoints": [group]}}


@pytest.fixture(scope="module")
async def joined(
    anyio_backend: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Joined]:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cwp")))
        folder.chmod(0o755)
        rig = Rig(folder, tmp_path_factory.mktemp("leases") / "leases.db")
        stack.push_async_callback(rig.close)
        await rig.start()
        config = PlatformConfig(gateway="127.0.0.1:9080", gateway_tls="127.0.0.1:9443")
        places = ["unix", "mesh", "127.0.0.1:15010"]
        registry = await xds.serve(stack, rig.paths, places, rig.mesh, config)
        made = Joined(rig, registry, folder)
        try:
            yield made
        finally:
            for envoy in made.envoys:
                envoy.kill()
                envoy.wait()


async def until(check: Any, what: str, logs: Any = str) -> Any:
    last = ""
    with anyio.move_on_after(60):
        while True:
            try:
                found = await check()
            except (OSError, http.client.HTTPException) as error:
                found, last = None, repr(error)
            else:
                last = repr(found)
            if found:
                return found
            await anyio.sleep(0.03)
    raise AssertionError(f"not in a minute: {what}; last {last} {logs()}")


def ask(path: str, method: str = "GET", *, tls: Path | None = None) -> tuple[int, str, Any]:
    if tls is None:
        connection = http.client.HTTPConnection("127.0.0.1", 9080, timeout=10)
    else:
        trust = ssl.create_default_context(cafile=str(tls))
        connection = http.client.HTTPSConnection("127.0.0.1", 9443, timeout=10, context=trust)
    try:
        body = b"{}" if method == "POST" else None
        connection.request(method, path, body, {"x-mesh-ns": "forged"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), dict(answer.getheaders())
    finally:
        connection.close()


async def test_an_envoy_stands_in_for_the_gateway(joined: Joined) -> None:
    rig = joined.rig
    node = {"id": "gateway", "cluster": "mesh", "metadata": {"role": "gateway"}}
    config = joined.bootstrap(node, "DELTA_GRPC", **socket_cluster(rig.paths.run / "xds.sock"))
    joined.envoy("gateway", config)

    async def serves() -> bool:
        return (await to_thread.run_sync(ask, "/payment/x"))[0] == 200

    await until(serves, "a request through Envoy", joined.logs)
    found = [await to_thread.run_sync(ask, "/payment/x") for _ in range(12)]
    assert {one[1] for one in found} == {"payment-1 /x", "payment-2 /x"}
    assert found[0][2]["seen-x-request-id"] != "-"
    assert found[0][2]["seen-x-mesh-ns"] != "forged"
    assert (await to_thread.run_sync(ask, "/payment"))[1].split() in (
        ["payment-1", "/"],
        ["payment-2", "/"],
    )
    assert (await to_thread.run_sync(ask, "/payments"))[0] == 404
    authority = rig.paths.pki / "gateway" / "ca.pem"
    secure = await to_thread.run_sync(lambda: ask("/payment/x", tls=authority))
    assert secure[0] == 200
    summary = {one["node"]: one for one in joined.registry.summary()}
    assert summary["gateway"]["types"]["clusters"]["resources"] == 2
    assert all("refused" not in one for one in summary["gateway"]["types"].values())

    # certificates of both sides and endpoints change under load
    failed: list[str] = []
    late: list[str] = []
    drained, stop = anyio.Event(), anyio.Event()

    async def load() -> None:
        while not stop.is_set():
            after = drained.is_set()
            try:
                status, body, _ = await to_thread.run_sync(ask, "/payment/x")
            except OSError as error:
                status, body = 0, str(error)
            if after:
                late.append(body)
            if status != 200:
                failed.append(f"{status} {body}")

    gateway = next(c for c in joined.registry if c.node.id == "gateway")

    def secret() -> str:
        return gateway.engine.types[SECRET].has["default"].version

    before = secret()
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(load)
        await rig.mesh.rotate_all()

        async def renewed() -> bool:
            return secret() != before

        await until(renewed, "Envoy has the new certificate")
        await rig.publish(without="payment-1")

        async def taken() -> bool:
            one = rig.places["uid-payment-1"].ip
            assignment = gateway.engine.types[
                "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
            ].has["payment.default.svc.cluster.local:80"]
            return one.encode() not in assignment.any

        await until(taken, "Envoy without the endpoint")
        drained.set()
        with anyio.fail_after(60):
            while len(late) < 30:
                await anyio.sleep(0.02)
        stop.set()
    assert failed == [], joined.logs()
    assert set(late) == {"payment-2 /x"}
    await rig.publish()


def mesh_channel(joined: Joined, proxy: str) -> grpc.Channel:
    directory = joined.rig.paths.proxies / proxy
    credentials = grpc.ssl_channel_credentials(
        (directory / "ca.pem").read_bytes(),
        (directory / "key.pem").read_bytes(),
        (directory / "cert.pem").read_bytes(),
    )
    return grpc.secure_channel("127.0.0.1:15010", credentials)


def fetch(channel: grpc.Channel, node: str, role: str, url: str) -> list[str]:
    """Names of all resources of a type, over ADS."""
    request = pb.DiscoveryRequest(type_url=url, resource_names=["*"])
    request.node.id = node
    request.node.metadata["role"] = role
    call = channel.stream_stream(
        "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources",
        pb.DiscoveryRequest.SerializeToString,
        pb.DiscoveryResponse.FromString,
    )(iter([request]), timeout=20)
    answer = next(call)
    call.cancel()
    return sorted(one.value[2 : 2 + one.value[1]].decode() for one in answer.resources)


async def test_an_identity_decides_which_node_a_client_is(joined: Joined) -> None:
    def refused(proxy: str, node: str, role: str) -> str:
        with mesh_channel(joined, proxy) as channel, pytest.raises(grpc.RpcError) as error:
            fetch(channel, node, role, SECRET)
        assert error.value.code() == grpc.StatusCode.PERMISSION_DENIED
        return str(error.value.details())

    def allowed(proxy: str, node: str, role: str, url: str) -> list[str]:
        with mesh_channel(joined, proxy) as channel:
            return fetch(channel, node, role, url)

    run = to_thread.run_sync
    own = await run(allowed, "uid-web-1", "uid-web-1", "sidecar", SECRET)
    assert own == ["ROOTCA", "default"]
    assert "https" in await run(allowed, "gateway", "gateway", "gateway", SECRET)
    assert await run(allowed, "uid-web-1", "anything", "grpc", SECRET) == ["ROOTCA"]
    assert await run(allowed, "uid-web-1", "anything", "grpc", CLUSTER)
    assert "may not be gateway" in await run(refused, "uid-web-1", "gateway", "gateway")
    assert "may not be sidecar" in await run(refused, "gateway", "uid-web-1", "sidecar")
    assert "enrolled" in await run(refused, "uid-web-1", "../uid-web-1", "sidecar")
    assert "enrolled" in await run(refused, "uid-web-1", "nobody", "sidecar")

    def plain() -> None:
        with grpc.insecure_channel("127.0.0.1:15010") as channel, pytest.raises(grpc.RpcError):
            fetch(channel, "gateway", "gateway", SECRET)

    def certificateless() -> None:
        authority = (joined.rig.paths.proxies / "gateway" / "ca.pem").read_bytes()
        credentials = grpc.ssl_channel_credentials(authority)
        with (
            grpc.secure_channel("127.0.0.1:15010", credentials) as channel,
            pytest.raises(grpc.RpcError) as error,
        ):
            fetch(channel, "gateway", "gateway", SECRET)
        assert error.value.code() == grpc.StatusCode.UNAVAILABLE

    await run(plain)
    await run(certificateless)
    assert (joined.rig.paths.run / "xds.sock").stat().st_mode & 0o777 == 0o600


async def test_an_envoy_stands_in_for_a_sidecar(joined: Joined) -> None:
    rig, uid = joined.rig, "uid-web-1"
    directory, place = rig.paths.proxies / uid, rig.places[uid]
    pair = {
        "certificate_chain": {"filename": str(directory / "cert.pem")},
        "private_key": {"filename": str(directory / "key.pem")},
    }
    server = "spiffe://cluster.local/ns/cloudwright-system/sa/xds"
    common = {
        "tls_certificates": [pair],
        "alpn_protocols": ["h2"],
        "validation_context": {
            "trusted_ca": {"filename": str(directory / "ca.pem")},
            "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": server}}],
        },
    }
    kind = f"{xw.TYPE}.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
    tls = {"name": "tls", "typed_config": {"@type": kind, "common_tls_context": common}}
    node = {"id": uid, "cluster": "mesh", "metadata": {"role": "sidecar"}}
    where = socket_cluster(rig.paths.run / "xds-mesh.sock")
    config = joined.bootstrap(node, "GRPC", transport_socket=tls, **where)
    old = rig.processes[f"sidecar-{uid}"]
    old.send_signal(signal.SIGKILL)
    old.wait()
    drop = ["setpriv", "--reuid", "1337", "--regid", "1337", "--clear-groups"]
    joined.envoy("sidecar", config, "nsenter", f"--net={place.netns}", *drop)

    async def out() -> bool:
        return (await rig.get(uid, "10.96.0.20", "/a"))[0] == 200

    await until(out, "a request out through Envoy", joined.logs)
    answers = [await rig.get(uid, "10.96.0.20", "/a") for _ in range(8)]
    assert {one[1] for one in answers} == {"payment-1 /a", "payment-2 /a"}
    assert answers[0][2]["seen-x-mesh-sidecar"] == "web-1"

    async def into() -> bool:
        return (await rig.get("uid-payment-1", "10.96.0.21", "/b"))[1] == "web-1 /b"

    await until(into, "a request in through Envoy", joined.logs)
    assert os.waitpid(joined.envoys[-1].pid, os.WNOHANG) == (0, 0)
