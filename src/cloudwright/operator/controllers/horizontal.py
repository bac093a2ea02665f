"""HorizontalPodAutoscaler → the scale of its target, by the CPU that its pods use."""

from __future__ import annotations

from cloudwright._base.errors import CloudwrightError
from cloudwright.model.objects import Object, deleting, name_of, namespace_of
from cloudwright.model.pods import containers, is_active, is_ready
from cloudwright.model.quantities import parse
from cloudwright.model.resources import HORIZONTAL_POD_AUTOSCALER, POD, Resource
from cloudwright.model.selectors import parse_labels
from cloudwright.operator.engines import horizontal as engine
from cloudwright.operator.engines.actions import Note
from cloudwright.operator.engines.horizontal import History, Usage
from cloudwright.operator.manager import DONE, Controller, Result
from cloudwright.operator.ports import Meter


class HorizontalController(Controller):
    """Looks at each autoscaler every ``scale_interval`` seconds."""

    name = "horizontal-pod-autoscaler"

    def __init__(self, meter: Meter | None = None) -> None:
        super().__init__()
        self._meter = meter

    def setup(self) -> None:
        """Autoscalers and pods."""
        self._autoscalers = self.watch(HORIZONTAL_POD_AUTOSCALER)
        self._pods = self.manager.cache(POD)
        self._histories: dict[str, History] = {}
        self._due: dict[str, tuple[float, int]] = {}

    async def sync(self, key: str) -> Result:
        """Measure, decide, scale, tell."""
        autoscaler = self._autoscalers.get(key)
        if autoscaler is None or deleting(autoscaler):
            self._histories.pop(key, None)
            self._due.pop(key, None)
            return DONE
        clock, seen = self.manager.clock.monotonic(), autoscaler["metadata"].get("generation", 0)
        due, known = self._due.get(key, (0.0, -1))
        if clock < due and known == seen:  # woken by its own status: looks are not that cheap
            return Result(due - clock)
        interval = self.manager.config.scale_interval
        self._due[key] = (clock + interval, seen)
        await self._look(key, autoscaler)
        return Result(interval)

    async def _look(self, key: str, autoscaler: Object) -> None:
        reference = autoscaler["spec"]["scaleTargetRef"]
        namespace, now = namespace_of(autoscaler), self.now()
        try:
            target = await self._target(reference)
            scale = await self.api.client.get(
                target, reference["name"], namespace, subresource="scale"
            )
        except CloudwrightError as error:
            status = engine.unreachable(autoscaler, error.message, now)
            await self.api.write_status(HORIZONTAL_POD_AUTOSCALER, autoscaler, status)
            return
        usage = await self._usage(namespace, str((scale.get("status") or {}).get("selector") or ""))
        history = self._histories.setdefault(key, History())
        current = int((scale.get("spec") or {}).get("replicas") or 0)
        decision = engine.decide(autoscaler, current, usage, history, now)
        if decision.replicas is not None and not self.api.dry_run:
            body = {"spec": {"replicas": decision.replicas}}
            await self.api.client.patch(
                target, reference["name"], body, namespace, subresource="scale"
            )
        known = {note[2] for note in decision.notes} & self._told(autoscaler)
        notes = [Note(*note) for note in decision.notes if note[2] not in known]
        await self.api.tell(autoscaler, notes)
        await self.api.write_status(HORIZONTAL_POD_AUTOSCALER, autoscaler, decision.status)

    @staticmethod
    def _told(autoscaler: Object) -> set[str]:
        """Messages that the status says already."""
        entries = (autoscaler.get("status") or {}).get("conditions") or ()
        return {str(entry.get("message")) for entry in entries}

    async def _target(self, reference: Object) -> Resource:
        for resource in await self.api.discover():
            same = resource.kind == reference["kind"]
            if same and resource.group == str(reference.get("apiVersion", "")).rpartition("/")[0]:
                return resource
        raise CloudwrightError(f"no kind {reference['kind']} is served")

    async def _usage(self, namespace: str, selector: str) -> Usage:
        """What the target's ready pods use and ask for."""
        if not selector:
            return Usage(None, 0.0, 0, "the target has no selector")
        chosen = parse_labels(selector)
        pods = [
            pod
            for pod in self._pods.all(namespace)
            if is_active(pod) and is_ready(pod) and chosen.matches(pod["metadata"].get("labels"))
        ]
        if self._meter is None:
            return Usage(None, 0.0, len(pods), "nobody measures the pods' CPU")
        requested = sum(
            float(parse(((one.get("resources") or {}).get("requests") or {}).get("cpu", 0)))
            for pod in pods
            for one in containers(pod)
        )
        try:
            cores = await self._meter.cpu(namespace, [name_of(pod) for pod in pods])
        except CloudwrightError as error:
            return Usage(None, requested, len(pods), error.message)
        return Usage(cores, requested, len(pods), "no sample of the pods' CPU yet")
