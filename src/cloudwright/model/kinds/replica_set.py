"""ReplicaSet: a number of like pods."""

from __future__ import annotations

from cloudwright.model import resources
from cloudwright.model.kinds.spec import KindSpec
from cloudwright.model.kinds.workloads import default_template, workload_errors
from cloudwright.model.objects import Object


def _defaults(replica_set: Object) -> None:
    default_template(replica_set.setdefault("spec", {}))


SPEC = KindSpec(
    resources.REPLICA_SET, _defaults, workload_errors, lambda _replica_set: {"replicas": 0}
)
