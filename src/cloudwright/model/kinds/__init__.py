"""The rules of the built-in kinds, one file for each: defaults and validation, in upstream's words.

``BUILT_IN`` has them by API group and plural, ``find`` by version too. A file is imported when its
kind is first met. Unknown fields and JSON types are the schema's business (``model.schemas``),
``metadata`` beside the name the API server's.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping

from cloudwright.model import resources
from cloudwright.model.kinds.spec import KindSpec
from cloudwright.model.resources import Resource

__all__ = ["BUILT_IN", "KindSpec", "find"]

_FILES: Mapping[Resource, str] = {
    resources.API_SERVICE: "api_service",
    resources.CERTIFICATE_SIGNING_REQUEST: "certificate_signing_request",
    resources.CLUSTER_ROLE: "rbac:CLUSTER_ROLE",
    resources.CLUSTER_ROLE_BINDING: "rbac:CLUSTER_ROLE_BINDING",
    resources.CONFIG_MAP: "config_map",
    resources.CONTROLLER_REVISION: "templates:REVISION",
    resources.CRON_JOB: "cron_job",
    resources.CSI_DRIVER: "csi:DRIVER",
    resources.CSI_NODE: "csi:NODE",
    resources.CSI_STORAGE_CAPACITY: "csi:CAPACITY",
    resources.CUSTOM_RESOURCE_DEFINITION: "custom_resource_definition",
    resources.DAEMON_SET: "daemon_set",
    resources.DEPLOYMENT: "deployment",
    resources.DEVICE_CLASS: "devices:CLASS",
    resources.ENDPOINTS: "endpoints",
    resources.ENDPOINT_SLICE: "endpoint_slice",
    resources.EVENT: "event",
    resources.EVENT_V1: "event:SPEC_V1",
    resources.FLOW_SCHEMA: "flow_control:SCHEMA",
    resources.HORIZONTAL_POD_AUTOSCALER: "hpa",
    resources.HORIZONTAL_POD_AUTOSCALER_V1: "hpa:V1",
    resources.INGRESS: "ingress",
    resources.INGRESS_CLASS: "ingress:CLASS",
    resources.IP_ADDRESS: "service_cidr:ADDRESS",
    resources.JOB: "job",
    resources.LEASE: "lease",
    resources.LIMIT_RANGE: "limits:RANGE",
    resources.MICRO_SERVICE: "microservice",
    resources.MUTATING_ADMISSION_POLICY: "admission_policy:MUTATING",
    resources.MUTATING_ADMISSION_POLICY_BINDING: "admission_policy:MUTATING_BINDING",
    resources.MUTATING_WEBHOOK_CONFIGURATION: "webhook_configuration:MUTATING",
    resources.NAMESPACE: "namespace",
    resources.NETWORK_POLICY: "network_policy",
    resources.NODE: "node",
    resources.PERSISTENT_VOLUME: "persistent_volume",
    resources.PERSISTENT_VOLUME_CLAIM: "persistent_volume_claim",
    resources.POD: "pod",
    resources.POD_DISRUPTION_BUDGET: "pod_disruption_budget",
    resources.POD_TEMPLATE: "templates:TEMPLATE",
    resources.PRIORITY_CLASS: "classes:PRIORITY",
    resources.PRIORITY_LEVEL_CONFIGURATION: "flow_control:LEVEL",
    resources.REPLICATION_CONTROLLER: "templates:CONTROLLER",
    resources.REPLICA_SET: "replica_set",
    resources.RESOURCE_CLAIM: "devices:CLAIM",
    resources.RESOURCE_CLAIM_TEMPLATE: "devices:TEMPLATE",
    resources.RESOURCE_QUOTA: "limits:QUOTA",
    resources.RESOURCE_SLICE: "devices:SLICE",
    resources.ROLE: "rbac:ROLE",
    resources.ROLE_BINDING: "rbac:ROLE_BINDING",
    resources.ROUTE: "route",
    resources.RUNTIME_CLASS: "classes:RUNTIME",
    resources.SECRET: "secret",
    resources.SERVICE: "service",
    resources.SERVICE_ACCOUNT: "service_account",
    resources.SERVICE_CIDR: "service_cidr",
    resources.STATEFUL_SET: "stateful_set",
    resources.STORAGE_CLASS: "storage_class",
    resources.VALIDATING_ADMISSION_POLICY: "admission_policy:VALIDATING",
    resources.VALIDATING_ADMISSION_POLICY_BINDING: "admission_policy:VALIDATING_BINDING",
    resources.VALIDATING_WEBHOOK_CONFIGURATION: "webhook_configuration:VALIDATING",
    resources.VOLUME_ATTACHMENT: "csi:ATTACHMENT",
    resources.VOLUME_ATTRIBUTES_CLASS: "storage_class:ATTRIBUTES",
}
"""``FILE`` or ``FILE:NAME`` of a kind's rules; kinds that are not here have none of their own."""

_found: dict[Resource, KindSpec] = {}


def find(resource: Resource) -> KindSpec:
    """The rules of a built-in kind in one of its versions."""
    spec = _found.get(resource)
    if spec is None:
        file, _, name = _FILES.get(resource, "").partition(":")
        if file:
            module = importlib.import_module(f"{__name__}.{file}")
            spec = getattr(module, name or "SPEC")
            assert isinstance(spec, KindSpec), "the table names specs"
        else:
            spec = KindSpec(resource)
        _found[resource] = spec
    return spec


class _BuiltIn(Mapping[tuple[str, str], KindSpec]):
    """Rules by group and plural, in the preferred version of each kind."""

    def __init__(self) -> None:
        self._resources: dict[tuple[str, str], Resource] = {}
        for resource in resources.BUILT_IN:
            self._resources.setdefault((resource.group, resource.plural), resource)

    def __getitem__(self, key: tuple[str, str]) -> KindSpec:
        return find(self._resources[key])

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._resources)

    def __len__(self) -> int:
        return len(self._resources)


BUILT_IN: Mapping[tuple[str, str], KindSpec] = _BuiltIn()
"""The rules of every built-in kind by group and plural."""
