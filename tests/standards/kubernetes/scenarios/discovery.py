"""Discovery documents, version, OpenAPI."""

from __future__ import annotations

from typing import Any

from tests.standards.kubernetes.scenarios import scenario
from tests.standards.kubernetes.session import Session

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
KEPT = {
    "v1", "apps/v1", "batch/v1", "autoscaling/v2", "autoscaling/v1", "policy/v1",
    "networking.k8s.io/v1", "rbac.authorization.k8s.io/v1", "coordination.k8s.io/v1",
    "storage.k8s.io/v1", "scheduling.k8s.io/v1", "node.k8s.io/v1", "discovery.k8s.io/v1",
    "events.k8s.io/v1", "apiextensions.k8s.io/v1", "admissionregistration.k8s.io/v1",
    "authentication.k8s.io/v1", "authorization.k8s.io/v1",
}  # fmt: skip


def by_name(body: Any) -> Any:
    """An APIResourceList as a dictionary."""
    if not isinstance(body, dict) or "resources" not in body:
        return body
    found = {one["name"]: one for one in body["resources"]}
    for one in found.values():
        one.pop("storageVersionHash", None)
        one["verbs"] = sorted(one["verbs"])
        one["shortNames"] = sorted(one.get("shortNames", ()))
    return {**body, "resources": found}


@scenario("kinds")
def discovery(s: Session) -> None:
    s.send("api", "GET", "/api")
    s.send("version", "GET", "/version", only=lambda b: (b["major"], b["minor"]))
    groups = s.ask("GET", "/apis").json["groups"]
    served = {v["groupVersion"] for group in groups for v in group["versions"]}
    s.note("groups", sorted(KEPT - served - {"v1"}))
    for version in sorted(KEPT):
        root = "/api/v1" if version == "v1" else f"/apis/{version}"
        s.send(version, "GET", root, only=by_name)
    for group in sorted({v.partition("/")[0] for v in KEPT if "/" in v}):
        s.send(f"group {group}", "GET", f"/apis/{group}",
               only=lambda b: (b.get("name"), b.get("preferredVersion")))  # fmt: skip
    s.send("unknown", "GET", "/apis/nothing.example.com")
    s.send("unknown-version", "GET", "/apis/apps/v9")


@scenario("kinds")
def aggregated_discovery(s: Session) -> None:
    for path in ("/api", "/apis"):
        s.send(path, "GET", path, headers={"Accept": AGGREGATED}, only=aggregated)
    both = {"Accept": f"{AGGREGATED},application/json"}
    s.send("both", "GET", "/apis", headers=both, only=lambda b: b.get("kind"))
    beta = {"Accept": AGGREGATED.replace("v=v2", "v=v2beta1") + ",application/json"}
    s.send("beta", "GET", "/apis", headers=beta, only=lambda b: b.get("kind"))


def aggregated(body: Any) -> Any:
    """An APIGroupDiscoveryList by group, version and resource, only of what both serve."""
    if not isinstance(body, dict):
        return body
    found = {}
    for group in body.get("items", ()):
        name = group["metadata"].get("name", "")
        for version in group["versions"]:
            key = f"{name}/{version['version']}" if name else version["version"]
            if key not in KEPT:
                continue
            for resource in version.get("resources", ()):
                resource["verbs"] = sorted(resource.get("verbs", ()))
                resource.pop("responseKind", None) if "verbs" not in resource else None
                for sub in resource.get("subresources", ()):
                    sub["verbs"] = sorted(sub["verbs"])
                subs = {sub["subresource"]: sub for sub in resource.pop("subresources", ())}
                found[f"{key}/{resource['resource']}"] = {**resource, "subresources": subs}
    return {"kind": body.get("kind"), "apiVersion": body.get("apiVersion"), "found": found}


@scenario("kinds")
def openapi(s: Session) -> None:
    index = s.ask("GET", "/openapi/v3").json
    wanted = {"api/v1", *(f"apis/{v}" for v in KEPT if "/" in v)}
    s.note("missing", sorted(wanted - set(index["paths"])))
    document = s.ask("GET", index["paths"]["api/v1"]["serverRelativeURL"]).json
    s.note("openapi", document["openapi"])
    schemas = document["components"]["schemas"]
    for name in ("io.k8s.api.core.v1.ConfigMap", "io.k8s.api.core.v1.ServicePort"):
        s.note(name, schemas.get(name))
    operation = document["paths"]["/api/v1/namespaces/{namespace}/configmaps/{name}"]
    s.note("methods", sorted(operation))
    kind = "x-kubernetes-group-version-kind"
    s.note("operation", [operation["get"].get(kind), operation["get"].get("operationId")])
    s.note("patch", sorted(operation["patch"]["requestBody"]["content"]))
    second = s.ask("GET", "/openapi/v2").json
    s.note("swagger", second["swagger"])
    s.note("v2", second["definitions"].get("io.k8s.api.core.v1.ConfigMap"))
