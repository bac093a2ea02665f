"""MicroService → Deployment, Service, Route and more; its hooks; its canaries; its rollback."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import anyio
import orjson

from cloudwright._base.errors import CloudwrightError
from cloudwright.model import conditions
from cloudwright.model import pods as podstate
from cloudwright.model.kinds.microservice import problems
from cloudwright.model.objects import (
    Object,
    controller_of,
    generation,
    key_of,
    labels_of,
    namespace_of,
    resource_version,
    split_key,
    uid_of,
)
from cloudwright.model.resources import (
    CONTROLLER_REVISION,
    EVENT,
    MICRO_SERVICE,
    POD,
    REPLICA_SET,
    ROUTE,
)
from cloudwright.operator.cache import Cache
from cloudwright.operator.controllers.measuring import Measuring
from cloudwright.operator.engines.actions import Action, Note, Patch
from cloudwright.operator.engines.applying import CONDITION
from cloudwright.operator.engines.microservice import decide as engine
from cloudwright.operator.engines.microservice import hooks, kinds, rollout
from cloudwright.operator.engines.microservice.canary_children import canary_name
from cloudwright.operator.engines.microservice.children import CONTAINER, is_url
from cloudwright.operator.engines.microservice.gateway import HTTP_ROUTE
from cloudwright.operator.engines.microservice.world import (
    CANARY,
    LABEL,
    Decision,
    HookCall,
    Routing,
    World,
)
from cloudwright.operator.engines.templates import copy
from cloudwright.operator.errors import FieldsOwned, HookError
from cloudwright.operator.manager import DONE, Controller, Result
from cloudwright.operator.ports import Hooks, Meter, PodCommands

_OURS = "of a MicroService"
_OWNED_AGAIN = 30.0
"""Seconds until fields that others own are tried again."""


class MicroServiceController(Controller):
    """Keys are MicroServices."""

    name = "microservice-controller"

    def __init__(
        self, call_hooks: Hooks, meter: Meter | None = None, commands: PodCommands | None = None
    ) -> None:
        super().__init__()
        self.hooks = call_hooks
        self.commands = commands
        self.meter = meter
        self._checked: dict[str, tuple[str, int, list[str]]] = {}

    def setup(self) -> None:
        """MicroServices (also those that others wait for), children by name, pods by label."""
        self.services = self.watch(MICRO_SERVICE, self._of_service)
        # A child has its parent's name, also one that belongs to somebody else (a clash).
        self.children = {
            kind: self.watch(resource, _of_child)
            for kind, resource in kinds.CHILDREN.items()
            if kind not in self._unused()
        }
        self.replica_sets = self.watch(REPLICA_SET, _of_labelled)
        self.pods = self.watch(POD, _of_labelled)
        self.pods.index(_OURS, _of_labelled)
        self.revisions = self.watch(CONTROLLER_REVISION, lambda _: ())
        for cache in (*self._optional.values(), self.services):
            cache.on_served(self._look_at_all)
        self.measuring = Measuring(self.meter, self.manager.config.scale_interval)

    def _unused(self) -> tuple[str, ...]:
        """Kinds of routes that are not asked for: nobody needs the right to read them."""
        routing = self.manager.config.routing
        if routing == "mesh":
            return (HTTP_ROUTE.kind,)
        return (ROUTE.kind,) if routing != "none" else (ROUTE.kind, HTTP_ROUTE.kind)

    @property
    def _optional(self) -> dict[str, Cache]:
        """Caches of kinds that an API may not have."""
        found = {kind: c for kind, c in self.children.items() if kind in kinds.OPTIONAL}
        return {**found, CONTROLLER_REVISION.kind: self.revisions}

    def _look_at_all(self) -> None:
        self.queue.add_all(key_of(service) for service in self.services.all(""))

    def _of_service(self, service: Object) -> list[str]:
        key = key_of(service)
        waiting = [key_of(o) for o in self.services.all("") if key in _dependencies(o)]
        return [key, *waiting]

    async def sync(self, key: str) -> Result:
        """Decide, write the status, act, and perhaps call a hook."""
        service = self.services.get(key)
        if service is None:
            self._checked.pop(key, None)
            self.measuring.forget(key)
            return DONE
        decision = engine.decide(await self._look(service))
        plan = decision.plan
        written = service
        if plan.status is not None:
            written = await self.api.write_status(MICRO_SERVICE, service, plan.status)
        owned = await self._perform(plan.actions, written)
        written = await self._say_owned(written, owned)
        if owned:
            return Result(_OWNED_AGAIN)
        await self.api.tell(service, plan.notes)
        if decision.hook is not None and not self.api.dry_run:
            return await self._call(written, decision.hook)
        return self._again(service, decision)

    async def _perform(self, actions: Iterable[Action], service: Object) -> list[str]:
        """Carry out what was decided; returns which fields belong to others."""
        owned = []
        for action in actions:
            try:
                await self.api.perform(_guarded(action, service))
            except FieldsOwned as error:
                owned.append(error.message)
        return owned

    async def _say_owned(self, service: Object, owned: list[str]) -> Object:
        """Tell by a condition that others own fields; it goes when they do not any more."""
        known = conditions.find((service.get("status") or {}).get("conditions"), CONDITION)
        if not owned and known is None:
            return service
        status = copy(service.get("status") or {})
        if owned:
            told = f"fields belong to other managers: {'; '.join(owned)}"
            status["conditions"] = conditions.set_condition(
                status.get("conditions"), CONDITION, "False", "FieldConflict", told, self.now()
            )
            if (known or {}).get("message") != told:
                await self.api.tell(service, [Note("Warning", "FieldConflict", told)])
        else:
            kept = [one for one in status["conditions"] if one["type"] != CONDITION]
            status["conditions"] = kept
        return await self.api.write_status(MICRO_SERVICE, service, status)

    def _again(self, service: Object, decision: Decision) -> Result:
        if decision.advice is not None:
            self.measuring.remember(service, decision.advice)
        wishes = [decision.plan.requeue_after, self.measuring.due(service, self._monotonic())]
        return Result(min((wish for wish in wishes if wish is not None), default=None))

    def _monotonic(self) -> float:
        return self.manager.clock.monotonic()

    async def _look(self, service: Object) -> World:
        key, namespace = key_of(service), namespace_of(service)
        other = f"{namespace}/{canary_name(service)}"
        children = {kind: obj for kind, cache in self.children.items() if (obj := cache.get(key))}
        canary = {
            kind: obj
            for kind in kinds.CANARY_CHILDREN
            if (obj := self.children[kind].get(other)) and _belongs(obj, service)
        }
        every = self.pods.found(_OURS, key)
        pods = [pod for pod in every if CANARY not in labels_of(pod)]
        canary_pods = [pod for pod in every if CANARY in labels_of(pod)]
        config, now = self.manager.config, self._monotonic()
        return World(
            service=service,
            now=self.now(),
            problems=self._problems(service),
            children=children,
            replica_sets=self._replica_sets(children),
            pods=pods,
            dependencies={k: self.services.get(k) for k in _dependencies(service)},
            circle=self._circle(service),
            events=await self._warnings(namespace, every),
            canary=canary,
            canary_replica_sets=self._replica_sets(canary),
            canary_pods=canary_pods,
            revisions=self.revisions.owned_by(service),
            served=frozenset(kind for kind, cache in self._optional.items() if cache.served),
            routing=self._routing(),
            gateway=config.gateway,
            nodes_confirm=config.nodes_confirm,
            applies=config.server_side_apply,
            metered=self.meter is not None,
            traffic=await self.measuring.traffic(service, self.now(), now),
            load=await self.measuring.load(service, pods, now),
            advice=self.measuring.advice(service, self.now()),
        )

    def _replica_sets(self, children: dict[str, Object]) -> list[Object]:
        deployment = children.get("Deployment")
        return self.replica_sets.owned_by(deployment) if deployment else []

    def _routing(self) -> Routing:
        wished = self.manager.config.routing
        if wished != "auto":
            return wished
        return "gateway-api" if self.children[HTTP_ROUTE.kind].served else "none"

    def _circle(self, service: Object) -> list[str]:
        if not _dependencies(service):
            return []
        needs = {key_of(o): _dependencies(o) for o in self.services.all("")}
        return rollout.circle(key_of(service), needs)

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
        try:
            with anyio.fail_after(timeout + 1.0):
                if is_url(call.url):
                    await self._post(service, call, timeout)
                else:
                    await self._execute(service, call, timeout)
        except TimeoutError:
            return f"no answer within {timeout:.0f} s"
        except CloudwrightError as error:
            return f"{error.message} ({error.cause})" if error.cause else error.message
        return None

    async def _post(self, service: Object, call: HookCall, timeout: float) -> None:
        payload: dict[str, Any] = dict(call.payload)
        space = namespace_of(service)
        await self.hooks.call(call.url, space, payload, timeout=timeout, key=call.key)

    async def _execute(self, service: Object, call: HookCall, timeout: float) -> None:
        """Run a file of the image in a pod; it is told on its standard input."""
        if self.commands is None:
            raise HookError(f"nobody can run {call.url} in a pod here", hint="name a URL instead")
        file = call.url if "/" in call.url else f"./{call.url}"
        told = orjson.dumps(call.payload)
        code, said = await self.commands.run(
            namespace_of(service), call.pod, CONTAINER, [file], told, timeout=timeout
        )
        if code != 0:
            text = said.strip().splitlines()[-1:] or ["it said nothing"]
            raise HookError(f"{call.url} in pod {call.pod} ended with code {code}", cause=text[0])


def _guarded(action: Action, service: Object) -> Action:
    """A patch of the MicroService itself is meant for what was looked at, and nothing newer."""
    if not isinstance(action, Patch) or action.resource != MICRO_SERVICE:
        return action
    guard = {"resourceVersion": resource_version(service)}
    body = {**action.body, "metadata": {**action.body.get("metadata", {}), **guard}}
    return Patch(action.resource, action.namespace, action.name, body)


def _belongs(obj: Object, service: Object) -> bool:
    """Whether an object of the canary's name is ours, or in the way of a canary that is wished.

    A MicroService may be called so itself: its children are no business of this one.
    """
    owner = controller_of(obj)
    if owner is not None and owner.get("uid") == uid_of(service):
        return True
    record = (service.get("status") or {}).get("rollout") or {}
    return bool(record.get("stage"))


def _of_child(obj: Object) -> list[str]:
    """A child's own name (it may be in the way of one), and the MicroService that made it."""
    space, name = split_key(key_of(obj))
    names = {name}
    owner = controller_of(obj)
    if owner is not None and owner["kind"] == MICRO_SERVICE.kind:
        names.add(str(owner["name"]))
    return [f"{space}/{found}" for found in sorted(names)]


def _of_labelled(obj: Object) -> list[str]:
    labels = labels_of(obj)
    name = labels.get(CANARY) or labels.get(LABEL)
    return [f"{namespace_of(obj)}/{name}"] if name else []


def _dependencies(service: Object) -> list[str]:
    result = []
    for entry in (service.get("spec") or {}).get("dependencies") or []:
        if isinstance(entry, dict) and entry.get("name"):
            space = entry.get("namespace") or namespace_of(service)
            result.append(f"{space}/{entry['name']}")
    return result
