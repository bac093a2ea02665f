"""The platform with its xDS server: off by default and then not even loaded, on when asked for."""

from __future__ import annotations

import json
import os
import queue
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from envoy.service.discovery.v3 import discovery_pb2 as pb

from cloudwright.mesh.xds.types import CLUSTER, LISTENER
from tests.machine import Machine, machine

pytestmark = [pytest.mark.root, pytest.mark.netns]
STREAM = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"


@pytest.fixture
def made() -> Iterator[Machine]:
    name = f"cwt-xds-{os.getpid()}"
    with machine(name, Path(f"/tmp/{name}")) as found:
        yield found


def loaded(made: Machine) -> bool:
    return "cygrpc" in Path(f"/proc/{made.daemon}/maps").read_text()


def test_the_server_runs_when_it_is_asked_for(made: Machine) -> None:
    wrong = made.run("up", "--xds", "nonsense", check=False)
    assert wrong.returncode == 2
    assert "xds" in wrong.stderr
    made.run("up")
    assert not loaded(made)
    off = made.run("mesh", "xds", "status", check=False)
    assert off.returncode == 1
    assert "--xds unix" in off.stderr
    made.run("down")

    made.run("up", "--xds", "unix,mesh,127.0.0.1:15010")
    assert loaded(made)
    assert (made.paths.run / "xds.sock").stat().st_mode & 0o777 == 0o600
    requests: queue.Queue[pb.DiscoveryRequest | None] = queue.Queue()
    with grpc.insecure_channel(f"unix:{made.paths.run / 'xds.sock'}") as channel:
        call = channel.stream_stream(
            STREAM, pb.DiscoveryRequest.SerializeToString, pb.DiscoveryResponse.FromString
        )(iter(requests.get, None))
        asked = pb.DiscoveryRequest(type_url=LISTENER)
        asked.node.id, asked.node.cluster = "gateway", "test"
        requests.put(asked)
        answer = next(call)
        assert {one.type_url for one in answer.resources} == {LISTENER}
        assert b"127.0.0.1" in answer.resources[0].value
        requests.put(
            pb.DiscoveryRequest(
                type_url=LISTENER, version_info=answer.version_info, response_nonce=answer.nonce
            )
        )
        requests.put(pb.DiscoveryRequest(type_url=CLUSTER))
        assert next(call).type_url == CLUSTER
        client = json.loads(made.run("mesh", "xds", "status", "-o", "json").stdout)[0]
        assert (client["node"], client["role"], client["peer"]) == ("gateway", "gateway", "unix")
        assert client["types"]["listeners"]["acked"] == answer.version_info
        assert client["types"]["clusters"]["in_flight"]
        table = made.run("mesh", "xds", "status").stdout
        assert "in sync" in table
        page = made.call("curl", "-sS", "http://127.0.0.1:9090/metrics").stdout
        assert 'cloudwright_xds_acks_total{type="listeners"} 1.0' in page
        assert 'cloudwright_xds_clients{role="gateway"} 1.0' in page
        requests.put(None)
        call.cancel()
    made.run("down")
    assert not (made.paths.run / "xds.sock").exists()
