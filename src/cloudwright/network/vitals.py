"""Metrics of the pod network, in the process's Prometheus registry."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

ATTACH_SECONDS = Histogram(
    "cloudwright_network_attach_seconds",
    "Time to give a pod its namespace, link, address and rules.",
    buckets=(0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0),
)
FAILURES = Counter(
    "cloudwright_network_failures", "Attaches and detaches that failed.", ["operation"]
)
LEASES = Gauge("cloudwright_network_leases", "Addresses that pods hold.")
ORPHANS = Counter(
    "cloudwright_network_orphans_removed",
    "Links, namespaces and leases of no pod that were removed.",
)
ISOLATED = Gauge("cloudwright_network_isolated_pods", "Pods that a NetworkPolicy selects.")
POLICY_SECONDS = Histogram(
    "cloudwright_network_policy_seconds",
    "Time to replace the policy table of one pod.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0),
)
