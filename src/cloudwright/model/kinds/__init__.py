"""The rules of the built-in kinds, one file for each: defaults and validation, in upstream's words.

``BUILT_IN`` has them by API group and plural. Unknown fields and JSON types are the schema's
business (``model.schemas``), ``metadata`` beside the name the API server's.
"""

from __future__ import annotations

from collections.abc import Mapping

from cloudwright.model.kinds import (
    config_map,
    custom_resource_definition,
    deployment,
    endpoint_slice,
    endpoints,
    event,
    lease,
    microservice,
    namespace,
    node,
    pod,
    replica_set,
    route,
    secret,
    service,
    service_account,
)
from cloudwright.model.kinds.spec import KindSpec

__all__ = ["BUILT_IN", "KindSpec"]

_SPECS = (
    *(namespace.SPEC, node.SPEC, pod.SPEC, service.SPEC, endpoints.SPEC, endpoint_slice.SPEC),
    *(config_map.SPEC, secret.SPEC, service_account.SPEC, event.SPEC, event.SPEC_V1, lease.SPEC),
    *(deployment.SPEC, replica_set.SPEC, custom_resource_definition.SPEC),
    *(microservice.SPEC, route.SPEC),
)
BUILT_IN: Mapping[tuple[str, str], KindSpec] = {
    (spec.resource.group, spec.resource.plural): spec for spec in _SPECS
}
