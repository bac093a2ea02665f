"""Who may do what (``rbac.authorization.k8s.io``)."""

from __future__ import annotations

from cloudwright.model.resources.resource import resource

_RBAC = "rbac.authorization.k8s.io/v1"

CLUSTER_ROLE_BINDING = resource(
    _RBAC, "ClusterRoleBinding", "clusterrolebindings", namespaced=False
)
CLUSTER_ROLE = resource(_RBAC, "ClusterRole", "clusterroles", namespaced=False)
ROLE_BINDING = resource(_RBAC, "RoleBinding", "rolebindings")
ROLE = resource(_RBAC, "Role", "roles")

RBAC = (CLUSTER_ROLE_BINDING, CLUSTER_ROLE, ROLE_BINDING, ROLE)
