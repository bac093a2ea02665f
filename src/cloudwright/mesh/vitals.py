"""Metrics of the mesh's control side, in the process's Prometheus registry."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

SNAPSHOT_VERSION = Gauge("cloudwright_mesh_snapshot_version", "Version of the last snapshot.")
SNAPSHOTS = Counter("cloudwright_mesh_snapshots", "Snapshots that were written.")
SNAPSHOT_FAILURES = Counter(
    "cloudwright_mesh_snapshot_failures", "Snapshots that could not be written."
)
SNAPSHOT_SECONDS = Histogram(
    "cloudwright_mesh_snapshot_seconds",
    "Time to build and write a snapshot.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1.0),
)
PROBLEMS = Gauge("cloudwright_mesh_problems", "Objects that are left out of the snapshot.")
PROXIES = Gauge("cloudwright_mesh_proxies", "Proxies that are enrolled.")
CERTIFICATES = Counter("cloudwright_mesh_certificates_issued", "Certificates that were issued.")
ROTATION_FAILURES = Counter(
    "cloudwright_mesh_rotation_failures", "Certificates that could not be replaced in time."
)
HOOKS = Counter("cloudwright_mesh_hooks", "Hooks that were called through the mesh.", ["result"])
XDS_CLIENTS = Gauge("cloudwright_xds_clients", "Streams of xDS clients that are open.", ["role"])
XDS_REFUSED = Counter("cloudwright_xds_refused", "Streams that were not allowed.")
XDS_PUSHES = Counter("cloudwright_xds_pushes", "Responses sent to xDS clients.", ["type"])
XDS_ACKS = Counter("cloudwright_xds_acks", "Responses that clients took.", ["type"])
XDS_NACKS = Counter("cloudwright_xds_nacks", "Responses that clients refused.", ["type"])
XDS_ACK_SECONDS = Histogram(
    "cloudwright_xds_ack_seconds",
    "From sending a response to its ACK.",
    ["type"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.0, 10.0),
)
XDS_PROBLEMS = Gauge("cloudwright_xds_problems", "Resources that could not be made or read.")
