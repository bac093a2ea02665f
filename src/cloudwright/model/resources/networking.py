"""How pods are reached, and by whom (``networking.k8s.io``, ``discovery.k8s.io``)."""

from __future__ import annotations

from cloudwright.model.resources.resource import resource

ENDPOINT_SLICE = resource("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
INGRESS_CLASS = resource("networking.k8s.io/v1", "IngressClass", "ingressclasses", namespaced=False)
INGRESS = resource("networking.k8s.io/v1", "Ingress", "ingresses", short="ing", subs="status")
IP_ADDRESS = resource(
    "networking.k8s.io/v1", "IPAddress", "ipaddresses", short="ip", namespaced=False
)
NETWORK_POLICY = resource(
    "networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", short="netpol"
)
SERVICE_CIDR = resource(
    "networking.k8s.io/v1", "ServiceCIDR", "servicecidrs", subs="status", namespaced=False
)

NETWORKING = (INGRESS_CLASS, INGRESS, IP_ADDRESS, NETWORK_POLICY, SERVICE_CIDR)
