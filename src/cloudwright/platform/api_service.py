"""The Service ``kubernetes``: how pods find the API of this machine."""

from __future__ import annotations

from cloudwright.client.client import Client
from cloudwright.model.objects import Object
from cloudwright.model.resources import ENDPOINT_SLICE, ENDPOINTS, SERVICE

NAME, NAMESPACE = "kubernetes", "default"


async def publish(client: Client, address: str, port: int, node: str, node_port: int) -> None:
    """Make or correct the Service at ``address:port``, and its endpoint ``node:node_port``.

    Raises:
        CloudwrightError: it cannot be made.
    """
    head: Object = {"name": NAME, "namespace": NAMESPACE}
    ports = [{"name": "https", "port": node_port, "protocol": "TCP"}]
    service: Object = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {**head, "labels": {"component": "apiserver", "provider": NAME}},
        "spec": {
            "clusterIP": address,
            "type": "ClusterIP",
            "sessionAffinity": "None",
            "ports": [{"name": "https", "port": port, "protocol": "TCP", "targetPort": node_port}],
        },
    }
    endpoints: Object = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {
            **head,
            "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
        },
        "subsets": [{"addresses": [{"ip": node}], "ports": ports}],
    }
    endpoint_slice: Object = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {**head, "labels": {"kubernetes.io/service-name": NAME}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [node], "conditions": {"ready": True}}],
        "ports": ports,
    }
    await client.create_or_update(SERVICE, service)
    await client.create_or_update(ENDPOINTS, endpoints)
    await client.create_or_update(ENDPOINT_SLICE, endpoint_slice)
