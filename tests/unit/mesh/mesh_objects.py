"""Small Kubernetes objects for the mesh's tests."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]


def service(
    name: str,
    ip: str = "10.96.0.12",
    *,
    namespace: str = "default",
    ports: list[Object] | None = None,
    created: str = "2026-01-01T00:00:00Z",
    **spec: Any,
) -> Object:
    return {
        "metadata": {"name": name, "namespace": namespace, "creationTimestamp": created},
        "spec": {
            "clusterIP": ip,
            "selector": {"app": name},
            "ports": [{"name": "http", "port": 80}] if ports is None else ports,
            **spec,
        },
    }


def pod(
    name: str, ip: str | None, *, app: str = "payment", namespace: str = "default", **more: Any
) -> Object:
    metadata: Object = {
        "name": name,
        "namespace": namespace,
        "uid": f"uid-{name}",
        "labels": {"app": app},
        **more.pop("metadata", {}),
    }
    status: Object = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    if ip:
        status["podIP"] = ip
    return {"metadata": metadata, "spec": more.pop("spec", {}), "status": {**status, **more}}


def endpoint(of: Object, **conditions: bool) -> Object:
    return {
        "addresses": [of["status"].get("podIP")],
        "conditions": conditions or {"ready": True},
        "targetRef": {
            "kind": "Pod",
            "namespace": of["metadata"]["namespace"],
            "name": of["metadata"]["name"],
            "uid": of["metadata"]["uid"],
        },
    }


def piece(
    of: str,
    *endpoints: Object,
    namespace: str = "default",
    ports: list[Object] | None = None,
    suffix: str = "1",
) -> Object:
    return {
        "metadata": {
            "name": f"{of}-{suffix}",
            "namespace": namespace,
            "labels": {"kubernetes.io/service-name": of},
        },
        "ports": [{"name": "http", "port": 8080}] if ports is None else ports,
        "endpoints": list(endpoints),
    }


def route(
    name: str, *, namespace: str = "default", created: str = "2026-01-01T00:00:00Z", **spec: Any
) -> Object:
    spec.setdefault("service", "payment")
    return {
        "apiVersion": "cloudwright.dev/v1alpha1",
        "kind": "Route",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "creationTimestamp": created,
            "generation": 1,
        },
        "spec": spec,
    }
