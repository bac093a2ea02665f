"""``POST pods/NAME/eviction``: delete a pod if its PodDisruptionBudget allows it.

Source: kubernetes ``pkg/registry/core/pod/storage/eviction.go``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cloudwright._base.clock import rfc3339
from cloudwright.apiserver import bodies, encoding
from cloudwright.apiserver.calls import Call
from cloudwright.apiserver.errors import ApiError, bad_request, forbidden, not_found
from cloudwright.apiserver.registry import storage_of
from cloudwright.apiserver.replies import reply_json
from cloudwright.apiserver.store.interface import Compare, Record, Txn, Write
from cloudwright.apiserver.verbs import delete as deletion
from cloudwright.client.transport import Reply
from cloudwright.model import disruption
from cloudwright.model import pods as podstate
from cloudwright.model.objects import Object, deleting, generation, name_of

if TYPE_CHECKING:
    from cloudwright.apiserver.core import ApiCore

_CREATED = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
_VIOLATES = "Cannot evict pod as it would violate the pod's disruption budget."
_MOST_DISRUPTED = 2000
_ATTEMPTS = 16


async def evict(core: ApiCore, call: Call) -> Reply:
    """201 when the pod is being deleted.

    Raises:
        ApiError: 429, the budget does not allow it now; 500, several budgets select the pod.
    """
    body = bodies.read(call, "Eviction")
    name = (body.get("metadata") or {}).get("name") or call.name
    if name != call.name:
        raise bad_request("name in URL does not match name in Eviction object")
    options = body.get("deleteOptions") or {}
    if options.get("dryRun"):
        call.dry = True
    preconditions = options.get("preconditions") or {}
    served = call.served
    record = await core.store.get(served.key(call.namespace, call.name))
    if record is None:
        raise not_found(call.group, call.plural, call.name)
    pod = encoding.shown(served, record.value)
    wanted = deletion.Options(
        grace_seconds=options.get("gracePeriodSeconds"),
        uid=str(preconditions.get("uid") or ""),
        resource_version=str(preconditions.get("resourceVersion") or ""),
    )
    if not (podstate.is_terminal(pod) or podstate.phase(pod) == "Pending" or deleting(pod)):
        ready = await _take_from_budget(core, call, pod)
        if ready and not wanted.resource_version:
            # The pod that was counted as unhealthy must still be so.
            wanted = replace(wanted, resource_version=str(record.revision))
    await deletion.delete_one(core, replace(call, subresource=""), wanted)
    return reply_json(201, _CREATED)


async def _take_from_budget(core: ApiCore, call: Call, pod: Object) -> bool:
    """Use up one disruption; True when the budget was passed by because the pod is unhealthy."""
    for _ in range(_ATTEMPTS):
        found = await _budgets(core, call, pod)
        if not found:
            return False
        if len(found) > 1:
            raise ApiError(
                500,
                "InternalError",
                "Internal error occurred: This pod has more than one PodDisruptionBudget, which "
                "the eviction subresource does not support.",
            )
        record, budget = found[0]
        if _unhealthy_may_go(budget, pod):
            return True
        changed = _taken(core, budget, pod)
        if call.dry_run:
            return False
        write = Write(record.key, encoding.template(changed))
        txn = Txn((Compare(record.key, record.revision),), write)
        if (await core.store.commit(txn)).record is not None:
            return False
    raise _too_many(f"The disruption budget of {call.name} is being changed by too many.")


async def _budgets(core: ApiCore, call: Call, pod: Object) -> list[tuple[Record, Object]]:
    prefix = f"{storage_of('policy', 'poddisruptionbudgets')}{call.namespace}/"
    page = await core.store.page(prefix)
    decoded = [(record, encoding.decode(record.value)) for record in page.records]
    return [one for one in decoded if disruption.selects(one[1], pod)]


def _unhealthy_may_go(budget: Object, pod: Object) -> bool:
    """Whether a pod that is not ready may go whatever the numbers say."""
    if podstate.is_ready(pod):
        return False
    status = budget.get("status") or {}
    if (budget.get("spec") or {}).get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    healthy, desired = (
        int(status.get("currentHealthy") or 0),
        int(status.get("desiredHealthy") or 0),
    )
    return healthy >= desired > 0


def _taken(core: ApiCore, budget: Object, pod: Object) -> Object:
    """The budget with one disruption less."""
    name, status = name_of(budget), dict(budget.get("status") or {})
    if int(status.get("observedGeneration") or 0) < generation(budget):
        text = f"The disruption budget {name} is still being processed by the server."
        raise _too_many(text, retry=10)
    allowed = int(status.get("disruptionsAllowed") or 0)
    if allowed < 0:
        raise forbidden(
            "policy", "poddisruptionbudgets", name, "pdb disruptions allowed is negative"
        )
    disrupted = dict(status.get("disruptedPods") or {})
    if len(disrupted) > _MOST_DISRUPTED:
        message = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise forbidden("policy", "poddisruptionbudgets", name, message)
    if allowed == 0:
        desired, healthy = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
        raise _too_many(
            f"The disruption budget {name} needs {desired} healthy pods and has {healthy} currently"
        )
    disrupted[name_of(pod)] = rfc3339(core.clock.now())
    status.update(disruptionsAllowed=allowed - 1, disruptedPods=disrupted)
    return {**budget, "status": status}


def _too_many(why: str, *, retry: int = 0) -> ApiError:
    details: dict[str, object] = {"causes": [{"reason": "DisruptionBudget", "message": why}]}
    headers = {}
    if retry:
        details["retryAfterSeconds"] = retry
        headers["retry-after"] = str(retry)
    return ApiError(429, "TooManyRequests", _VIOLATES, details=details, headers=headers)
