"""MicroService → ConfigMap, Deployment, Service, Route; its hooks; its rollback."""

from __future__ import annotations

from typing import Any

import anyio

from cloudwright._base.errors import CloudwrightError
from cloudwright.model import pods as podstate
from cloudwright.model.kinds.microservice import problems
from cloudwright.model.objects import (
    Object,
    generation,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)
from cloudwright.model.resources import EVENT, MICRO_SERVICE, POD, REPLICA_SET
from cloudwright.operator.engines.actions import Note
from cloudwright.operator.engines.microservice import decide as engine
from cloudwright.operator.engines.microservice import hooks, rollout
from cloudwright.operator.engines.microservice.world import LABEL, HookCall, World
from cloudwright.operator.manager import DONE, Controller, Result
from cloudwright.operator.ports import Hooks


class MicroServiceController(Controller):
    """Keys are MicroServices."""

    name = "microservice-controller"

    def __init__(self, call_hooks: Hooks) -> None:
        super().__init__()
        self.hooks = call_hooks
        self._checked: dict[str, tuple[str, int, list[str]]] = {}

    def setup(self) -> None:
        """MicroServices (also those that others wait for), children by name, pods by label."""
        self.services = self.watch(MICRO_SERVICE, self._of_service)
        # A child has its parent's name, also one that belongs to somebody else (a clash).
        self.children = {kind: self.watch(resource) for kind, resource in engine.CHILDREN.items()}
        self.replica_sets = self.watch(REPLICA_SET, _of_labelled)
        self.pods = self.watch(POD, _of_labelled)

    def _of_service(self, service: Object) -> list[str]:
        key = key_of(service)
        waiting = [key_of(o) for o in self.services.all("") if key in _dependencies(o)]
        return [key, *waiting]

    async def sync(self, key: str) -> Result:
        """Decide, write the status, act, and perhaps call a hook."""
        service = self.services.get(key)
        if service is None:
            self._checked.pop(key, None)
            return DONE
        world = await self._look(service)
        decision = engine.decide(world)
        plan = decision.plan
        written = service
        if plan.status is not None:
            written = await self.api.write_status(MICRO_SERVICE, service, plan.status)
        for action in plan.actions:
            await self.api.perform(action)
        await self.api.tell(service, plan.notes)
        if decision.hook is not None and not self.api.dry_run:
            return await self._call(written, decision.hook)
        return Result(plan.requeue_after)

    async def _look(self, service: Object) -> World:
        key, namespace = key_of(service), namespace_of(service)
        children = {kind: obj for kind, cache in self.children.items() if (obj := cache.get(key))}
        deployment = children.get("Deployment")
        pods = [p for p in self.pods.all(namespace) if labels_of(p).get(LABEL) == name_of(service)]
        needs = {key_of(o): _dependencies(o) for o in self.services.all("")}
        return World(
            service=service,
            now=self.now(),
            problems=self._problems(service),
            children=children,
            replica_sets=self.replica_sets.owned_by(deployment) if deployment else [],
            pods=pods,
            dependencies={k: self.services.get(k) for k in _dependencies(service)},
            circle=rollout.circle(key, needs),
            events=await self._warnings(namespace, pods),
        )

    def _problems(self, service: Object) -> list[str]:
        """What is wrong with the spec; looked at once for each generation."""
        key, state = key_of(service), (uid_of(service), generation(service))
        known = self._checked.get(key)
        if known is None or known[:2] != state:
            known = self._checked[key] = (*state, problems(service))
        return known[2]

    async def _warnings(self, namespace: str, pods: list[Object]) -> list[Object]:
        """Why probes fail stands in events only: asked for when a running pod is not ready."""
        silent = [
            pod
            for pod in pods
            if podstate.is_active(pod)
            and podstate.phase(pod) == "Running"
            and not podstate.is_ready(pod)
        ]
        found: list[Object] = []
        for pod in silent[:3]:
            selector = f"involvedObject.uid={pod['metadata']['uid']},type=Warning"
            found += await self.api.find(EVENT, namespace, field_selector=selector)
        return found

    async def _call(self, service: Object, call: HookCall) -> Result:
        failure = await self._try(service, call)
        world = World(service=service, now=self.now())
        status, note = hooks.settle(service["status"], call.status_key, failure, world)
        await self.api.write_status(MICRO_SERVICE, service, status)
        reason, message, warning = note
        await self.api.tell(service, [Note("Warning" if warning else "Normal", reason, message)])
        return DONE

    async def _try(self, service: Object, call: HookCall) -> str | None:
        """Call the hook; returns why it failed. It has its time, whatever its caller promises."""
        timeout = self.manager.config.hook_timeout
        payload: dict[str, Any] = dict(call.payload)
        try:
            with anyio.fail_after(timeout + 1.0):
                await self.hooks.call(call.url, namespace_of(service), payload, timeout=timeout)
        except TimeoutError:
            return f"no answer within {timeout:.0f} s"
        except CloudwrightError as error:
            return f"{error.message} ({error.cause})" if error.cause else error.message
        return None


def _of_labelled(obj: Object) -> list[str]:
    name = labels_of(obj).get(LABEL)
    return [f"{namespace_of(obj)}/{name}"] if name else []


def _dependencies(service: Object) -> list[str]:
    result = []
    for entry in (service.get("spec") or {}).get("dependencies") or []:
        if isinstance(entry, dict) and entry.get("name"):
            space = entry.get("namespace") or namespace_of(service)
            result.append(f"{space}/{entry['name']}")
    return result
