"""Who may do what: RBAC, the rules for nodes, and the upkeep of roles.

``rules``, ``index``, ``nodegraph`` and ``reconcile`` are pure; ``follower`` keeps them up to date
from the store; ``rbac`` and ``nodes`` decide, ``chain`` asks them in order. ``policy`` has the
roles every cluster has, ``upkeep`` writes them and aggregates ClusterRoles, ``escalation`` refuses
to grant what the grantor does not have.
"""

from cloudwright.apiserver.authz.chain import ChainAuthorizer

__all__ = ["ChainAuthorizer"]
